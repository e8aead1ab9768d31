"""Counts of operations against hand arithmetic, traces and XLA's own analysis."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import jaxpr_products
import pytest

from experiments.benchmark import ensemble as ensemble_piece
from experiments.benchmark import flops, iql, problem, rollouts, update
from experiments.benchmark.config import Ensemble, Guardian, Iql, Rollouts, Update
from experiments.config import RunConfig, preset
from omgrl_jax.learners import actor as actor_lib
from omgrl_jax.models import ensemble
from omgrl_jax.models.example import examples
from omgrl_jax.models.rollout import rollout
from omgrl_jax.runtime import sweep

SMALL = Update(updates=3, batch=10, hidden=7)


@functools.cache
def small():
    run = update.configured(SMALL)
    run = dataclasses.replace(
        run, rollout=dataclasses.replace(run.rollout, rollouts=4, kept_epochs=2)
    )
    return run, problem.make(run, stays=10, hours=24)


def test_a_perceptron_by_hand():
    network = flops.Network(3, (5, 4), 2)
    # 3 * 5 + 5 * 4 + 4 * 2 = 43 multiplies and adds.
    assert network.forward == 86
    # Thrice that, without the gradient of the inputs: 2 * 3 * 5.
    assert network.learning == 3 * 86 - 30
    linear = flops.Network(3, (), 2)
    assert (linear.forward, linear.learning) == (12, 24)


def test_an_update_of_the_usual_size_by_hand():
    run = update.configured(Update())
    space = problem.make(run, stays=10, hours=24).space
    # 16 * 256 + 2 * 256^2 + 256 * 6 = 136,704 for actor and critics alike.
    forward = 2 * 136_704
    learning = 3 * forward - 2 * 16 * 256
    # The policy in 256 next states; twins: targets, learning, and once more for the
    # actor, which learns too.
    wanted = 256 * (forward + 4 * forward + 2 * learning + learning)
    assert flops.update(run.agent, space) == wanted
    # r_psi of the outcome: 1 * 128 + 128 * 64 + 64 * 1 = 8,384 for each of 256.
    with_reward = flops.update(run.agent, space, run.reward)
    assert with_reward - wanted == 256 * 2 * 8_384


def test_updates_are_what_is_traced():
    run, made = small()
    loop = update.make_loop(run, made)
    traced = jaxpr_products.count(
        loop.improve, loop.state, jax.random.key(0), loop.given
    )
    each = flops.update(run.omg_rl.agent, made.space, run.omg_rl.reward)
    # Once an epoch r_psi is put on a fixed scale, over 2 * 80 steps.
    scaled = 2 * 80 * flops.reward(run.omg_rl.reward, made.space).forward
    assert traced == 3 * each + scaled


def test_updates_are_what_xla_counts():
    run, made = small()
    run = dataclasses.replace(
        run,
        agent=dataclasses.replace(
            run.agent, batch_size=256, actor_hidden=(64, 64), critic_hidden=(64, 64)
        ),
    )
    loop = update.make_loop(run, made)
    key = jax.random.key(0)
    lowered = jax.jit(loop.improve).lower(loop.state, key, loop.given)
    # A loop's body counts once there; what is not a product adds a few percent.
    counted = lowered.cost_analysis()["flops"]
    wanted = flops.update(run.omg_rl.agent, made.space, run.omg_rl.reward)
    assert wanted < counted < 1.15 * wanted


def test_a_training_step_of_the_ensemble_is_what_is_traced(monkeypatch):
    config = Ensemble(members=3, hidden=8, batch=16, steps=2)
    run = ensemble_piece.configured(config)
    made = problem.make(run, stays=10, hours=24)
    train = jax.tree.map(lambda x: x[:32], examples(made.data.train))
    fit = ensemble_piece.make_fit(run, made.world, made.data.world.scales, train)
    assert fit.steps == 2

    def epoch(state, *arrays):
        return ensemble._run_epochs(state, *arrays, *fit.arguments[5:], 1)

    monkeypatch.setattr(sweep, "choose", lambda: "map")  # whole members, none twice
    traced = jaxpr_products.count(epoch, fit.state, *fit.arguments[:5])
    assert traced == ensemble_piece.epoch_flops(run, made, fit.steps, 32)
    # 22 inputs, four layers of 8, a mean and a variance of each of 16 features.
    forward = 2 * (22 * 8 + 3 * 64 + 8 * 32)
    network = flops.features(run.world, made.space)
    assert network.forward == forward
    each = 3 * 16 * (3 * forward - 2 * 22 * 8)
    assert flops.ensemble_step(network, run.fit) == each


def test_transitions_are_what_is_traced():
    run = rollouts.configured(Rollouts(hidden=8, policy_hidden=9))
    made = problem.make(run, stays=10, hours=24, members=5)
    space = made.space
    actor = actor_lib.make(run.agent.actor_hidden, space.state_dim, space.num_actions)
    params = actor.init(jax.random.key(0))
    starts = made.data.train.states[:10]

    def roll(world, params, key, starts):
        return rollout(made.world.dynamics, world, actor.policy, params, key, starts, 4)

    traced = jaxpr_products.count(
        roll, made.data.world, params, jax.random.key(1), starts
    )
    # Ten states go to five members evenly.
    assert traced == 4 * 10 * flops.transition(run.agent, run.world, space)


@pytest.mark.parametrize("name", ["authors", "recommended"])
def test_an_epoch_of_omg_rl_is_what_is_traced(name):
    run = preset(name, RunConfig())
    run = dataclasses.replace(
        run, fit=dataclasses.replace(run.fit, members=5), epochs=1
    )
    made = problem.make(run, stays=20, hours=24)
    algorithm = problem.omg_rl(run, made)
    key = jax.random.key(0)
    state = jax.eval_shape(algorithm.init, key, made.data)
    traced = jaxpr_products.count(algorithm.update, state, key, made.data)
    counted = flops.omg_rl_epoch(run.omg_rl, run.world, made.space)
    # The members' last states are dealt to slots that may be one more than needed.
    assert counted <= traced < 1.02 * counted


def test_an_epoch_under_weights_of_all_samplers_is_not_counted():
    run = preset("recommended", RunConfig())
    reward = dataclasses.replace(run.reward, mode="gcl")
    config = dataclasses.replace(run.omg_rl, reward=reward)
    with pytest.raises(ValueError, match="gcl"):
        flops.omg_rl_epoch(config, run.world, small()[1].space)


def test_updates_of_iql_are_what_is_traced():
    run = iql.configured(Iql(updates=2, batch=12, hidden=(9, 8)))
    made = problem.make(run, stays=10, hours=24)
    method = iql.made_method(run, made)
    key = jax.random.key(0)
    state = jax.eval_shape(method.init, key, made.data)
    traced = jaxpr_products.count(method.update, state, key, made.data)
    assert traced == 2 * flops.iql_update(run.multitask_iql, made.space)
    # Heads: 2 * 6 values, 1, 6 of the policy, 6 of the channel.
    trunk = 16 * 9 + 9 * 8
    learning = 6 * (trunk + 8 * 25) - 2 * 16 * 9
    rest = 2 * (trunk + 8 * 12) + 2 * 2 * (trunk + 8)
    assert flops.iql_update(run.multitask_iql, made.space) == 12 * (learning + rest)


def test_plans_and_distances_by_hand():
    # Five networks, a layer of 4 on 2 features, 3 last layers of 2 outputs.
    assert flops.plan_step(5, 4, 2, 3) == 5 * 2 * (2 * 4 + 4 * 6)
    assert flops.distances(7, 3, 5) == 2 * 7 * 3 * 5


@pytest.mark.parametrize("kind", ["nearest", "kernel"])
def test_distances_are_what_is_traced(kind):
    from omgrl_jax.learners.guardian import regions

    region = regions.REGIONS[kind](regions.RegionConfig(neighbours=2, points=0))
    points = jnp.zeros((2048, 4))
    traced = jaxpr_products.count(
        region.score, region.fit(points), jnp.zeros((1024, 4))
    )
    assert traced == flops.distances(2048, 1024, 4)
    assert Guardian().width > 4


def test_the_trace_counts_what_is_used_and_how_often():
    x = jnp.ones((3, 4))
    y = jnp.ones((4, 5))

    def once(x, y):
        unused = x @ (y @ jnp.ones((5, 4)))
        del unused
        return x @ y

    assert jaxpr_products.count(once, x, y) == 2 * 3 * 4 * 5

    def often(x, y):
        return jax.lax.scan(lambda c, _: (c + once(x, y), None), x @ y, None, 6)[0]

    assert jaxpr_products.count(often, x, y) == 7 * 2 * 3 * 4 * 5

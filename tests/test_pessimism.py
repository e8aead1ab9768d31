"""MOPO and MOReL in a made-up world whose ignorance is a known function."""

import functools
from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny_dataset
import tiny_mdp
import tiny_world

from omgrl_jax.algorithms import combo, mopo, morel
from omgrl_jax.data import records
from omgrl_jax.data import scales as scales_lib
from omgrl_jax.data import space as space_lib
from omgrl_jax.learners import critic, dyna, pessimism
from omgrl_jax.learners import soft_actor_critic as sac
from omgrl_jax.types import Dynamics, Spread, Step, Transition

AGENT = sac.AgentConfig((4,), (8,), batch_size=16, updates=4)
ROLLOUT = dyna.RolloutConfig(horizon=3, rollouts=4, kept_epochs=4)


class World(NamedTuple):
    """Parameters of the made-up world.

    Attributes:
      scales: the standardisation.
      noise: [] what `Spread.noise` is for action 0; twice that for action 1, ...
      disagreement: [A] what `Spread.disagreement` is for each action.
    """

    scales: Any
    noise: Any
    disagreement: Any


def sample(world, key, states, actions):
    states = 0.9 * states + 0.1 * jax.random.normal(key, states.shape)
    return Step(states, states[:, :1])


def spread(world, states, actions):
    return Spread(world.noise * (1.0 + actions), world.disagreement[actions])


DYNAMICS = Dynamics(sample, sample, spread)


@functools.cache
def task():
    schema, arrays = tiny_dataset.schema(), tiny_dataset.trajectories()
    space = space_lib.make_space(schema, "paper")
    scales = scales_lib.fit_scales(schema, space, arrays)
    train = records.make_records(schema, space, scales, arrays, "train", 3)
    world = World(scales, jnp.float32(0.5), jnp.array([0.1, 0.2, 0.7]))
    return space, dyna.Data(train, world, None)


def steps(actions):
    """Transitions with a number of their own in every state."""
    actions = jnp.asarray(actions, jnp.int32)
    numbers = jnp.arange(actions.size, dtype=jnp.float32).reshape(actions.shape)
    return Transition(
        state=numbers[..., None],
        action=actions,
        next_state=numbers[..., None] + 0.5,
        outcome=numbers[..., None],
        discount=jnp.ones(actions.shape),
        uncertainty=jnp.zeros(actions.shape),
    )


def states_of_outcomes(transitions):
    """A reward that tells which row it was given."""
    return 10.0 * transitions.outcome[..., 0]


def trained(algorithm, data, epochs, seed=0):
    """State and metrics after some epochs, compiled as one loop."""

    @jax.jit
    def run(key):
        init_key, key = jax.random.split(key)

        def epoch(carry, _):
            state, key = carry
            key, update_key = jax.random.split(key)
            state, metrics = algorithm.update(state, update_key, data)
            return (state, key), metrics

        start = algorithm.init(init_key, data), key
        (state, _), metrics = jax.lax.scan(epoch, start, None, length=epochs)
        return state, metrics

    return run(jax.random.key(seed))


def test_the_penalty_of_mopo_by_hand():
    _, data = task()
    made = pessimism.penalty(pessimism.make_spread(DYNAMICS), "noise", 0.2)
    rollouts = steps([[0, 1], [2, 0]])
    marked, metrics = made.mark(made.measure(data), data, rollouts)
    # u = .5 (1 + a).
    np.testing.assert_allclose(marked.uncertainty, [[0.5, 1.0], [1.5, 0.5]])
    np.testing.assert_allclose(metrics["rollout/uncertainty"], 0.875)
    chex.assert_trees_all_equal(
        marked._replace(uncertainty=rollouts.uncertainty), rollouts
    )
    given = made.given(states_of_outcomes)
    # 10 times the row's number less .2 u.
    np.testing.assert_allclose(given(marked), [[-0.1, 9.8], [19.7, 29.9]], rtol=1e-6)
    # A recorded step carries no uncertainty.
    np.testing.assert_allclose(given(rollouts), [[0.0, 10.0], [20.0, 30.0]])


def test_other_uncertainties_are_chosen_by_name():
    _, data = task()
    made = pessimism.penalty(pessimism.make_spread(DYNAMICS), "disagreement", 1.0)
    marked, _ = made.mark(None, data, steps([[0, 1, 2]]))
    np.testing.assert_allclose(marked.uncertainty, [[0.1, 0.2, 0.7]])


@functools.cache
def mopo_run(penalty, uncertainty="noise"):
    space, data = task()
    config = mopo.Config(penalty, AGENT, ROLLOUT, uncertainty)
    made = mopo.make(config, space, DYNAMICS)
    return trained(made, data, 3)


def test_mopo_keeps_the_uncertainty_of_what_it_rolled_out():
    state, metrics = mopo_run(1.0)
    # Three epochs of twelve rows; the ring holds four.
    rows = jax.tree.map(lambda x: x[:36], state.buffer.rows)
    np.testing.assert_allclose(rows.uncertainty, 0.5 * (1.0 + rows.action))
    means = np.asarray(rows.uncertainty).reshape(3, 12).mean(axis=1)
    np.testing.assert_allclose(metrics["rollout/uncertainty"], means, rtol=1e-6)


def test_mopo_without_a_penalty_is_combo_without_conservatism():
    space, data = task()
    plain = combo.make(combo.Config(0.0, agent=AGENT, rollout=ROLLOUT), space, DYNAMICS)
    wanted = trained(plain, data, 3)[0].agent
    chex.assert_trees_all_equal(mopo_run(0.0)[0].agent, wanted)
    dear = mopo_run(1.0)[0].agent
    same = jax.tree.map(np.array_equal, dear.critic.params, wanted.critic.params)
    assert not any(jax.tree.leaves(same))


def test_mopo_may_fear_disagreement_instead():
    state, _ = mopo_run(1.0, "disagreement")
    rows = jax.tree.map(lambda x: x[:36], state.buffer.rows)
    wanted = np.array([0.1, 0.2, 0.7])[rows.action]
    np.testing.assert_allclose(rows.uncertainty, wanted, rtol=1e-6)


def test_rows_after_a_halt_are_repeats_of_the_visited_ones():
    # Row numbers: rollout 0 halts in its second row, 1 never, 2 in the first.
    rollouts = steps(np.zeros((4, 3), int))
    unknown = jnp.array([[0, 0, 1], [1, 0, 0], [0, 0, 1], [1, 0, 0]], bool)
    found, visited = jax.jit(morel.cut)(rollouts, unknown)
    wanted = np.array([[0, 1, 2], [3, 4, 2], [0, 7, 2], [3, 10, 2]])
    halts = np.array([[0, 0, 1], [1, 0, 1], [0, 0, 1], [1, 0, 1]])
    np.testing.assert_array_equal(visited, [2, 4, 1])
    np.testing.assert_array_equal(found.state[..., 0], wanted)
    np.testing.assert_array_equal(found.next_state[..., 0], wanted + 0.5)
    np.testing.assert_array_equal(found.uncertainty, halts)
    np.testing.assert_array_equal(found.discount, 1 - halts)


def test_a_halting_step_is_paid_for_all_steps_in_halt():
    _, data = task()
    made = morel.halting(pessimism.make_spread(DYNAMICS), 0.5, -40.0)
    marked, metrics = made.mark(jnp.float32(0.2), data, steps([[0, 1], [2, 1]]))
    # Beyond the threshold lies action 2 alone: rollout 0 halts in its second step.
    np.testing.assert_array_equal(marked.uncertainty, [[0, 0], [1, 0]])
    given = made.given(states_of_outcomes)
    np.testing.assert_allclose(given(marked), [[0.0, 10.0], [-40.0, 30.0]])
    np.testing.assert_allclose(metrics["rollout/halted"], 0.5)
    np.testing.assert_allclose(metrics["rollout/visited"], 2.0)


@pytest.mark.parametrize("most", [10**6, 20])
def test_the_threshold_is_a_quantile_over_recorded_transitions(most, monkeypatch):
    monkeypatch.setattr(morel, "SAMPLE", most)
    _, data = task()

    def by_state(world, transitions):
        del world
        return Spread(transitions.action, jnp.abs(transitions.state[..., 0]))

    found = morel.halting(by_state, 0.8, -1.0).measure(data)
    rows = np.asarray(data.train.transitions)
    rows = rows[:: int(np.ceil(rows.size / most))]
    assert most > 20 or 10 < rows.size <= 20
    wanted = np.quantile(np.abs(np.asarray(data.train.states)[rows, 0]), 0.8)
    np.testing.assert_allclose(found, wanted, rtol=1e-6)


def values_with_halt(ignorance, halt, discount, temperature):
    """Soft value iteration in the pessimistic process, [S, A]."""
    q = np.zeros_like(tiny_mdp.REWARD)
    for _ in range(200):
        v = temperature * np.log(np.exp(q / temperature).sum(axis=1))
        known = tiny_mdp.REWARD + discount * v[tiny_mdp.NEXT]
        q = np.where(ignorance > 0, halt / (1 - discount), known)
    return q


def test_morel_learns_the_values_of_the_pessimistic_process():
    """Recorded are 0 -> 1 -> 2 by action 0 alone: whatever follows state 2 halts."""
    ignorance = np.array([[0, 1], [0, 1], [1, 1]])
    train = tiny_world.recorded([[0, 1]], [[0, 0]])
    agent = sac.AgentConfig(
        (),
        (),
        actor_learning_rate=0.05,
        critic_learning_rate=0.05,
        discount=0.75,
        target_rate=0.1,
        entropy_coefficient=4.0,
        batch_size=32,
    )
    algorithm = morel.make(
        morel.Config(0.99, -2.0, agent, ROLLOUT), tiny_world.SPACE, tiny_world.DYNAMICS
    )
    data = dyna.Data(train, tiny_world.world(ignorance), None)
    state, metrics = trained(algorithm, data, 80)
    assert state.measured == 0.0
    assert np.asarray(metrics["rollout/visited"]).max() <= 3
    q = critic.make((), 3, 2).values(state.agent.critic.params, jnp.eye(3))
    wanted = values_with_halt(ignorance, -2.0, 0.75, 4.0)
    # -kappa / (1 - gamma) = -8 for every action that halts.
    np.testing.assert_allclose(wanted[2], [-8.0, -8.0])
    np.testing.assert_allclose(q, np.broadcast_to(wanted, (2, 3, 2)), atol=0.1)


@pytest.mark.parametrize("module", [mopo, morel])
def test_a_world_without_spread_is_refused(module):
    space, _ = task()
    config = module.Config(agent=AGENT, rollout=ROLLOUT)
    with pytest.raises(ValueError, match=r"Dynamics\.spread"):
        module.make(config, space, DYNAMICS._replace(spread=None))


def test_halt_needs_a_discount():
    space, _ = task()
    config = morel.Config(agent=sac.AgentConfig(discount=1.0), rollout=ROLLOUT)
    with pytest.raises(ValueError, match="discount below 1"):
        morel.make(config, space, DYNAMICS)


def test_what_follows_an_end_is_neither_learned_from_nor_counted():
    """A world that ends every episode with its first step, and goes far away after."""
    space, data = task()

    def dying(world, key, states, actions):
        nothing = 0.0 * jax.random.normal(key, states.shape)
        return Step(states + 100.0 + nothing, states[:, :1], jnp.zeros(len(states)))

    method = combo.Config(0.0, agent=AGENT, rollout=ROLLOUT)
    state, metrics = trained(combo.make(method, space, Dynamics(dying, dying)), data, 2)
    kept = np.asarray(state.buffer.rows.state)[: int(state.buffer.added)]
    assert kept.shape[0] == 2 * 3 * 4 and np.abs(kept).max() < 50.0
    assert (np.asarray(state.buffer.rows.discount)[: kept.shape[0]] == 0.0).all()
    # A clinical reward is at most 1: of three steps one alone counts.
    assert np.abs(metrics["return/r_p"]).max() <= 1.0

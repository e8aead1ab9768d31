"""Actor and soft actor-critic, against the soft optimum of an enumerated process."""

import dataclasses
import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny_mdp

from omgrl_jax import optimize
from omgrl_jax.data.space import Space
from omgrl_jax.learners import actor as actor_lib
from omgrl_jax.learners import critic as critic_lib
from omgrl_jax.learners import soft_actor_critic as sac
from omgrl_jax.types import Transition

SPACE = Space(("a", "b", "c"), (0, 1, 2), (0, 1, 2), (), ("reward",), 2, None, 0)
# Tables: one-hot states into a single linear layer.
TABULAR = sac.AgentConfig(
    actor_hidden=(),
    critic_hidden=(),
    actor_learning_rate=0.02,
    critic_learning_rate=0.02,
    discount=tiny_mdp.DISCOUNT,
    target_rate=0.05,
    max_gradient_norm=0.0,
)


def every_step():
    """All pairs of state and action, rewards as outcome."""
    s, a = np.divmod(np.arange(6), 2)
    one_hot = jnp.eye(3)
    return Transition(
        state=one_hot[s],
        action=jnp.asarray(a, jnp.int32),
        next_state=one_hot[tiny_mdp.NEXT[s, a]],
        outcome=jnp.asarray(tiny_mdp.REWARD[s, a], jnp.float32)[:, None],
        discount=jnp.ones(6),
        uncertainty=jnp.zeros(6),
    )


def recorded_reward(transitions):
    return transitions.outcome[..., 0]


def train(config, updates):
    agent, record = sac.make(config, SPACE), every_step()

    @jax.jit
    def run(key):
        def one(state, _):
            return agent.update(state, recorded_reward, record, record)

        return jax.lax.scan(one, agent.init(key), None, length=updates)

    state, metrics = run(jax.random.key(0))
    return agent, state, metrics


@pytest.mark.parametrize("temperature", [0.5, 1.0])
def test_a_short_run_reaches_the_soft_optimum(temperature):
    config = dataclasses.replace(TABULAR, entropy_coefficient=temperature)
    agent, state, _ = train(config, 1500)
    found = np.exp(agent.policy.log_probs(state.actor.params, jnp.eye(3)))
    _, wanted = tiny_mdp.soft_optimum(temperature)
    # Within .02 of each probability, where a uniform policy would be off by more.
    np.testing.assert_allclose(found, wanted, atol=0.02)
    assert np.abs(wanted - 0.5).min() > 0.05


def test_conservatism_favours_what_was_recorded():
    """Recorded actions 0 alone, sampled all: the policy leans towards action 0."""
    zero = jax.tree.map(lambda x: x[::2], every_step())
    plain = sac.make(TABULAR, SPACE)
    agent = sac.make(TABULAR, SPACE, conservatism=5.0, push_down="logsumexp")

    @functools.partial(jax.jit, static_argnums=0)
    def run(agent):
        def one(state, _):
            return agent.update(state, recorded_reward, zero, every_step())

        state, _ = jax.lax.scan(one, agent.init(jax.random.key(0)), None, length=500)
        return jnp.exp(agent.policy.log_probs(state.actor.params, jnp.eye(3)))[:, 0]

    assert np.all(run(agent) > run(plain) + 0.05)


@pytest.mark.parametrize("share", [0.3, 0.9])
def test_the_entropy_target_is_reached(share):
    config = dataclasses.replace(TABULAR, entropy_target=share, entropy_coefficient=1.0)
    _, _, metrics = train(config, 1500)
    np.testing.assert_allclose(
        metrics["actor/entropy"][-1], share * np.log(2), atol=0.02
    )


def test_without_a_target_the_coefficient_stays():
    _, _, metrics = train(TABULAR, 3)
    np.testing.assert_array_equal(metrics["actor/temperature"], np.ones(3))


def test_target_critics_follow_slowly():
    agent = sac.make(TABULAR, SPACE)
    before = agent.init(jax.random.key(0))
    after, _ = jax.jit(agent.update, static_argnums=1)(
        before, recorded_reward, every_step(), every_step()
    )
    for old, new, target in zip(
        *map(jax.tree.leaves, (before.target, after.critic.params, after.target)),
        strict=True,
    ):
        np.testing.assert_allclose(
            target, 0.95 * old + 0.05 * new, rtol=1e-4, atol=1e-7
        )


def test_actor_gradient_vanishes_at_the_softmax_of_the_values():
    actor = actor_lib.make((), 3, 2)

    def of(params, q, temperature):
        log_probs = actor.policy.log_probs(params, jnp.eye(3))
        return actor_lib.soft_loss(log_probs, q, temperature)

    q = jnp.asarray(tiny_mdp.REWARD, jnp.float32)
    params = {"params": {"Dense_0": {"kernel": q / 0.5, "bias": jnp.zeros(2)}}}
    gradient, metrics = jax.grad(of, has_aux=True)(params, q, jnp.float32(0.5))
    for leaf in jax.tree.leaves(gradient):
        np.testing.assert_allclose(leaf, np.zeros(leaf.shape), atol=1e-6)
    p = np.exp(q / 0.5) / np.exp(q / 0.5).sum(axis=1, keepdims=True)
    entropy = -np.sum(p * np.log(p), axis=1).mean()
    np.testing.assert_allclose(metrics["actor/entropy"], entropy, rtol=1e-5)


@pytest.mark.parametrize("rolled_out", [6, 0])
def test_the_policy_makes_the_step_of_its_own_loss(rolled_out):
    # Not clipped: that would hide how large a gradient is.
    config = dataclasses.replace(TABULAR, actor_hidden=(5,))
    agent, record = sac.make(config, SPACE, conservatism=0.5), every_step()
    sampled = jax.tree.map(lambda x: x[:rolled_out], record)
    before = agent.init(jax.random.key(0))
    after, _ = agent.update(before, recorded_reward, record, sampled)
    states = jnp.concatenate([record.state, sampled.state])
    # Of the critics after their own step.
    q = jnp.min(critic_lib.make((), 3, 2).values(after.critic.params, states), axis=0)

    def loss(params):
        return actor_lib.soft_loss(agent.policy.log_probs(params, states), q, 1.0)

    optimizer = optimize.adam(config.actor_learning_rate)
    wanted, _ = optimize.gradient_step(loss, optimizer)(before.actor)
    # Adam's moments too, for its first step forgets how large a gradient is.
    chex.assert_trees_all_close(after.actor, wanted, rtol=1e-4, atol=1e-8)


def test_log_prob_of_picks_the_action_taken():
    log_probs = jnp.arange(12.0).reshape(2, 2, 3)
    actions = jnp.array([[0, 2], [1, 1]])
    found = actor_lib.log_prob_of(log_probs, actions)
    np.testing.assert_array_equal(found, [[0.0, 5.0], [7.0, 10.0]])


@pytest.mark.parametrize(
    ("settings", "field"),
    [
        ({"recorded_share": 0.0}, "recorded_share"),
        ({"recorded_share": 1.1}, "recorded_share"),
        ({"entropy_target": 1.0}, "entropy_target"),
        ({"entropy_target": -6.0}, "entropy_target"),
    ],
)
def test_settings_that_cannot_work_are_named(settings, field):
    with pytest.raises(ValueError, match=field):
        sac.AgentConfig(**settings)

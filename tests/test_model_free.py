"""Model-free methods on recorded transitions, against value iteration by hand."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny_mdp
from tiny_records import (
    MU,
    SPACE,
    data,
    expectile_of,
    log_table,
    looked_up,
    optimum,
    trained,
)

from omgrl_jax.algorithms import cql, iql, q_learning
from omgrl_jax.data.records import transition_at
from omgrl_jax.learners import critic as critic_lib
from omgrl_jax.learners import soft_actor_critic as sac
from omgrl_jax.ops import policy as policy_ops
from omgrl_jax.ops import value as value_ops
from omgrl_jax.types import Policy

# Tables: one-hot states into a single linear layer.
TABULAR = sac.AgentConfig(
    actor_hidden=(),
    critic_hidden=(),
    actor_learning_rate=0.02,
    critic_learning_rate=0.02,
    discount=tiny_mdp.DISCOUNT,
    target_rate=0.05,
    entropy_coefficient=0.5,
    batch_size=128,
    updates=1500,
    max_gradient_norm=0.0,
)
# Where the actions of a batch decide where values settle: small steps average them.
STEADY = dataclasses.replace(
    TABULAR, actor_learning_rate=0.004, critic_learning_rate=0.004, updates=2000
)


def test_sac_reaches_the_soft_optimum_and_nothing_follows_the_end():
    algorithm = cql.make(cql.Config(conservatism=0.0, agent=TABULAR), SPACE)
    state, found, _ = trained(algorithm, data())
    temperature = 0.5

    def soft(q):
        return temperature * np.log(np.exp(q / temperature).sum(axis=1))

    q, v = optimum(soft)
    np.testing.assert_allclose(found, np.exp((q - v[:, None]) / temperature), atol=0.02)
    for twin in looked_up(state.critic.params):
        np.testing.assert_allclose(twin, q, atol=0.05)


def test_cql_settles_where_its_gradient_vanishes():
    """Each state by itself: mu (Q - r) + alpha (softmax(Q) - mu) = 0 (Eq. 4)."""
    alpha = 0.3
    algorithm = cql.make(cql.Config(conservatism=alpha, agent=STEADY), SPACE)
    given = data(goes_on=np.zeros((3, 2)))
    state, _, metrics = trained(algorithm, given)
    for q in looked_up(state.critic.params):
        softmax = np.exp(q) / np.exp(q).sum(axis=1, keepdims=True)
        force = MU * (q - tiny_mdp.REWARD) + alpha * (softmax - MU)
        np.testing.assert_allclose(force, np.zeros((3, 2)), atol=0.02)
        # Far from where it would be without the term.
        assert np.abs(MU * (q - tiny_mdp.REWARD)).max() > 0.1
    assert metrics["critic/conservative_gap"] > 0


def q_learner(threshold, behaviour=log_table):
    config = q_learning.Config(threshold=threshold, agent=TABULAR)
    return q_learning.make(config, SPACE, Policy(behaviour))


@functools.cache
def bcq():
    return trained(q_learner(0.3), data())


def test_double_dqn_reaches_the_optimum_whatever_experts_do():
    rare = np.array([[1.0, 1e-30], [1e-30, 1.0], [0.5, 0.5]])
    state, found, metrics = trained(q_learner(0.0), data(mu=rare))
    q, _ = optimum(lambda q: q.max(axis=1))
    np.testing.assert_allclose(looked_up(state.critic.params)[0], q, atol=0.02)
    np.testing.assert_array_equal(found, np.eye(2)[q.argmax(axis=1)])
    assert metrics["actor/allowed"] == 2.0


def test_bcq_reaches_the_optimum_among_what_experts_do():
    state, found, metrics = bcq()
    # mu / max mu is 1/3 in state 0, 1/4 in state 1: there action 0 is ruled out.
    allowed = np.array([[True, True], [False, True], [True, True]])
    q, _ = optimum(lambda q: np.where(allowed, q, -np.inf).max(axis=1))
    np.testing.assert_allclose(looked_up(state.critic.params)[0], q, atol=0.02)
    best = np.where(allowed, q, -np.inf).argmax(axis=1)
    np.testing.assert_array_equal(found, np.eye(2)[best])
    # It is the better one all the same, and its being ruled out matters elsewhere.
    assert q[1, 0] > q[1, 1] + 0.5
    unrestricted, _ = optimum(lambda q: q.max(axis=1))
    assert np.abs(unrestricted - q).max() > 0.5
    assert 1.0 < metrics["actor/allowed"] < 2.0


def test_what_is_ruled_out_is_never_drawn():
    algorithm, state = q_learner(0.3), bcq()[0]
    log_probs = algorithm.log_probs(state, jnp.eye(3))
    assert np.all(np.isfinite(log_probs))
    np.testing.assert_array_equal(np.exp(log_probs).sum(axis=1), np.ones(3))
    draw = jax.jit(jax.vmap(algorithm.act, in_axes=(None, 0, None)))
    keys = jax.random.split(jax.random.key(1), 200)
    np.testing.assert_array_equal(draw(state, keys, jnp.eye(3)[1]), np.ones(200))


def test_iql_reaches_the_expectile_optimum_and_its_weighted_clone():
    tau, beta, largest = 0.7, 1.5, 1.4
    config = iql.Config(tau, beta, largest, STEADY)
    state, found, metrics = trained(iql.make(config, SPACE), data())
    q, v = optimum(functools.partial(expectile_of, tau=tau))
    for twin in looked_up(state.critic.params):
        np.testing.assert_allclose(twin, q, atol=0.08)
    np.testing.assert_allclose(looked_up(state.value.params)[:, 0], v, atol=0.08)
    weights = np.exp(beta * (q - v[:, None]))
    assert (weights > largest).any() and (weights.max(axis=1) < largest).any()
    wanted = MU * np.minimum(weights, largest)
    wanted /= wanted.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(found, wanted, atol=0.04)
    assert np.abs(wanted - MU).max() > 0.1
    assert 0 < metrics["actor/entropy"] < np.log(2)


@pytest.mark.parametrize("tau", [0.1, 0.5, 0.7, 0.999])
def test_expectile_loss_is_smallest_at_the_expectile(tau):
    """Of points 1 and 3 with shares .75 and .25; towards tau 1 the larger point."""
    grid = np.linspace(0.5, 3.5, 3001)
    points, shares = np.array([1.0, 3.0]), np.array([0.75, 0.25])
    errors = (points[None] - grid[:, None]).ravel()
    each = jax.vmap(value_ops.expectile_loss, in_axes=(0, None))(
        jnp.asarray(errors), tau
    )
    found = grid[np.argmin(np.asarray(each, np.float64).reshape(-1, 2) @ shares)]
    up, down = 0.25 * tau, 0.75 * (1 - tau)
    np.testing.assert_allclose(found, (3 * up + down) / (up + down), atol=2e-3)
    if tau == 0.999:
        assert found > 2.99


def test_expectile_loss_and_its_gradient_by_hand():
    # .9 * 2^2 and .1 * 2^2; slopes 2 * .9 * 2 and -2 * .1 * 2.
    for error, loss, slope in ((2.0, 3.6, 3.6), (-2.0, 0.4, -0.4)):
        found = jax.value_and_grad(value_ops.expectile_loss)(jnp.float32(error), 0.9)
        np.testing.assert_allclose(found, (loss, slope), rtol=1e-6)


def test_td_loss_by_hand():
    # Two networks, two steps, discount .5. Errors of the first: 1 + .5 * 4 - 2 = 1 and,
    # where the episode ends, 3 - 0 = 3: half their mean square is 2.5. The second
    # network is worth 1 more everywhere: errors 0 and 2, which makes 1.
    q = jnp.array([[[2.0, 9.0], [9.0, 0.0]], [[3.0, 9.0], [9.0, 1.0]]])
    critic = critic_lib.Critic(lambda key: q, lambda params, states: params)
    steps = transition_at(data().train, jnp.arange(2))
    steps = steps._replace(action=jnp.array([0, 1]), discount=jnp.array([1.0, 0.0]))
    loss = critic_lib.make_td_loss(critic, 0.5)
    args = steps, jnp.array([1.0, 3.0]), jnp.array([4.0, 8.0])
    found, metrics = loss(q, *args)
    np.testing.assert_allclose(found, 3.5, rtol=1e-6)
    np.testing.assert_allclose(metrics["critic/bellman"], 1.75, rtol=1e-6)
    np.testing.assert_allclose(metrics["critic/q_recorded"], 1.5, rtol=1e-6)


def test_double_q_value_by_hand():
    # The selector prefers action 2, worth 1; neither the largest value 7 nor the
    # selector's own 9 counts. Ruled out, action 0 comes next.
    q, selector = jnp.array([4.0, 7.0, 1.0]), jnp.array([5.0, -3.0, 9.0])
    every = jnp.ones(3, bool)
    assert value_ops.double_q_value(q, selector, every) == 1.0
    assert value_ops.double_q_value(q, selector, every.at[2].set(False)) == 4.0


def test_plausible_actions_by_hand():
    log_mu = jnp.log(jnp.array([0.6, 0.2, 0.17, 0.03]))
    for threshold, wanted in ((0.3, [1, 1, 0, 0]), (0.99, [1, 0, 0, 0])):
        found = policy_ops.plausible(log_mu, threshold)
        np.testing.assert_array_equal(found, np.array(wanted, bool))
    # Even what is too rare for the exponential.
    assert np.all(policy_ops.plausible(jnp.array([0.0, -1e4]), 0.0))


def test_advantage_weighted_loss_by_hand():
    # -exp(2 * .5) log .25, then the limit 2 instead of exp(1) = 2.72.
    log_probs = jnp.log(jnp.array([0.75, 0.25]))
    for limit, weight in ((100.0, np.e), (2.0, 2.0)):
        loss = functools.partial(
            policy_ops.advantage_weighted_loss,
            action=jnp.int32(1),
            inverse_temperature=2.0,
            max_weight=limit,
        )
        found = loss(log_probs, advantage=jnp.float32(0.5))
        np.testing.assert_allclose(found, -weight * np.log(0.25), rtol=1e-6)
        # An advantage is a weight, not something to learn here.
        slope = jax.grad(lambda a, loss=loss: loss(log_probs, advantage=a))
        assert slope(jnp.float32(0.5)) == 0.0


@pytest.mark.parametrize(
    ("config", "settings", "field"),
    [
        (q_learning.Config, {"threshold": 1.0}, "threshold"),
        (iql.Config, {"expectile": 1.0}, "expectile"),
        (iql.Config, {"temperature": -1.0}, "temperature"),
        (iql.Config, {"max_weight": 0.0}, "max_weight"),
    ],
)
def test_settings_that_cannot_work_are_named(config, settings, field):
    with pytest.raises(ValueError, match=field):
        config(**settings)


@pytest.mark.parametrize("name", ["cql", "bcq", "iql"])
def test_a_missing_reward_stops_when_the_method_is_built(name):
    without = dataclasses.replace(SPACE, recorded_reward=None)
    makers = {
        "cql": lambda: cql.make(cql.Config(agent=TABULAR), without),
        "bcq": lambda: q_learning.make(
            q_learning.Config(agent=TABULAR), without, Policy(log_table)
        ),
        "iql": lambda: iql.make(iql.Config(agent=TABULAR), without),
    }
    with pytest.raises(ValueError, match="defines no reward"):
        makers[name]()

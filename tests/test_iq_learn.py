"""IQ-Learn against hand arithmetic and against an enumerated world."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import tiny_mdp
from tiny_mdp import ACTIONS, DISCOUNT, STATES

from omgrl_jax.algorithms import iq_learn
from omgrl_jax.data.records import Records
from omgrl_jax.data.space import Space
from omgrl_jax.learners import dyna
from omgrl_jax.learners import soft_actor_critic as sac
from omgrl_jax.ops import inverse_q
from omgrl_jax.types import Transition

TEMPERATURE = 0.7
SPACE = Space(("a", "b"), (0, 1), (0, 1), (), (), ACTIONS)


@pytest.fixture
def float64():
    with jax.enable_x64(True):
        yield


def test_soft_maximum_by_hand():
    # .5 log(exp(1 / .5) + exp(0)); towards temperature zero the maximum.
    q = jnp.array([1.0, 0.0])
    found = inverse_q.soft_maximum(q, 0.5)
    np.testing.assert_allclose(found, 0.5 * np.log(np.exp(2) + 1), rtol=1e-6)
    np.testing.assert_allclose(inverse_q.soft_maximum(q, 1e-4), 1.0, rtol=1e-6)


def test_implied_reward_by_hand():
    # 3 - .9 * 2 = 1.2; at the end of an episode nothing is subtracted.
    q, a, v = jnp.array([1.0, 3.0]), jnp.int32(1), jnp.float32(2.0)
    for discount, wanted in ((0.9, 1.2), (0.0, 3.0)):
        found = inverse_q.implied_reward(q, a, jnp.float32(discount), v)
        np.testing.assert_allclose(found, wanted, rtol=1e-6)


def test_regulariser_by_hand():
    # phi(x) = x - x^2 / (4 * .5): phi(3) = -1.5, slope 1 - 3; largest at 2 * .5.
    value, slope = jax.value_and_grad(inverse_q.regularised)(jnp.float32(3.0), 0.5)
    np.testing.assert_allclose([value, slope], [-1.5, -2.0], rtol=1e-6)
    np.testing.assert_allclose(
        jax.grad(inverse_q.regularised)(jnp.float32(1.0), 0.5), 0.0, atol=1e-6
    )


# A table is its own network: states are one-hot, parameters [S, A].
TABLE = jnp.array([[0.4, -0.3], [1.0, 0.2]])


def look_up(table, states):
    return states @ table


def one_step(discount=1.0):
    """From state 0 by action 1 to state 1."""
    return Transition(
        state=jnp.eye(2)[:1],
        action=jnp.array([1], jnp.int32),
        next_state=jnp.eye(2)[1:],
        outcome=jnp.zeros((1, 0)),
        discount=jnp.array([discount]),
        uncertainty=jnp.zeros(1),
    )


def gradient(target=None, discount=1.0, **settings):
    config = iq_learn.Config(
        temperature=TEMPERATURE,
        regulariser=0.25,
        agent=sac.AgentConfig(discount=DISCOUNT),
        target=target is not None,
        **settings,
    )
    loss = iq_learn.make_loss(config, look_up)
    (value, _), slope = jax.jit(jax.value_and_grad(loss, has_aux=True))(
        TABLE, target, one_step(discount)
    )
    return float(value), np.asarray(slope)


def by_hand(table=TABLE):
    """Policies [S, A] and values [S] of a table, phi(r) and phi'(r) of the step."""
    table = np.asarray(table, np.float64)
    v = TEMPERATURE * np.log(np.exp(table / TEMPERATURE).sum(axis=1))
    return np.exp((table - v[:, None]) / TEMPERATURE), v


def phi(reward):
    return reward - reward**2, 1 - 2 * reward  # 1 / (4 * .25) = 1


def test_gradient_of_the_value_form_by_hand():
    """dL/dq_0 = pi_0 - phi' onehot(1), dL/dq_1 = -d (1 - phi') pi_1."""
    (pi, v), chosen = by_hand(), np.array([0.0, 1.0])
    earned, slope = phi(float(TABLE[0, 1]) - DISCOUNT * v[1])
    value, found = gradient(loss="value")
    np.testing.assert_allclose(value, v[0] - DISCOUNT * v[1] - earned, rtol=1e-5)
    np.testing.assert_allclose(found[0], pi[0] - slope * chosen, rtol=1e-5)
    np.testing.assert_allclose(found[1], -DISCOUNT * (1 - slope) * pi[1], rtol=1e-5)


def test_gradient_of_the_v0_form_by_hand():
    """The state left counts (1 - d) v_0; the one entered is pulled by the reward."""
    (pi, v), chosen = by_hand(), np.array([0.0, 1.0])
    earned, slope = phi(float(TABLE[0, 1]) - DISCOUNT * v[1])
    value, found = gradient(loss="v0")
    np.testing.assert_allclose(value, (1 - DISCOUNT) * v[0] - earned, rtol=1e-5)
    wanted = (1 - DISCOUNT) * pi[0] - slope * chosen
    np.testing.assert_allclose(found[0], wanted, rtol=1e-5)
    np.testing.assert_allclose(found[1], DISCOUNT * slope * pi[1], rtol=1e-5)


def test_a_final_state_counts_nothing_and_hears_nothing():
    (pi, v), chosen = by_hand(), np.array([0.0, 1.0])
    earned, slope = phi(float(TABLE[0, 1]))
    value, found = gradient(loss="value", discount=0.0)
    np.testing.assert_allclose(value, v[0] - earned, rtol=1e-5)
    np.testing.assert_allclose(found[0], pi[0] - slope * chosen, rtol=1e-5)
    np.testing.assert_array_equal(found[1], [0.0, 0.0])


def test_a_target_values_the_state_entered_without_gradient():
    (pi, v), chosen = by_hand(), np.array([0.0, 1.0])
    moved = TABLE + 0.5
    earned, slope = phi(float(TABLE[0, 1]) - DISCOUNT * by_hand(moved)[1][1])
    value, found = gradient(target=moved, loss="value")
    wanted = v[0] - DISCOUNT * by_hand(moved)[1][1] - earned
    np.testing.assert_allclose(value, wanted, rtol=1e-5)
    np.testing.assert_allclose(found[0], pi[0] - slope * chosen, rtol=1e-5)
    np.testing.assert_array_equal(found[1], [0.0, 0.0])


def discounted_visits(policy):
    """[S, A] `(1 - d) sum_t d^t P(s_t, a_t)` in the enumerated world."""
    p = np.zeros((STATES, STATES))
    for s in range(STATES):
        for a in range(ACTIONS):
            p[s, tiny_mdp.NEXT[s, a]] += policy[s, a]
    start = (1 - DISCOUNT) * tiny_mdp.START
    visited = np.linalg.solve(np.eye(STATES) - DISCOUNT * p.T, start)
    return visited[:, None] * policy


def exact_loss(form, visits, strength, table):
    """The objective with sums over states and actions in place of samples."""
    v = jax.vmap(inverse_q.soft_maximum, in_axes=(0, None))(table, TEMPERATURE)
    pairs = np.repeat(np.arange(STATES), ACTIONS), np.tile(np.arange(ACTIONS), STATES)
    v_t, weights = v[tiny_mdp.NEXT[pairs]], jnp.asarray(visits[pairs])
    rewards = jax.vmap(inverse_q.implied_reward)(
        table[pairs[0]], jnp.asarray(pairs[1]), jnp.full(len(weights), DISCOUNT), v_t
    )
    earned = jax.vmap(inverse_q.regularised, in_axes=(0, None))(rewards, strength)
    if form == "value":
        spent = weights @ (v[pairs[0]] - DISCOUNT * v_t)
    else:
        spent = (1 - DISCOUNT) * jnp.asarray(tiny_mdp.START) @ v
    return spent - weights @ earned, rewards.reshape(STATES, ACTIONS)


@functools.cache
def solved(form, strength, steps=1500):
    """Table and implied rewards at the optimum, for the soft-optimal expert."""
    visits = discounted_visits(tiny_mdp.soft_optimum(TEMPERATURE)[1])
    optimizer = optax.adam(optax.cosine_decay_schedule(0.1, steps))
    objective = functools.partial(exact_loss, form, visits, strength)

    def step(carry, _):
        table, state = carry
        slope, _ = jax.grad(objective, has_aux=True)(table)
        change, state = optimizer.update(slope, state)
        return (optax.apply_updates(table, change), state), None

    table = jnp.zeros((STATES, ACTIONS))
    start = table, optimizer.init(table)
    (table, _), _ = jax.jit(lambda x: jax.lax.scan(step, x, None, length=steps))(start)
    return np.asarray(table), np.asarray(objective(table)[1])


def softmax(table):
    scores = np.exp(table / TEMPERATURE)
    return scores / scores.sum(axis=1, keepdims=True)


def test_both_forms_are_one_under_the_experts_visits(float64):
    """E[v_tm1 - d v_t] telescopes to (1 - d) E[v_0]."""
    visits = discounted_visits(tiny_mdp.soft_optimum(TEMPERATURE)[1])
    np.testing.assert_allclose(visits.sum(), 1.0, rtol=1e-12)
    table = jnp.asarray(np.random.default_rng(1).normal(size=(STATES, ACTIONS)))
    values = [exact_loss(form, visits, 0.5, table)[0] for form in ("value", "v0")]
    np.testing.assert_allclose(values[0], values[1], rtol=1e-12)


@pytest.mark.parametrize("form", ["value", "v0"])
def test_a_weak_divergence_penalty_gives_back_the_expert(form, float64):
    """As the regulariser fades: the expert's policy, and the truth, shaped."""
    table, rewards = solved(form, 1e4)
    expert = tiny_mdp.soft_optimum(TEMPERATURE)[1]
    np.testing.assert_allclose(softmax(table), expert, atol=1e-3)
    # r - R = h(s) - d h(s') for some h: three unknowns, six equations.
    shaping = np.eye(STATES)[:, None] - DISCOUNT * np.eye(STATES)[tiny_mdp.NEXT]
    gap = (rewards - tiny_mdp.REWARD).reshape(-1)
    h, *_ = np.linalg.lstsq(shaping.reshape(-1, STATES), gap)
    np.testing.assert_allclose(shaping.reshape(-1, STATES) @ h, gap, atol=2e-3)
    # It is not the reward itself: the potential is the regulariser's choice.
    assert np.abs(gap).max() > 0.1


def test_the_optimum_balances_divergence_and_entropy(float64):
    """`rho_pi = rho_E phi'(r)` at the saddle point (Section 5), and not rho_E."""
    strength = 0.5
    table, rewards = solved("v0", strength)
    visits = discounted_visits(tiny_mdp.soft_optimum(TEMPERATURE)[1])
    found = discounted_visits(softmax(table))
    np.testing.assert_allclose(
        found, visits * (1 - rewards / (2 * strength)), atol=1e-3
    )
    assert np.abs(found - visits).max() > 0.02


def records():
    """Four stays of one step: state 0 is left by action 1 thrice as often as by 0."""
    cells, actions = np.array([0, 1] * 4), np.array([1, 0, 1, 0, 1, 0, 0, 0])
    return Records(
        states=jnp.eye(2)[cells],
        actions=jnp.asarray(actions, jnp.int32),
        amounts=jnp.zeros(8),
        outcome=jnp.zeros((8, 0)),
        measured=jnp.zeros((8, 0), bool),
        censored=jnp.zeros((8, 0), bool),
        discount=jnp.ones(8),
        stay=jnp.asarray(np.repeat(np.arange(4), 2), jnp.int32),
        transitions=jnp.array([0, 2, 4, 6], jnp.int32),
        windows=jnp.zeros(0, jnp.int32),
    )


@pytest.mark.parametrize("target", [False, True])
def test_stays_of_one_step_are_enough(target):
    """No windows, no world, no reward in the schema; the shares are learned."""
    agent = sac.AgentConfig(
        critic_hidden=(),
        critic_learning_rate=0.02,
        batch_size=64,
        updates=300,
        target_rate=0.1,
    )
    config = iq_learn.Config(0.5, 1e3, target=target, agent=agent)
    algorithm = iq_learn.make(config, SPACE)
    data = dyna.Data(records(), None, None)
    state = algorithm.init(jax.random.key(0), data)
    state, metrics = jax.jit(algorithm.update)(state, jax.random.key(1), data)
    found = np.exp(algorithm.log_probs(state, jnp.eye(2)))
    np.testing.assert_allclose(found[0], [0.25, 0.75], atol=0.06)
    assert 0.3 < metrics["actor/entropy"] < np.log(2)
    # The reward is the implied one, by the parameters and never by the target.
    table = algorithm_table(state)
    v = 0.5 * np.log(np.exp(table / 0.5).sum(axis=1))
    np.testing.assert_allclose(
        algorithm.reward(state, one_step()), [table[0, 1] - 0.99 * v[1]], rtol=1e-4
    )
    assert (state.target is None) == (not target)


def algorithm_table(state):
    layer = state.critic.params["params"]["Dense_0"]
    return np.asarray(layer["kernel"] + layer["bias"][None])


def test_the_target_moves_by_its_share():
    agent = sac.AgentConfig(critic_hidden=(), updates=1, batch_size=4, target_rate=0.25)
    algorithm = iq_learn.make(iq_learn.Config(target=True, agent=agent), SPACE)
    data = dyna.Data(records(), None, None)
    before = algorithm.init(jax.random.key(0), data)
    after, _ = jax.jit(algorithm.update)(before, jax.random.key(1), data)
    old, new, moved = (
        jax.tree.leaves(x)[1]
        for x in (before.target, after.critic.params, after.target)
    )
    np.testing.assert_allclose(moved, 0.75 * old + 0.25 * new, rtol=1e-5)
    assert np.any(old != new)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"temperature": 0.0}, "temperature and regulariser"),
        ({"regulariser": -1.0}, "temperature and regulariser"),
        ({"loss": "v1"}, "loss='v1'"),
        ({"loss": "v0", "target": True}, "target: loss='v0'"),
    ],
)
def test_settings_that_cannot_work_are_named(settings, message):
    with pytest.raises(ValueError, match=message):
        iq_learn.Config(**settings)

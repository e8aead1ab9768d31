"""The conservative loss, with critics whose values are their parameters."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from omgrl_jax.learners import critic as critic_lib
from omgrl_jax.types import Transition

STATES, ACTIONS = 4, 3
# Values are looked up: params [2, S, A], states one-hot.
TABLE = critic_lib.Critic(
    lambda key: jax.random.normal(key, (2, STATES, ACTIONS)),
    lambda params, states: jnp.einsum("ksa,bs->kba", params, states),
)


def batch(states, actions, discount=1.0):
    states = jnp.eye(STATES)[jnp.asarray(states)]
    actions = jnp.asarray(actions, jnp.int32)
    return Transition(
        state=states,
        action=actions,
        next_state=jnp.roll(states, 1, axis=1),
        outcome=jnp.zeros((actions.size, 1)),
        discount=jnp.full(actions.size, discount),
        uncertainty=jnp.zeros(actions.size),
    )


def targets_met(params, steps):
    """Targets without Bellman error for twin 0."""
    return jnp.einsum("bs,sa,ba->b", steps.state, params[0], jnp.eye(3)[steps.action])


@pytest.mark.parametrize("form", ["logsumexp", "policy"])
def test_gradient_of_the_penalty(form):
    """softmax(q) - onehot(a), or pi - onehot(a), for each twin on its own values."""
    q = jnp.array([0.3, -1.2, 2.0])
    params = jnp.stack([jnp.tile(q, (STATES, 1)), jnp.tile(2 * q, (STATES, 1))])
    steps = batch([2], [1])
    log_probs = jax.nn.log_softmax(jnp.array([[1.0, 0.0, -0.5]]))
    loss = critic_lib.make_loss(TABLE, form, 0.7)
    with_penalty = jax.grad(loss, has_aux=True)
    without = jax.grad(critic_lib.make_loss(TABLE, form, 0.0), has_aux=True)
    args = (steps, targets_met(params, steps)) * 2
    gradient = (
        with_penalty(params, *args, log_probs)[0] - without(params, *args, log_probs)[0]
    )
    pushed = {
        "logsumexp": np.stack([jax.nn.softmax(q), jax.nn.softmax(2 * q)]),
        "policy": np.tile(np.exp(log_probs), (2, 1)),
    }[form]
    wanted = np.zeros((2, STATES, ACTIONS))
    wanted[:, 2] = 0.7 * (pushed - np.array([0.0, 1.0, 0.0]))
    np.testing.assert_allclose(gradient, wanted, atol=1e-6)


def test_values_fall_at_sampled_states_and_rise_at_recorded_pairs():
    params = jnp.zeros((2, STATES, ACTIONS))
    recorded, sampled = batch([0], [2]), batch([3], [0])
    loss = critic_lib.make_loss(TABLE, "policy", 1.0)
    log_probs = jnp.log(jnp.array([[0.5, 0.25, 0.25]]))
    gradient, _ = jax.grad(loss, has_aux=True)(
        params, recorded, jnp.zeros(1), sampled, jnp.zeros(1), log_probs
    )
    wanted = np.zeros((STATES, ACTIONS))
    wanted[0, 2], wanted[3] = -1.0, [0.5, 0.25, 0.25]
    np.testing.assert_allclose(gradient, np.stack([wanted] * 2), atol=1e-7)


def test_bellman_error_by_hand():
    # Recorded (s0, a1): q = 1 / 2, target 3. Sampled (s1, a0): q = 0 / 0, target -2.
    # Twin 0: .5 ((3 - 1)^2 + 2^2) / 2 = 2; twin 1: .5 ((3 - 2)^2 + 2^2) / 2 = 1.25.
    params = jnp.zeros((2, STATES, ACTIONS)).at[:, 0, 1].set(jnp.array([1.0, 2.0]))
    loss = critic_lib.make_loss(TABLE, "policy", 0.0)
    even = jnp.full((1, 3), -np.log(3.0))
    value, metrics = loss(
        params,
        batch([0], [1]),
        jnp.array([3.0]),
        batch([1], [0]),
        -2 * jnp.ones(1),
        even,
    )
    np.testing.assert_allclose(value, 3.25, rtol=1e-6)
    np.testing.assert_allclose(metrics["critic/bellman"], 1.625, rtol=1e-6)
    np.testing.assert_allclose(metrics["critic/q_recorded"], 1.5, rtol=1e-6)


def test_targets_by_hand():
    # The smaller twin at s1: (1, 0, 0); pi = (.5, .5, 0): .5 - .2 (-log 2).
    params = jnp.zeros((2, STATES, ACTIONS)).at[0, 1, 0].set(1.0)
    params = params.at[1, 1].set(jnp.array([4.0, 0.0, 0.0]))
    steps = batch([0, 0], [0, 0])._replace(discount=jnp.array([1.0, 0.0]))
    log_probs = jnp.log(jnp.array([[0.5, 0.5, 1e-30]] * 2))
    found = critic_lib.soft_targets(
        TABLE, params, log_probs, steps, jnp.array([2.0, 5.0]), 0.9, jnp.float32(0.2)
    )
    np.testing.assert_allclose(
        found, [2 + 0.9 * (0.5 + 0.2 * np.log(2)), 5.0], rtol=1e-5
    )


def test_targets_are_held_constant():
    loss = critic_lib.make_loss(TABLE, "logsumexp", 0.5)
    steps, even = batch([0], [1]), jnp.full((1, 3), -np.log(3.0))
    params = TABLE.init(jax.random.key(0))

    def of_targets(targets):
        return loss(params, steps, targets, steps, targets, even)[0]

    np.testing.assert_array_equal(jax.grad(of_targets)(jnp.ones(1)), [0.0])


def test_twins_are_two_networks():
    critic = critic_lib.make((8,), 3, ACTIONS)
    params = critic.init(jax.random.key(0))
    values = critic.values(params, jnp.ones((5, 3)))
    assert values.shape == (2, 5, ACTIONS)
    assert np.abs(values[0] - values[1]).min() > 1e-4


def test_a_dueling_critic_takes_values_of_its_last_layer_apart():
    critic = critic_lib.make((), 3, ACTIONS, dueling=True)
    params = critic.init(jax.random.key(0))
    layer = params["params"]["Dense_0"]
    assert layer["kernel"].shape == (2, 3, 1 + ACTIONS)
    states = jnp.array([[1.0, -2.0, 0.5], [0.3, 0.1, 4.0]])
    out = np.einsum("bs,ksa->kba", states, layer["kernel"])
    state_value, advantages = out[..., :1], out[..., 1:]
    wanted = state_value + advantages - advantages.mean(axis=-1, keepdims=True)
    np.testing.assert_allclose(critic.values(params, states), wanted, rtol=1e-5)


def test_the_conservative_part_of_the_td_loss_by_hand():
    """alpha (softmax(q) - onehot(a)) of each network, beside the same TD errors."""
    q = jnp.array([0.3, -1.2, 2.0])
    params = jnp.stack([jnp.tile(q, (STATES, 1)), jnp.tile(2 * q, (STATES, 1))])
    args = params, batch([2, 3], [1, 0], 0.9), jnp.array([1.0, -2.0]), jnp.ones(2)

    @jax.jit
    def gradients(*args):
        pair = (critic_lib.make_td_loss(TABLE, 0.5, alpha) for alpha in (0.7, 0.0))
        return [jax.grad(loss, has_aux=True)(*args) for loss in pair]

    (found, metrics), (without, _) = gradients(*args)
    pushed = np.stack([jax.nn.softmax(q), jax.nn.softmax(2 * q)])
    wanted = np.zeros((2, STATES, ACTIONS))
    for state, action in ((2, 1), (3, 0)):
        wanted[:, state] = 0.7 * (pushed - np.eye(ACTIONS)[action]) / 2
    np.testing.assert_allclose(found - without, wanted, atol=1e-6)
    assert np.abs(without).max() > 0.1
    gaps = [np.log(np.exp(k * q).sum()) - k * (q[0] + q[1]) / 2 for k in (1, 2)]
    np.testing.assert_allclose(
        metrics["critic/conservative_gap"], np.mean(gaps), rtol=1e-5
    )


def test_unknown_push_down_is_named():
    with pytest.raises(ValueError, match=r"'sample'.*logsumexp, policy"):
        critic_lib.make_loss(TABLE, "sample", 1.0)

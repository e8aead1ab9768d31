"""Policy losses against their closed forms."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from omgrl_jax.ops import policy

Q = jnp.array([0.2, -1.0, 1.3, 0.0])


def test_entropy_by_hand_and_at_its_largest():
    # (1/2, 1/4, 1/4): log 2 / 2 + 2 log 4 / 4 = 1.5 log 2.
    log_probs = jnp.log(jnp.array([0.5, 0.25, 0.25]))
    np.testing.assert_allclose(policy.entropy(log_probs), 1.5 * np.log(2), rtol=1e-6)
    even = jnp.full(6, -np.log(6.0))
    np.testing.assert_allclose(policy.entropy(even), np.log(6.0), rtol=1e-6)


def test_soft_policy_loss_by_hand():
    # .25 (2 log .25 - 1) + .75 (2 log .75 - 3)
    loss = policy.soft_policy_loss(
        jnp.log(jnp.array([0.25, 0.75])), jnp.array([1.0, 3.0]), 2.0
    )
    wanted = 0.25 * (2 * np.log(0.25) - 1) + 0.75 * (2 * np.log(0.75) - 3)
    np.testing.assert_allclose(loss, wanted, rtol=1e-6)


@pytest.mark.parametrize("temperature", [0.2, 1.0])
def test_the_loss_is_stationary_exactly_at_the_softmax_policy(temperature):
    def loss(logits):
        return policy.soft_policy_loss(jax.nn.log_softmax(logits), Q, temperature)

    best = Q / temperature
    np.testing.assert_allclose(jax.grad(loss)(best), np.zeros(4), atol=1e-6)
    # Its value there: - temperature logsumexp(q / temperature).
    np.testing.assert_allclose(
        loss(best), -temperature * jax.nn.logsumexp(best), rtol=1e-6
    )
    assert np.abs(jax.grad(loss)(0.5 * best)).max() > 1e-2


def test_action_values_receive_no_gradient():
    log_probs = jax.nn.log_softmax(jnp.arange(4.0))
    gradient = jax.grad(policy.soft_policy_loss, argnums=1)(log_probs, Q, 1.0)
    np.testing.assert_array_equal(gradient, np.zeros(4))


@pytest.mark.parametrize(("entropy", "sign"), [(0.5, 1.0), (1.5, -1.0), (1.0, 0.0)])
def test_temperature_rises_while_entropy_is_too_small(entropy, sign):
    step = -jax.grad(policy.temperature_loss)(0.3, jnp.float32(entropy), 1.0)
    assert np.sign(step) == sign


def test_batches_are_refused():
    with pytest.raises(AssertionError):
        policy.entropy(jnp.zeros((2, 3)))
    with pytest.raises(AssertionError):
        policy.soft_policy_loss(jnp.zeros(3), jnp.zeros((1, 3)), 1.0)

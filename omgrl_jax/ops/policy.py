"""Policy losses of one state with discrete actions."""

import chex
import jax
import jax.numpy as jnp

from omgrl_jax.types import Array


def entropy(log_probs: Array) -> Array:
    """Entropy in nats of normalised log-probabilities [A]."""
    chex.assert_rank(log_probs, 1)
    return -jnp.sum(jnp.exp(log_probs) * log_probs)


def soft_policy_loss(log_probs: Array, q: Array, temperature: Array) -> Array:
    """`sum_a pi(a) (temperature log pi(a) - q(a))` (arXiv 2409.13299, Eq. 6).

    Args:
      log_probs: [A] normalised log-probabilities, differentiated.
      q: [A] action values, held constant.
      temperature: [] entropy coefficient.

    Returns:
      [] loss, smallest where the policy is `softmax(q / temperature)`.
    """
    chex.assert_rank([log_probs, q], 1)
    chex.assert_equal_shape([log_probs, q])
    q = jax.lax.stop_gradient(q)
    return jnp.sum(jnp.exp(log_probs) * (temperature * log_probs - q))


def temperature_loss(
    log_temperature: Array, entropy: Array, target: Array | float
) -> Array:
    """Loss whose descent raises the temperature while entropy is below the target.

    Args:
      log_temperature: [] differentiated.
      entropy: [] entropy of the policy, held constant.
      target: [] wanted entropy; for `A` actions it must lie below `log A`, else it can
        never be reached.

    Returns:
      [] loss.
    """
    chex.assert_rank([log_temperature, entropy], 0)
    return log_temperature * jax.lax.stop_gradient(entropy - target)

"""Policy losses of one state with discrete actions."""

import chex
import jax
import jax.numpy as jnp

from omgrl_jax.types import Array

# The log-probability of what is never done: finite, and zero under the exponential.
NEVER = -1e9


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


def advantage_weighted_loss(
    log_probs: Array,
    action: Array,
    advantage: Array,
    inverse_temperature: float,
    max_weight: float,
) -> Array:
    """`-min(exp(inverse_temperature * advantage), max_weight) log pi(action)`.

    Over actions drawn from mu it is smallest where pi is `mu * weight`, normalised
    (Peng et al. 2019; Kostrikov et al. 2022, Eq. 7).

    Args:
      log_probs: [A] normalised log-probabilities, differentiated.
      action: [] action taken.
      advantage: [] its value above the state's, held constant.
      inverse_temperature: 0 clones; the larger, the greedier.
      max_weight: limit of the weight.

    Returns:
      [] loss.
    """
    chex.assert_rank([log_probs, action, advantage], [1, 0, 0])
    advantage = jax.lax.stop_gradient(advantage)
    weight = jnp.minimum(jnp.exp(inverse_temperature * advantage), max_weight)
    return -weight * log_probs[action]


def plausible(log_probs: Array, threshold: float) -> Array:
    """Whether `mu(a) / max mu > threshold` (discrete BCQ, arXiv 1910.01708).

    Args:
      log_probs: [A] finite log-probabilities of mu.
      threshold: at least 0 (every action) and below 1 (hardly any but the likeliest).

    Returns:
      [A] bool, true for the likeliest action at least.
    """
    chex.assert_rank(log_probs, 1)
    # Not of the ratio itself, which is rounded to 0 where mu is very sure.
    return log_probs - jnp.max(log_probs) > jnp.log(threshold)


def deterministic(action: Array, num_actions: int) -> Array:
    """Log-probabilities [A] of always taking one action: 0, and `NEVER` elsewhere."""
    chex.assert_rank(action, 0)
    return jnp.where(jnp.arange(num_actions) == action, 0.0, NEVER)

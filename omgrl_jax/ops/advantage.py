"""Advantages of the steps of one trajectory (Schulman et al., arXiv 1506.02438)."""

import chex
import jax
import jax.numpy as jnp

from omgrl_jax.types import Array


def generalised_advantages(
    r_t: Array, discount_t: Array, v: Array, trace: float
) -> Array:
    """`sum_k (trace * discount)^k` of later temporal difference errors (Eq. 16).

    Args:
      r_t: [H] rewards, or costs.
      discount_t: [H] discount times continuation.
      v: [H + 1] values of the states, the last one of the state after the last step.
      trace: lambda: 0 for the error of the step alone, 1 for returns less values.

    Returns:
      [H] advantages.
    """
    chex.assert_rank([r_t, discount_t, v], 1)
    chex.assert_equal_shape([r_t, discount_t, v[1:]])
    error = r_t + discount_t * v[1:] - v[:-1]

    def back(following: Array, step: tuple[Array, Array]) -> tuple[Array, Array]:
        error, discount = step
        advantage = error + trace * discount * following
        return advantage, advantage

    _, advantages = jax.lax.scan(
        back, jnp.zeros((), error.dtype), (error, discount_t), reverse=True
    )
    return advantages

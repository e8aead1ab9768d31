"""How far predictions run from what happens, many steps ahead without a look."""

from typing import NamedTuple

import chex
import jax.numpy as jnp

from omgrl_jax.types import Array


class Accuracy(NamedTuple):
    """Of predicted states.

    Attributes:
      rmse: [] root of the mean squared error over features, steps and episodes.
      r2: [] coefficient of determination, features weighted by their variance: 1 is
        exact, 0 no better than their means.
      steps: [] states that counted in each episode, on average.
    """

    rmse: Array
    r2: Array
    steps: Array


def accuracy(predicted: Array, true: Array, counted: Array) -> Accuracy:
    """Compares predicted with true states.

    Args:
      predicted: [N, ..., S] of N episodes.
      true: [N, ..., S].
      counted: [N, ...] bool, which states count; at least one.

    Returns:
      The accuracy over all that count.
    """
    chex.assert_equal_shape([predicted, true])
    chex.assert_equal_shape_prefix([true, counted], counted.ndim)
    chex.assert_rank(counted, true.ndim - 1)
    weight = counted.astype(true.dtype)[..., None]
    axes = tuple(range(true.ndim - 1))
    # Chosen, not multiplied: after an episode's end predictions may be no numbers.
    error = jnp.where(counted[..., None], jnp.square(predicted - true), 0.0)
    total = jnp.sum(weight)
    seen = jnp.where(counted[..., None], true, 0.0)
    mean = jnp.sum(seen, axis=axes, keepdims=True) / total
    spread = jnp.sum(weight * jnp.square(seen - mean))
    return Accuracy(
        rmse=jnp.sqrt(jnp.sum(error) / (total * true.shape[-1])),
        r2=1.0 - jnp.sum(error) / spread,
        steps=total / counted.shape[0],
    )

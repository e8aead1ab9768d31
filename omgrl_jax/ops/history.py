"""What went before each step of sequences that lie end to end.

A row's history never reaches into another sequence: before its first row the first one
stands. For rollouts, whose axis is a single sequence, `first` is zero.
"""

import chex
import jax.numpy as jnp

from omgrl_jax.types import Array


def last(rows: Array, first: Array, steps: int) -> Array:
    """The rows before each row, the latest first.

    Args:
      rows: [R, D] sequences end to end.
      first: [R] int, index of the first row of each row's sequence.
      steps: how many, `K`.

    Returns:
      [R, K, D].
    """
    chex.assert_rank([rows, first], [2, 1])
    here = jnp.arange(rows.shape[0])[:, None] - jnp.arange(1, steps + 1)[None, :]
    return rows[jnp.maximum(here, first[:, None])]


def mean_so_far(rows: Array, first: Array) -> Array:
    """Mean of all rows of the sequence up to each row, itself among them.

    Args:
      rows: [R, D] sequences end to end.
      first: [R] int, index of the first row of each row's sequence.

    Returns:
      [R, D].
    """
    chex.assert_rank([rows, first], [2, 1])
    # Around the overall mean, so that long sums lose no digits.
    middle = jnp.mean(rows, axis=0)
    summed = jnp.cumsum(rows - middle[None], axis=0)
    before = jnp.where((first > 0)[:, None], summed[jnp.maximum(first - 1, 0)], 0.0)
    count = jnp.arange(rows.shape[0]) - first + 1
    return middle[None] + (summed - before) / count[:, None]

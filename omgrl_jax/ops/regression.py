"""Linear regression in closed form."""

import chex
import jax.numpy as jnp

from omgrl_jax.types import Array


def ridge(x: Array, y: Array, strength: Array | float) -> Array:
    """The weights w that minimise `|y - x w|^2 + strength |w|^2`.

    Args:
      x: [M, D] rows.
      y: [M].
      strength: [] above zero, unless the rows determine the weights.

    Returns:
      [D].
    """
    chex.assert_rank([x, y], [2, 1])
    square = x.T @ x + strength * jnp.eye(x.shape[1])
    return jnp.linalg.solve(square, x.T @ y)


def cross_validated_r2(x: Array, y: Array, folds: int) -> Array:
    """How much of `y` a linear probe with an intercept tells, out of sample.

    Row i is predicted by least squares on the rows of all folds but its own, `i mod
    folds`.

    Args:
      x: [M, D] rows, more than D + 1 in any `folds - 1` folds.
      y: [M].
      folds: number of folds.

    Returns:
      [] coefficient of determination of the predictions: 1 is exact.
    """
    chex.assert_rank([x, y], [2, 1])
    rows = _columns(x, x)
    fold = jnp.arange(x.shape[0]) % folds
    error = jnp.zeros(())
    for number in range(folds):
        there = (fold != number).astype(x.dtype)
        weights = ridge(rows * there[:, None], y * there, 1e-6)
        missed = (y - rows @ weights) * (1.0 - there)
        error += jnp.sum(jnp.square(missed))
    return 1.0 - error / jnp.sum(jnp.square(y - jnp.mean(y)))


def transferred_r2(x: Array, y: Array, new_x: Array, new_y: Array) -> Array:
    """How much of `new_y` a linear probe tells that was fitted to other rows.

    Args:
      x: [M, D] rows of the fit, with an intercept; more than D + 1.
      y: [M].
      new_x: [K, D] other rows.
      new_y: [K].

    Returns:
      [] coefficient of determination around the mean of `new_y`; below 0 where that
      mean would have been closer.
    """
    chex.assert_rank([x, y, new_x, new_y], [2, 1, 2, 1])
    weights = ridge(_columns(x, x), y, 1e-6)
    missed = new_y - _columns(x, new_x) @ weights
    apart = new_y - jnp.mean(new_y)
    return 1.0 - jnp.sum(jnp.square(missed)) / jnp.sum(jnp.square(apart))


def _columns(x: Array, rows: Array) -> Array:
    """Rows on the scale of `x`, with an intercept behind them."""
    middle = jnp.mean(x, axis=0, keepdims=True)
    spread = jnp.maximum(jnp.std(x, axis=0, keepdims=True), 1e-12)
    ones = jnp.ones((rows.shape[0], 1))
    return jnp.concatenate([(rows - middle) / spread, ones], axis=1)

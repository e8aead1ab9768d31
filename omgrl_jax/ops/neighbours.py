"""The nearest of many points, exactly, for many queries at once.

Sorting all distances of a query takes far longer than computing them. The `k` nearest
points lie in the `k` groups whose own nearest points are nearest: only these are
sorted.
"""

import chex
import jax
import jax.numpy as jnp

from omgrl_jax.types import Array

_GROUP = 128  # points of a group
_TOGETHER = 256  # queries whose distances are computed at once


def nearest(points: Array, queries: Array, count: int) -> tuple[Array, Array]:
    """The `k` nearest points of each query.

    Distances are `|p|^2 - 2 p q + |q|^2`, see `density.squared_distances`.

    Args:
      points: [N, D], `N` at least `count`.
      queries: [Q, D].
      count: `k`.

    Returns:
      Indices [Q, k] and distances [Q, k], the nearest first.
    """
    chex.assert_rank([points, queries], 2)
    number, width = points.shape
    chex.assert_scalar_in(count, 1, number)
    padding = -number % _GROUP
    # Padding lies infinitely far away.
    squares = jnp.pad(
        jnp.sum(jnp.square(points), axis=1), (0, padding), constant_values=jnp.inf
    )
    padded = jnp.pad(points, ((0, padding), (0, 0)))
    groups = squares.shape[0] // _GROUP
    few = min(count, groups)

    def of(tile: Array) -> tuple[Array, Array]:
        rows = tile.shape[0]
        product = jnp.matmul(tile, padded.T, precision="highest")
        apart = squares[None] - 2.0 * product
        apart = apart.reshape(rows, groups, _GROUP)
        _, chosen = jax.lax.top_k(-jnp.min(apart, axis=2), few)
        inside = jnp.take_along_axis(apart, chosen[:, :, None], axis=1)
        found, at = jax.lax.top_k(-inside.reshape(rows, -1), count)
        group = jnp.take_along_axis(chosen, at // _GROUP, axis=1)
        own = jnp.sum(jnp.square(tile), axis=1, keepdims=True)
        return group * _GROUP + at % _GROUP, jnp.sqrt(jnp.maximum(own - found, 0.0))

    asked = queries.shape[0]
    size = min(_TOGETHER, max(asked, 1))
    filled = jnp.pad(queries, ((0, -asked % size), (0, 0)))
    where, distance = jax.lax.map(of, filled.reshape(-1, size, width))
    return where.reshape(-1, count)[:asked], distance.reshape(-1, count)[:asked]

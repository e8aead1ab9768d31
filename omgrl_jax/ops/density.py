"""Kernel density of one point, exactly and without overflow."""

import math

import chex
import jax
import jax.numpy as jnp

from omgrl_jax.types import Array


def log_kernel_density(points: Array, query: Array, bandwidth: float) -> Array:
    """`log (1/N) sum_i N(query; points_i, bandwidth^2 I)`.

    Args:
      points: [N, D] the sample.
      query: [D].
      bandwidth: standard deviation of each kernel, above 0.

    Returns:
      [] log density.
    """
    chex.assert_rank([points, query], [2, 1])
    count, width = points.shape
    exponents = -squared_distances(points, query) / (2.0 * bandwidth**2)
    return jax.nn.logsumexp(exponents) - normaliser(count, width, bandwidth)


def normaliser(count: int, width: int, bandwidth: float) -> float:
    """What the log of a sum of kernels is lowered by: `log (N (2 pi h^2)^(D/2))`.

    Args:
      count: `N`.
      width: `D`.
      bandwidth: `h`.
    """
    return math.log(count) + 0.5 * width * math.log(2.0 * math.pi * bandwidth**2)


def squared_distances(points: Array, query: Array) -> Array:
    """Squared distances [N] of a query [D] to points [N, D].

    As `|p|^2 - 2 p q + |q|^2`: over many queries a product of matrices. Its error is a
    rounding of `|p|^2`, so that points belong on a scale of order one, around zero.
    """
    chex.assert_rank([points, query], [2, 1])
    squares = jnp.sum(jnp.square(points), axis=1) + jnp.sum(jnp.square(query))
    # In full precision also where products of matrices are rounded by default.
    product = jnp.matmul(points, query, precision="highest")
    return jnp.maximum(squares - 2.0 * product, 0.0)

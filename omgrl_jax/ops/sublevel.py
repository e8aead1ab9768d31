"""Polynomial sublevel sets of least volume around points.

    {x : e(x)^T P e(x) <= 1},   e(x) all monomials up to a degree,   maximise log det P

(Magnani, Lall and Boyd 2005, "Tractable fitting with convex polynomials via
sum-of-squares"; the guardian of arXiv 2505.16242). With degree 1 it is the ellipsoid of
least volume. The dual is a choice of weights over points, and its optimum is known when
it is reached: no point's form exceeds the number of monomials (Kiefer and Wolfowitz
1960). Multiplying each weight by its point's form climbs to it (Titterington 1976), one
product of matrices a step, for more points and monomials than general solvers take.
"""

import itertools
import math

import chex
import jax
import jax.numpy as jnp
import numpy as np

from omgrl_jax.types import Array

_RIDGE = 1e-5  # of the mean square of a monomial, so that no direction is empty


def count(width: int, degree: int) -> int:
    """Number of monomials of `width` variables up to a degree."""
    return math.comb(width + degree, degree)


def monomials(points: Array, degree: int) -> Array:
    """All monomials up to a degree, the constant first.

    Args:
      points: [N, D], on a scale of order one.
      degree: at least 1.

    Returns:
      [N, M], `M` being `count(D, degree)`.
    """
    chex.assert_rank(points, 2)
    width = points.shape[1]
    table = np.array(
        list(itertools.combinations_with_replacement(range(width + 1), degree))
    )
    ones = jnp.ones((points.shape[0], 1), points.dtype)
    factors = jnp.concatenate([ones, points], axis=1)[:, table]
    return jnp.prod(factors, axis=2)


def fit(lifted: Array, trimmed: float, steps: int) -> Array:
    """The form `P` of least volume around all but the outermost points.

    Args:
      lifted: [N, M] monomials of the points.
      trimmed: share of the points, the outermost, that may lie outside: they are left
        out halfway, by the form that all of them gave.
      steps: how often weights are multiplied; each brings the bound nearer.

    Returns:
      [M, M] positive definite; `e^T P e` is at most 1, up to what is missing to the
      optimum, for the points that are not left out.
    """
    chex.assert_rank(lifted, 2)
    number, size = lifted.shape
    start = jnp.full(number, 1.0 / number)
    weights = _climbed(lifted, start, steps - steps // 2)
    forms = values(lifted, _form(lifted, weights))
    kept = forms <= jnp.quantile(forms, 1.0 - trimmed)
    weights = _climbed(lifted, kept / jnp.sum(kept), steps // 2)
    return _form(lifted, weights) / size


def values(lifted: Array, form: Array) -> Array:
    """`e^T P e` [N] of monomials [N, M]."""
    return jnp.einsum("nm,mk,nk->n", lifted, form, lifted, precision="highest")


def _form(lifted: Array, weights: Array) -> Array:
    moment = jnp.einsum("nm,n,nk->mk", lifted, weights, lifted, precision="highest")
    size = lifted.shape[1]
    ridge = _RIDGE * jnp.trace(moment) / size
    return jnp.linalg.inv(moment + ridge * jnp.eye(size))


def _climbed(lifted: Array, weights: Array, steps: int) -> Array:
    size = lifted.shape[1]

    def step(weights: Array, _: None) -> tuple[Array, None]:
        grown = weights * values(lifted, _form(lifted, weights)) / size
        return grown / jnp.sum(grown), None

    return jax.lax.scan(step, weights, None, length=steps)[0]

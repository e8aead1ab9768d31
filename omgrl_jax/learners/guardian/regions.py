"""Kinds of regions around recorded points: how far outside of them a point lies."""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from omgrl_jax.ops import density, neighbours, sublevel, thinning
from omgrl_jax.types import Array

_QUERIES, _POINTS = 1024, 1024  # sides of the tiles in which distances are computed


@dataclasses.dataclass(frozen=True)
class RegionConfig:
    """Settings of the regions that keep recorded points.

    Attributes:
      bandwidth: of the kernels, on the scale of -1 to 1 (arXiv 2505.16242: .535).
      neighbours: the distance is that to so many-th nearest point.
      points: recorded points that are kept, drawn at random; 0 for all. A polynomial
        is fitted to them and keeps none.
      degree: of the polynomial's monomials; its form has twice that degree.
      trimmed: share of the points that the polynomial may leave outside.
      steps: of its fit.
    """

    bandwidth: float = dataclasses.field(default=0.535, metadata={"above": 0})
    neighbours: int = dataclasses.field(default=5, metadata={"min": 1})
    points: int = dataclasses.field(default=20_000, metadata={"min": 0})
    degree: int = dataclasses.field(default=2, metadata={"min": 1})
    trimmed: float = dataclasses.field(default=0.05, metadata={"min": 0, "below": 1})
    steps: int = dataclasses.field(default=200, metadata={"min": 2})


class Region(NamedTuple):
    """One kind of region, as pure functions.

    Attributes:
      fit: `(points [N, D]) -> fitted`, arrays; those called `rows` hold records. It
        raises ValueError where there are too few.
      score: `(fitted, queries [Q, D]) -> [Q]`, the larger, the less supported.
    """

    fit: Callable[[Array], Any]
    score: Callable[[Any, Array], Array]


class Kept(NamedTuple):
    """A region that is its points.

    Attributes:
      rows: [N, D] recorded points: as confidential as records.
    """

    rows: Array


def kernel(config: RegionConfig) -> Region:
    """Negative log-density of a Gaussian kernel at every point kept."""
    return Region(
        fit=_keeper(config, 1),
        score=lambda kept, x: -log_densities(kept.rows, x, config.bandwidth),
    )


def nearest(config: RegionConfig) -> Region:
    """Distance to the nearest points kept."""

    def score(kept: Kept, queries: Array) -> Array:
        _, distance = neighbours.nearest(kept.rows, queries, config.neighbours)
        return distance[:, -1]

    return Region(_keeper(config, config.neighbours), score)


class Form(NamedTuple):
    """A region that keeps no point.

    Attributes:
      form: [M, M] of the monomials.
    """

    form: Array


def polynomial(config: RegionConfig) -> Region:
    """A sum of squares of polynomials whose sublevel set has the least volume."""

    def fit(points: Array) -> Form:
        least = sublevel.count(points.shape[1], config.degree)
        kept = points[thinning.few(points.shape[0], config.points, 1)]
        if kept.shape[0] < least:
            raise ValueError(
                f"degree={config.degree}: {least} monomials of {points.shape[1]} "
                f"numbers need as many points, and there are {kept.shape[0]}; lower "
                "the degree, or name fewer features"
            )
        lifted = sublevel.monomials(kept, config.degree)
        return Form(sublevel.fit(lifted, config.trimmed, config.steps))

    def score(fitted: Form, queries: Array) -> Array:
        def one(query: Array) -> Array:
            lifted = sublevel.monomials(query[None], config.degree)
            return sublevel.values(lifted, fitted.form)[0]

        return jax.lax.map(one, queries, batch_size=_QUERIES)

    return Region(fit, score)


REGIONS = {"kernel": kernel, "nearest": nearest, "polynomial": polynomial}


def _keeper(config: RegionConfig, least: int) -> Callable[[Array], Kept]:
    def fit(points: Array) -> Kept:
        return Kept(points[thinning.few(points.shape[0], config.points, least)])

    return fit


def log_densities(points: Array, queries: Array, bandwidth: float) -> Array:
    """`ops.density.log_kernel_density` of many queries, tile by tile.

    The whole table of distances would not fit any cache: sums of exponentials are
    gathered over tiles of points, each relative to the largest exponent so far.

    Args:
      points: [N, D].
      queries: [Q, D].
      bandwidth: of the kernels.

    Returns:
      [Q].
    """
    count, width = points.shape
    # On a scale on which an exponent is the squared distance itself.
    unit = 1.0 / (jnp.sqrt(2.0) * bandwidth)
    padding = -count % _POINTS
    tiles = jnp.pad(unit * points, ((0, padding), (0, 0)))
    there = jnp.arange(count + padding) < count
    tiles = tiles.reshape(-1, _POINTS, width)
    squares = jnp.sum(jnp.square(tiles), axis=-1)
    # Padding lies infinitely far away.
    squares = jnp.where(there.reshape(squares.shape), squares, jnp.inf)

    def of(chunk: Array) -> Array:
        own = jnp.sum(jnp.square(chunk), axis=1)

        def gather(carry: tuple, tile: tuple) -> tuple[tuple, None]:
            largest, total = carry
            product = jnp.matmul(chunk, tile[0].T, precision="highest")
            exponents = 2.0 * product - tile[1][None]
            higher = jnp.maximum(largest, jnp.max(exponents, axis=1))
            added = jnp.sum(jnp.exp(exponents - higher[:, None]), axis=1)
            return (higher, total * jnp.exp(largest - higher) + added), None

        start = jnp.full(chunk.shape[0], -jnp.inf), jnp.zeros(chunk.shape[0])
        (largest, total), _ = jax.lax.scan(gather, start, (tiles, squares))
        return jnp.minimum(largest - own, 0.0) + jnp.log(total)

    rows = queries.shape[0]
    chunk = min(_QUERIES, rows)
    filled = jnp.pad(unit * queries, ((0, -rows % chunk), (0, 0)))
    found = jax.lax.map(of, filled.reshape(-1, chunk, width)).reshape(-1)[:rows]
    return found - density.normaliser(count, width, bandwidth)

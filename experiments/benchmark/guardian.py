"""Guardians: queries a second against many recorded points.

Each of the distances costs two operations for each number of a point, and then a
comparison, or an exponential: with points of a handful of numbers it is these that
bound it, not the product.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from experiments.benchmark import ceiling, flops, timing
from experiments.benchmark.config import Guardian
from experiments.benchmark.row import Row, bound_by_products
from omgrl_jax.learners.guardian import regions

_TOLD = {"nearest": "distances to the nearest points", "kernel": "kernel densities"}


def scoring(kind: str, config: Guardian) -> Callable[[], object]:
    """A callable that scores all queries.

    Args:
      kind: of the region, one that keeps its points.
      config: sizes.
    """
    settings = regions.RegionConfig(neighbours=config.neighbours, points=0)
    region = regions.REGIONS[kind](settings)
    rng = np.random.default_rng(0)
    rows, queries = (
        jnp.asarray(rng.uniform(-1, 1, (count, config.width)), jnp.float32)
        for count in (config.points, config.queries)
    )
    kept, score = region.fit(rows), jax.jit(region.score)
    return lambda: jax.block_until_ready(score(kept, queries))


def measure(config: Guardian, repeats: int) -> list[Row]:
    """Times both kinds beside the ceiling.

    Args:
      config: sizes.
      repeats: timed repeats.
    """
    product = ceiling.product()
    callables = {kind: scoring(kind, config) for kind in _TOLD}
    callables["ceiling"] = product.run
    times = timing.interleaved(callables, repeats)
    each = flops.distances(config.points, 1, config.width)
    return [
        Row(
            "guardian",
            f"{told}, {config.points:,} points of {config.width} numbers",
            "queries/s",
            **bound_by_products(
                times[kind], times["ceiling"], config.queries, each, product.flops
            ),
            note="not bound by products",
        )
        for kind, told in _TOLD.items()
    ]

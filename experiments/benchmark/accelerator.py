"""A sweep of seeds on whatever device there is, at several precisions of products.

    python -m experiments.benchmark --piece=accelerator \
        --accelerator_seeds=1,4,16,64,256,1024 --accelerator_side=8192

Throughput for each number of seeds, share of what one large product reaches in the same
precision, and what a lower precision changes: the largest difference of a metric from
the first precision's after some epochs. CPUs compute all of these in float32.
"""

from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from experiments.benchmark import ceiling, flops, interval, problem, timing
from experiments.benchmark.config import Accelerator
from experiments.benchmark.row import Row, bound_by_products


def measure(config: Accelerator, repeats: int) -> list[Row]:
    """Times all numbers of seeds at each precision.

    Args:
      config: sizes.
      repeats: timed repeats.
    """
    run = problem.recommended(config.flags)
    made = problem.make(run)
    algorithm = problem.omg_rl(run, made)
    each = flops.omg_rl_epoch(run.omg_rl, run.world, made.space)
    rows = []
    for precision in config.precisions:
        with jax.default_matmul_precision(precision):
            product = ceiling.product(config.side)
            intervals = {
                str(n): interval.make(
                    algorithm, interval.members(n), made.data, config.epochs
                )
                for n in config.seeds
            }
        callables = {n: own.run for n, own in intervals.items()}
        callables["ceiling"] = product.run
        times = timing.interleaved(callables, repeats)
        for n in config.seeds:
            memory = intervals[str(n)].program.peak / 2**20
            fields = bound_by_products(
                times[str(n)], times["ceiling"], n * config.epochs, each, product.flops
            )
            rows.append(
                Row(
                    "accelerator",
                    f"epochs of {n} seeds, {precision}",
                    "epochs/s",
                    **fields,
                    against="seeds",
                    at=float(n),
                    note=f"peak {memory:,.0f} MiB a device",
                )
            )
    return rows + _differences(config, algorithm, made)


def _differences(config: Accelerator, algorithm: Any, made: problem.Made) -> list[Row]:
    """What each precision changes after some epochs of one seed."""
    told = {}
    for precision in config.precisions:
        with jax.default_matmul_precision(precision):
            key = jax.random.key(0)
            own = interval.make(algorithm, key, made.data, config.compared_epochs)
        told[precision] = own.run()
    first, *others = config.precisions
    rows = []
    for precision in others:
        name, largest = difference(told[first], told[precision])
        rows.append(
            Row(
                "accelerator",
                f"largest difference of a metric, {precision} from {first}",
                "",
                timing.Spread(largest, largest, largest),
                note=f"{name}, after {config.compared_epochs} epochs",
            )
        )
    return rows


def difference(
    one: Mapping[str, np.ndarray], other: Mapping[str, np.ndarray]
) -> tuple[str, float]:
    """The metric that differs most in its last epoch.

    Args:
      one: metrics [epochs] by name.
      other: likewise.

    Returns:
      Its name, and the absolute difference over one plus its size.
    """
    apart = {
        name: float(abs(other[name][-1] - value[-1]) / (1.0 + abs(value[-1])))
        for name, value in one.items()
    }
    largest = max(apart, key=lambda name: apart[name])
    return largest, apart[largest]

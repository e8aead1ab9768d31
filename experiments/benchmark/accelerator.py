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
    rows, told = [], {}
    for precision in config.precisions:
        with jax.default_matmul_precision(precision):
            product = ceiling.product(config.side)
            intervals = {
                n: interval.make(
                    algorithm, interval.members(n), made.data, config.epochs
                )
                for n in config.seeds
            }
        # Before it is timed: of all precisions after as many epochs.
        first = intervals[config.seeds[0]]
        told[precision] = [first.run() for _ in range(config.compared)][-1]
        callables = {str(n): own.run for n, own in intervals.items()}
        callables["ceiling"] = product.run
        times = timing.interleaved(callables, repeats)
        for n, own in intervals.items():
            fields = bound_by_products(
                times[str(n)], times["ceiling"], n * config.epochs, each, product.flops
            )
            rows.append(_row(f"epochs of {n} seeds, {precision}", n, own, fields))
    return rows + _differences(config, told)


def _row(what: str, seeds: int, own: interval.Interval, fields: dict[str, Any]) -> Row:
    memory = own.program.peak / 2**20
    return Row(
        "accelerator",
        what,
        "epochs/s",
        **fields,
        against="seeds",
        at=float(seeds),
        note=f"peak {memory:,.0f} MiB a device",
    )


def _differences(
    config: Accelerator, told: Mapping[str, Mapping[str, np.ndarray]]
) -> list[Row]:
    """What each precision changes after some epochs."""
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
                note=f"{name}, after {config.compared * config.epochs} epochs",
            )
        )
    return rows


def difference(
    one: Mapping[str, np.ndarray], other: Mapping[str, np.ndarray]
) -> tuple[str, float]:
    """The metric that differs most in the last epoch.

    Args:
      one: metrics [N, epochs] by name.
      other: likewise.

    Returns:
      Its name, and the largest absolute difference over one plus its size.
    """
    apart = {}
    for name, values in one.items():
        last, also = values[:, -1], other[name][:, -1]
        apart[name] = float(np.max(np.abs(also - last) / (1.0 + np.abs(last))))
    largest = max(apart, key=lambda name: apart[name])
    return largest, apart[largest]

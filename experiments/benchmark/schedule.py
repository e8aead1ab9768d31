"""The whole schedule of the authors' public code, seconds for one seed once compiled.

500 epochs of 10 rollouts of 20 steps, 10 reward steps of 200 transitions and 2 updates
of batch 64: small operations, whose overhead is what counts. The sizes are those of
`experiments/presets/authors.flags`, but for the reward's batches: there a batch is of
100 whole trajectories, whose 4,000 transitions a step are nearly all of the work; they
are timed as well.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from experiments.benchmark import ceiling, flops, problem, timing
from experiments.benchmark.config import Schedule
from experiments.benchmark.row import Row, bound_by_products
from experiments.config import RunConfig, preset
from omgrl_jax.runtime import flags as config_flags
from omgrl_jax.runtime import train
from omgrl_jax.types import Algorithm

SECONDS = 1.2
_NOTE = (
    "the authors' PyTorch code took 50.5 s on a machine of 2 cores with AVX-512, whose "
    "ceiling was 206 to 214 GFLOP/s"
)


def running(
    algorithm: Algorithm, data: Any, epochs: int, interval: int
) -> Callable[[], object]:
    """A callable that trains a seed from its start to its end, the host in between."""
    key = jax.random.key(0)
    _, first, run_key, data, _, _ = train._prepare(algorithm, key, data, None, None)

    def run() -> object:
        # The interval takes the state it is given.
        state, metrics = jax.tree.map(jnp.copy, first), None
        for begun in range(0, epochs, interval):
            length = min(interval, epochs - begun)
            state, metrics = train.run_interval(
                algorithm, state, run_key, jnp.int32(begun), data, length
            )
            metrics = jax.device_get(metrics)
        return metrics

    return run


def measure(config: Schedule, repeats: int) -> list[Row]:
    """Times the schedule beside the ceiling.

    Args:
      config: sizes.
      repeats: timed repeats.
    """
    few = tuple(f"--reward_{n}={config.windows}" for n in ("batch", "expert_windows"))
    rows = [_measure(config, (*few, *config.flags), repeats)]
    usual = config.epochs == 0 and config.windows == 5 and not config.flags
    if usual:
        rows = [dataclasses.replace(rows[0], target=SECONDS, at_most=True, note=_NOTE)]
    if config.whole_batches:
        rows.append(_measure(config, config.flags, repeats))
    return rows


def _measure(config: Schedule, given: tuple[str, ...], repeats: int) -> Row:
    run = config_flags.changed(preset("authors", RunConfig()), list(given))
    epochs = config.epochs or run.epochs
    made = problem.make(run)
    algorithm, product = problem.omg_rl(run, made), ceiling.product()
    times = timing.interleaved(
        {
            "ours": running(algorithm, made.data, epochs, config.interval),
            "ceiling": product.run,
        },
        repeats,
    )
    each = flops.omg_rl_epoch(run.omg_rl, run.world, made.space)
    fields = bound_by_products(
        times["ours"], times["ceiling"], epochs, each, product.flops
    )
    fields |= {"value": times["ours"].scaled(1.0), "flops": epochs * each}
    seen = 2 * run.reward.batch * run.rollout.horizon
    what = (
        f"{epochs} epochs of the authors' schedule, {seen:,} transitions a reward step"
    )
    return Row("schedule", what, "s", **fields)

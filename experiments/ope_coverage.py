"""Can off-policy estimates be believed? Error and coverage where the value is known.

    python -m experiments.ope_coverage --out=DIR --problem=garnet --replicates=200
    python -m experiments.ope_coverage --out=DIR --problem=icu_sepsis
    python -m experiments.ope_coverage --out=DIR --problem=heparin
    python -m experiments.ope_coverage --out=DIR --problem=heparin \
        --heparin_logger=clinicians

Draws many logs, fits on each what has to be fitted (behaviour policy, Q), evaluates
policies that turn from the behaviour policy to another one more and more, and compares
with their true values: exact for tables, by treating new virtual patients for heparin.
All replicates of a chunk run as one compiled program.

Writes coverage.csv (a row for each estimator, shift and replicate: estimate, low, high,
effective patients and largest weight at the last step, truth, truth_error),
summary.csv, coverage.svg, coverage.png and report/index.html, and prints the summary:
bias, spread and root mean squared error of the estimates, the share of intervals that
hold the truth with its standard error, their median width, and the median effective
number of patients and largest weight. Shifts at which too few patients count are named
in a warning. Where the truth is simulated, its standard error is in truth_error: keep
it well below the errors that are to be seen. Estimates that are not finite are counted
(`undefined`) and left out of the errors; they never hold the truth.

Every finished chunk is kept: the same command goes on where it stopped.
"""

import pathlib
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import tqdm
from absl import flags

from experiments.ope.problem import Config, Problem
from omgrl_jax.ops.estimators import ESTIMATORS
from omgrl_jax.runtime import devices, metrics, script, storage, sweep
from omgrl_jax.runtime import flags as config_flags

TRUTH = ("truth", "truth_error")
FIELDS = ("value", "low", "high", "ess", "largest")


def make(config: Config) -> Problem:
    """The problem that the configuration names."""
    if config.problem == "heparin":
        from experiments.ope import heparin as maker
    else:
        from experiments.ope import tables as maker
    return maker.make(config)


def run(config: Config, out: pathlib.Path) -> pd.DataFrame:
    """Computes the chunks that are not there yet.

    Args:
      config: settings.
      out: where to write.

    Returns:
      A row for each estimator, shift and replicate.

    Raises:
      ValueError: if `out` holds another study.
    """
    # Not at the top: it imports every algorithm.
    from experiments.config import claim

    claim(out, config, config.problem)
    starts = range(0, config.replicates, config.chunk)
    missing = [start for start in starts if not _chunk(out, start).is_file()]
    if missing:
        _compute(config, out, missing)
    parts = [_load(_chunk(out, start)) for start in starts]
    found = {name: np.concatenate([p[name] for p in parts]) for name in parts[0]}
    return _rows(config, found)


def _chunk(out: pathlib.Path, start: int) -> pathlib.Path:
    return out / "chunks" / f"{start:06d}.npz"


def _load(path: pathlib.Path) -> dict[str, np.ndarray]:
    with np.load(path, allow_pickle=False) as archive:
        return {name: archive[name] for name in archive.files}


def _compute(config: Config, out: pathlib.Path, starts: list[int]) -> None:
    problem = make(config)

    @jax.jit
    def replicates(numbers: jax.Array, data: Any) -> Any:
        return sweep.sweep(problem.replicate, numbers, data)

    for start in tqdm.tqdm(starts, "chunks", disable=None):
        stop = min(start + config.chunk, config.replicates)
        found = replicates(jnp.arange(start, stop), problem.data)
        arrays = {name: np.asarray(getattr(found, name)) for name in TRUTH}
        for name, estimate in found.estimates.items():
            # Of the diagnostics by step, the last one: there the weights are worst.
            last = estimate._replace(
                ess=estimate.ess[..., -1], largest=estimate.largest[..., -1]
            )
            arrays |= {f"{name}.{k}": np.asarray(v) for k, v in last._asdict().items()}
        storage.atomic_savez(_chunk(out, start), **arrays)


def _rows(config: Config, found: dict[str, np.ndarray]) -> pd.DataFrame:
    frames = []
    for name in ESTIMATORS:
        for k, shift in enumerate(config.shifts):
            columns = {field: found[f"{name}.{field}"][:, k] for field in FIELDS}
            frame = pd.DataFrame(columns).rename(columns={"value": "estimate"})
            frame.insert(0, "replicate", np.arange(len(frame)))
            frame.insert(0, "shift", shift)
            frame.insert(0, "estimator", name)
            for field in TRUTH:
                frame[field] = found[field][:, k]
            frames.append(frame)
    return pd.concat(frames, ignore_index=True)


def define_flags() -> None:
    """The output directory and every field of the configuration."""
    flags.DEFINE_string("out", None, "Directory to write to; made when missing.")
    flags.mark_flag_as_required("out")
    config_flags.define(Config)


def main() -> None:
    """Runs the study that the flags describe."""
    # Not at the top: they import every algorithm, or need matplotlib.
    from experiments import estimating
    from experiments.ope import drawing, page
    from experiments.ope import summary as summary_lib

    config, out = config_flags.read(Config), pathlib.Path(flags.FLAGS.out)
    devices.configure_host_devices()
    rows = run(config, out)
    summary = summary_lib.summarise(rows)
    metrics.write_csv(out / "coverage.csv", rows)
    metrics.write_csv(out / "summary.csv", summary)
    for kind in ("svg", "png"):
        picture = drawing.write(summary, config.ope.level, kind)
        storage.atomic_write(out / f"coverage.{kind}", picture)
    print(summary_lib.table(summary))
    estimating.warn(f"shift {shift:g}" for shift in summary_lib.doubted(summary))
    print(f"\nReport: {page.write(out, config, summary)}")


if __name__ == "__main__":
    script.run(main, define_flags)

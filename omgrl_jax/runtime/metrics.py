"""Metrics as tidy tables: one row for each value, ready for any plotting library."""

import json
import math
import typing
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from omgrl_jax.runtime import storage

COLUMNS = ("algorithm", "seed", "step", "metric", "value")


class Spread(NamedTuple):
    """How a quantity varies over seeds.

    Attributes:
      mean: arithmetic mean.
      deviation: sample standard deviation (n - 1); NaN for a single value.
      error: standard error of the mean; NaN for a single value.
      count: number of values, NaN left out.
    """

    mean: float
    deviation: float
    error: float
    count: int


def tidy(
    algorithm: str,
    metrics: Mapping[str, Any],
    seeds: Sequence[int],
    steps: Sequence[int] | np.ndarray | None = None,
) -> pd.DataFrame:
    """Turns metrics by name into rows (algorithm, seed, step, metric, value).

    Args:
      algorithm: label of the rows.
      metrics: arrays [N, U] for N seeds and U steps, or [U] where N is 1.
      seeds: [N] labels of the members.
      steps: [U] labels of the steps; None counts 1..U.

    Returns:
      A frame of N * U rows for each metric, in the order metric, seed, step.

    Raises:
      ValueError: if an array does not fit to the seeds and steps.
    """
    frames = [
        _rows(algorithm, name, np.asarray(values), seeds, steps)
        for name, values in metrics.items()
    ]
    if not frames:
        return pd.DataFrame(columns=list(COLUMNS))
    return pd.concat(frames, ignore_index=True)


def write_csv(path: storage.PathLike, frame: pd.DataFrame) -> None:
    """Writes a table atomically; numbers are written so that they read back exactly.

    Args:
      path: destination.
      frame: any table; its index is not written.
    """
    storage.atomic_write(path, frame.to_csv(index=False, lineterminator="\n"))


def write_summary(path: storage.PathLike, summary: Mapping[str, Any]) -> None:
    """Writes `summary.json` atomically, with sorted names.

    Args:
      path: destination.
      summary: nested mappings, sequences, named tuples, numpy or JAX values. NaN and
        infinity, which JSON cannot hold, become null.

    Raises:
      TypeError: if a value has no JSON form.
    """
    text = json.dumps(_plain(summary), indent=2, sort_keys=True, allow_nan=False)
    storage.atomic_write(path, text + "\n")


def spread(values: Any) -> Spread:
    """Summarises one value per seed.

    Args:
      values: [N]; NaN marks a seed without a value and is left out.

    Raises:
      ValueError: if the values are not a vector.
    """
    values = np.asarray(values, np.float64)
    if values.ndim != 1:
        raise ValueError(f"Expected one value per seed, got shape {values.shape}.")
    kept = values[~np.isnan(values)]
    if kept.size == 0:
        return Spread(math.nan, math.nan, math.nan, 0)
    deviation = float(kept.std(ddof=1)) if kept.size > 1 else math.nan
    return Spread(
        float(kept.mean()), deviation, deviation / math.sqrt(kept.size), kept.size
    )


def paired_difference(first: Any, second: Any) -> Spread:
    """Summarises `first - second`, seed by seed.

    Seeds share their patients, so the spread of the difference is the honest measure
    of whether one algorithm beats another.

    Args:
      first: [N].
      second: [N], the same seeds in the same order.

    Raises:
      ValueError: if the numbers of seeds differ.
    """
    first, second = np.asarray(first, np.float64), np.asarray(second, np.float64)
    if first.shape != second.shape:
        raise ValueError(
            f"Paired values need the same seeds, got {first.shape} and {second.shape}."
        )
    return spread(first - second)


def summarise(frame: pd.DataFrame, by: Sequence[str]) -> pd.DataFrame:
    """Summarises the column `value` over all rows that agree in `by`.

    Args:
      frame: tidy rows.
      by: names of the columns that stay, for instance ("algorithm", "metric").

    Returns:
      One row per group: the columns of `by`, then mean, deviation, error, count.
    """
    rows = [
        (*typing.cast(tuple, group), *spread(part["value"].to_numpy()))
        for group, part in frame.groupby(list(by), sort=False)
    ]
    return pd.DataFrame(rows, columns=[*by, *Spread._fields])


def _rows(
    algorithm: str,
    name: str,
    values: np.ndarray,
    seeds: Sequence[int],
    steps: Sequence[int] | np.ndarray | None,
) -> pd.DataFrame:
    if values.ndim == 1 and len(seeds) == 1:
        values = values[None]
    labels = np.asarray(steps if steps is not None else range(1, values.shape[-1] + 1))
    if values.shape != (len(seeds), len(labels)):
        raise ValueError(
            f"Metric {name!r} has shape {values.shape}; expected {len(seeds)} seeds "
            f"and {len(labels)} steps."
        )
    return pd.DataFrame(
        {
            "algorithm": algorithm,
            "seed": np.repeat(np.asarray(seeds), len(labels)),
            "step": np.tile(labels, len(seeds)),
            "metric": name,
            "value": values.astype(np.float64).ravel(),
        }
    )


def _plain(value: Any) -> Any:
    """Returns the value in types that JSON knows."""
    if hasattr(value, "_asdict"):
        value = value._asdict()
    if isinstance(value, Mapping):
        return {str(name): _plain(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(part) for part in value]
    if hasattr(value, "tolist"):
        return _plain(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value

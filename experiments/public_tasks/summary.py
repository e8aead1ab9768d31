"""What a benchmark came to as text, and over what its spread is taken."""

from collections.abc import Sequence
from typing import Any

import pandas as pd

from omgrl_jax.runtime import metrics


def several(frame: pd.DataFrame) -> bool:
    """Whether the methods learned from several sets of logs."""
    return "logs" in frame and frame["logs"].nunique() > 1


def by_unit(frame: pd.DataFrame) -> pd.DataFrame:
    """One row for what is independent: a seed, or with several logs a set of them.

    Args:
      frame: the rows of `benchmarks.run_all`.

    Returns:
      Columns `policy`, `mode`, `seed`, `value`, `error`; with several logs `seed` is
      the number of the set, `value` the mean over its seeds: returns differ more
      between logs than between seeds, which therefore count as one.
    """
    if not several(frame):
        return frame
    groups = frame.groupby(["policy", "mode", "logs"], sort=False)
    means = groups[["value", "error"]].mean().reset_index()
    return means.rename(columns={"logs": "seed"})


def table(frame: pd.DataFrame, published: Sequence[Any]) -> str:
    """Means with their spread over seeds or logs, then the published numbers.

    Args:
      frame: the rows of `benchmarks.run_all`.
      published: figures with `policy`, `value` and `source`.

    Returns:
      Text of several lines.
    """
    unit = "logs" if several(frame) else "seeds"
    head = f"{'policy':<22}{'mode':<12}{'return':>10}{f'sd of {unit}':>13}{unit:>7}"
    lines = [head]
    for row in metrics.summarise(by_unit(frame), ["policy", "mode"]).itertuples():
        spread = "" if row.count < 2 else f"{row.deviation:.4g}"
        lines.append(
            f"{row.policy:<22}{row.mode:<12}{row.mean:>10.4g}{spread:>13}{row.count:>7}"
        )
    lines += ["", "published:"]
    lines += [f"  {one.policy}: {one.value:g} ({one.source})" for one in published]
    return "\n".join(lines)

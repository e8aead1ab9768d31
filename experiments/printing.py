"""The table that ends a study: means with their spread over seeds."""

from collections.abc import Sequence
from typing import Any

import pandas as pd


def mean_and_spread(values: Any) -> str:
    """Mean, with the standard deviation where there are more values than one."""
    values = values.dropna()
    if values.empty:
        return "-"
    spread = f" ± {values.std(ddof=1):.3f}" if values.size > 1 else ""
    return f"{values.mean():+.3f}{spread}"


def seed_means(table: pd.DataFrame, by: str, measures: Sequence[str]) -> str:
    """A line for each value of a column and each policy, in the order of the table.

    Args:
      table: a row for each seed, as `cells.seed_table` makes it.
      by: the column, such as "cell".
      measures: columns to show, where the table has them.

    Returns:
      The text. Constant doses are left out: there is one for each dose.
    """
    kept = [name for name in measures if name in table]
    first = max(len(by), *(len(str(x)) for x in table[by])) + 2
    lines = [f"{by:<{first}}{'policy':<21}" + "".join(f"{m:>17}" for m in kept)]
    for (value, policy), part in table.groupby([by, "policy"], sort=False):
        if policy.startswith("constant_"):
            continue
        cells = "".join(f"{mean_and_spread(part[m]):>17}" for m in kept)
        lines.append(f"{value:<{first}}{policy:<21}{cells}")
    return "\n".join(lines)

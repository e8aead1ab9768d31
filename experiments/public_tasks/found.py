"""What a benchmark came to: whose rows are whose, and how returns are written."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import pandas as pd

from experiments.public_tasks import summary
from experiments.public_tasks.labels import DIGITS
from experiments.report import estimates, words

CLONED = "behavioural_cloning"


class Found(NamedTuple):
    """What a benchmark came to.

    Attributes:
      task: its name.
      rows: of policies, seeds (or logs) and ways of acting.
      frame: the table that they come from, every seed in it.
      unit: what the spread is over: "seeds" or "logs".
      published: figures with `policy`, `value` and `source`.
    """

    task: str
    rows: Sequence[Mapping[str, Any]]
    frame: pd.DataFrame
    unit: str
    published: Sequence[Any]

    def of(self, policy: str, mode: str = "greedy") -> list[Mapping[str, Any]]:
        """Rows of a policy; "-" where there is only one way of acting."""
        return [
            row
            for row in self.rows
            if row["policy"] == policy and row["mode"] in (mode, "-")
        ]

    def names(self, known: bool) -> list[str]:
        """Known policies, or trained ones and cloning, in the order of the rows."""
        names = (r["policy"] for r in self.rows if (r["mode"] == "-") == known)
        return list(dict.fromkeys(names))

    def outside(self) -> list[Any]:
        """Published figures of methods, whose values no known policy has."""
        known = self.names(known=True)
        return [one for one in self.published if one.policy not in known]

    def count(self, number: int) -> str:
        """So many seeds, or sets of logs."""
        if self.unit == "seeds":
            return f"{number} seed{'s' * (number != 1)}"
        return f"{number} sets of logs"

    def number(self, value: float, signed: bool = False) -> str:
        """A return as text."""
        sign = "+" if signed else ""
        return words.typeset(f"{value:{sign}.{DIGITS[self.task]}f}")

    def show(self, mean: estimates.Estimate | None, signed: bool = False) -> str:
        """A mean with its spread, its 95 % interval on a second line."""
        if mean is None:
            return "–"
        text = self.number(mean.mean, signed)
        if mean.sd is None or mean.low is None or mean.high is None:
            return text
        ends = words.typeset(" to ").join(map(self.number, (mean.low, mean.high)))
        return f"{text} ± {self.number(mean.sd)}\n[{ends}]"


def of(task: str, frame: pd.DataFrame, published: Sequence[Any]) -> Found:
    """Gathers it.

    Args:
      task: its name.
      frame: the rows of `benchmarks.run_all`.
      published: figures with `policy`, `value` and `source`.
    """
    rows = summary.by_unit(frame).to_dict("records")
    unit = "logs" if summary.several(frame) else "seeds"
    return Found(task, rows, frame, unit, published)

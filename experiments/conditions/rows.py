"""Rows of the study of worse data: whose they are, and how their numbers are shown."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from experiments.report import estimates, words

Rows = Sequence[Mapping[str, Any]]

USUAL, CLONED = "usual", "behavioural_cloning"
_MAIN = ("omg_rl", "combo", "clinicians")
SPREAD = "Mean ± standard deviation over seeds."
PAIRED = (
    "Mean over seeds of the difference, seed by seed, with its 95 % interval; an "
    "interval that holds 0 shows no clear difference."
)


def rows_of(table: pd.DataFrame) -> list[dict[str, Any]]:
    """The table's rows without what is not known, and without constant doses.

    Args:
      table: of `ground_truth.run`.

    Returns:
      Rows, learned policies first within each condition.
    """
    rows = [
        {str(name): value for name, value in row.items() if not pd.isna(value)}
        for row in table.to_dict("records")
    ]
    kept = [row for row in rows if not row["policy"].startswith("constant_")]
    return sorted(kept, key=lambda row: words.policy_order(row["policy"]))


def conditions_of(rows: Rows) -> list[str]:
    """Conditions in the order of the rows, the usual one first."""
    names = dict.fromkeys(row["condition"] for row in rows)
    return sorted(names, key=lambda name: name != USUAL)


def policies_of(rows: Rows) -> list[str]:
    """Policies in the order of the page."""
    return list(dict.fromkeys(row["policy"] for row in rows))


def main_policies(rows: Rows) -> list[str]:
    """Policies that the first screen speaks of, as far as they were run."""
    there = policies_of(rows)
    return [name for name in _MAIN if name in there] or there


def of(rows: Rows, condition: str, policy: str) -> Rows:
    """The rows of one policy in one condition."""
    return [r for r in rows if (r["condition"], r["policy"]) == (condition, policy)]


def title(condition: str) -> str:
    """A condition as it begins a sentence or heads a column."""
    return condition[:1].upper() + condition[1:]


def learner_of(rows: Rows) -> str:
    """The policy that stands beside the learned reward; empty where none does."""
    names = (r["policy"] for r in rows if r["policy"] != CLONED and "within_state" in r)
    return next(names, "")


def nothing(gap: estimates.Estimate) -> bool:
    """Whether every seed's difference is 0: the same doses for the same patients."""
    return not gap.mean and not gap.sd


def show_gap(gap: estimates.Estimate | None) -> str:
    """A signed difference, its interval on a second line."""
    if gap is None:
        return "–"
    if nothing(gap):
        return "0"
    # Two digits: six conditions stand beside each other.
    text = f"{gap.mean:+.2f}"
    if gap.low is not None and gap.high is not None:
        text += f"\n[{gap.low:.2f} to {gap.high:.2f}]"
    return words.typeset(text)

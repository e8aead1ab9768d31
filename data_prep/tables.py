"""The small tables beside a dataset, safe to show: few patients are never counted.

Counts of 1 to 10 are written as "<=10". What is left after such a rule is rounded to
tens, as the exact number could be found by subtraction.
"""

import csv
import io
from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd

from data_prep.cohort import Flow
from data_prep.measurements import Repairs

SMALL = 10


def cohort_flow(flow: Sequence[Flow], suppress: bool) -> str:
    """CSV text: rule, removed, remaining stays."""
    hidden = suppress and any(0 < count <= SMALL for row in flow for count in row[1:])
    return _csv(
        ("rule", "removed", "remaining"),
        (
            (
                row.rule,
                _count(row.removed, suppress),
                _tens(row.remaining) if hidden else row.remaining,
            )
            for row in flow
        ),
    )


def repairs(counted: Repairs, suppress: bool) -> str:
    """CSV text: variable, rule, count of records; rules that never applied left out."""
    return _csv(
        ("variable", "rule", "count"),
        (
            (variable, rule, _count(n, suppress))
            for (variable, rule), n in sorted(counted.items())
            if n
        ),
    )


def missingness(
    names: Sequence[str], fresh: np.ndarray, held: np.ndarray, after: np.ndarray
) -> str:
    """CSV text: shares of hourly rows without a value.

    Args:
      names: the `F` variables.
      fresh: [R, F] bool, a new value became known in the hour.
      held: [R, F] bool, a value is known by sample-and-hold.
      after: [R, F] bool, a value is there after imputation.

    Returns:
      Columns variable, before (no new value), held (none after sample-and-hold) and
      after (none after imputation).
    """
    shares = [1.0 - known.mean(axis=0) for known in (fresh, held, after)]
    return _csv(
        ("variable", "before", "held", "after"),
        (
            (name, *(f"{share[column]:.4f}" for share in shares))
            for column, name in enumerate(names)
        ),
    )


def baseline(cohort: pd.DataFrame, weight: np.ndarray, suppress: bool) -> str:
    """CSV text of table 1: who the patients were at their first dose.

    Args:
      cohort: columns age, female, hours, died, metavision and subject_id.
      weight: [N] kg, NaN where not charted.
      suppress: whether to hide counts of 1 to 10.

    Returns:
      Columns characteristic, value.
    """

    def count(mask: pd.Series) -> str:
        n, total = int(mask.sum()), len(cohort)
        # The complement of a small group is as telling as the group.
        if suppress and (0 < n <= SMALL or 0 < total - n <= SMALL):
            return "hidden (small group)"
        return f"{n} ({100 * n / total:.0f} %)"

    def spread(values) -> str:
        low, middle, high = np.nanpercentile(np.asarray(values, float), [25, 50, 75])
        return f"{middle:.0f} [{low:.0f}-{high:.0f}]"

    total = _count(len(cohort), suppress)
    patients = _count(cohort["subject_id"].nunique(), suppress)
    known = ~np.isnan(weight)
    return _csv(
        ("characteristic", "value"),
        (
            ("stays", total),
            ("patients", patients),
            ("age, years (above 89 as 90), median [quartiles]", spread(cohort["age"])),
            ("female", count(cohort["female"] == 1)),
            (
                "weight, kg, median [quartiles]",
                spread(weight) if known.any() else "not charted",
            ),
            ("hours from first dose, median [quartiles]", spread(cohort["hours"])),
            ("died within the window", count(cohort["died"])),
            ("charted in MetaVision", count(cohort["metavision"])),
        ),
    )


def _count(n: int, suppress: bool) -> int | str:
    return f"<={SMALL}" if suppress and 0 < n <= SMALL else n


def _tens(n: int) -> int | str:
    return f"<={SMALL}" if 0 < n <= SMALL else round(n / 10) * 10


def _csv(header: Iterable, rows: Iterable[Iterable]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return text.getvalue()

"""The small tables beside a dataset, safe to show: few patients are never counted.

Counts of 1 to 10 are written as "<=10". What is left after such a rule is rounded to
tens, as the exact number could be found by subtraction.
"""

import csv
import io
from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd

from data_prep.measurements import Repairs
from data_prep.people import Flow
from omgrl_jax.data import dataset

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
    """CSV text: shares of rows without a value.

    Args:
      names: the `F` variables.
      fresh: [R, F] bool, a new value became known in the step.
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


def demographics(
    cohort: pd.DataFrame, weight: np.ndarray
) -> list[tuple[str, np.ndarray]]:
    """The first rows of a table 1, for `baseline`.

    Args:
      cohort: columns age and female.
      weight: [N] kg, NaN where not charted.
    """
    return [
        ("age, years (above 89 as 90), median [quartiles]", cohort["age"].to_numpy()),
        ("female", cohort["female"].to_numpy() == 1),
        ("weight, kg, median [quartiles]", weight),
    ]


def baseline(
    patients: pd.Series,
    rows: Iterable[tuple[str, np.ndarray | pd.Series]],
    suppress: bool,
) -> str:
    """CSV text of table 1: who the patients were when the clock of their stay began.

    Args:
      patients: [N] patient of each stay.
      rows: what each row is called, and [N] values: of truth values the share is
        shown, of numbers the median and the quartiles.
      suppress: whether to hide counts of 1 to 10, and medians of as few values.

    Returns:
      Columns characteristic, value.
    """
    shown: list[tuple[str, int | str]] = [("stays", _count(len(patients), suppress))]
    shown.append(("patients", _count(patients.nunique(), suppress)))
    for name, values in rows:
        array = np.asarray(values)
        share = array.dtype == np.bool_
        shown.append((name, (_share if share else _spread)(array, suppress)))
    return _csv(("characteristic", "value"), shown)


def doses(described: dataset.Actions, chosen: np.ndarray, suppress: bool) -> str:
    """CSV text of what was given: how often each combination of levels was chosen.

    Args:
      described: the actions, of several drugs.
      chosen: [M] actions, or [M, P] doses where they are continuous.
      suppress: whether to hide counts of 1 to 10.

    Returns:
      Columns action, steps, share and for each drug the level's doses. Of continuous
      actions: drug, unit, bound, share of steps without, and quartiles of the others;
      these stay hidden where 1 to 10 steps are with or without the drug.
    """
    if not described.count:
        return _continuous_doses(described, chosen, suppress)
    counts = np.bincount(chosen, minlength=described.count)
    hidden = suppress and bool(((counts > 0) & (counts <= SMALL)).any())
    rows = []
    for action, levels in enumerate(described.levels(np.arange(described.count))):
        few = hidden and 0 < counts[action] <= SMALL
        # With one count hidden the others are rounded, or it could be found.
        shown = _tens(counts[action]) if hidden and counts[action] else counts[action]
        share = "hidden" if few else f"{counts[action] / chosen.size:.2f}"
        texts = [_level(d, n) for d, n in zip(described.drugs, levels, strict=True)]
        rows.append((described.labels[action], shown, share, *texts))
    names = (f"{drug.name}, {drug.unit}" for drug in described.drugs)
    return _csv(("action", "steps", "share", *names), rows)


def _continuous_doses(
    described: dataset.Actions, chosen: np.ndarray, suppress: bool
) -> str:
    rows = []
    for column, (drug, bound) in enumerate(
        zip(described.drugs, described.high, strict=True)
    ):
        given = chosen[chosen[:, column] > 0, column]
        without = len(chosen) - given.size
        few = 0 < given.size <= SMALL
        none = f"{without / len(chosen):.2f}"
        spread = [f"{q:.3g}" for q in np.percentile(given, [25, 50, 75])]
        shown = [f"{bound:.3g}", none, *spread]
        if suppress and few:
            shown = ["hidden"] * len(shown)
        elif suppress and 0 < without <= SMALL:
            shown[1] = "hidden"
        rows.append((drug.name, drug.unit, *shown))
    header = ("drug", "unit", "bound", "share without", "25 %", "median", "75 %")
    return _csv(header, rows)


def _level(drug: dataset.Drug, level: int) -> str:
    """The doses of a level, such as "0", "0-250" or "> 250"."""
    if level == 0:
        return f"{drug.edges[0]:.3g}"
    if level == drug.levels - 1:
        return f"> {drug.edges[-1]:.3g}"
    return f"{drug.edges[level - 1]:.3g}-{drug.edges[level]:.3g}"


def _share(mask: np.ndarray, suppress: bool) -> str:
    n, total = int(mask.sum()), mask.size
    # The complement of a small group is as telling as the group.
    if suppress and (0 < n <= SMALL or 0 < total - n <= SMALL):
        return "hidden (small group)"
    return f"{n} ({100 * n / total:.0f} %)"


def _spread(values: np.ndarray, suppress: bool) -> str:
    known = np.count_nonzero(~np.isnan(values.astype(float)))
    if not known:
        return "not charted"
    # Quartiles of a few values are the values themselves.
    if suppress and known <= SMALL:
        return "hidden (small group)"
    low, middle, high = np.nanpercentile(values.astype(float), [25, 50, 75])
    return f"{middle:.0f} [{low:.0f}-{high:.0f}]"


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

"""Means over seeds with their spread, and the hiding of small counts.

One rule for every figure and table: rows of one seed are averaged first, then the
spread is taken over seeds, so that a seed with more rows weighs no more.
"""

import collections
import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import scipy.stats

Row = Mapping[str, Any]

# Counts of one to ten people are not published.
SMALLEST_COUNT = 11
HIDDEN = "1–10"
NOT_SHOWN = "not shown"


class Estimate(NamedTuple):
    """A mean over seeds.

    Attributes:
      mean: the mean.
      sd: standard deviation over seeds (n - 1), None for a single value.
      low: lower end of the 95 % t interval of the mean, None for a single value.
      high: its upper end.
      n: number of seeds.
    """

    mean: float
    sd: float | None
    low: float | None
    high: float | None
    n: int


def estimate(values: Iterable[float | None]) -> Estimate | None:
    """Returns mean, spread and interval of the values that exist, None without any."""
    known = [float(value) for value in values if value is not None]
    if not known:
        return None
    mean, n = statistics.fmean(known), len(known)
    if n == 1:
        return Estimate(mean, None, None, None, 1)
    sd = statistics.stdev(known)
    half = float(scipy.stats.t.ppf(0.975, n - 1)) * sd / n**0.5
    return Estimate(mean, sd, mean - half, mean + half, n)


def group(rows: Iterable[Row], *keys: str) -> dict[tuple, list[Row]]:
    """Groups rows by the values of `keys`, in order of first appearance."""
    groups = collections.defaultdict(list)
    for row in rows:
        groups[tuple(row.get(key) for key in keys)].append(row)
    return dict(groups)


def by_seed(rows: Iterable[Row], measure: str) -> dict[Any, float]:
    """Returns the mean of `measure` for each seed that has a value."""
    means = {}
    for (seed,), members in group(rows, "seed").items():
        values = [r[measure] for r in members if r.get(measure) is not None]
        if values:
            means[seed] = statistics.fmean(values)
    return means


def over_seeds(rows: Iterable[Row], measure: str) -> Estimate | None:
    """Returns the estimate of `measure` over seeds."""
    return estimate(by_seed(rows, measure).values())


def difference(
    rows: Iterable[Row], others: Iterable[Row], measure: str
) -> Estimate | None:
    """Returns the difference of `measure`, paired by seed.

    A comparator that was evaluated once, without a seed, is subtracted from each
    seed; the interval then leaves out the comparator's own uncertainty.
    """
    first, second = by_seed(rows, measure), by_seed(others, measure)
    pairs = [(value, second.get(s, second.get(None))) for s, value in first.items()]
    return estimate(a - b for a, b in pairs if b is not None)


def small(count: float | str | None) -> bool:
    """Whether a count of people is too small to be published, or hidden already."""
    if isinstance(count, str):
        return count == HIDDEN
    return count is not None and 0 < count < SMALLEST_COUNT


def show_count(count: float | str | None, hide: bool) -> str:
    """Returns the count as text, hidden where `hide` is set and it is small."""
    if isinstance(count, str):
        return count
    if count is None:
        return "–"
    return HIDDEN if hide and small(count) else f"{count:,.0f}"


def hide_counts(counts: Mapping[str, float | str], hide: bool) -> dict[str, str]:
    """Returns counts that add up to a known total as texts; texts stay as they are.

    One hidden count could be found by subtraction from the total, so the smallest
    of the others is left out with it.
    """
    if any(isinstance(count, str) for count in counts.values()):
        return {name: show_count(count, False) for name, count in counts.items()}
    shown = {name: show_count(count, hide) for name, count in counts.items()}
    hidden = [name for name, count in counts.items() if hide and small(count)]
    others = [name for name in counts if name not in hidden and counts[name]]
    if len(hidden) == 1 and others:
        shown[min(others, key=lambda name: counts[name])] = NOT_SHOWN
    return shown


def merge_flow(rows: Sequence[Row], hide: bool) -> list[dict[str, str]]:
    """Returns the cohort flow as texts, none of whose counts betrays a small one.

    A rule that removed one to ten stays could be read off the difference of two
    remaining counts; it is therefore counted together with the next rules until the
    sum can be shown (the last ones together with those before).

    Args:
      rows: `rule`, `removed`, `remaining` in the order the rules were applied; texts
        such as "<=10" are counts hidden already, and then shown as they are.
      hide: whether small counts are hidden (True for records of real people).
    """
    if any(isinstance(row[name], str) for row in rows for name in _COUNTS):
        # Whoever prepared the data has hidden the small counts already.
        return [
            {"rule": row["rule"] or "?", **{n: _counted(row[n]) for n in _COUNTS}}
            for row in rows
        ]
    groups: list[list[Row]] = []
    for row in rows:
        if groups and hide and small(_removed(groups[-1])):
            groups[-1].append(row)
        else:
            groups.append([row])
    while hide and len(groups) > 1 and small(_removed(groups[-1])):
        last = groups.pop()
        groups[-1].extend(last)
    flow = []
    for members in groups:
        remaining, removed = members[-1]["remaining"], _removed(members)
        betrays = hide and small(remaining) and removed > 0
        flow.append(
            {
                "rule": "; ".join(row["rule"] or "?" for row in members),
                "removed": NOT_SHOWN if betrays else show_count(removed, hide),
                "remaining": show_count(remaining, hide),
            }
        )
    return flow


_COUNTS = ("removed", "remaining")


def _counted(value: float | str | None) -> str:
    return value if isinstance(value, str) else show_count(value, False)


def _removed(rows: Iterable[Row]) -> float:
    return sum(row["removed"] or 0 for row in rows)

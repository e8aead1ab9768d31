"""Sample-and-hold on the hourly grid: forward only, for a limited time.

Row t of a stay stands at `first dose + t hours` and knows what was charted at or before
that time. Stays lie end to end, T_i + 1 rows each.
"""

from typing import NamedTuple

import numpy as np

from data_prep import items
from data_prep.heparin_doses import HOUR
from data_prep.measurements import Measurements, Repairs, code

_STAY_BITS = 33


class Held(NamedTuple):
    """One variable on the grid, R rows.

    Attributes:
      value: [R] the last charted value, NaN if there is none within the limit.
      age: [R] hours since it was charted (for laboratory values: drawn).
      fresh: [R] whether it became known in the hour that ends at the row; for row 0,
        at or before it.
      censored: [R] whether it is a lower bound.
    """

    value: np.ndarray
    age: np.ndarray
    fresh: np.ndarray
    censored: np.ndarray


def grid(hours: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Stay [R] and hour [R] of every row, from the numbers of steps [N]."""
    stay = np.repeat(np.arange(hours.size), hours + 1)
    starts = np.concatenate([[0], np.cumsum(hours + 1)[:-1]])
    return stay, np.arange(stay.size) - starts[stay]


def hold(
    measurements: Measurements,
    hours: np.ndarray,
    variable: str,
    limit_hours: float | None = None,
) -> Held:
    """Carries the last value of a variable forward.

    Args:
      measurements: sorted, as `measurements.merge_duplicates` returns them.
      hours: [N] number of steps T of each stay.
      variable: a key of `items.VARIABLES`.
      limit_hours: how long a value is held; the variable's own time by default.

    Returns:
      The variable on the grid.
    """
    if limit_hours is None:
        limit_hours = items.VARIABLES[variable].hold_hours
    chosen = measurements.variable == code(variable)
    times, values = measurements.seconds[chosen], measurements.value[chosen]
    stays, censored = measurements.stay[chosen], measurements.censored[chosen]
    row_stay, row_hour = grid(hours)
    now = row_hour * HOUR
    if not times.size:
        nothing = np.zeros(row_stay.size, bool)
        empty = np.full(row_stay.size, np.nan)
        return Held(empty, empty.copy(), nothing, nothing.copy())
    # The last record of the same stay at or before the row.
    position = np.searchsorted(_key(stays, times), _key(row_stay, now), "right") - 1
    found = (position >= 0) & (stays[position] == row_stay)
    age = np.where(found, (now - times[position]) / HOUR, np.nan)
    found &= ~(age > limit_hours)
    fresh = found & ((age < 1.0) | (row_hour == 0))
    return Held(
        np.where(found, values[position], np.nan),
        np.where(found, age, np.nan),
        fresh,
        found & censored[position],
    )


def coma_score(
    measurements: Measurements, hours: np.ndarray, intubated: str
) -> tuple[Held, np.ndarray]:
    """Glasgow coma score: the charted total, else the sum of its three parts.

    MetaVision charts no total. The verbal response of an intubated patient is charted
    as 1, which says nothing about consciousness.

    Args:
      measurements: sorted measurements.
      hours: [N] number of steps of each stay.
      intubated: "charted" keeps the score as charted, "normal" sets it to 15 (a common
        convention, which hides coma), "missing" leaves it to the imputation.

    Returns:
      The score on the grid, and [R] bool, whether a tube was in place.
    """
    total = hold(measurements, hours, "gcs")
    parts = [hold(measurements, hours, f"gcs_{p}") for p in ("eyes", "verbal", "motor")]
    summed = parts[0].value + parts[1].value + parts[2].value
    age = np.max([part.age for part in parts], axis=0)
    missing = np.isnan(total.value)
    tube = np.nan_to_num(hold(measurements, hours, "intubated").value) > 0
    value = np.where(missing, summed, total.value)
    if intubated == "normal":
        value = np.where(tube, 15.0, value)
    elif intubated == "missing":
        value = np.where(tube, np.nan, value)
    fresh = total.fresh | np.any([part.fresh for part in parts], axis=0)
    return (
        Held(
            value,
            np.where(missing, age, total.age),
            fresh & ~np.isnan(value),
            np.zeros(value.size, bool),
        ),
        tube,
    )


def require_pulse(columns: dict[str, Held], repairs: Repairs) -> None:
    """Drops pairs of pressures in which the systolic is not the higher one, in place.

    Args:
      columns: variables on the grid, "sbp" and "dbp" among them.
      repairs: counts, added to in place.
    """
    wrong = columns["sbp"].value <= columns["dbp"].value
    repairs["sbp", "not above dbp: both dropped (hours)"] += int(wrong.sum())
    for name in ("sbp", "dbp"):
        held = columns[name]
        columns[name] = held._replace(
            value=np.where(wrong, np.nan, held.value), fresh=held.fresh & ~wrong
        )


def weight_at_start(
    measurements: Measurements, fallback: np.ndarray, repairs: Repairs
) -> np.ndarray:
    """The last weight charted at or before the first dose, [N] kg or NaN.

    Weights charted later (some days after admission) are future. Static means that the
    value at the start stays. Pounds charted as kilograms show against an earlier
    weight of the same stay and are converted.

    Args:
      measurements: sorted measurements.
      fallback: [N] kg or NaN, used where nothing was charted.
      repairs: counts, added to in place.

    Returns:
      [N] kg or NaN.
    """
    chosen = (measurements.variable == code("weight")) & (measurements.seconds <= 0)
    stays, values = measurements.stay[chosen], measurements.value[chosen]
    result = fallback.copy()
    for own in np.split(np.arange(stays.size), np.flatnonzero(np.diff(stays)) + 1):
        if not own.size:
            continue
        last, earlier = values[own[-1]], values[own[:-1]]
        if earlier.size and 2.0 < last / np.median(earlier) < 2.4:
            last *= items.POUND
            repairs["weight", "pounds charted as kilograms"] += 1
        result[stays[own[-1]]] = last
    return result


def _key(stay: np.ndarray, seconds: np.ndarray) -> np.ndarray:
    # Half the range below zero: records may lie before the first dose.
    return (stay.astype(np.int64) << _STAY_BITS) + seconds + (1 << (_STAY_BITS - 1))

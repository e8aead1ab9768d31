"""Sample-and-hold on the rows of a clock: forward only, for a limited time."""

from typing import NamedTuple

import numpy as np

from data_prep.catalogue import POUND, Catalogue
from data_prep.clock import HOUR, Clock
from data_prep.measurements import Measurements, Repairs, select

_STAY_BITS = 33


class Held(NamedTuple):
    """One variable on the rows of a clock, R of them.

    Attributes:
      value: [R] the last charted value, NaN if there is none within the limit.
      age: [R] hours since it became known.
      fresh: [R] whether it became known in the step that ends at the row; for row 0,
        at or before it.
      censored: [R] whether it is a lower bound.
    """

    value: np.ndarray
    age: np.ndarray
    fresh: np.ndarray
    censored: np.ndarray


def hold(
    measurements: Measurements,
    catalogue: Catalogue,
    clock: Clock,
    variable: str,
    limit_hours: float | None = None,
) -> Held:
    """Carries the last value of a variable forward, from when it became known on.

    The last value is the one that was charted, or drawn, last of those known; it is
    held for so long after that time.

    Args:
      measurements: sorted, as `measurements.merge_duplicates` returns them.
      catalogue: their variables.
      clock: the rows.
      variable: one of the catalogue's names.
      limit_hours: how long a value is held; the variable's own time by default.

    Returns:
      The variable on the rows.
    """
    if limit_hours is None:
        limit_hours = catalogue.variables[variable].hold_hours
    chosen = measurements.variable == catalogue.code(variable)
    own = _as_known(select(measurements, chosen))
    row_stay, row_step = clock.rows()
    now = row_step * clock.seconds
    if not own.seconds.size:
        nothing = np.zeros(row_stay.size, bool)
        empty = np.full(row_stay.size, np.nan)
        return Held(empty, empty.copy(), nothing, nothing.copy())
    position = last_before(own.stay, own.known, row_stay, now)
    found = position >= 0
    found &= ~((now - own.seconds[position]) / HOUR > limit_hours)
    age = np.where(found, (now - own.known[position]) / HOUR, np.nan)
    fresh = found & ((age < clock.hours) | (row_step == 0))
    return Held(
        np.where(found, own.value[position], np.nan),
        age,
        fresh,
        found & own.censored[position],
    )


def last_before(
    stay: np.ndarray, seconds: np.ndarray, at_stay: np.ndarray, at: np.ndarray
) -> np.ndarray:
    """The last record of the same stay at or before each of some times.

    Args:
      stay: [E] stay of each record, sorted by stay, then time; E >= 1.
      seconds: [E] its time.
      at_stay: [Q] stays asked for.
      at: [Q] times asked for.

    Returns:
      [Q] positions in the records, -1 where there is none.
    """
    position = np.searchsorted(_key(stay, seconds), _key(at_stay, at), "right") - 1
    return np.where((position >= 0) & (stay[position] == at_stay), position, -1)


def coma_score(
    measurements: Measurements, catalogue: Catalogue, clock: Clock, intubated: str
) -> tuple[Held, np.ndarray]:
    """Glasgow coma score: the charted total, else the sum of its three parts.

    MetaVision charts no total. The verbal response of an intubated patient is charted
    as 1, which says nothing about consciousness.

    Args:
      measurements: sorted measurements.
      catalogue: their variables.
      clock: the rows.
      intubated: "charted" keeps the score as charted, "normal" sets it to 15 (a common
        convention, which hides coma), "missing" leaves it to the imputation.

    Returns:
      The score on the rows, and [R] bool, whether a tube was in place.
    """

    def held(name: str) -> Held:
        return hold(measurements, catalogue, clock, name)

    total, tube_held = held("gcs"), held("intubated")
    parts = [held(f"gcs_{part}") for part in ("eyes", "verbal", "motor")]
    summed = parts[0].value + parts[1].value + parts[2].value
    age = np.max([part.age for part in parts], axis=0)
    missing = np.isnan(total.value)
    tube = np.nan_to_num(tube_held.value) > 0
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
      columns: variables on the rows, "sbp" and "dbp" among them.
      repairs: counts, added to in place.
    """
    wrong = columns["sbp"].value <= columns["dbp"].value
    repairs["sbp", "not above dbp: both dropped (rows)"] += int(wrong.sum())
    for name in ("sbp", "dbp"):
        held = columns[name]
        columns[name] = held._replace(
            value=np.where(wrong, np.nan, held.value), fresh=held.fresh & ~wrong
        )


def weight_at_start(
    measurements: Measurements,
    catalogue: Catalogue,
    fallback: np.ndarray,
    repairs: Repairs,
) -> np.ndarray:
    """The last weight charted at or before the start, [N] kg or NaN.

    Weights charted later (some days after admission) are future. Static means that the
    value at the start stays. Pounds charted as kilograms show against an earlier
    weight of the same stay and are converted.

    Args:
      measurements: sorted measurements.
      catalogue: their variables.
      fallback: [N] kg or NaN, used where nothing was charted.
      repairs: counts, added to in place.

    Returns:
      [N] kg or NaN.
    """
    chosen = (measurements.variable == catalogue.code("weight")) & (
        measurements.seconds <= 0
    )
    stays, values = measurements.stay[chosen], measurements.value[chosen]
    result = fallback.copy()
    for own in np.split(np.arange(stays.size), np.flatnonzero(np.diff(stays)) + 1):
        if not own.size:
            continue
        last, earlier = values[own[-1]], values[own[:-1]]
        if earlier.size and 2.0 < last / np.median(earlier) < 2.4:
            last *= POUND
            repairs["weight", "pounds charted as kilograms"] += 1
        result[stays[own[-1]]] = last
    return result


def _as_known(own: Measurements) -> Measurements:
    """Those that are the last of their stay at some time, in the order they were known.

    A sample reported after one that was drawn later is never the last.
    """
    order = np.lexsort((own.seconds, own.known, own.stay))
    own = select(own, order)
    drawn = _key(own.stay, own.seconds)
    return select(own, drawn >= np.maximum.accumulate(drawn))


def _key(stay: np.ndarray, seconds: np.ndarray) -> np.ndarray:
    # Half the range below zero: records may lie before the start.
    return (stay.astype(np.int64) << _STAY_BITS) + seconds + (1 << (_STAY_BITS - 1))

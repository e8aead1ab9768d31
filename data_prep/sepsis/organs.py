"""The SOFA score hour by hour, from charted records."""

from collections.abc import Callable

import numpy as np

from data_prep import hold
from data_prep.catalogue import Catalogue
from data_prep.clock import HOUR, Clock
from data_prep.measurements import Measurements, concatenate, select
from data_prep.sepsis import pressors as pressors_lib
from data_prep.sepsis import sofa
from data_prep.sepsis.items import ORGANS

HOURS = 24
"""A score is the worst of so many hours."""

NAMES = ("respiration", "coagulation", "liver", "cardiovascular", "cns", "renal")

_SOFA_DRUGS = ("dopamine", "dobutamine", "epinephrine", "norepinephrine")
_CHOOSE = np.eye(len(pressors_lib.DRUGS))[
    [pressors_lib.DRUGS.index(name) for name in _SOFA_DRUGS]
]


def with_ratios(found: Measurements, catalogue: Catalogue) -> Measurements:
    """Adds PaO2 / FiO2 at the time of each arterial gas.

    Args:
      found: sorted measurements.
      catalogue: their variables, of which "pao2_fio2" is the last.

    Returns:
      Sorted measurements; a gas without FiO2 at its time, or in the hours before it in
      which a FiO2 is held, has no ratio.
    """
    gas = select(found, found.variable == catalogue.code("pao2"))
    oxygen = select(found, found.variable == catalogue.code("fio2"))
    if not gas.value.size or not oxygen.value.size:
        return found
    place = _place_at(oxygen, gas, catalogue.variables["fio2"].hold_hours)
    share = np.where(place >= 0, oxygen.value[place], np.nan)
    limits = catalogue.variables["pao2_fio2"]
    ratio = gas.value / share
    ratios = gas._replace(
        variable=np.full(gas.value.size, catalogue.code("pao2_fio2"), np.int16),
        value=ratio,
        known=np.maximum(gas.known, oxygen.known[place]),
    )
    credible = (ratio >= limits.low) & (ratio <= limits.high)
    return concatenate([found, select(ratios, credible)])


def points(
    found: Measurements,
    clock: Clock,
    start: np.ndarray,
    admission: np.ndarray,
    pressors: pressors_lib.Segments,
    urine: np.ndarray,
    collected: np.ndarray,
    intubated: str,
) -> np.ndarray:
    """Points of each organ in each hour: the worst of the last 24.

    Args:
      found: sorted measurements with ratios.
      clock: hourly rows.
      start: [N] seconds since 1970 of row 0.
      admission: [N] the same of the ICU admission, before which no urine is charted.
      pressors: the drugs given.
      urine: [R] mL charted in the hour that ended at each row.
      collected: [R] bool, whether any was charted in it.
      intubated: see `hold.coma_score`.

    Returns:
      [R, 6] int8 points in the order of `NAMES`.
    """
    stay, hour = clock.rows()
    ventilated = select(found, found.variable == ORGANS.code("ventilated"))
    ratio = select(found, found.variable == ORGANS.code("pao2_fio2"))
    limit = ORGANS.variables["ventilated"].hold_hours
    place = _place_at(ventilated, ratio, limit)
    supported = (place >= 0) & (np.append(ventilated.value, 0.0)[place] > 0)
    score, _ = hold.coma_score(found, ORGANS, clock, intubated)
    drugs = pressors_lib.per_step(pressors, clock, start, _CHOOSE, "maximum")
    lowest = -_worst_in_hour(found, clock, "mbp", lambda value: -value, -np.inf)
    daily = _last_hours(urine, hour)
    day_passed = start[stay] + hour * clock.seconds - admission[stay] >= HOURS * HOUR
    known = day_passed & (_last_hours(collected.astype(float), hour) > 0)
    creatinine = _worst_in_hour(found, clock, "creatinine", lambda v: v, -np.inf)
    respiration = np.zeros(stay.size)
    _maximum(respiration, clock, ratio, sofa.respiration(ratio.value, supported))
    columns = (
        respiration,
        _worst_in_hour(found, clock, "platelets", sofa.coagulation),
        _worst_in_hour(found, clock, "bilirubin", sofa.liver),
        sofa.cardiovascular(lowest, *drugs.T),
        sofa.nervous_system(score.value),
        sofa.renal(creatinine, np.where(known, daily, np.nan)),
    )
    return worst(np.column_stack([c.astype(np.int8) for c in columns]), hour)


def worst(values: np.ndarray, hour: np.ndarray) -> np.ndarray:
    """Largest value of the last 24 hours, the row's own among them.

    Args:
      values: [R, K] hourly values of at least zero, stays end to end.
      hour: [R] hour of each row in its stay.

    Returns:
      [R, K].
    """
    result = values.copy()
    for back in range(1, min(HOURS, len(values))):
        earlier = np.where((hour >= back)[back:, None], values[:-back], 0)
        result[back:] = np.maximum(result[back:], earlier)
    return result


def _last_hours(values: np.ndarray, hour: np.ndarray) -> np.ndarray:
    """Sum [R] of the last 24 hourly values of the same stay."""
    total = np.concatenate([[0.0], np.cumsum(values)])
    rows = np.arange(values.size)
    return total[rows + 1] - total[rows - np.minimum(hour, HOURS - 1)]


def _worst_in_hour(
    found: Measurements,
    clock: Clock,
    name: str,
    score: Callable[[np.ndarray], np.ndarray],
    start: float = 0.0,
) -> np.ndarray:
    """Highest score [R] of a variable's values known since the hour before each row."""
    own = select(found, found.variable == ORGANS.code(name))
    result = np.full(clock.rows()[0].size, start)
    _maximum(result, clock, own, score(own.value))
    return result


def _maximum(
    result: np.ndarray, clock: Clock, own: Measurements, scores: np.ndarray
) -> None:
    row = clock.row_that_knows(own.stay, own.known)
    inside = row >= 0
    np.maximum.at(result, row[inside], scores[inside])


def _place_at(
    records: Measurements, at: Measurements, limit_hours: float
) -> np.ndarray:
    """The last record at the times of others, -1 where there is none or it is old."""
    if not records.value.size:
        return np.full(at.value.size, -1)
    place = hold.last_before(records.stay, records.seconds, at.stay, at.seconds)
    age = at.seconds - records.seconds[place]
    return np.where((place >= 0) & (age <= limit_hours * HOUR), place, -1)

"""Vasopressors, in what they are worth of norepinephrine.

ug/kg/min of norepinephrine by the factors of Goradia et al., J Crit Care 2021;61:233-
240: norepinephrine and epinephrine 1, phenylephrine .1, dopamine .01, vasopressin 2.5
for one U/min. (The AI Clinician takes .45 for phenylephrine and 5 for vasopressin.)
Rates per minute are divided by the weight known when they ran, 80 kg where there is
none. Dobutamine is read for SOFA and is worth nothing here.

MetaVision charts what a pump gave, which jitters about the rate that was ordered: .1
stands as .10001 or .09998. Rates are rounded to the steps in which they are ordered
(norepinephrine .005, dopamine .1 ug/kg/min, ...), or chance would decide about SOFA
points and about levels of dose.

The row at time t knows what ran in the step that ended at t; the action of that row is
what the row after it knows.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from data_prep import infusions as infusions_lib
from data_prep.catalogue import Catalogue
from data_prep.clock import Clock, seconds
from data_prep.hold import last_before
from data_prep.measurements import Measurements, Repairs
from data_prep.sepsis import items

USUAL_WEIGHT = 80.0
"""kg, where no weight was charted before a rate per minute."""

DRUGS = tuple(items.PRESSORS)
EQUIVALENTS = np.array([[drug.factor for drug in items.PRESSORS.values()]])

_DRUG_OF = {n: i for i, d in enumerate(items.PRESSORS.values()) for n in d.items}
_LIMITS = np.array([drug.limit for drug in items.PRESSORS.values()])
_PER_UNIT = np.array([drug.per_unit for drug in items.PRESSORS.values()])
_DECIMALS = 4  # of equivalents; the smallest step of any drug is worth .001
_VASOPRESSIN = DRUGS.index("vasopressin")

# Unit without signs -> factor to ug/kg/min, or for vasopressin to U/min.
_PER_KG = {"mcgkgmin": 1.0, "mcgkghour": 1 / 60, "mgkgmin": 1000.0}
_PER_PATIENT = {"mcgmin": 1.0, "mcghour": 1 / 60, "mgmin": 1e3, "mghour": 1e3 / 60}
_UNITS = {"umin": 1.0, "unitsmin": 1.0, "uhour": 1 / 60, "unitshour": 1 / 60}
_HIGHEST_PER_MINUTE = 0.2  # U/min; more is a rate per hour charted as one per minute


class Segments(NamedTuple):
    """Constant rates, S of them, sorted by stay and beginning.

    Attributes:
      stay: [S] number of the stay.
      drug: [S] position in `DRUGS`.
      start: [S] seconds since 1970.
      end: [S] seconds since 1970.
      rate: [S] ug/kg/min; vasopressin U/min.
    """

    stay: np.ndarray
    drug: np.ndarray
    start: np.ndarray
    end: np.ndarray
    rate: np.ndarray


def metavision(frames: Iterable[pd.DataFrame], repairs: Repairs) -> Segments:
    """Segments that MetaVision wrote.

    Args:
      frames: columns of `selections.pressors_metavision`.
      repairs: counts, added to in place.
    """
    frame = pd.concat(frames).drop_duplicates()
    drug = frame["itemid"].map(_DRUG_OF).to_numpy(np.int64)
    weight = frame["weight"].to_numpy(np.float64, na_value=np.nan)
    limits = items.SEPSIS.variables["weight"]
    weight = np.where((weight >= limits.low) & (weight <= limits.high), weight, np.nan)
    rate = _rates(drug, frame["rate"], frame["unit"], weight, repairs)
    found = Segments(
        frame["stay"].to_numpy(np.int64),
        drug,
        seconds(frame["start"]),
        seconds(frame["end"]),
        rate,
    )
    return _sorted(found, (rate > 0) & (found.start < found.end))


def carevue(
    frames: Iterable[pd.DataFrame],
    found: Measurements,
    catalogue: Catalogue,
    start: np.ndarray,
    repairs: Repairs,
) -> Segments:
    """Segments that CareVue's samples stand for, each carried for 4 h at most.

    Args:
      frames: columns of `selections.pressors_carevue`.
      found: sorted measurements, weights among them.
      catalogue: their variables.
      start: [N] seconds since 1970 at which each stay starts.
      repairs: counts, added to in place.
    """
    frame = pd.concat(frames).drop_duplicates()
    stay, time = frame["stay"].to_numpy(np.int64), seconds(frame["time"])
    weight = _weight_at(found, catalogue, stay, time - start[stay])
    frame = frame.assign(drug=frame["itemid"].map(_DRUG_OF).astype("int64"), time=time)
    frame["rate"] = _rates(
        frame["drug"].to_numpy(), frame["rate"], frame["unit"], weight, repairs
    )
    parts = [Segments(*np.zeros((4, 0), np.int64), np.zeros(0))]
    for (stay, drug), own in frame.groupby(["stay", "drug"], sort=True):
        times, rates = infusions_lib.point_samples(own)
        end, runs, cut = infusions_lib.carried(times, rates)
        repairs[DRUGS[drug], "rate carried forward for at most 4 h"] += int(cut.sum())
        same = np.full(times.size, stay), np.full(times.size, drug)
        part = Segments(*same, times, end, rates)
        parts.append(Segments(*(field[runs] for field in part)))
    return combine(parts)


def combine(parts: Sequence[Segments]) -> Segments:
    """One set of segments from many."""
    joined = Segments(*(np.concatenate(field) for field in zip(*parts, strict=True)))
    return _sorted(joined, np.ones(joined.rate.size, bool))


def chosen(segments: Segments, stays: np.ndarray, count: int) -> Segments:
    """The segments of the stays [N'] alone, which become the stays 0..N'-1.

    Args:
      segments: segments of `count` stays.
      stays: [N'] those wanted.
      count: number of stays before.
    """
    place = np.full(count, -1)
    place[stays] = np.arange(stays.size)
    kept = Segments(*(field[place[segments.stay] >= 0] for field in segments))
    renamed = kept._replace(stay=place[kept.stay])
    return _sorted(renamed, np.ones(renamed.stay.size, bool))


def per_step(
    segments: Segments,
    clock: Clock,
    start: np.ndarray,
    weights: np.ndarray,
    how: str,
) -> np.ndarray:
    """Rates in the step that ended at each row.

    Args:
      segments: rates of these stays.
      clock: the rows.
      start: [N] seconds since 1970 of row 0.
      weights: [K, D] sums of drugs that are wanted, such as `EQUIVALENTS`.
      how: "maximum" of a sum within the step, or its "mean" over time.

    Returns:
      [R, K], rounded, so that equal sums of other drugs are equal.
    """
    stay_of_row, _ = clock.rows()
    result = np.zeros((stay_of_row.size, weights.shape[0]))
    first_rows = clock.first_rows()
    cuts = np.flatnonzero(np.diff(segments.stay)) + 1
    for own in np.split(np.arange(segments.stay.size), cuts):
        if own.size:
            stay = segments.stay[own[0]]
            rows = slice(first_rows[stay], first_rows[stay] + clock.steps[stay] + 1)
            one = Segments(*(field[own] for field in segments))
            begin = int(start[stay]) - clock.seconds
            result[rows] = _of_stay(one, begin, clock, weights, how, rows)
    return result.round(_DECIMALS)


def _of_stay(
    own: Segments,
    begin: int,
    clock: Clock,
    weights: np.ndarray,
    how: str,
    rows: slice,
) -> np.ndarray:
    """[T + 1, K] rates of one stay, whose first step begins at `begin`."""
    count = rows.stop - rows.start
    edges = begin + np.arange(count + 1) * clock.seconds
    points = np.unique(np.concatenate([edges, own.start, own.end]))
    points = points[(points >= edges[0]) & (points <= edges[-1])]
    rates = np.zeros((len(DRUGS), points.size - 1))
    for drug in np.unique(own.drug):
        mine = own.drug == drug
        rates[drug] = infusions_lib.between(
            own.start[mine], own.end[mine], own.rate[mine], points
        )
    wanted = weights @ rates
    step = (points[:-1] - begin) // clock.seconds
    result = np.zeros((count, weights.shape[0]))
    if how == "maximum":
        np.maximum.at(result, step, wanted.T)
    else:
        np.add.at(result, step, (wanted * np.diff(points) / clock.seconds).T)
    return result


def _rates(
    drug: np.ndarray,
    rate: pd.Series,
    unit: pd.Series,
    weight: np.ndarray,
    repairs: Repairs,
) -> np.ndarray:
    """Rates in ug/kg/min or U/min, NaN where not credible."""
    charted = rate.to_numpy(np.float64, na_value=np.nan)
    plain = unit.astype("string").fillna("").str.lower()
    plain = plain.str.replace(r"[^a-z]", "", regex=True)
    plain = plain.str.replace(r"(hr|h)$", "hour", regex=True)
    is_vasopressin = drug == _VASOPRESSIN
    factor = np.where(
        is_vasopressin,
        plain.map(_UNITS).to_numpy(np.float64, na_value=np.nan),
        plain.map(_PER_KG | _PER_PATIENT).to_numpy(np.float64, na_value=np.nan),
    )
    divide = plain.isin(_PER_PATIENT).to_numpy(bool) & ~is_vasopressin
    without = divide & np.isnan(weight) & (charted > 0)
    rule = f"no weight: {USUAL_WEIGHT:g} kg taken"
    repairs["vasopressor", rule] += int(without.sum())
    kg = np.where(np.isnan(weight), USUAL_WEIGHT, weight)
    value = charted * factor / np.where(divide, kg, 1.0)
    hourly = is_vasopressin & (factor == 1.0) & (value > _HIGHEST_PER_MINUTE)
    rule = "rate per hour charted as one per minute"
    repairs["vasopressin", rule] += int(hourly.sum())
    value = np.where(hourly, value / 60, value)
    wrong = (charted > 0) & ~(value <= _LIMITS[drug])
    for number in np.unique(drug[wrong]):
        rule = "no credible rate or unit: dropped"
        repairs[DRUGS[number], rule] += int((wrong & (drug == number)).sum())
    return np.where(
        wrong, np.nan, np.where(charted == 0, 0.0, _as_ordered(drug, value))
    )


def _as_ordered(drug: np.ndarray, rate: np.ndarray) -> np.ndarray:
    """Rates in whole steps; what runs at all runs at one step or more."""
    steps = np.round(rate * _PER_UNIT[drug])
    return np.where(rate > 0, np.maximum(steps, 1.0), steps) / _PER_UNIT[drug]


def _weight_at(
    found: Measurements, catalogue: Catalogue, stay: np.ndarray, time: np.ndarray
) -> np.ndarray:
    own = found.variable == catalogue.code("weight")
    if not own.any():
        return np.full(stay.size, np.nan)
    position = last_before(found.stay[own], found.seconds[own], stay, time)
    return np.where(position >= 0, found.value[own][position], np.nan)


def _sorted(segments: Segments, chosen: np.ndarray) -> Segments:
    kept = Segments(*(field[chosen] for field in segments))
    order = np.lexsort((kept.rate, kept.end, kept.start, kept.stay))
    return Segments(*(field[order] for field in kept))

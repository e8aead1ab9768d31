"""From charted readings to numbers: text, units, limits, censoring.

Every repair is counted under (variable, rule) and reported; nothing is repaired by
looking at other patients or at later records.
"""

from collections import Counter
from typing import NamedTuple

import numpy as np
import pandas as pd

from data_prep import items

Repairs = Counter[tuple[str, str]]

_BELOW = r"<|LESS|UNDER|BELOW"
_ABOVE = r">|GREATER|MORE|OVER|ABOVE"
# A bare number, with or without a bound before it: "<5", "LESS THAN 0.4", "> 150".
_NUMBER = (
    rf"^\s*(?:(?:{_BELOW}|{_ABOVE})(?:\s*THAN)?\s*=?\s*)?([0-9]+(?:\.[0-9]+)?)\s*$"
)
_TUBE = r"ETT|ET/|TRACH"


class Measurements(NamedTuple):
    """Numbers with a time, E of them.

    Attributes:
      stay: [E] int32 number of the stay.
      seconds: [E] int64 seconds since the stay's first dose (negative before).
      variable: [E] int16 position in `list(items.VARIABLES)`.
      value: [E] float64 in the variable's unit.
      rank: [E] int8 preference among readings of the same second.
      censored: [E] bool, the value is a lower bound.
    """

    stay: np.ndarray
    seconds: np.ndarray
    variable: np.ndarray
    value: np.ndarray
    rank: np.ndarray
    censored: np.ndarray


_NAMES = list(items.VARIABLES)
_READINGS = {reading.name: reading for reading in items.READINGS}


def code(variable: str) -> int:
    """Number of a variable in `Measurements.variable`."""
    return _NAMES.index(variable)


def concatenate(parts: list[Measurements]) -> Measurements:
    """One set of measurements from many, in the order given."""
    return Measurements(*(np.concatenate(field) for field in zip(*parts, strict=True)))


def clean(frame: pd.DataFrame, start: np.ndarray, repairs: Repairs) -> Measurements:
    """Turns streamed readings into measurements.

    Args:
      frame: columns stay, time, variable (name of a reading), value, text.
      start: [N] int64 seconds since 1970 of each stay's first dose.
      repairs: counts, added to in place.

    Returns:
      The credible measurements, in the order of the rows.
    """
    stay = frame["stay"].to_numpy(np.int64)
    seconds = frame["time"].to_numpy("datetime64[s]").astype(np.int64) - start[stay]
    reading = frame["variable"]
    variable = reading.map({name: r.variable for name, r in _READINGS.items()})
    text = frame["text"].astype("string").fillna("").str.upper()
    value, censored = _numbers(variable, frame["value"], text, repairs)
    value = _units(reading, value, repairs)
    value, censored, credible = _limits(variable, value, censored, repairs)
    cleaned = Measurements(
        stay.astype(np.int32),
        seconds,
        variable.map({name: i for i, name in enumerate(_NAMES)}).to_numpy(np.int16),
        value,
        reading.map({name: r.rank for name, r in _READINGS.items()}).to_numpy(np.int8),
        censored,
    )
    tube = _intubated(cleaned, reading, text)
    kept = Measurements(*(field[credible] for field in cleaned))
    return concatenate([kept, tube])


def match_specimen(
    measurements: Measurements, gas: str, repairs: Repairs
) -> Measurements:
    """Keeps blood gases whose specimen row of the same second says arterial.

    Args:
      measurements: all laboratory measurements.
      gas: the blood gas variable.
      repairs: counts, added to in place.

    Returns:
      The measurements without venous, mixed or unnamed blood gases and without the
      specimen rows themselves.
    """
    place = _key(measurements)
    is_specimen = measurements.variable == code("specimen")
    arterial = np.unique(place[is_specimen & (measurements.value == 1)])
    other = np.unique(place[is_specimen & (measurements.value == 0)])
    is_gas = measurements.variable == code(gas)
    proven = np.isin(place, arterial) & ~np.isin(place, other)
    repairs[gas, "specimen not stated as arterial: dropped"] += int(
        (is_gas & ~proven).sum()
    )
    keep = ~is_specimen & (~is_gas | proven)
    return Measurements(*(field[keep] for field in measurements))


def merge_duplicates(measurements: Measurements, repairs: Repairs) -> Measurements:
    """One measurement for each stay, variable and second, sorted in that order.

    Of several readings those of the highest rank are averaged; the result is censored
    if one of them was. The order of the input rows does not matter.

    Args:
      measurements: any measurements.
      repairs: counts, added to in place.

    Returns:
      Measurements sorted by variable, stay and time.
    """
    place = _key(measurements)
    order = np.lexsort(
        (measurements.value, -measurements.rank, place, measurements.variable)
    )
    sorted_ = Measurements(*(field[order] for field in measurements))
    if order.size == 0:
        return sorted_
    same = (np.diff(place[order]) == 0) & (np.diff(sorted_.variable) == 0)
    group = np.concatenate([[0], np.cumsum(~same)])
    first = np.flatnonzero(np.concatenate([[True], ~same]))
    best = sorted_.rank == sorted_.rank[first][group]
    total = np.bincount(group, weights=np.where(best, sorted_.value, 0.0))
    counts = np.bincount(group, weights=best)
    censored = np.bincount(group, weights=best & sorted_.censored) > 0
    for variable, n in zip(
        *np.unique(sorted_.variable[1:][same], return_counts=True), strict=True
    ):
        repairs[_NAMES[variable], "several values at one time: averaged"] += int(n)
    merged = Measurements(*(field[first] for field in sorted_))
    return merged._replace(value=total / counts, censored=censored)


def _key(measurements: Measurements) -> np.ndarray:
    """[E] int64 that orders by stay, then time (a stay spans under 68 years)."""
    return (measurements.stay.astype(np.int64) << 33) + measurements.seconds


def _numbers(
    variable: pd.Series, number: pd.Series, text: pd.Series, repairs: Repairs
) -> tuple[np.ndarray, np.ndarray]:
    """Values [E], NaN where there is none, and whether they are lower bounds [E]."""
    value = number.to_numpy(np.float64, na_value=np.nan, copy=True)
    is_specimen = (variable == "specimen").to_numpy()
    value[is_specimen] = text[is_specimen].str.strip().str.startswith("ART")
    is_aptt = (variable == "aptt").to_numpy()
    missing = np.isnan(value)
    parsed = text[missing].str.extract(_NUMBER, expand=False)
    # "150 IS HIGHEST MEASURED PTT" names its number in a sentence.
    wordy = text[missing & is_aptt].str.extract(r"([0-9]+(?:\.[0-9]+)?)", expand=False)
    parsed = parsed.fillna(wordy) if wordy.size else parsed
    value[missing] = pd.to_numeric(parsed, errors="coerce").to_numpy(np.float64)
    _count(repairs, variable, missing & ~np.isnan(value), "number read from text")
    _count(repairs, variable, np.isnan(value), "no number: dropped")
    return value, is_aptt & text.str.contains(_ABOVE, regex=True).to_numpy(bool)


def _units(reading: pd.Series, value: np.ndarray, repairs: Repairs) -> np.ndarray:
    """Converts pounds and Fahrenheit; the unit follows from item and range."""
    value = value.copy()
    pounds = (reading == "weight_lb").to_numpy()
    value[pounds] *= items.POUND
    # The charted unit text is corrupt, and values stand in the wrong item's unit.
    fahrenheit = (reading == "temperature_f").to_numpy()
    celsius = (reading == "temperature_c").to_numpy()
    misplaced_c = fahrenheit & (value >= 25) & (value <= 45)
    misplaced_f = celsius & (value >= 77) & (value <= 113)
    convert = (fahrenheit & ~misplaced_c) | misplaced_f
    value[convert] = (value[convert] - 32) / 1.8
    temperature = pd.Series("temperature", index=reading.index)
    _count(repairs, temperature, misplaced_c, "Celsius in a Fahrenheit item")
    _count(repairs, temperature, misplaced_f, "Fahrenheit in a Celsius item")
    return value


def _limits(
    variable: pd.Series, value: np.ndarray, censored: np.ndarray, repairs: Repairs
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Values and censoring after the ceiling of the aPTT, and which are credible."""
    # The overdoses: 150 s, ">150" and the few larger numbers are all "at least 150".
    ceiling = (variable == "aptt").to_numpy() & (value >= items.APTT_CEILING)
    _count(repairs, variable, ceiling, "150 s or more: censored at 150")
    value = np.where(ceiling, items.APTT_CEILING, value)
    low = variable.map({n: v.low for n, v in items.VARIABLES.items()}).to_numpy(float)
    high = variable.map({n: v.high for n, v in items.VARIABLES.items()}).to_numpy(float)
    inside = (value >= low) & (value <= high)
    outside = ~inside & ~np.isnan(value)
    _count(repairs, variable, outside, "outside the limits: dropped")
    return value, censored | ceiling, inside


def _intubated(
    cleaned: Measurements, reading: pd.Series, text: pd.Series
) -> Measurements:
    """Whether a tube was in place, from the text of the verbal response."""
    verbal = (reading == "gcs_verbal").to_numpy()
    tube = text[verbal].str.contains(_TUBE, regex=True).to_numpy(bool)
    part = Measurements(*(field[verbal] for field in cleaned))
    return part._replace(
        variable=np.full(verbal.sum(), code("intubated"), np.int16),
        value=tube.astype(np.float64),
        censored=np.zeros(verbal.sum(), bool),
    )


def _count(repairs: Repairs, variable: pd.Series, where: np.ndarray, rule: str) -> None:
    for name, n in variable[where].value_counts().items():
        repairs[str(name), rule] += int(n)

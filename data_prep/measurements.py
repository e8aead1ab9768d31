"""From charted readings to numbers: text, units, limits, censoring.

Every repair is counted under (variable, rule) and reported; nothing is repaired by
looking at other patients or at later records.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from data_prep import clock as clock_lib
from data_prep.catalogue import Catalogue, Reading

Repairs = Counter[tuple[str, str]]

_BELOW = r"<|LESS|UNDER|BELOW"
_ABOVE = r">|GREATER|MORE|OVER|ABOVE"
# A bare number, with or without a bound before it: "<5", "LESS THAN 0.4", "> 150".
_NUMBER = (
    rf"^\s*(?:(?:{_BELOW}|{_ABOVE})(?:\s*THAN)?\s*=?\s*)?([0-9]+(?:\.[0-9]+)?)\s*$"
)


class Measurements(NamedTuple):
    """Numbers with a time, E of them.

    Attributes:
      stay: [E] int32 number of the stay.
      seconds: [E] int64 seconds since the stay's start (negative before).
      variable: [E] int16 position in the catalogue's `names`.
      value: [E] float64 in the variable's unit.
      rank: [E] int8 preference among readings of the same second.
      censored: [E] bool, the value is a lower bound.
      known: [E] int64, as `seconds`, when it could first be read: at its own time, or
        later where the database says when a laboratory reported it.
    """

    stay: np.ndarray
    seconds: np.ndarray
    variable: np.ndarray
    value: np.ndarray
    rank: np.ndarray
    censored: np.ndarray
    known: np.ndarray


def concatenate(parts: list[Measurements]) -> Measurements:
    """One set of measurements from many, in the order given."""
    return Measurements(*(np.concatenate(field) for field in zip(*parts, strict=True)))


def gather(
    batches: Iterable[pd.DataFrame],
    start: np.ndarray,
    catalogue: Catalogue,
    repairs: Repairs,
    progress: Callable[[int], None],
) -> Measurements:
    """Cleans streamed readings batch by batch; only the numbers are kept.

    Args:
      batches: frames as `clean` takes them, at least one.
      start: see `clean`.
      catalogue: see `clean`.
      repairs: see `clean`.
      progress: told how many rows have been read.

    Returns:
      All measurements.
    """
    parts, rows = [], 0
    for batch in batches:
        parts.append(clean(batch, start, catalogue, repairs))
        rows += len(batch)
        progress(rows)
    return concatenate(parts)


def clean(
    frame: pd.DataFrame, start: np.ndarray, catalogue: Catalogue, repairs: Repairs
) -> Measurements:
    """Turns streamed readings into measurements.

    Args:
      frame: columns stay, time, known, variable (name of a reading), value, text.
      start: [N] int64 seconds since 1970 at which each stay starts.
      catalogue: the variables and readings.
      repairs: counts, added to in place.

    Returns:
      The credible measurements, in the order of the rows.
    """
    stay = frame["stay"].to_numpy(np.int64)
    names = frame["variable"].astype("string")
    readings = {reading.name: reading for reading in catalogue.readings}
    present = [readings[name] for name in names.unique()]
    rows = {reading.name: (names == reading.name).to_numpy(bool) for reading in present}
    text = frame["text"].astype("string").fillna("").str.upper()
    value = frame["value"].to_numpy(np.float64, na_value=np.nan, copy=True)
    code = np.zeros(len(frame), np.int16)
    rank = np.zeros(len(frame), np.int8)
    censored = np.zeros(len(frame), bool)
    credible = np.zeros(len(frame), bool)
    for reading in present:
        own = rows[reading.name]
        code[own] = catalogue.code(reading.variable)
        rank[own] = reading.rank
        value[own], censored[own], credible[own] = _read(
            reading, value[own], text[own], catalogue, repairs
        )
    cleaned = Measurements(
        stay.astype(np.int32),
        clock_lib.seconds(frame["time"]) - start[stay],
        code,
        value,
        rank,
        censored,
        clock_lib.seconds(frame["known"]) - start[stay],
    )
    return select(cleaned, credible)


def select(measurements: Measurements, chosen: np.ndarray) -> Measurements:
    """The measurements [E'] that a mask [E] chooses."""
    return Measurements(*(field[chosen] for field in measurements))


def renumber(measurements: Measurements, stays: np.ndarray) -> Measurements:
    """Measurements of the stays [N'] alone, which become the stays 0..N'-1."""
    place = np.full(max(measurements.stay.max(initial=-1), stays.max()) + 1, -1)
    place[stays] = np.arange(stays.size)
    inside = select(measurements, place[measurements.stay] >= 0)
    return inside._replace(stay=place[inside.stay].astype(np.int32))


def match_specimen(
    measurements: Measurements,
    gases: Sequence[str],
    catalogue: Catalogue,
    repairs: Repairs,
) -> Measurements:
    """Keeps blood gases whose specimen row of the same second says arterial.

    Args:
      measurements: all laboratory measurements.
      gases: the blood gas variables.
      catalogue: the variables, "specimen" (1 = arterial) among them.
      repairs: counts, added to in place.

    Returns:
      The measurements without venous, mixed or unnamed blood gases and without the
      specimen rows themselves.
    """
    place = _key(measurements)
    is_specimen = measurements.variable == catalogue.code("specimen")
    arterial = np.unique(place[is_specimen & (measurements.value == 1)])
    other = np.unique(place[is_specimen & (measurements.value == 0)])
    proven = np.isin(place, arterial) & ~np.isin(place, other)
    keep = ~is_specimen
    for gas in gases:
        is_gas = measurements.variable == catalogue.code(gas)
        repairs[gas, "specimen not stated as arterial: dropped"] += int(
            (is_gas & ~proven).sum()
        )
        keep &= ~is_gas | proven
    return select(measurements, keep)


def merge_duplicates(
    measurements: Measurements, catalogue: Catalogue, repairs: Repairs
) -> Measurements:
    """One measurement for each stay, variable and second, sorted in that order.

    Of several readings those of the highest rank are averaged; the result is censored
    if one of them was, and known once all readings are. The order of the input rows
    does not matter.

    Args:
      measurements: any measurements.
      catalogue: their variables.
      repairs: counts, added to in place.

    Returns:
      Measurements sorted by variable, stay and time.
    """
    place = _key(measurements)
    order = np.lexsort(
        (measurements.value, -measurements.rank, place, measurements.variable)
    )
    sorted_ = select(measurements, order)
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
        rule = "several values at one time: averaged"
        repairs[catalogue.names[variable], rule] += int(n)
    merged = select(sorted_, first)
    known = np.maximum.reduceat(sorted_.known, first)
    return merged._replace(value=total / counts, censored=censored, known=known)


def _key(measurements: Measurements) -> np.ndarray:
    """[E] int64 that orders by stay, then time (a stay spans under 68 years)."""
    return (measurements.stay.astype(np.int64) << 33) + measurements.seconds


def _read(
    reading: Reading,
    value: np.ndarray,
    text: pd.Series,
    catalogue: Catalogue,
    repairs: Repairs,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Values of one reading, which are lower bounds, and which are credible."""
    name, variable = reading.variable, catalogue.variables[reading.variable]
    if reading.codes:
        value = _coded(reading, text)
    else:
        value = _numbers(name, value, text, variable.ceiling is not None, repairs)
        value = _in_unit(reading, value, repairs)
    repairs[name, "no number: dropped"] += int(np.isnan(value).sum())
    censored = np.zeros(value.size, bool)
    if variable.ceiling is not None:
        above = value >= variable.ceiling
        rule = f"{variable.ceiling:g} or more: censored there"
        repairs[name, rule] += int(above.sum())
        value = np.where(above, variable.ceiling, value)
        censored = above | text.str.contains(_ABOVE, regex=True).to_numpy(bool)
    inside = (value >= variable.low) & (value <= variable.high)
    outside = ~inside & ~np.isnan(value)
    repairs[name, "outside the limits: dropped"] += int(outside.sum())
    return value, censored, inside


def _coded(reading: Reading, text: pd.Series) -> np.ndarray:
    """Values that the text stands for; NaN where it says nothing."""
    index, distinct = pd.factorize(text)
    known = np.full(len(distinct), np.nan)
    for place, words in enumerate(distinct):
        for pattern, value in reading.codes:
            if re.search(pattern, words):
                known[place] = value
                break
    return known[index]


def _numbers(
    name: str, value: np.ndarray, text: pd.Series, wordy: bool, repairs: Repairs
) -> np.ndarray:
    """Numbers, those that stand in the text alone among them."""
    missing = np.isnan(value)
    words = text[missing]
    parsed = words.str.extract(_NUMBER, expand=False)
    if wordy and len(words):
        # "150 IS HIGHEST MEASURED PTT" names its number in a sentence.
        anywhere = words.str.extract(r"([0-9]+(?:\.[0-9]+)?)", expand=False)
        parsed = parsed.fillna(anywhere)
    value[missing] = pd.to_numeric(parsed, errors="coerce").to_numpy(
        np.float64, na_value=np.nan
    )
    found = int((missing & ~np.isnan(value)).sum())
    repairs[name, "number read from text"] += found
    return value


def _in_unit(reading: Reading, value: np.ndarray, repairs: Repairs) -> np.ndarray:
    """Values in the variable's unit; the unit follows from item and range."""
    converted = reading.unit.convert(value)
    if reading.mistaken is None:
        return converted
    other = reading.mistaken
    misplaced = (value >= other.low) & (value <= other.high)
    repairs[reading.variable, other.rule] += int(misplaced.sum())
    return np.where(misplaced, other.unit.convert(value), converted)

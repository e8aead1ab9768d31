"""Patients and stays of any cohort: rules and whom they removed, ages, windows, split.

Nothing here knows a drug or a disease.
"""

from typing import NamedTuple

import numpy as np
import pandas as pd

from data_prep import clock as clock_lib
from data_prep.clock import HOUR, Clock

AGE_CAP = 90
BEFORE_ADMISSION = 24 * HOUR
"""Records of a stay are looked for from this long before its ICU admission."""

_TRAIN, _VALIDATION, _TEST = 0, 1, 2


class Flow(NamedTuple):
    """One row of the cohort flow: a rule and how many stays it removed."""

    rule: str
    removed: int
    remaining: int


class Sieve:
    """Applies rules one after the other and keeps count."""

    def __init__(self, what: str, frame: pd.DataFrame):
        """Starts with all of `frame`, called `what` in the flow."""
        self.flow = [Flow(what, 0, len(frame))]

    def keep(self, rule: str, frame: pd.DataFrame, mask: pd.Series) -> pd.DataFrame:
        """The rows that fulfil the rule; the others are counted under it."""
        kept = frame[mask]
        self.flow.append(Flow(rule, len(frame) - len(kept), len(kept)))
        return kept

    def nobody(self) -> str:
        """What to say where no stay is left."""
        steps = "; ".join(f"{row.rule}: {row.remaining}" for row in self.flow)
        return f"no stay is left in the cohort ({steps})"


def adults(stays: pd.DataFrame, min_age: int, sieve: Sieve) -> pd.DataFrame:
    """The stays of adults of whom age, sex and times are recorded.

    Args:
      stays: columns intime, outtime, dob and gender, among others.
      min_age: years at ICU admission.
      sieve: counts those left out.

    Returns:
      The stays with the further columns age (years), female (0 or 1) and admission
      (seconds since 1970 of the ICU admission).
    """
    known = stays["dob"].notna() & stays["intime"].notna() & stays["outtime"].notna()
    known &= stays["gender"].isin(["F", "M"])
    frame = sieve.keep("age, sex and ICU times recorded", stays, known)
    frame = frame.assign(
        age=age_in_years(frame["dob"], frame["intime"]),
        female=(frame["gender"] == "F").astype(int),
        admission=clock_lib.seconds(frame["intime"]),
    )
    return sieve.keep(f"{min_age} years or older", frame, frame["age"] >= min_age)


def age_in_years(born: pd.Series, at: pd.Series) -> np.ndarray:
    """Completed years, capped at `AGE_CAP` above 89.

    Dates of birth of the oldest are shifted 300 years back, so the difference of two
    times may not fit a nanosecond clock: it is computed from the parts of the dates.

    Args:
      born: [N] dates of birth.
      at: [N] times.

    Returns:
      [N] years.
    """
    before_birthday = (at.dt.month < born.dt.month) | (
        (at.dt.month == born.dt.month) & (at.dt.day < born.dt.day)
    )
    years = (at.dt.year - born.dt.year - before_birthday.astype(int)).to_numpy()
    return np.where(years > 89, AGE_CAP, years).astype(int)


def windows(cohort: pd.DataFrame, clock: Clock, reach_hours: float) -> pd.DataFrame:
    """The times in which a record can matter to each stay.

    Args:
      cohort: columns subject_id, start (seconds since 1970 of the first row) and
        admission.
      clock: the rows.
      reach_hours: how long before the start a value may still be held.

    Returns:
      Columns stay, subject_id, since, held_since (the same for what is held without
      limit), until.
    """
    start = cohort["start"].to_numpy(np.int64)
    since = start - int(reach_hours * HOUR)
    admitted = cohort["admission"].to_numpy(np.int64) - BEFORE_ADMISSION
    until = start + clock.steps * clock.seconds
    return pd.DataFrame(
        {
            "stay": np.arange(len(cohort)),
            "subject_id": cohort["subject_id"].to_numpy(np.int64),
            "since": clock_lib.times(since),
            "held_since": clock_lib.times(np.minimum(since, admitted)),
            "until": clock_lib.times(until),
        }
    )


def split_patients(
    patients: np.ndarray, validation: float, test: float, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Opaque patient numbers and a split in which no patient stands twice.

    Args:
      patients: [N] patient of each stay.
      validation: share of patients for validation.
      test: share of patients for testing.
      seed: decides numbers and split.

    Returns:
      Patient numbers 0..P-1 in random order [N] and the split [N]: 0 train,
      1 validation, 2 test.
    """
    distinct, index = np.unique(patients, return_inverse=True)
    number = np.random.default_rng(seed).permutation(distinct.size)
    # Numbers are random already, so the first of them are a random choice.
    part = _parts(distinct.size, validation, test)
    return number[index].astype(np.int32), part[number[index]]


def split_by_era(
    patients: np.ndarray, eras: np.ndarray, validation: float, test: float, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """The same with the latest patients for testing and those before for validation.

    Args:
      patients: [N] patient of each stay.
      eras: [N] era in which the patient of each stay came; texts that sort by time.
      validation: share of patients for validation.
      test: share of patients for testing.
      seed: decides numbers, and who comes first within an era.

    Returns:
      As `split_patients`.
    """
    distinct, first, index = np.unique(patients, return_index=True, return_inverse=True)
    number = np.random.default_rng(seed).permutation(distinct.size)
    _, era = np.unique(eras[first], return_inverse=True)
    latest_first = np.lexsort((number, -era))
    part = np.empty(distinct.size, np.int8)
    part[latest_first] = _parts(distinct.size, validation, test)
    return number[index].astype(np.int32), part[index]


def _parts(count: int, validation: float, test: float) -> np.ndarray:
    """Split of `count` patients in order, those for testing first."""
    n_test, n_validation = round(test * count), round(validation * count)
    part = np.full(count, _TRAIN, np.int8)
    part[:n_test] = _TEST
    part[n_test : n_test + n_validation] = _VALIDATION
    return part

"""Who is in: adults on intravenous heparin in the ICU, 7 to 72 h from the first dose.

The clock of a stay starts with its first dose, which may lie before the charted ICU
admission. Nothing here looks at what happens after the window except its length.
"""

import dataclasses
from typing import NamedTuple

import numpy as np
import pandas as pd

from data_prep import heparin_doses, items
from data_prep.heparin_doses import HOUR, Doses

AGE_CAP = 90
_BEFORE_ADMISSION = 24 * HOUR
_TRAIN, _VALIDATION, _TEST = 0, 1, 2


@dataclasses.dataclass(frozen=True)
class Rules:
    """What a stay must fulfil.

    Attributes:
      min_age: years at ICU admission.
      min_hours: shortest window from the first dose.
      max_hours: where longer windows are cut.
      tail_hours: hours kept after the last infusion ended; None keeps the window.
    """

    min_age: int = 18
    min_hours: int = 7
    max_hours: int = 72
    tail_hours: float | None = None


class Flow(NamedTuple):
    """One row of the cohort flow: a rule and how many stays it removed."""

    rule: str
    removed: int
    remaining: int


def select(
    stays: pd.DataFrame, doses: Doses, rules: Rules
) -> tuple[pd.DataFrame, list[Flow]]:
    """Applies the rules in order.

    Args:
      stays: columns of `selections.stays`.
      doses: heparin of all stays.
      rules: the rules.

    Returns:
      The cohort, sorted by patient and first dose, with the columns subject_id,
      icustay_id, age, female, start (seconds since 1970 of the first dose), admission
      (the same of the ICU admission), hours (T) and died (the window ends in death);
      and the flow.
    """
    flow = [Flow("ICU stays", 0, len(stays))]

    def keep(rule: str, frame: pd.DataFrame, mask: pd.Series) -> pd.DataFrame:
        kept = frame[mask]
        flow.append(Flow(rule, len(frame) - len(kept), len(kept)))
        return kept

    known = stays["dob"].notna() & stays["intime"].notna() & stays["outtime"].notna()
    known &= stays["gender"].isin(["F", "M"])
    frame = keep("age, sex and ICU times recorded", stays, known)
    frame = frame.assign(
        age=age_in_years(frame["dob"], frame["intime"]),
        female=(frame["gender"] == "F").astype(int),
        admission=_seconds(frame["intime"]),
    )
    frame = keep(
        f"{rules.min_age} years or older", frame, frame["age"] >= rules.min_age
    )
    frame = keep(
        "intravenous heparin in the ICU",
        frame,
        frame["icustay_id"].isin(doses.charted),
    )
    dripped = set(doses.infusions["icustay_id"]) | doses.doubtful
    frame = keep(
        "continuous infusion, not pushes alone",
        frame,
        frame["icustay_id"].isin(dripped),
    )
    frame = keep(
        "unit of the rate beyond doubt",
        frame,
        ~frame["icustay_id"].isin(doses.doubtful),
    )
    frame = _windows(frame, doses, rules)
    frame = keep(
        "first dose between 24 h before ICU admission and discharge",
        frame,
        frame["in_stay"],
    )
    frame = keep(
        f"followed for {rules.min_hours} hours from the first dose",
        frame,
        frame["hours"] >= rules.min_hours,
    )
    frame = frame.sort_values(["subject_id", "start", "icustay_id"], ignore_index=True)
    columns = ["subject_id", "icustay_id", "age", "female", "start", "admission"]
    return frame[[*columns, "hours", "died"]], flow


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
    n_test = round(test * distinct.size)
    n_validation = round(validation * distinct.size)
    part = np.full(distinct.size, _TRAIN, np.int8)
    part[:n_test] = _TEST
    part[n_test : n_test + n_validation] = _VALIDATION
    # Numbers are random already, so the first of them are a random choice.
    return number[index].astype(np.int32), part[number[index]]


def windows(cohort: pd.DataFrame, hold_hours: float) -> pd.DataFrame:
    """The times in which a record can matter to each stay.

    Args:
      cohort: columns of `select`.
      hold_hours: how long before the first dose a value may still be held.

    Returns:
      Columns stay, subject_id, since, weight_since, until.
    """
    start = cohort["start"].to_numpy(np.int64)
    since = start - int(hold_hours * HOUR)
    admitted = cohort["admission"].to_numpy(np.int64) - _BEFORE_ADMISSION
    until = start + cohort["hours"].to_numpy(np.int64) * HOUR
    return pd.DataFrame(
        {
            "stay": np.arange(len(cohort)),
            "subject_id": cohort["subject_id"].to_numpy(np.int64),
            "since": _times(since),
            "weight_since": _times(np.minimum(since, admitted)),
            "until": _times(until),
        }
    )


def dose_matrix(cohort: pd.DataFrame, doses: Doses) -> np.ndarray:
    """Hourly doses of all stays end to end, [M] U/h."""
    infusions = {k: v for k, v in doses.infusions.groupby("icustay_id")}
    pushes = {k: v for k, v in doses.pushes.groupby("icustay_id")}
    none = doses.pushes.iloc[:0]
    return np.concatenate(
        [
            heparin_doses.hourly(
                infusions[row.icustay_id],
                pushes.get(row.icustay_id, none),
                int(row.start),
                int(row.hours),
            )
            for row in cohort.itertuples()
        ]
    )


def metavision_weights(frame: pd.DataFrame, cohort: pd.DataFrame) -> np.ndarray:
    """Weight on the heparin orders at or before the first dose, [N] kg or NaN.

    Args:
      frame: columns of `selections.heparin_metavision`.
      cohort: columns of `select`.

    Returns:
      The last such weight within the limits, used where none was charted.
    """
    limits = items.VARIABLES["weight"]
    frame = frame.assign(time=_seconds(frame["starttime"]))
    frame = frame[frame["patientweight"].between(limits.low, limits.high)]
    merged = cohort.reset_index(names="stay").merge(frame, on="icustay_id")
    merged = merged[merged["time"] <= merged["start"]]
    merged = merged.sort_values(["stay", "time", "patientweight"])
    last = merged.groupby("stay")["patientweight"].last()
    return last.reindex(np.arange(len(cohort))).to_numpy(np.float64)


def _windows(frame: pd.DataFrame, doses: Doses, rules: Rules) -> pd.DataFrame:
    drips = doses.infusions.groupby("icustay_id").agg(
        first=("start", "min"), last=("end", "max")
    )
    frame = frame.join(drips, on="icustay_id")
    start = frame["first"].astype("int64")
    # The bolus that opens treatment is charted minutes before its infusion.
    pushes = doses.pushes.merge(frame[["icustay_id", "first"]], on="icustay_id")
    opening = pushes[
        (pushes["time"] < pushes["first"])
        & (pushes["time"] >= pushes["first"] - heparin_doses.PUSH_REACH)
    ]
    opening = opening.groupby("icustay_id")["time"].min()
    opened = frame["icustay_id"].map(opening)
    start = start.where(opened.isna(), opened.fillna(0).astype("int64"))
    death = frame["deathtime"].notna().to_numpy()
    died_at = np.where(death, _seconds(frame["deathtime"]), np.iinfo(np.int64).max)
    discharge = _seconds(frame["outtime"])
    end = np.minimum(discharge, died_at)
    cut = end.copy()
    if rules.tail_hours is not None:
        tail = frame["last"].to_numpy(np.int64) + int(rules.tail_hours * HOUR)
        cut = np.minimum(end, tail)
    hours = (cut - start.to_numpy()) // HOUR
    early = start.to_numpy() >= frame["admission"].to_numpy() - _BEFORE_ADMISSION
    return frame.assign(
        start=start,
        hours=np.minimum(hours, rules.max_hours),
        # The charted time of death and of leaving the unit differ by minutes.
        died=(died_at <= discharge + HOUR) & (cut == end) & (hours <= rules.max_hours),
        in_stay=early & (start.to_numpy() < discharge),
    )


def _seconds(times: pd.Series) -> np.ndarray:
    return times.to_numpy("datetime64[s]").astype(np.int64)


def _times(seconds: np.ndarray) -> np.ndarray:
    return seconds.astype("datetime64[s]").astype("datetime64[us]")

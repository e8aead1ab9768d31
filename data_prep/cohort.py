"""Who is in: adults on intravenous heparin in the ICU, 7 to 72 h from the first dose.

The clock of a stay starts with its first dose, which may lie before the charted ICU
admission. Nothing here looks at what happens after the window except its length.
"""

import dataclasses

import numpy as np
import pandas as pd

from data_prep import clock as clock_lib
from data_prep import heparin_doses, items, people
from data_prep.clock import HOUR
from data_prep.heparin_doses import Doses


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


def select(
    stays: pd.DataFrame, doses: Doses, rules: Rules
) -> tuple[pd.DataFrame, people.Sieve]:
    """Applies the rules in order.

    Args:
      stays: columns of `selections.stays`.
      doses: heparin of all stays.
      rules: the rules.

    Returns:
      The cohort, sorted by patient and first dose, with the columns subject_id,
      icustay_id, age, female, start (seconds since 1970 of the first dose), admission
      (the same of the ICU admission), hours (T) and died (the window ends in death);
      and the sieve with its flow.
    """
    sieve = people.Sieve("ICU stays", stays)
    frame = people.adults(stays, rules.min_age, sieve)
    frame = sieve.keep(
        "intravenous heparin in the ICU",
        frame,
        frame["icustay_id"].isin(doses.charted),
    )
    dripped = set(doses.infusions["icustay_id"]) | doses.doubtful
    frame = sieve.keep(
        "continuous infusion, not pushes alone",
        frame,
        frame["icustay_id"].isin(dripped),
    )
    frame = sieve.keep(
        "unit of the rate beyond doubt",
        frame,
        ~frame["icustay_id"].isin(doses.doubtful),
    )
    frame = _windows(frame, doses, rules)
    frame = sieve.keep(
        "first dose between 24 h before ICU admission and discharge",
        frame,
        frame["in_stay"],
    )
    frame = sieve.keep(
        f"followed for {rules.min_hours} hours from the first dose",
        frame,
        frame["hours"] >= rules.min_hours,
    )
    frame = frame.sort_values(["subject_id", "start", "icustay_id"], ignore_index=True)
    columns = ["subject_id", "icustay_id", "age", "female", "start", "admission"]
    return frame[[*columns, "hours", "died"]], sieve


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
    frame = frame.assign(time=clock_lib.seconds(frame["starttime"]))
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
    died_at = np.where(
        death, clock_lib.seconds(frame["deathtime"]), np.iinfo(np.int64).max
    )
    discharge = clock_lib.seconds(frame["outtime"])
    end = np.minimum(discharge, died_at)
    cut = end.copy()
    if rules.tail_hours is not None:
        tail = frame["last"].to_numpy(np.int64) + int(rules.tail_hours * HOUR)
        cut = np.minimum(end, tail)
    hours = (cut - start.to_numpy()) // HOUR
    early = start.to_numpy() >= frame["admission"].to_numpy() - people.BEFORE_ADMISSION
    return frame.assign(
        start=start,
        hours=np.minimum(hours, rules.max_hours),
        # The charted time of death and of leaving the unit differ by minutes.
        died=(died_at <= discharge + HOUR) & (cut == end) & (hours <= rules.max_hours),
        in_stay=early & (start.to_numpy() < discharge),
    )

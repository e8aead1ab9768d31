"""Who is in: adults with suspected infection whose SOFA score rose, and from when.

First everyone in whom infection was suspected around an ICU stay (`candidates`); for
these the organs are scored hour by hour (`organs`); the first hour that qualifies near
any of the suspicions is the onset, and the stay is followed around it (`septic`).
"""

import numpy as np
import pandas as pd

from data_prep import people
from data_prep.clock import HOUR, Clock, seconds
from data_prep.hold import last_before
from data_prep.sepsis import organs
from data_prep.sepsis.config import Config

SOFA_BEFORE, SOFA_AFTER = 48 * HOUR, 24 * HOUR
"""Seconds before and after a suspicion in which the SOFA score counts."""

SOFA_RISE = 2
"""Points by which it must have risen, from zero."""

LOOK_BACK = organs.HOURS
"""Hours scored before the first that counts, as a score is the worst of so many."""

_NEVER = np.iinfo(np.int64).max


def candidates(
    stays: pd.DataFrame, suspected: pd.DataFrame, config: Config
) -> tuple[pd.DataFrame, people.Sieve]:
    """Adults in whom infection was suspected from 24 h before to 48 h after the ICU.

    Args:
      stays: columns of `selections.stays`.
      suspected: columns of `infection.suspicions`.
      config: what to extract.

    Returns:
      The candidates, with the further columns begin (first hour scored for itself),
      start (`LOOK_BACK` hours earlier, the start of the hourly clock), end (all in
      seconds since 1970) and hours (steps of that clock); and the sieve.
    """
    sieve = people.Sieve("ICU stays", stays)
    frame = people.adults(stays, config.min_age, sieve)
    left = seconds(frame["outtime"])
    # The charted time of death and of leaving the unit differ by minutes.
    death = np.where(frame["deathtime"].notna(), seconds(frame["deathtime"]), _NEVER)
    frame = frame.assign(end=np.minimum(left, death), death=death, left=left)
    near = _suspicions_near(frame, suspected).groupby("icustay_id")["time"]
    first, last = (frame["icustay_id"].map(time) for time in (near.min(), near.max()))
    frame = sieve.keep("infection suspected around the ICU stay", frame, first.notna())
    first, last = (time[time.notna()].to_numpy(np.int64) for time in (first, last))
    reach = SOFA_BEFORE + config.before_hours * HOUR
    begin = np.maximum(frame["admission"].to_numpy(np.int64), first - reach)
    until = last + SOFA_AFTER + config.after_hours * HOUR
    end = np.minimum(frame["end"].to_numpy(np.int64), until)
    frame = frame.assign(
        begin=begin,
        start=begin - LOOK_BACK * HOUR,
        end=end,
        hours=(end - begin) // HOUR + LOOK_BACK,
    )
    frame = sieve.keep("alive and in the ICU around it", frame, frame["begin"] < end)
    return frame.sort_values(
        ["subject_id", "admission", "icustay_id"], ignore_index=True
    ), sieve


def hourly_clock(frame: pd.DataFrame) -> Clock:
    """The clock on which candidates are scored."""
    return Clock(frame["hours"].to_numpy(np.int64))


def septic(
    frame: pd.DataFrame,
    suspected: pd.DataFrame,
    score: np.ndarray,
    config: Config,
    sieve: people.Sieve,
) -> pd.DataFrame:
    """Those whose SOFA score rose, around its rise.

    Args:
      frame: the candidates.
      suspected: columns of `infection.suspicions`.
      score: [R] SOFA score on the rows of `hourly_clock`.
      config: what to extract.
      sieve: counts those left out.

    Returns:
      The cohort, with the further columns candidate (its number among them), onset,
      steps, window_died (the stay ends in death) and with start and end as those of
      the state's clock.
    """
    onset = first_rise(frame, suspected, score)
    frame = frame.assign(onset=onset, candidate=np.arange(len(frame)))
    rule = f"SOFA {SOFA_RISE} or more, 48 h before to 24 h after the suspicion"
    frame = sieve.keep(rule, frame, frame["onset"] >= 0)
    onset = frame["onset"].to_numpy(np.int64)
    start = np.maximum(
        frame["begin"].to_numpy(np.int64), onset - config.before_hours * HOUR
    )
    end = np.minimum(frame["end"].to_numpy(np.int64), onset + config.after_hours * HOUR)
    died_in_unit = frame["death"] <= frame["left"] + HOUR
    at_end = end >= np.minimum(frame["death"], frame["left"])
    frame = frame.assign(
        start=start,
        end=end,
        steps=(end - start) // (config.step_hours * HOUR),
        window_died=died_in_unit & at_end,
    )
    frame = sieve.keep(
        f"followed for {config.min_steps} steps or more",
        frame,
        frame["steps"] >= config.min_steps,
    )
    again = frame.duplicated("hadm_id")
    return sieve.keep("first such stay of the admission", frame, ~again)


def first_rise(
    frame: pd.DataFrame, suspected: pd.DataFrame, score: np.ndarray
) -> np.ndarray:
    """The onset of sepsis, [N] seconds since 1970, -1 where SOFA never rose.

    An hour counts near any suspicion. The first of them is also the first near the
    earliest suspicion that has one, as suspicions move their hours along with them.

    Args:
      frame: columns subject_id, icustay_id, admission, start, end and hours of the
        candidates.
      suspected: columns of `infection.suspicions`.
      score: [R] SOFA score on the rows of `hourly_clock`.
    """
    stay, hour = hourly_clock(frame).rows()
    start = frame["start"].to_numpy(np.int64)
    now = start[stay] + hour * HOUR
    near = _suspicions_near(frame, suspected)
    place = pd.Series(np.arange(len(frame)), index=frame["icustay_id"])
    own = place[near["icustay_id"]].to_numpy(np.int64)
    time = near["time"].to_numpy(np.int64) - start[own]
    order = np.lexsort((time, own))
    own, time = own[order], time[order]
    latest = last_before(own, time, stay, hour * HOUR + SOFA_BEFORE)
    counts = (latest >= 0) & (time[latest] >= hour * HOUR - SOFA_AFTER)
    counts &= (hour >= LOOK_BACK) & (score >= SOFA_RISE)
    first = np.full(len(frame), _NEVER)
    np.minimum.at(first, stay[counts], now[counts])
    return np.where(first < _NEVER, first, -1)


def mortality(cohort: pd.DataFrame, kind: str) -> np.ndarray:
    """Who died, [N] bool: in "hospital", or within "90_days" of ICU admission.

    A death in hospital counts though no date of it stands with the patient; one whose
    date is not recorded at all counts as one within 90 days.
    """
    in_hospital = cohort["expired"].to_numpy(np.float64, na_value=0.0) == 1
    if kind == "hospital":
        return in_hospital
    died = in_hospital & (cohort["dod"].isna() & cohort["deathtime"].isna()).to_numpy()
    for date in (cohort["dod"], cohort["deathtime"]):
        # Dates of death have no hour; the day counts as a whole.
        days = (seconds(date) - cohort["admission"].to_numpy()) / (24 * HOUR)
        died |= date.notna().to_numpy() & (days <= 90)
    return died


def _suspicions_near(frame: pd.DataFrame, suspected: pd.DataFrame) -> pd.DataFrame:
    """The suspicions whose hours overlap each ICU stay: icustay_id and time."""
    pairs = frame[["subject_id", "icustay_id", "admission", "end"]].merge(
        suspected, on="subject_id"
    )
    near = (pairs["time"] + SOFA_AFTER >= pairs["admission"]) & (
        pairs["time"] - SOFA_BEFORE <= pairs["end"]
    )
    return pairs.loc[near, ["icustay_id", "time"]]

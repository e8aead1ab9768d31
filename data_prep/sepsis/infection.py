"""Suspected infection: antibiotics and a culture close together (Sepsis-3).

Seymour et al., JAMA 2016;315:762-774: the culture first and the antibiotic within 72
hours, or the antibiotic first and the culture within 24 hours; infection is suspected
from the earlier of the two on.

A record may say on which day something happened, not when: MIMIC-III's prescriptions
have dates alone, and some cultures too. Every event is therefore an interval, a day or
a moment, and a pair stands as near together as its intervals allow. On one day the
antibiotic counts as given at the time of the culture; on a later day at its first
second; on a day before the culture at its last. So no pair is lost for want of a time,
and the suspicion is late by less than a day where only the antibiotic's day is known
and it came first.
"""

import numpy as np
import pandas as pd

from data_prep.clock import HOUR, seconds

CULTURE_FIRST = 72 * HOUR
ANTIBIOTIC_FIRST = 24 * HOUR
_DAY = 24 * HOUR

_PATIENTS = 1000
"""Paired at one time: a long stay has hundreds of cultures and of prescriptions."""


def suspicions(
    antibiotics: pd.DataFrame, cultures: pd.DataFrame, by_day: bool
) -> pd.DataFrame:
    """Every time at which infection was suspected.

    Args:
      antibiotics: columns subject_id and time.
      cultures: columns subject_id, day and time (missing where only the day is known).
      by_day: the antibiotics' times are dates.

    Returns:
      Columns subject_id and time (seconds since 1970), sorted, without repetition.
    """
    drug = _intervals(antibiotics["subject_id"], antibiotics["time"], by_day)
    exact = cultures[cultures["time"].notna()]
    dated = cultures[cultures["time"].isna()]
    taken = pd.concat(
        [
            _intervals(exact["subject_id"], exact["time"], False),
            _intervals(dated["subject_id"], dated["day"], True),
        ]
    )
    both = np.intersect1d(drug["subject_id"], taken["subject_id"])
    parts = [
        _paired(*(events[events["subject_id"].isin(some)] for events in (drug, taken)))
        for some in np.split(both, np.arange(_PATIENTS, both.size, _PATIENTS))
    ]
    return pd.concat(parts).sort_values(["subject_id", "time"], ignore_index=True)


def suspicion(
    first_drug: np.ndarray,
    last_drug: np.ndarray,
    first_culture: np.ndarray,
    last_culture: np.ndarray,
) -> np.ndarray:
    """When infection was suspected by each pair of an antibiotic and a culture.

    Args:
      first_drug: [P] earliest time of the antibiotic, seconds.
      last_drug: [P] latest time.
      first_culture: [P] earliest time of the culture.
      last_culture: [P] latest time.

    Returns:
      [P] the earlier of the two times, -1 where they do not belong together.
    """
    # As near together as the intervals allow; the earliest common moment if they meet.
    together = np.maximum(first_drug, first_culture)
    drug = np.where(last_drug < first_culture, last_drug, together)
    culture = np.where(last_culture < first_drug, last_culture, together)
    gap = drug - culture
    belongs = (gap <= CULTURE_FIRST) & (gap >= -ANTIBIOTIC_FIRST)
    return np.where(belongs, np.minimum(drug, culture), -1)


def _paired(drug: pd.DataFrame, taken: pd.DataFrame) -> pd.DataFrame:
    """The suspicions that antibiotics and cultures of the same patients make."""
    pairs = drug.merge(taken, on="subject_id", suffixes=("_drug", "_culture"))
    found = suspicion(
        *(
            pairs[name].to_numpy(np.int64)
            for name in ("first_drug", "last_drug", "first_culture", "last_culture")
        )
    )
    kept = found >= 0
    return pd.DataFrame(
        {"subject_id": pairs["subject_id"].to_numpy()[kept], "time": found[kept]}
    ).drop_duplicates()


def _intervals(subjects: pd.Series, times: pd.Series, by_day: bool) -> pd.DataFrame:
    first = seconds(times)
    if by_day:
        first = first // _DAY * _DAY
    last = first + (_DAY - 1 if by_day else 0)
    return pd.DataFrame(
        {"subject_id": subjects.to_numpy(), "first": first, "last": last}
    )

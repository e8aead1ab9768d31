"""Suspected infection: which pairs of antibiotic and culture count, and from when."""

import numpy as np
import pandas as pd
import pytest

from data_prep.clock import HOUR
from data_prep.sepsis import infection

DAY = 24 * HOUR


@pytest.mark.parametrize(
    ("drug", "culture", "expected"),
    [
        (10, 10, 10),
        # The culture first: 72 hours.
        (10 + 72, 10, 10),
        (10 + 72.01, 10, None),
        # The antibiotic first: 24 hours.
        (10, 10 + 24, 10),
        (10, 10 + 24.01, None),
    ],
)
def test_moments(drug, culture, expected):
    drug, culture = np.array([drug * HOUR]), np.array([culture * HOUR])
    found = infection.suspicion(drug, drug, culture, culture)
    assert found.tolist() == [-1 if expected is None else expected * HOUR]


@pytest.mark.parametrize(
    ("culture", "expected"),
    [
        # On the day of the antibiotic (day 10): at the time of the culture.
        (10 * DAY + 15 * HOUR, 10 * DAY + 15 * HOUR),
        # Before: to the first second of the day it is 72 hours or less.
        (7 * DAY, 7 * DAY),
        (7 * DAY - 1, -1),
        # After: from its last second it is 24 hours or less.
        (12 * DAY - 1, 11 * DAY - 1),
        (12 * DAY, -1),
    ],
)
def test_an_antibiotic_known_by_its_day(culture, expected):
    first, last = np.array([10 * DAY]), np.array([11 * DAY - 1])
    at = np.array([culture])
    assert infection.suspicion(first, last, at, at).tolist() == [expected]


def test_two_days_meet_at_the_first_common_moment():
    day = np.array([10 * DAY]), np.array([11 * DAY - 1])
    assert infection.suspicion(*day, *day).tolist() == [10 * DAY]


def test_patients_are_not_mixed_and_days_stand_for_missing_times():
    time = pd.to_datetime
    antibiotics = pd.DataFrame(
        {
            "subject_id": [1, 2, 3],
            "time": time(["2150-01-02", "2150-01-02", "2150-01-02"]),
        }
    )
    cultures = pd.DataFrame(
        {
            "subject_id": [1, 2, 2, 9],
            "day": time(["2150-01-02", "2150-01-01", "2160-01-01", "2150-01-02"]),
            "time": time(["2150-01-02 07:30", None, None, "2150-01-02 07:30"]),
        }
    )
    found = infection.suspicions(antibiotics, cultures, by_day=True)
    assert found["subject_id"].tolist() == [1, 2]
    times = found["time"].to_numpy().astype("datetime64[s]").astype(str).tolist()
    assert times == ["2150-01-02T07:30:00", "2150-01-01T23:59:59"]


def test_patients_are_paired_in_blocks(monkeypatch):
    rng = np.random.default_rng(0)
    time = pd.Timestamp("2150-01-01") + pd.to_timedelta(rng.integers(0, 500, 80), "h")
    subject = rng.integers(0, 7, 80)
    antibiotics = pd.DataFrame({"subject_id": subject[:40], "time": time[:40]})
    cultures = pd.DataFrame({"subject_id": subject[40:], "time": time[40:]})
    cultures = cultures.assign(day=cultures["time"])
    whole = infection.suspicions(antibiotics, cultures, by_day=False)
    monkeypatch.setattr(infection, "_PATIENTS", 3)
    blocks = infection.suspicions(antibiotics, cultures, by_day=False)
    pd.testing.assert_frame_equal(whole, blocks)
    assert len(whole) > 20


def test_exact_times_of_antibiotics_are_taken_as_they_are():
    antibiotics = pd.DataFrame(
        {"subject_id": [1], "time": pd.to_datetime(["2150-01-02 20:00"])}
    )
    cultures = pd.DataFrame(
        {
            "subject_id": [1, 1],
            "day": pd.to_datetime(["2150-01-03", "2150-01-04"]),
            "time": pd.to_datetime(["2150-01-03 19:00", "2150-01-03 21:00"]),
        }
    )
    found = infection.suspicions(antibiotics, cultures, by_day=False)
    # The second culture came an hour too late.
    assert len(found) == 1
    assert pd.to_datetime(found["time"], unit="s")[0] == antibiotics["time"][0]

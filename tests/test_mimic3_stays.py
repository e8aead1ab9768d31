"""Trap 12, who is taken into the cohort, and when a stay ends."""

import datetime

import pandas as pd
from mimic3_records import Records, one

from data_prep import people


def test_trap_12_ages_of_300_are_grouped_at_90(tmp_path):
    records = Records()
    for subject, born in ((1, "1850-06-01"), (2, "2060-06-01"), (3, "2061-06-01")):
        stay = records.adult(subject, born=f"{born} 00:00:00")
        records.drip(stay, 0, 4, 1000.0)
    outcome = records.build(tmp_path, validation=0.0, test=0.0)
    assert sorted(outcome.feature("age", i)[0] for i in range(3)) == [89, 90, 90]


def test_trap_12_age_by_the_parts_of_the_dates():
    born = pd.Series(["2100-06-02", "2100-06-01", "1832-01-01"]).astype("datetime64[s]")
    at = pd.Series([datetime.datetime(2118, 6, 1, 8)] * 3).astype("datetime64[s]")
    assert people.age_in_years(born, at).tolist() == [17, 18, 90]


def test_minors_and_short_stays_are_left_out(tmp_path):
    records = Records()
    for subject, born, hours in (
        (1, "2100-01-01", 12.5),
        (2, "2133-01-01", 12.5),
        (3, "2100-01-01", 6.9),
        (4, "2100-01-01", 100.0),
    ):
        stay = records.adult(subject, born=f"{born} 00:00:00", hours=hours)
        records.drip(stay, 0, 4, 1000.0)
    outcome = records.build(tmp_path, validation=0.0, test=0.0)
    flow = outcome.remaining()
    assert flow["18 years or older"] == ("1", "3")
    assert flow["followed for 7 hours from the first dose"] == ("1", "2")
    assert sorted(outcome.arrays.lengths.tolist()) == [12, 72]


def test_pushes_alone_are_no_treatment(tmp_path):
    records = Records()
    first, second = records.adult(1), records.adult(2)
    records.drip(first, 0, 4, 1000.0)
    for hour in (0, 8):
        records.push(second, hour, 5000.0)
    outcome = records.build(tmp_path)
    assert outcome.arrays.lengths.size == 1
    flow = outcome.remaining()
    assert flow["intravenous heparin in the ICU"] == ("0", "2")
    assert flow["continuous infusion, not pushes alone"] == ("1", "1")


def test_stays_without_aptt_are_left_out_by_choice(tmp_path):
    records = Records()
    for subject in (1, 2):
        stay = records.adult(subject)
        records.drip(stay, 0, 4, 1000.0)
    records.rows["labevents"] = [
        row
        for row in records.rows["labevents"]
        if (row["subject_id"], row["itemid"]) != (2, 51275)
    ]
    shares = {"validation": 0.0, "test": 0.0}
    outcome = records.build(tmp_path, **shares)
    assert outcome.remaining()["aPTT measured at least once"] == ("1", "1")
    assert (
        records.build(tmp_path, require_aptt=False, **shares).arrays.lengths.size == 2
    )


def test_death_ends_an_episode_and_discharge_only_its_recording(tmp_path):
    records = Records()
    for subject, death in ((1, 9.2), (2, None), (3, 200.0)):
        stay = records.adult(subject, death=death, hours=12.5)
        records.drip(stay, 0, 4, 1000.0)
    outcome = records.build(tmp_path, validation=0.0, test=0.0)
    ended = dict(
        zip(
            outcome.arrays.lengths.tolist(),
            outcome.arrays.terminals.tolist(),
            strict=True,
        )
    )
    assert ended == {9: True, 12: False}


def test_tail_cuts_a_stay_after_its_last_infusion(tmp_path):
    outcome = one(tmp_path, lambda r, s: None, tail_hours=5.0)
    assert outcome.arrays.lengths.tolist() == [9]
    assert not outcome.arrays.terminals.any()

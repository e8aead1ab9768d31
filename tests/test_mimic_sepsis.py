"""The sepsis cohort on hand-made records: who, from when, knowing what."""

import numpy as np
import pytest
from sepsis_records import build

from omgrl_jax.data import dataset


def prescribed(drug, route, culture):
    """A suspicion in place of the one that came too late."""

    def fill(records, subject, stay):
        records.culture(subject, 2.0, culture)
        records.antibiotic(subject, 2.0, drug, route)

    return {"suspected": 500.0}, fill


def organs(records, subject, stay):
    records.lab(subject, 50885, 9.0, 7.0)  # bilirubin: 3 points
    records.lab(subject, 50912, 13.0, 2.5)  # creatinine: 2
    records.chart(subject, 220052, 17.0, 60)  # mean blood pressure: 1
    records.chart(subject, 223901, 21.0, 4, text="Flex-withdraws")  # GCS 13: 1


def devices(records, subject, stay):
    for hour, item, text in (
        (3.0, 226732, "Nasal cannula"),
        (7.0, 223849, "CMV/ASSIST"),
        (11.5, 226732, "Other"),
        (15.5, 226732, "Face tent"),
    ):
        records.chart(subject, item, hour, None, text=text)


def again(records, subject, hour):
    """Another suspicion."""
    records.culture(subject, hour)
    records.antibiotic(subject, hour)


WARD = (
    (1, {}, None),
    (2, {"hours": 90.0, "sick_at": 30.0, "suspected": 20.0, "treated": 0}, None),
    # Infection suspected 48 hours after the ICU; SOFA up an hour late; 7.9 hours.
    (3, {"suspected": 79.0}, None),
    (4, {"sick_at": 27.0, "hours": 40.0, "treated": 0}, None),
    (5, {"hours": 7.9, "sick_at": 1.0}, None),
    (6, {"sick_at": 26.0, "hours": 40.0, "treated": 0}, None),
    (7, *prescribed("CefePIME", "IV DRIP", "URINE")),
    (8, *prescribed("Vancomycin", "IV", "MRSA SCREEN")),
    (9, *prescribed("Erythromycin 0.5% Ophth Oint", "OU", "BLOOD CULTURE")),
    (10, *prescribed("Heparin", "IV", "BLOOD CULTURE")),
    # A second ICU stay of the same admission.
    (11, {"hours": 20.5}, lambda r, n, s: r.stay(n, 9500, 5011, 21.0, 50.0)),
    (12, {"treated": 0}, organs),
    (13, {"urine": 30.0}, None),
    (14, {}, lambda r, n, s: r.lab(n, 50813, 9.0, 5.0)),
    (15, {}, devices),
    (16, {"death": 13.0}, None),
    (17, {"dod": "2150-08-20 00:00:00"}, None),
    # Suspected before surgery: its hours end at hour 1. Again at hour 20, whose hours
    # begin long before platelets fall.
    (18, {"suspected": -23.0}, lambda r, n, s: again(r, n, 20.0)),
    # The second suspicion's hours begin at hour 12, after SOFA rose and still is up.
    (19, {"suspected": -23.0, "hours": 70.0}, lambda r, n, s: again(r, n, 60.0)),
)


@pytest.fixture(scope="module")
def ward(tmp_path_factory):
    """One cohort of many patients, each of whom shows one thing."""
    return build(tmp_path_factory.mktemp("ward"), *WARD)


def test_who_is_in(ward):
    dataset.validate(ward.built.schema, ward.arrays)
    assert ward.subjects() == [1, 2, 6, 7, 11, 12, 13, 14, 15, 16, 17, 18, 19]
    flow = list(ward.remaining().items())
    assert [(text.split(",")[0], *n) for text, n in flow] == [
        ("ICU stays", "0", "20"),
        ("age", "0", "20"),
        ("18 years or older", "0", "20"),
        ("infection suspected around the ICU stay", "4", "16"),
        ("alive and in the ICU around it", "0", "16"),
        ("SOFA 2 or more", "1", "15"),
        ("followed for 2 steps or more", "1", "14"),
        ("first such stay of the admission", "1", "13"),
    ]


def test_a_stay_from_its_onset(ward):
    stay = ward.stay_of(1)
    # Platelets fall at hour 4; the ICU admission lies less than 24 hours before, so it
    # is row 0; the unit is left after 30.5 hours: seven whole steps.
    assert ward.arrays.lengths[stay] == 7
    hours = ward.feature("icu_hours", stay)
    np.testing.assert_array_equal(hours, [0, 4, 8, 12, 16, 20, 24, 28])
    assert ward.feature("sofa", stay)[:3].tolist() == [0, 2, 5]
    assert ward.feature("platelets", stay)[:3].tolist() == [200, 90, 90]
    assert ward.feature("gender", stay)[0] == 1
    # The single weight, charted at the ICU admission; PaO2 of 200 over FiO2 of .4.
    assert ward.feature("weight", stay).tolist() == [80] * 8
    np.testing.assert_allclose(ward.feature("pao2_fio2", stay), [500] * 8)
    np.testing.assert_allclose(ward.feature("shock_index", stay), [80 / 120] * 8)
    assert ward.feature("gcs", stay).tolist() == [15] * 8


def test_a_window_is_24_hours_before_to_48_after_the_onset(ward):
    # SOFA rises at hour 30.
    hours = ward.feature("icu_hours", ward.stay_of(2))
    assert (hours[0], hours[-1]) == (30 - 24, 30 + 48)
    # The last hour that counts lies 24 hours after the suspicion at hour 2.
    assert ward.feature("icu_hours", ward.stay_of(6))[0] == 26 - 24


def test_the_first_suspicion_with_a_qualifying_hour_counts(ward):
    """The earliest alone would leave both out: SOFA rises at hour 4."""
    assert ward.feature("icu_hours", ward.stay_of(18))[[0, -1]].tolist() == [0, 28]
    # The onset is hour 12, where the hours of the second suspicion begin.
    assert ward.feature("icu_hours", ward.stay_of(19))[[0, -1]].tolist() == [0, 60]


def test_hourly_steps(tmp_path):
    outcome = build(tmp_path, (1, {}, None), config={"step_hours": 1})
    assert outcome.arrays.lengths.tolist() == [30]
    assert outcome.feature("icu_hours")[:6].tolist() == [0, 1, 2, 3, 4, 5]
    assert outcome.built.schema.step_hours == 1.0
    np.testing.assert_allclose(outcome.given()[3:7, 0], [0, 200, 200, 0])


def test_no_record_reaches_a_row_before_it_was_charted(tmp_path, ward):
    """One second after a row's time is too late for it; at its time is not."""

    def charted(hour):
        def fill(records, subject, stay):
            records.chart(subject, 220045, hour, 133)
            records.passed(stay, hour, 300.0)
            records.lab(subject, 50813, hour, 7.0)
            records.sampled(stay, 30018, hour, amount=111.0, amountuom="ml")

        return fill

    outcome = build(
        tmp_path, (1, {}, None), (2, {}, charted(8.0)), (3, {}, charted(8 + 1 / 3600))
    )
    plain, known, late = (outcome.stay_of(subject) for subject in (1, 2, 3))
    row = 2
    for name in ("lactate", "urine_last", "fluid_last", "hr"):
        here = [outcome.feature(name, stay)[row] for stay in (plain, known, late)]
        assert here[0] == here[2] != here[1], name
    features = outcome.arrays.observations
    static = 2  # age and sex are those of other patients
    begin = [outcome.rows(stay).start for stay in (plain, late)]
    until_row = [features[b : b + row + 1, static:] for b in begin]
    np.testing.assert_array_equal(*until_row)
    for name in ("mbp", "lactate", "urine"):
        values = [outcome.channel(name, "values", stay) for stay in (plain, late)]
        np.testing.assert_array_equal(values[0][: row + 1], values[1][: row + 1])
    # What is given after a row is its action, and no part of its state.
    fluid = [outcome.given(stay)[:, 0] for stay in (plain, known, late)]
    np.testing.assert_allclose(fluid[1] - fluid[0], [0, 111, 0, 0, 0, 0, 0])
    np.testing.assert_allclose(fluid[2] - fluid[0], [0, 0, 111, 0, 0, 0, 0])


def test_no_state_knows_that_sepsis_will_begin(tmp_path):
    """A later culture moves the onset from hour 4 to hour 12, and no earlier row."""
    early, late = (
        build(tmp_path / name, (1, {"hours": 70.0, "suspected": hour}, None))
        for name, hour in (("early", 2.0), ("late", 60.0))
    )
    rows = [outcome.arrays.observations for outcome in (early, late)]
    assert [len(states) for states in rows] == [(4 + 48) / 4 + 1, (12 + 48) / 4 + 1]
    np.testing.assert_array_equal(rows[0], rows[1][: len(rows[0])])


def test_rewards_of_a_stay(ward):
    stay = ward.stay_of(1)
    change = np.diff(ward.feature("sofa", stay))
    expected = np.where(change < 0, -0.1 * change, -0.25 * change)
    expected[-1] += 15
    np.testing.assert_allclose(ward.rewards(stay), expected, rtol=1e-6)
    assert ward.arrays.terminals.all()
    # One patient died at hour 13; of another only a later date of death is known.
    assert ward.arrays.lengths[ward.stay_of(16)] == 3
    assert ward.rewards(ward.stay_of(16))[-1] < -14
    assert ward.rewards(ward.stay_of(17))[-1] > 14


def test_organs_make_the_score(ward):
    # The last row no longer counts the platelets of 24 hours ago.
    score = ward.feature("sofa", ward.stay_of(12))
    assert score.tolist() == [0, 2, 2, 5, 7, 8, 9, 7]


def test_a_day_of_urine_counts_once_it_was_collected(ward):
    """30 mL every two hours: 3 points from hour 24 on, 60 mL in each step."""
    little, enough = ward.stay_of(13), ward.stay_of(1)
    change = ward.feature("sofa", little) - ward.feature("sofa", enough)
    assert change.tolist() == [0] * 6 + [3, 3]
    assert ward.feature("urine_last", little).tolist() == [0] + [60] * 7
    assert ward.feature("urine_total", little)[-1] == 420
    rate = ward.channel("urine", "values", little)
    np.testing.assert_allclose(rate[1:], 60 / 80 / 4, rtol=1e-6)
    measured = ward.channel("urine", "measured", little)
    assert measured.tolist() == [False] + [True] * 7


def test_channels_know_when_they_were_measured(ward):
    # Drawn at hours -1, 7, 9, 15 and 23; the rows stand at 0, 4, 8, 12, ...
    values, measured, ages = (
        ward.channel("lactate", field, ward.stay_of(14))[:5].tolist()
        for field in ("values", "measured", "ages")
    )
    assert values == [1.5, 1.5, 1.5, 5.0, 1.5]
    assert measured == [True, False, True, True, True]
    assert ages == [0, 1, 0, 0, 0]


def test_ventilation_from_devices_and_modes(ward):
    # "Other" says nothing; a mode stands for eight hours, a face tent ends it.
    found = ward.feature("ventilated", ward.stay_of(15))
    assert found.tolist() == [0, 0, 1, 1, 0, 0, 0, 0]


@pytest.mark.parametrize(
    ("policy", "score", "points"),
    [("charted", 11, 2), ("missing", 15, 0)],
)
def test_coma_score_of_intubated_patients(tmp_path, policy, score, points):
    def tube(records, subject, stay):
        records.chart(subject, 223900, 13.0, 1, text="No Response-ETT")

    outcome = build(
        tmp_path, (1, {}, None), (2, {}, tube), config={"intubated": policy}
    )
    plain, tubed = outcome.stay_of(1), outcome.stay_of(2)
    assert outcome.feature("gcs", tubed)[4] == score
    # A missing score is imputed from the other patient, and gives no points.
    found = outcome.feature("sofa", tubed)[4] - outcome.feature("sofa", plain)[4]
    assert found == points

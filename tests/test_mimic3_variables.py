"""Traps 6 to 11: what was known about a patient, and when."""

import numpy as np
import pytest
from mimic3_records import Records, one, two


def test_trap_6_weight_charted_after_the_first_dose_is_future(tmp_path):
    def fill(records, stay):
        records.chart(1, 763, 0.5, 110)

    weight = one(tmp_path, fill).feature("weight")
    # 80 kg was charted at admission; 110 kg half an hour too late.
    np.testing.assert_array_equal(weight, np.full(13, 80.0))


def test_trap_6_weight_from_long_before_is_used_and_absurd_ones_are_not(tmp_path):
    def fill(records, stay):
        records.chart(1, 763, -0.5, 0)
        records.chart(1, 763, -0.4, 800)

    outcome = one(tmp_path, fill)
    np.testing.assert_array_equal(outcome.feature("weight"), np.full(13, 80.0))
    assert outcome.repaired("weight", "outside the limits") == 2


def test_trap_6_pounds_charted_as_kilograms(tmp_path):
    def fill(records, stay):
        records.chart(1, 763, -0.5, 176)

    # 176 lb = 79.8 kg, beside 80 kg an hour earlier.
    assert one(tmp_path, fill).feature("weight")[0] == pytest.approx(79.83, abs=0.01)


def test_trap_6_admission_weight_in_pounds(tmp_path):
    def fill(records, stay):
        records.chart(1, 226531, -0.5, 200)

    assert one(tmp_path, fill).feature("weight")[0] == pytest.approx(90.72, abs=0.01)


def test_trap_6_without_any_weight_training_median_and_indicator(tmp_path):
    outcome, stay = two(
        tmp_path, lambda r, s: r.chart(1, 762, 3.0, 140), indicators=True
    )
    # The other patient's 80 kg; the 140 kg of hour 3 is future.
    np.testing.assert_array_equal(outcome.feature("weight", stay), np.full(13, 80.0))
    assert (outcome.feature("weight_missing", stay) == 1).all()
    assert (outcome.feature("weight_missing", 1 - stay) == 0).all()


def test_weight_of_the_heparin_order_where_none_was_charted(tmp_path):
    records = Records()
    stay = records.adult(complete=False)
    records.lab(1, 51275, -1.0, 60)
    records.drip(stay, 0, 2, 1000.0, patientweight=66.0)
    records.drip(stay, 2, 4, 900.0, patientweight=99.0)
    other = records.adult(2)
    records.drip(other, 0, 4, 1200.0)
    outcome = records.build(tmp_path, bins=4, validation=0.0, test=0.0)
    which = 0 if outcome.doses(0)[0] == 1000.0 else 1
    assert outcome.feature("weight", which)[0] == 66.0


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (150.0, "150"),
        (None, ">150"),
        (None, "> 150.0"),
        (None, "GREATER THAN 150"),
        (None, "150 IS HIGHEST MEASURED PTT"),
        (193.3, "193.3"),
    ],
)
def test_trap_7_aptt_of_150_is_censored_not_missing(tmp_path, number, text):
    outcome = one(tmp_path, lambda r, s: r.lab(1, 51275, 2.5, number, text))
    assert outcome.aptt("values")[2:5] == [60.0, 150.0, 150.0]
    assert outcome.aptt("censored")[2:5] == [False, True, True]
    assert outcome.aptt("measured")[:5] == [True, False, False, True, False]
    # Drawn an hour before the first dose; the next half an hour before row 3.
    assert outcome.aptt("ages")[:5] == [1.0, 2.0, 3.0, 0.0, 1.0]
    assert outcome.repaired("aptt", "censored") == 1


def test_trap_7_charted_copies_of_the_aptt_are_not_read(tmp_path):
    def fill(records, stay):
        for item in (825, 1533, 227466):
            records.chart(1, item, 2.5, 90)

    outcome = one(tmp_path, fill)
    assert outcome.aptt("values") == [60.0] * 13
    assert outcome.aptt("measured")[1:] == [False] * 12


def test_aptt_before_the_first_draw_is_the_training_median(tmp_path):
    records = Records()
    stay = records.adult(1, complete=False)
    records.drip(stay, 0, 4, 1000.0)
    records.lab(1, 51275, 4.5, 90)
    other = records.adult(2)
    records.drip(other, 0, 4, 1200.0)
    outcome = records.build(tmp_path, validation=0.0, test=0.0)
    which = 0 if outcome.doses(0)[0] == 1000.0 else 1
    # 13 rows of 60 s and 8 rows of 90 s: the median is 60 s.
    assert outcome.aptt("values", which)[:6] == [60.0] * 5 + [90.0]
    assert outcome.aptt("measured", which)[:6] == [False] * 5 + [True]
    assert outcome.aptt("ages", which)[:6] == [28.0, 29.0, 30.0, 31.0, 32.0, 0.0]


def test_trap_8_laboratory_rows_have_no_stay_and_stand_twice(tmp_path):
    def fill(records, stay):
        # The builder writes no hadm_id at all: patient and time decide.
        for number in (10.0, 14.0):
            records.lab(1, 51222, 1.5, number)
        records.lab(2, 51222, 1.6, 5.0)  # another patient

    outcome = one(tmp_path, fill)
    assert outcome.feature("hemoglobin")[:4].tolist() == [12.0, 12.0, 12.0, 12.0]
    assert outcome.repaired("hemoglobin", "averaged") == 1

    def turned(records, stay):
        for number in (15.0, 10.0):
            records.lab(1, 51222, 1.5, number)

    # The order of the rows decides nothing.
    assert one(tmp_path / "b", turned).feature("hemoglobin")[2] == 12.5


def test_trap_9_numbers_as_text_and_absurd_numbers(tmp_path):
    def fill(records, stay):
        records.lab(1, 51265, 1.5, None, "<5")
        records.lab(1, 50912, 1.5, None, "LESS THAN 0.4")
        records.lab(1, 50912, 3.5, 138.0)
        records.lab(1, 51237, 1.5, 27.0)
        records.lab(1, 51222, 1.5, None, "UNABLE TO REPORT")
        records.chart(1, 220050, 2.0, 11647)
        records.chart(1, 220210, 2.0, 118)

    outcome = one(tmp_path, fill)
    assert outcome.feature("platelets")[1:3].tolist() == [200.0, 5.0]
    np.testing.assert_allclose(outcome.feature("creatinine")[:5], [1, 1, 0.4, 0.4, 0.4])
    assert outcome.feature("inr")[2] == np.float32(1.1)
    assert outcome.feature("hemoglobin")[2] == 12.0
    assert outcome.feature("sbp")[2] == 120.0
    assert outcome.feature("rr")[2] == 18.0
    assert outcome.repaired("creatinine", "outside the limits") == 1
    assert outcome.repaired("creatinine", "number read from text") == 1
    assert outcome.repaired("hemoglobin", "no number") == 1


def test_trap_9_chart_rows_marked_as_error_are_dropped(tmp_path):
    def fill(records, stay):
        records.chart(1, 220210, 2.0, 33, error=1)
        records.chart(1, 220210, 4.0, 30, error=None)

    rate = one(tmp_path, fill).feature("rr")
    assert rate[:6].tolist() == [18.0, 18.0, 18.0, 18.0, 30.0, 18.0]


def test_systolic_not_above_diastolic_drops_the_pair(tmp_path):
    def fill(records, stay):
        records.chart(1, 220051, 2.0, 130)

    outcome = one(tmp_path, fill, indicators=True)
    assert outcome.feature("sbp_missing")[1:4].tolist() == [0, 1, 0]
    assert outcome.feature("dbp_missing")[1:4].tolist() == [0, 1, 0]
    assert outcome.repaired("sbp", "not above dbp") == 1


def test_arterial_line_outranks_the_cuff_of_the_same_second(tmp_path):
    def fill(records, stay):
        records.chart(1, 220179, 1.0, 90)

    assert one(tmp_path, fill).feature("sbp")[1] == 120.0


@pytest.mark.parametrize("specimen", ["VEN", "MIX", None])
def test_trap_10_carbon_dioxide_needs_an_arterial_specimen(tmp_path, specimen):
    outcome = one(tmp_path, lambda r, s: r.gas(1, 2.0, 60, specimen))
    assert outcome.feature("paco2")[1:4].tolist() == [40.0, 40.0, 40.0]
    assert outcome.repaired("paco2", "specimen") == 1
    arterial = one(tmp_path / "b", lambda r, s: r.gas(1, 2.0, 60, "ART"))
    assert arterial.feature("paco2")[1:4].tolist() == [40.0, 60.0, 60.0]


def test_total_carbon_dioxide_is_a_configuration(tmp_path):
    def fill(records, stay):
        for hour in (-1.0, 5.0):
            records.lab(1, 50804, hour, 25)

    outcome = one(tmp_path, fill, arterial_co2="total")
    assert outcome.feature("total_co2")[0] == 25.0
    units = {feature.name: feature.unit for feature in outcome.built.schema.features}
    assert units["total_co2"] == "mEq/L"
    assert "paco2" not in units


@pytest.mark.parametrize(
    ("rule", "score", "imputed"),
    [("charted", 11.0, 0), ("normal", 15.0, 0), ("missing", 15.0, 1)],
)
def test_trap_10_verbal_response_of_the_intubated(tmp_path, rule, score, imputed):
    def fill(records, stay):
        records.chart(1, 220739, 1.0, 4, "Spontaneously")
        records.chart(1, 223900, 1.0, 1, "No Response-ETT")
        records.chart(1, 223901, 1.0, 6, "Obeys Commands")

    outcome, stay = two(tmp_path, fill, indicators=True, intubated=rule)
    # 4 + 1 + 6 as charted; the other patient's 15 where it is imputed.
    assert outcome.feature("gcs", stay)[1] == score
    assert outcome.feature("gcs_missing", stay)[1] == imputed
    # The tube is known for the six hours of the holding time.
    assert outcome.feature("intubated", stay).tolist() == [0] + [1] * 7 + [0] * 5
    assert not outcome.feature("intubated", 1 - stay).any()


def test_trap_10_verbal_response_without_a_tube(tmp_path):
    outcome = one(
        tmp_path, lambda r, s: r.chart(1, 723, 1.0, 1, "1 No Response"), indicators=True
    )
    assert not outcome.feature("intubated").any()


def test_trap_11_temperature_by_item_and_range_not_by_unit_text(tmp_path):
    def fill(records, stay):
        records.chart(1, 223761, 1.0, 98.6, unit="?C")
        records.chart(1, 223761, 2.0, 38.5, unit="?F")
        records.chart(1, 223762, 3.0, 104.0, unit="?C")
        records.chart(1, 676, 4.0, 36.5, unit="Deg. F")
        records.chart(1, 678, 4.5, 50.0, unit="Deg. F")

    outcome = one(tmp_path, fill)
    np.testing.assert_allclose(
        outcome.feature("temperature")[:6], [37, 37, 38.5, 40, 36.5, 37], atol=1e-5
    )
    assert outcome.repaired("temperature", "Celsius in a Fahrenheit") == 1
    assert outcome.repaired("temperature", "Fahrenheit in a Celsius") == 1
    assert outcome.repaired("temperature", "outside") == 1


def test_values_are_held_for_a_limited_time_and_only_forward(tmp_path):
    def fill(records, stay):
        records.chart(1, 220210, 2.25, 30)

    outcome, stay = two(tmp_path, fill, indicators=True)
    # Known from row 3 (not from row 2) until two hours after it was charted.
    missing = outcome.feature("rr_missing", stay)
    assert missing.tolist() == [1, 1, 1, 0, 0] + [1] * 8
    assert outcome.feature("rr", stay)[3:5].tolist() == [30.0, 30.0]

"""Traps 1 to 5 and 13: what heparin was really given, on hand-made records."""

import numpy as np
import pytest
from mimic3_records import Records


def carevue(tmp_path, samples, hours=12.5, **config):
    records = Records()
    stay = records.adult(hours=hours)
    for sample in samples:
        records.sample(stay, **sample)
    return records.build(tmp_path, **config)


def metavision(tmp_path, fill, hours=12.5, **config):
    records = Records()
    stay = records.adult(hours=hours)
    fill(records, stay)
    return records.build(tmp_path, **config)


def test_trap_1_carevue_push_rows_repeat_the_drip(tmp_path):
    samples = [{"hour": h, "rate": 1000.0} for h in range(4)]
    samples += [{"hour": h, "amount": 1000.0} for h in range(1, 5)]
    samples += [{"hour": 4, "rate": 1000.0, "stopped": "Stopped"}]
    # 1000 U/h for four hours; with the pushes it would be 2000.
    assert carevue(tmp_path, samples).doses() == [1000.0] * 4 + [0.0] * 8


def test_trap_2_carevue_samples_are_carried_forward_four_hours(tmp_path):
    samples = [{"hour": 0, "rate": 800.0}, {"hour": 1, "rate": 900.0}]
    samples += [
        {"hour": 9, "rate": 700.0},
        {"hour": 10, "amount": 0, "stopped": "D/C'd"},
    ]
    outcome = carevue(tmp_path, samples)
    assert outcome.doses() == [800.0] + [900.0] * 4 + [0.0] * 4 + [700.0, 0.0, 0.0]
    assert outcome.repaired("heparin", "carried forward") == 1


def test_trap_2_rate_on_a_stopped_row_is_zero_unless_a_new_bag_runs(tmp_path):
    samples = [
        {"hour": 0, "rate": 1000.0},
        {"hour": 2, "rate": 1350.0, "stopped": "Stopped"},
        {"hour": 4, "rate": 1200.0},
        # At hour 5 the old bag ends (an amount row) while the new one runs.
        {"hour": 5, "amount": 1200.0, "stopped": "Stopped"},
        {"hour": 5, "rate": 1200.0, "order": 2},
        {"hour": 6, "amount": 1200.0, "stopped": "Stopped"},
    ]
    doses = carevue(tmp_path, samples).doses()
    assert doses == [1000.0] * 2 + [0.0] * 2 + [1200.0] * 2 + [0.0] * 6


@pytest.mark.parametrize(("delivered", "expected"), [(800.0, 800.0), (8.0, 0.0)])
def test_trap_3_small_rates_are_decided_by_the_amounts(tmp_path, delivered, expected):
    samples = [{"hour": h, "rate": 8.0} for h in range(6)]
    samples += [{"hour": h, "amount": delivered} for h in range(1, 6)]
    samples += [{"hour": 0, "amount": 0.0}, {"hour": 6, "rate": 0.0}]
    # A second order leaves two distinct doses; it is no slip.
    samples += [{"hour": 7, "rate": 1000.0, "order": 2}, {"hour": 8, "rate": 0.0}]
    doses = carevue(tmp_path, samples).doses()
    # 8 mL/h of a 100 U/mL bag; or really 8 U/h, which rounds to none.
    assert doses[:6] == [expected] * 6
    assert doses[7] == 1000.0


def test_trap_3_undecidable_unit_leaves_the_stay_out(tmp_path):
    records = Records()
    first, second = records.adult(1), records.adult(2)
    records.drip(first, 0, 3, 1000.0)
    for hour in range(4):
        records.sample(second, hour, rate=8.0)
    outcome = records.build(tmp_path)
    assert outcome.remaining()["unit of the rate beyond doubt"] == ("1", "1")


def test_trap_4_rewritten_orders_do_not_count(tmp_path):
    def fill(records, stay):
        records.drip(stay, 0, 4, 1000.0)
        records.drip(stay, 0, 6, 1500.0, statusdescription="Rewritten")
        records.push(stay, 0.5, 3000.0, statusdescription="Rewritten")

    outcome = metavision(tmp_path, fill)
    assert outcome.doses() == [1000.0] * 4 + [0.0] * 8
    assert outcome.repaired("heparin", "rewritten") == 2


def test_trap_4_status_says_why_a_segment_ended_and_gaps_are_zeros(tmp_path):
    def fill(records, stay):
        records.drip(stay, 0, 2, 1000.0, statusdescription="Paused")
        records.drip(stay, 5, 6.5, 1200.0, statusdescription="Stopped")

    # 1000 for two hours although paused, a true gap, 1200 and half an hour of it.
    assert (
        metavision(tmp_path, fill).doses() == [1000, 1000, 0, 0, 0, 1200, 600] + [0] * 5
    )


def test_trap_4_pushes_are_boluses_of_their_hour(tmp_path):
    def fill(records, stay):
        records.drip(stay, 0, 4, 1000.0)
        records.push(stay, 2.25, 3000.0)

    with_bolus = metavision(tmp_path, fill)
    assert with_bolus.doses()[:5] == [1000.0, 1000.0, 4000.0, 1000.0, 0.0]
    without = metavision(tmp_path / "b", fill, boluses=False)
    assert without.doses()[:5] == [1000.0, 1000.0, 1000.0, 1000.0, 0.0]


def test_opening_bolus_starts_the_clock_and_distant_pushes_are_prophylaxis(tmp_path):
    def fill(records, stay):
        records.push(stay, -0.5, 4000.0)
        records.drip(stay, 0, 4, 1000.0)
        records.push(stay, 8.0, 5000.0)

    outcome = metavision(tmp_path, fill)
    # Hour 0 is now half an hour earlier: bolus and half an hour of infusion.
    assert outcome.doses() == [4500.0] + [1000.0] * 3 + [500.0] + [0.0] * 8
    assert outcome.repaired("heparin", "prophylaxis") == 1


def test_trap_4_amount_decides_where_it_disagrees_with_the_rate(tmp_path):
    def fill(records, stay):
        records.drip(stay, 0, 4, 9000.0, amount=4000.0)

    outcome = metavision(tmp_path, fill)
    assert outcome.doses()[:5] == [1000.0] * 4 + [0.0]
    assert outcome.repaired("heparin", "disagrees") == 1


def test_trap_5_pump_jitter_is_rounded_before_binning(tmp_path):
    def fill(records, stay):
        records.drip(stay, 0, 3, 1300.95408)
        records.drip(stay, 3, 6, 1299.06)

    outcome = metavision(tmp_path, fill)
    assert outcome.doses()[:6] == [1300.0] * 6
    assert len(set(outcome.arrays.actions[:6].tolist())) == 1


def test_other_heparins_are_no_treatment(tmp_path):
    def fill(records, stay):
        records.drip(stay, 0, 3, 1000.0)
        for item in (225975, 224145, 229597, 230044):
            records.drip(stay, 4, 8, 2000.0, itemid=item)

    assert metavision(tmp_path, fill).doses() == [1000.0] * 3 + [0.0] * 9


def test_trap_13_infusion_may_begin_before_the_icu_admission(tmp_path):
    records = Records()
    stay = records.adult(admitted=2.0)
    records.drip(stay, 0, 4, 1000.0)
    outcome = records.build(tmp_path)
    # Cut at the admission, the first two hours of treatment would be lost.
    assert outcome.doses() == [1000.0] * 4 + [0.0] * 8


def test_state_is_paired_with_the_dose_given_after_it(tmp_path):
    def fill(records, stay):
        records.drip(stay, 0, 2, 1000.0)
        records.drip(stay, 6, 7, 800.0)
        # Charted at the very start of hour 6: known to its state.
        records.chart(1, 220210, 6.0, 33)

    outcome = metavision(tmp_path, fill)
    assert outcome.doses()[5:8] == [0.0, 800.0, 0.0]
    assert outcome.feature("rr")[5:8].tolist() == [18.0, 33.0, 18.0]
    assert outcome.arrays.lengths.tolist() == [12]
    assert outcome.arrays.observations.shape == (13, 16)


def test_overlapping_segments_are_not_added_up(tmp_path):
    def fill(records, stay):
        records.drip(stay, 0, 6, 1000.0)
        records.drip(stay, 2, 3, 1500.0)

    doses = metavision(tmp_path, fill).doses()
    np.testing.assert_array_equal(doses[:7], [1000, 1000, 1500, 1000, 1000, 1000, 0])

"""Trap 16: what fills gaps comes from training patients, and from no one's future."""

import numpy as np
import pytest
from mimic3_records import Records

from data_prep import impute


def _six(change=None):
    """Six patients with gaps; `change(records)` alters them."""
    records = Records()
    rng = np.random.default_rng(0)
    for subject in range(1, 7):
        stay = records.adult(subject, complete=False)
        records.drip(stay, 0, 4, 1000.0 + 100 * subject)
        records.chart(subject, 762, -1.0, 60 + 5 * subject)
        for hour in range(0, 12, 3):
            for item, middle in ((220050, 120), (220051, 60), (220210, 18), (198, 9)):
                records.chart(subject, item, hour - 0.5, middle + rng.integers(5))
            records.chart(subject, 223762, hour - 0.5, 37 + rng.random())
            records.gas(subject, hour - 0.5, 40 + rng.integers(9))
        for item, middle in ((51222, 12), (51301, 8), (51265, 200), (51275, 60)):
            records.lab(subject, item, -1.0, middle + rng.integers(5))
        for item in (51274, 50912, 50885, 51237):
            if subject % 2:
                records.lab(subject, item, 2.5, 8 + rng.random())
    if change:
        change(records)
    return records


def test_trap_16_nothing_before_a_record_depends_on_it(tmp_path):
    shares = {"validation": 0.2, "test": 0.3, "bins": 4}
    before = _six().build(tmp_path, **shares)
    last = before.arrays.lengths.size - 1
    tested = int(np.flatnonzero(before.arrays.split == 2)[0])
    subject = round((before.doses(tested)[0] - 1000) / 100)

    def later(records):
        for item in (220210, 220050, 198):
            records.chart(subject, item, 6.4, 14 if item == 198 else 50)
        records.lab(subject, 51275, 6.4, 140)
        records.lab(subject, 50885, 6.4, 30)
        records.drip(9000 + subject, 6.5, 9, 3000.0)

    after = _six(later).build(tmp_path / "b", **shares)
    rows = before.rows(tested)
    same = slice(rows.start, rows.start + 7)
    np.testing.assert_array_equal(
        before.arrays.observations[same], after.arrays.observations[same]
    )
    assert (
        before.arrays.observations[rows.start + 7, 6]
        != (after.arrays.observations[rows.start + 7, 6])
    )
    assert before.aptt("values", tested)[:7] == after.aptt("values", tested)[:7]
    # And nothing of a test patient reaches anybody else, nor the dose bins.
    assert before.built.schema.actions == after.built.schema.actions
    others = np.ones(before.arrays.observations.shape[0], bool)
    others[rows] = False
    assert last > 0
    np.testing.assert_array_equal(
        before.arrays.observations[others], after.arrays.observations[others]
    )


def test_trap_16_no_row_borrows_from_its_own_patient():
    # Patients 0 and 1; feature 1 of a patient is known only in its last row.
    rows = np.array([[1.0, np.nan], [1.0, 100.0], [1.0, np.nan], [1.0, 5.0]])
    filled = impute.impute(
        rows,
        np.zeros(2, bool),
        np.array([0, 0, 1, 1]),
        np.ones(4, bool),
        ["a", "b"],
    )
    # Each takes the other's value; its own would be its future.
    np.testing.assert_allclose(filled[:, 1], [5.0, 100.0, 100.0, 5.0])


def test_trap_16_scales_and_donors_are_those_of_training_patients():
    rng = np.random.default_rng(1)
    rows = np.exp(rng.normal(size=(60, 3)))
    rows[rng.random(rows.shape) < 0.2] = np.nan
    patients, training = np.repeat(np.arange(12), 5), np.repeat(np.arange(12) < 8, 5)
    log = np.array([True, False, True])

    def run(values):
        return impute.impute(values, log, patients, training, list("abc"), donors=12)

    changed = rows.copy()
    changed[~training] *= 50.0
    np.testing.assert_array_equal(run(rows)[training], run(changed)[training])
    assert np.isfinite(run(rows)).all()
    known = ~np.isnan(rows)
    np.testing.assert_array_equal(run(rows)[known], rows[known])


def test_imputation_agrees_with_a_neighbour_found_by_hand():
    # Patients 0..3 lend (training), patient 4 is tested; its neighbours by feature a.
    rows = np.array([[0, 10.0], [1, 20.0], [2, 30.0], [3, 40.0], [0.4, np.nan]])
    filled = impute.impute(
        rows, np.zeros(2, bool), np.arange(5), np.arange(5) < 4, ["a", "b"]
    )
    # Fewer donors than neighbours: the mean of all four.
    assert filled[4, 1] == pytest.approx(25.0)


def test_imputation_names_what_no_training_patient_has():
    rows = np.array([[1.0, np.nan], [2.0, 3.0]])
    with pytest.raises(ValueError, match="bilirubin: no training stay"):
        impute.impute(
            rows,
            np.zeros(2, bool),
            np.arange(2),
            np.array([True, False]),
            ["age", "bilirubin"],
        )

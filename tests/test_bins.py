"""Dose bins against hand-sorted doses."""

import numpy as np
import pytest

from data_prep import bins


def test_equal_frequency_without_ties():
    doses = np.arange(1, 13) * 100.0  # 12 doses, 4 bins of 3
    fitted = bins.fit_bins(doses, count=4)
    np.testing.assert_array_equal(fitted.edges, [300, 600, 900])
    np.testing.assert_array_equal(fitted.amounts, [200, 500, 800, 1100])
    assert fitted.labels == ("<= 300", "300-600", "600-900", "> 900")
    np.testing.assert_array_equal(
        bins.assign(fitted, doses), [0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3]
    )


def test_edge_belongs_to_the_lower_bin():
    fitted = bins.fit_bins(np.arange(1, 13) * 100.0, count=4)
    np.testing.assert_array_equal(
        bins.assign(fitted, np.array([0.0, 300.0, 300.5, 901.0, 1e6])), [0, 0, 1, 3, 3]
    )


def test_frequent_zero_is_a_bin_of_its_own():
    # 10 % zeros: bin 0 holds them and nothing else, the rest is split in halves.
    doses = np.array([0.0, 1, 1000, 1000, 1000, 1000, 2000, 2000, 2000, 2000])
    fitted = bins.fit_bins(doses, count=3, zero_share=0.1)
    np.testing.assert_array_equal(fitted.edges, [0, 1000])
    np.testing.assert_array_equal(fitted.amounts, [0, 1000, 2000])
    assert fitted.labels[0] == "0"
    np.testing.assert_array_equal(bins.assign(fitted, np.array([0.0, 1.0])), [0, 1])


def test_rare_zero_shares_the_lowest_bin():
    doses = np.concatenate([[0.0], np.arange(1, 100)])
    fitted = bins.fit_bins(doses, count=2, zero_share=0.05)
    # 50 of 100 doses (0..49) lie at or below the median edge.
    np.testing.assert_array_equal(fitted.edges, [49])
    assert bins.assign(fitted, np.array(0.0)) == bins.assign(fitted, np.array(1.0)) == 0


def test_zero_share_zero_without_zero_doses_makes_no_empty_bin():
    fitted = bins.fit_bins(np.array([100.0, 200.0, 300.0]), count=3, zero_share=0.0)
    np.testing.assert_array_equal(fitted.amounts, [100, 200, 300])


def test_ties_move_to_the_next_distinct_dose():
    # Every inner quantile is 1000, which half of all clinicians order.
    doses = np.array([500.0] + [1000.0] * 16 + [1200.0, 1300.0, 1400.0])
    fitted = bins.fit_bins(doses, count=4)
    np.testing.assert_array_equal(fitted.edges, [1000, 1200, 1300])
    assert set(bins.assign(fitted, doses).tolist()) == {0, 1, 2, 3}


def test_ties_at_the_top_leave_a_dose_for_every_bin():
    doses = np.array([100.0, 200.0, 300.0] + [900.0] * 17)
    fitted = bins.fit_bins(doses, count=4)
    np.testing.assert_array_equal(fitted.edges, [100, 200, 300])
    np.testing.assert_array_equal(fitted.amounts, [100, 200, 300, 900])


def test_fewer_distinct_doses_than_bins_warns():
    with pytest.warns(UserWarning, match="Only 2 distinct"):
        fitted = bins.fit_bins(np.array([700.0, 700.0, 900.0]), count=6)
    np.testing.assert_array_equal(fitted.amounts, [700, 900])


@pytest.mark.parametrize("seed", range(5))
def test_every_bin_holds_training_doses(seed):
    rng = np.random.default_rng(seed)
    doses = 50.0 * rng.poisson(8, size=300)
    fitted = bins.fit_bins(doses, count=6)
    index = bins.assign(fitted, doses)
    assert (np.diff(fitted.edges) > 0).all()
    assert np.unique(index).tolist() == list(range(6))
    for a in range(6):
        assert fitted.amounts[a] == np.median(doses[index == a])


@pytest.mark.parametrize(
    ("doses", "count", "message"),
    [
        ([], 6, "No training doses"),
        ([1.0, np.nan], 6, "finite"),
        ([1.0, -1.0], 6, "not negative"),
        ([5.0, 5.0], 6, "All training doses are equal"),
        ([1.0, 2.0], 1, "count = 1"),
    ],
)
def test_faults_have_one_clear_error(doses, count, message):
    with pytest.raises(ValueError, match=message):
        bins.fit_bins(np.array(doses), count=count)


def test_assigning_a_negative_dose_is_an_error():
    fitted = bins.fit_bins(np.array([1.0, 2.0]), count=2)
    with pytest.raises(ValueError, match="negative"):
        bins.assign(fitted, np.array([-1.0]))

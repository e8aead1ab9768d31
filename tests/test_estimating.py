"""The behaviour policies of several seeds as one reliability curve."""

import numpy as np
import pytest

from experiments import estimating
from omgrl_jax.evaluation import calibration


def curve(predicted, observed, count):
    arrays = (np.array([row]) for row in (predicted, observed, count))
    return calibration.Reliability(*arrays, error=np.zeros(1))


def test_seeds_are_pooled_by_their_decisions():
    nan = np.nan
    one = curve([0.1, 0.3, nan, nan], [0.0, 0.5, nan, nan], [30.0, 10.0, 0.0, 0.0])
    other = curve([0.2, nan, 0.9, nan], [0.4, nan, 1.0, nan], [10.0, 0.0, 9.0, 0.0])
    first, second, third = estimating.pooled([one, other])
    # (30 * .1 + 10 * .2) / 40 and 10 * .4 / 40.
    assert first["predicted"] == pytest.approx(0.125)
    assert first["observed"] == pytest.approx(0.1)
    assert second == {"predicted": 0.3, "observed": 0.5, "count": 5}
    # Seeds share their patients: another seed makes no more decisions of nine, and a
    # cell that holds any is never counted as empty.
    assert (first["count"], third["count"]) == (20, 5)
    assert estimating.pooled([one])[0]["count"] == 30

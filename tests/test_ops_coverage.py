"""Sample sizes for a coverage, by hand."""

import math

import numpy as np
import pytest

from omgrl_jax.ops import coverage


def test_sample_size_by_hand():
    # log 20 / (2 * .05^2) = 2.9957 / .005 = 599.1
    assert coverage.least_samples(0.05, 0.95, 0.90) == 600


def test_what_is_guaranteed_is_the_other_way_round():
    found = coverage.guaranteed(0.05, 0.95, 600)
    np.testing.assert_allclose(found, 0.95 - math.sqrt(math.log(20) / 1200))
    assert 0.90 <= found < coverage.guaranteed(0.05, 0.95, 601)
    assert coverage.guaranteed(0.05, 0.5, 1) == 0.0


@pytest.mark.parametrize("given", [(0.0, 0.9, 0.8), (0.05, 0.8, 0.9), (0.05, 1.1, 0.9)])
def test_what_cannot_be_guaranteed_is_refused(given):
    with pytest.raises(ValueError, match="a coverage below the one seen"):
        coverage.least_samples(*given)

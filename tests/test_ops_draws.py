"""Whole numbers drawn from single words: range, shares, a count known when run."""

import jax
import numpy as np
import pytest
from scipy import stats

from omgrl_jax.ops import draws


@pytest.mark.parametrize("count", [1, 2, 7, 1000])
def test_every_number_is_as_likely(count):
    drawn = jax.jit(lambda key, n: draws.below(key, (100, 500), n))
    found = np.asarray(drawn(jax.random.key(count), count))
    assert found.dtype == np.int32 and found.shape == (100, 500)
    times = np.bincount(found.ravel(), minlength=count)
    assert times.size == count
    if count > 1:
        assert stats.chisquare(times).pvalue > 1e-3


def test_numbers_of_other_keys_and_places_are_others():
    one, other = (draws.below(jax.random.key(k), (1000,), 2**20) for k in (0, 1))
    assert (np.asarray(one) == np.asarray(other)).sum() <= 1
    assert np.unique(one).size > 990

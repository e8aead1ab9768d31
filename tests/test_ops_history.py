"""Histories of rows that lie end to end, by hand."""

import jax.numpy as jnp
import numpy as np

from omgrl_jax.ops import history

# Two sequences: rows 0..2 and rows 3..4.
ROWS = jnp.array([[1.0], [2.0], [3.0], [10.0], [20.0]])
FIRST = jnp.array([0, 0, 0, 3, 3])


def test_the_last_rows_end_at_the_sequences_first():
    found = history.last(ROWS, FIRST, 2)[..., 0]
    np.testing.assert_array_equal(found, [[1, 1], [1, 1], [2, 1], [10, 10], [10, 10]])


def test_means_so_far_begin_anew_in_each_sequence():
    found = history.mean_so_far(ROWS, FIRST)[:, 0]
    np.testing.assert_allclose(found, [1.0, 1.5, 2.0, 10.0, 15.0], rtol=1e-6)


def test_a_long_sum_loses_no_digits():
    rows = jnp.full((20_000, 1), 1234.5).at[-1].set(1235.5)
    found = history.mean_so_far(rows, jnp.zeros(20_000, int).at[-2:].set(19_998))
    np.testing.assert_allclose(found[-1], 1235.0, rtol=1e-6)

"""Generalised advantages by hand."""

import jax.numpy as jnp
import numpy as np

from omgrl_jax.ops import advantage

# Errors: 1 + .9 * 2 - 1 = 1.8;  2 + .9 * 4 - 2 = 3.6;  an end: 3 - 4 = -1.
REWARDS, VALUES = jnp.array([1.0, 2.0, 3.0]), jnp.array([1.0, 2.0, 4.0, 100.0])
DISCOUNTS = jnp.array([0.9, 0.9, 0.0])


def advantages(trace):
    return advantage.generalised_advantages(REWARDS, DISCOUNTS, VALUES, trace)


def test_without_a_trace_they_are_the_errors():
    np.testing.assert_allclose(advantages(0.0), [1.8, 3.6, -1.0], rtol=1e-6)


def test_with_the_whole_trace_they_are_returns_less_values():
    # Returns: 3;  2 + .9 * 3 = 4.7;  1 + .9 * 4.7 = 5.23.
    np.testing.assert_allclose(advantages(1.0), [4.23, 2.7, -1.0], rtol=1e-6)


def test_between_them_errors_fade_by_trace_times_discount():
    # 3.6 + .45 * -1 = 3.15;  1.8 + .45 * 3.15 = 3.2175
    np.testing.assert_allclose(advantages(0.5), [3.2175, 3.15, -1.0], rtol=1e-6)

"""Which states are unsafe."""

import jax.numpy as jnp
import numpy as np
import pytest

from omgrl_jax.ops import safety

CASES = {
    "desaturation": ([92.0, 91.9, 100.0], [0, 1, 0]),
    "oliguria": ([0.5, 0.49, 2.0], [0, 1, 0]),
    "hypotension": ([65.0, 64.9, 90.0], [0, 1, 0]),
    "high_aptt": ([100.0, 100.1, 40.0], [0, 1, 0]),
    "very_high_aptt": ([150.0, 151.0, 101.0], [0, 1, 0]),
    # From 95 before: lower and below 100; below 100 but rising; not below.
    "platelet_fall": ([94.0, 99.0, 300.0], [1, 0, 0]),
}


@pytest.mark.parametrize("name", safety.COSTS)
def test_costs_are_one_in_unsafe_states_and_zero_elsewhere(name):
    after, wanted = CASES[name]
    found = safety.cost_of(name, jnp.full(3, 95.0), jnp.array(after))
    np.testing.assert_array_equal(found, wanted)


def test_an_unknown_cost_is_named():
    with pytest.raises(ValueError, match="cost 'pain': use one of desaturation"):
        safety.cost_of("pain", jnp.zeros(1), jnp.zeros(1))

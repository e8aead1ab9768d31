"""Terms whose weight is zero are left out, unless the weight is not known."""

import jax
import jax.numpy as jnp
import pytest

from omgrl_jax import settings


@pytest.mark.parametrize(
    ("weight", "off"), [(0.0, True), (0, True), (0.1, False), (jnp.float32(0), True)]
)
def test_known_weights(weight, off):
    assert bool(settings.is_off(weight)) is off


def test_a_weight_that_is_traced_is_not_known_to_be_zero():
    assert not jax.jit(lambda weight: jnp.asarray(settings.is_off(weight)))(0.0)

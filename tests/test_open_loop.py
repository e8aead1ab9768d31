"""Accuracy of predictions by hand."""

import jax.numpy as jnp
import numpy as np
import pytest

from omgrl_jax.evaluation import open_loop

TRUE = np.array([[[0.0, 10.0], [2.0, 14.0]], [[4.0, 12.0], [9.0, 99.0]]], np.float32)
COUNTED = np.array([[True, True], [True, False]])


def test_accuracy_by_hand():
    predicted = TRUE + np.array([1.0, -2.0], np.float32)
    found = open_loop.accuracy(*map(jnp.asarray, (predicted, TRUE, COUNTED)))
    # Three states count: errors 3 (1 + 4), spreads (4 + 0 + 4) + (4 + 4 + 0).
    assert float(found.rmse) == pytest.approx(np.sqrt(15 / 6))
    assert float(found.r2) == pytest.approx(1 - 15 / 16)
    assert float(found.steps) == 1.5


def test_shapes_that_would_broadcast_are_refused():
    one = jnp.asarray(TRUE[:1])
    with pytest.raises(AssertionError):
        open_loop.accuracy(one, jnp.asarray(TRUE), jnp.asarray(COUNTED))
    with pytest.raises(AssertionError):
        open_loop.accuracy(*map(jnp.asarray, (TRUE, TRUE, COUNTED[:1])))


def test_states_that_do_not_count_may_be_no_numbers():
    predicted = np.where(COUNTED[..., None], TRUE, np.nan)
    found = open_loop.accuracy(*map(jnp.asarray, (predicted, TRUE, COUNTED)))
    assert float(found.rmse) == 0.0 and float(found.r2) == 1.0
    # Nor need the truth be.
    found = open_loop.accuracy(*map(jnp.asarray, (TRUE, predicted, COUNTED)))
    assert float(found.rmse) == 0.0 and float(found.r2) == 1.0

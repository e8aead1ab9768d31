"""Clinical tests of policies: sweeps of one sign, and how many actions are used."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from omgrl_jax.evaluation import bedside
from omgrl_jax.types import Policy

LEVELS = jnp.array([0.0, 1.0, 2.0])
VALUES = jnp.linspace(-2.0, 2.0, 9)
STATES = jax.random.normal(jax.random.key(0), (12, 3))
PATIENTS = np.repeat(np.arange(4), 3)


def linear(params, states):
    """Level 2 the likelier, the smaller `params . state`; level 1 in between."""
    pull = states @ params
    return jax.nn.log_softmax(jnp.stack([pull, jnp.zeros_like(pull), -pull], -1))


POLICY = Policy(linear)


def found(weights, feature, greedy):
    along = bedside.levels_along(
        POLICY, jnp.array(weights), STATES, (feature,), VALUES, LEVELS, greedy
    )
    key = jax.random.key(1)
    return along, bedside.sensitivity(key, np.asarray(along), VALUES, PATIENTS)


@pytest.mark.parametrize("greedy", [False, True])
def test_who_follows_the_feature_is_told_from_who_follows_another(greedy):
    along, own = found([1.5, 0.0, 0.0], 0, greedy)
    assert along.shape == (12, 9)
    # Only the swept feature matters: one curve for all, falling throughout.
    np.testing.assert_allclose(along, along[:1].repeat(12, axis=0), rtol=1e-6)
    if greedy:
        np.testing.assert_array_equal(along[0], [2, 2, 2, 2, 0, 0, 0, 0, 0])
        assert own.value < -0.8
    else:
        assert np.all(np.diff(along[0]) < 0) and own.value == pytest.approx(-1.0)
    assert own.low == pytest.approx(own.high)
    other = found([0.0, 1.5, 0.0], 0, greedy)[1]
    assert other == bedside.Interval(0.0, 0.0, 0.0)  # a constant dose has no rank


def test_the_interval_holds_what_patients_differ_in():
    """Half of the patients rise, the others fall: patients, not rows, are drawn."""
    rising = np.tile(np.arange(9.0), (12, 1))
    rising[PATIENTS >= 2] *= -1.0
    own = bedside.sensitivity(jax.random.key(2), rising, np.asarray(VALUES), PATIENTS)
    assert own.value == 0.0 and own.low == -1.0 and own.high == 1.0
    uneven = np.r_[np.zeros(10, int), 1, 1]
    rising = np.where(uneven[:, None] == 0, 1.0, -1.0) * np.arange(9.0)
    own = bedside.sensitivity(jax.random.key(2), rising, np.asarray(VALUES), uneven)
    assert own.value == pytest.approx(8 / 12)


def test_diversity_by_hand():
    rows = np.repeat(np.array([[0.7, 0.2, 0.1], [0.1, 0.8, 0.1]]), 6, axis=0)
    taken = np.repeat(np.eye(3)[:2], 6, axis=0)
    keys = jax.random.split(jax.random.key(3), 3)
    drawn = bedside.diversity(keys[0], rows, PATIENTS)
    np.testing.assert_allclose(drawn.shares, [0.4, 0.5, 0.1])
    wanted = -np.sum(drawn.shares * np.log(drawn.shares))
    assert drawn.entropy.value == pytest.approx(wanted) and drawn.used.value == 3
    likeliest = bedside.diversity(keys[1], taken, PATIENTS)
    np.testing.assert_allclose(likeliest.shares, [0.5, 0.5, 0.0])
    assert likeliest.entropy.value == pytest.approx(np.log(2))
    assert likeliest.used == bedside.Interval(2.0, 1.0, 2.0)
    constant = bedside.diversity(keys[2], taken[:6], PATIENTS[:6])
    assert constant.used.value == 1 and constant.entropy == bedside.Interval(0, 0, 0)

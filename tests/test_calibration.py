"""Reliability by hand, and temperatures that are known."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from omgrl_jax.evaluation import calibration
from omgrl_jax.types import Policy


def test_a_curve_by_hand():
    # Two bins: [0, .5) holds .2 and .4, [.5, 1] holds .5, .9 and 1.
    predicted = jnp.array([0.2, 0.9, 0.4, 1.0, 0.5])
    happened = jnp.array([False, True, True, True, False])
    found = calibration.reliability(predicted, happened, bins=2)
    np.testing.assert_allclose(found.count, [2, 3])
    np.testing.assert_allclose(found.predicted, [0.3, 0.8], rtol=1e-6)
    np.testing.assert_allclose(found.observed, [1 / 2, 2 / 3], rtol=1e-6)
    # 2/5 |.3 - .5| + 3/5 |.8 - .667|
    np.testing.assert_allclose(found.error, 0.4 * 0.2 + 0.6 * (0.8 - 2 / 3), rtol=1e-5)


def test_empty_bins_hold_nothing_and_cost_nothing():
    found = calibration.reliability(jnp.array([0.05]), jnp.array([True]), bins=4)
    np.testing.assert_array_equal(np.isnan(found.observed), [False, True, True, True])
    np.testing.assert_allclose(found.error, 0.95, rtol=1e-6)


ROWS = 20000
calibrate = calibration.calibration


def drawn(temperature):
    """Log-probabilities [M, 4], and actions of the same policy at a temperature."""
    rng = np.random.default_rng(0)
    log_probs = 2 * rng.normal(size=(ROWS, 4))
    log_probs -= np.log(np.sum(np.exp(log_probs), axis=1, keepdims=True))
    noise = rng.gumbel(size=(ROWS, 4))
    actions = np.argmax(log_probs / temperature + noise, axis=1)
    return jnp.asarray(log_probs, jnp.float32), jnp.asarray(actions)


def test_each_action_and_the_likeliest_have_their_curve():
    log_probs, actions = drawn(1.0)
    found = calibrate(log_probs, actions)
    assert found.actions.error.shape == (4,)
    assert found.actions.predicted.shape == (4, calibration.BINS)
    probs, taken = np.exp(log_probs), np.asarray(actions)
    curve = jax.jit(calibration.reliability)
    top = curve(jnp.asarray(probs.max(axis=1)), jnp.asarray(probs.argmax(1) == taken))
    second = curve(jnp.asarray(probs[:, 1]), jnp.asarray(taken == 1))
    np.testing.assert_allclose(found.top.error, top.error, atol=1e-6)
    np.testing.assert_allclose(found.actions.error[1], second.error, atol=1e-6)
    likelihood = np.mean(np.asarray(log_probs)[np.arange(ROWS), taken])
    np.testing.assert_allclose(found.log_likelihood, likelihood, rtol=1e-5)
    # Actions drawn from the probabilities themselves: only sampling error is left.
    assert found.top.error < 0.02 and found.actions.error.max() < 0.02


@jax.jit
def slope(log_probs, actions, x):
    """Of the mean log-likelihood at a temperature, by automatic differentiation."""

    def likelihood(x):
        scaled = jax.nn.log_softmax(log_probs / x)
        return jnp.mean(jnp.take_along_axis(scaled, actions[:, None], axis=1))

    return jax.grad(likelihood)(x)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.5])
def test_a_known_temperature_is_recovered(temperature):
    log_probs, actions = drawn(temperature)
    found = jax.jit(calibration.fit_temperature)(log_probs, actions)
    np.testing.assert_allclose(found, temperature, rtol=0.04)
    # It is the best one, not only near it: the likelihood is flat there.
    np.testing.assert_allclose(slope(log_probs, actions, found), 0.0, atol=1e-5)
    assert abs(slope(log_probs, actions, found * 1.05)) > 1e-3


def test_a_policy_that_is_never_wrong_gets_the_coldest():
    log_probs = jax.nn.log_softmax(jnp.array([[2.0, 0.0], [0.0, 1.0]]))
    found = jax.jit(calibration.fit_temperature)(log_probs, jnp.array([0, 1]))
    np.testing.assert_allclose(found, calibration.COLDEST, rtol=1e-4)


def test_a_tempered_policy_is_normalised():
    plain = Policy(lambda params, states: jax.nn.log_softmax(states @ params))
    states, params = jnp.arange(6.0).reshape(2, 3), jnp.eye(3)
    found = calibration.tempered(plain).log_probs((params, jnp.float32(2.0)), states)
    wanted = jax.nn.log_softmax(states / 2)
    np.testing.assert_allclose(found, wanted, rtol=1e-5)

"""Likelihoods against scipy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from omgrl_jax.ops import likelihood


def test_gaussian_nll_is_scipys():
    x, mean = np.array([0.3, -2.0, 5.0]), np.array([0.0, -1.5, 1.0])
    log_var = np.array([0.0, -3.0, 2.0])
    nll = likelihood.gaussian_nll(*map(jnp.asarray, (x, mean, log_var)))
    wanted = -stats.norm.logpdf(x, mean, np.exp(0.5 * log_var))
    np.testing.assert_allclose(nll, wanted, rtol=1e-5)


def test_gaussian_nll_is_least_at_the_squared_error():
    # With residual 2 the best log-variance is log 4.
    def nll(log_var):
        return likelihood.gaussian_nll(jnp.array([2.0]), jnp.zeros(1), log_var)[0]

    gradient = jax.grad(nll)(jnp.log(jnp.array([4.0])))
    np.testing.assert_allclose(gradient, [0.0], atol=1e-6)


def test_bernoulli_nll_is_scipys():
    event, logit = np.array([0.0, 1.0, 1.0]), np.array([0.4, -1.0, 2.5])
    nll = likelihood.bernoulli_nll(jnp.asarray(event), jnp.asarray(logit))
    wanted = -stats.bernoulli.logpmf(event.astype(int), 1 / (1 + np.exp(-logit)))
    np.testing.assert_allclose(nll, wanted, rtol=1e-5)


def test_bernoulli_nll_of_certain_events_stays_finite():
    nll = likelihood.bernoulli_nll(jnp.array([1.0, 0.0]), jnp.array([-1e4, 1e4]))
    np.testing.assert_allclose(nll, [1e4, 1e4])


def test_soft_clamp_holds_its_bounds_and_keeps_the_middle():
    low, high = jnp.full(5, -10.0), jnp.full(5, 1.0)
    x = jnp.array([-1e4, -12.0, -4.5, 3.0, 1e4])
    clamped = likelihood.soft_clamp(x, low, high)
    assert np.all(clamped >= low)
    # The upper end is passed by log(1 + exp(low - high)), 2e-5 here.
    assert np.all(clamped <= 1.0 + np.log1p(np.exp(-11.0)) + 1e-6)
    np.testing.assert_allclose(clamped[2], -4.5, atol=0.01)
    np.testing.assert_allclose(clamped[-1], 1.0, atol=1e-4)
    np.testing.assert_allclose(clamped[0], -10.0, atol=1e-4)


def test_soft_clamp_lets_the_gradient_through_to_the_bounds():
    def total(low, high):
        x = jnp.array([50.0, -50.0])
        return jnp.sum(likelihood.soft_clamp(x, low, high))

    low, high = jax.grad(total, argnums=(0, 1))(jnp.full(2, -3.0), jnp.full(2, 2.0))
    np.testing.assert_allclose(high, [1.0, 0.0], atol=0.02)
    np.testing.assert_allclose(low, [0.0, 1.0], atol=0.02)


@pytest.mark.parametrize("shape", [(1,), (2, 1), ()])
def test_shapes_that_could_broadcast_are_refused(shape):
    with pytest.raises(AssertionError):
        likelihood.gaussian_nll(jnp.zeros(2), jnp.zeros(shape), jnp.zeros(2))
    with pytest.raises(AssertionError):
        likelihood.bernoulli_nll(jnp.zeros(2), jnp.zeros(shape))


def test_censored_likelihood_is_the_tail_where_censored_and_the_density_elsewhere():
    x, mean = np.array([1.5, 1.5]), np.array([0.5, 0.5])
    log_var = np.log(np.array([0.25, 0.25]))
    given = map(jnp.asarray, (x, mean, log_var, np.array([True, False])))
    found = likelihood.censored_gaussian_nll(*given)
    expected = [
        -stats.norm.logsf(1.5, 0.5, 0.5),
        -stats.norm.logpdf(1.5, 0.5, 0.5),
    ]
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_censored_likelihood_wants_the_mean_above_the_bound():
    def nll(mean):
        return likelihood.censored_gaussian_nll(
            jnp.ones(1), mean, jnp.zeros(1), jnp.array([True])
        )[0]

    # An uncensored observation would pull a mean of 2 down to 1; a lower bound of 1
    # goes on pulling it up.
    assert jax.grad(nll)(jnp.array([2.0]))[0] < 0

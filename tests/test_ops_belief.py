"""Beliefs of a latent vector: against ridge regression, quadrature and scipy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from omgrl_jax.ops import belief, regression
from omgrl_jax.ops.belief import Belief

RNG = np.random.default_rng(0)


@jax.jit
def one_after_the_other(prior, rows, noise, values, censored):
    def step(now, seen):
        return belief.update(now, *seen), None

    return jax.lax.scan(step, prior, (rows, noise, values, censored))[0]


def test_one_draw_after_the_other_is_ridge_regression_around_the_prior():
    rows, values = RNG.normal(size=(6, 2)), RNG.normal(size=6)
    mean = np.array([1.0, -0.5])
    prior = Belief(jnp.asarray(mean, jnp.float32), 0.7 * jnp.eye(2))
    noise = jnp.full(6, 0.3)
    exact = jnp.zeros(6, bool)
    x, y = jnp.asarray(rows, jnp.float32), jnp.asarray(values, jnp.float32)
    found = one_after_the_other(prior, x, noise, y, exact)
    by_ridge = mean + regression.ridge(x, y - x @ prior.mean, 0.3 / 0.7)
    np.testing.assert_allclose(found.mean, by_ridge, rtol=1e-4)
    precision = np.eye(2) / 0.7 + rows.T @ rows / 0.3
    np.testing.assert_allclose(found.covariance, np.linalg.inv(precision), rtol=1e-4)


def test_noise_of_its_own_weighs_each_draw():
    rows, values = RNG.normal(size=(4, 2)), RNG.normal(size=4)
    noise = np.array([0.1, 1.0, 5.0, 0.4])
    found = one_after_the_other(
        belief.standard(2),
        jnp.asarray(rows, jnp.float32),
        jnp.asarray(noise, jnp.float32),
        jnp.asarray(values, jnp.float32),
        jnp.zeros(4, bool),
    )
    weighed = rows / noise[:, None]
    by_hand = np.linalg.solve(np.eye(2) + weighed.T @ rows, weighed.T @ values)
    np.testing.assert_allclose(found.mean, by_hand, rtol=1e-4)


@pytest.mark.parametrize("bound", [-3.0, 0.2, 2.5])
def test_a_lower_bound_leaves_the_moments_of_the_truncated_posterior(bound):
    prior = Belief(jnp.array([0.3]), jnp.array([[0.8]]))
    row, noise = jnp.array([1.4]), jnp.float32(0.5)
    found = belief.update(prior, row, noise, jnp.float32(bound), jnp.bool_(True))
    u = np.linspace(-12, 12, 200_001)
    density = stats.norm.pdf(u, 0.3, 0.8**0.5)
    density *= stats.norm.sf(bound, 1.4 * u, 0.5**0.5)
    density /= density.sum()
    mean = (density * u).sum()
    np.testing.assert_allclose(found.mean[0], mean, rtol=1e-3)
    variance = (density * (u - mean) ** 2).sum()
    np.testing.assert_allclose(found.covariance[0, 0], variance, rtol=1e-3)


def test_surprise_is_the_density_or_the_chance_of_more():
    given = jnp.float32(1.0), jnp.float32(4.0), jnp.float32(2.0)
    exact = belief.surprise(*given, jnp.bool_(False))
    np.testing.assert_allclose(exact, -stats.norm.logpdf(2.0, 1.0, 2.0), rtol=1e-5)
    bound = belief.surprise(*given, jnp.bool_(True))
    np.testing.assert_allclose(bound, -stats.norm.logsf(2.0, 1.0, 2.0), rtol=1e-5)


def test_a_sample_gives_its_mean_and_covariance():
    vectors = RNG.normal(size=(9, 3))
    found = belief.of_sample(jnp.asarray(vectors, jnp.float32))
    np.testing.assert_allclose(found.mean, vectors.mean(0), atol=1e-6)
    np.testing.assert_allclose(found.covariance, np.cov(vectors.T), rtol=1e-4)


def test_where_all_are_alike_no_draw_moves_the_belief():
    prior = belief.of_sample(jnp.ones((5, 2)))
    row, noise = jnp.array([1.0, 2.0]), jnp.float32(0.1)
    found = belief.update(prior, row, noise, jnp.float32(9.0), jnp.bool_(False))
    np.testing.assert_array_equal(found.mean, prior.mean)

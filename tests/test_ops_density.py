"""Kernel densities beside scikit-learn, and far from every point."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from omgrl_jax.ops import density


def sample(count, width, seed=0):
    return np.random.default_rng(seed).uniform(-1, 1, (count, width))


@pytest.mark.parametrize("width", [1, 4])
def test_densities_are_those_of_scikit_learn(width):
    neighbors = pytest.importorskip("sklearn.neighbors")
    points, queries = sample(200, width), 2 * sample(30, width, 1)
    kernel = neighbors.KernelDensity(bandwidth=0.535, rtol=0.0).fit(points)
    each = jax.vmap(density.log_kernel_density, in_axes=(None, 0, None))
    found = each(jnp.asarray(points), jnp.asarray(queries), 0.535)
    np.testing.assert_allclose(found, kernel.score_samples(queries), rtol=1e-4)


def test_two_points_by_hand():
    # Distances 0 and 2 at a bandwidth of 1: (1 + exp(-2)) / 2 over sqrt(2 pi).
    found = density.log_kernel_density(jnp.array([[0.0], [2.0]]), jnp.zeros(1), 1.0)
    wanted = np.log((1 + np.exp(-2.0)) / 2 / np.sqrt(2 * np.pi))
    np.testing.assert_allclose(found, wanted, rtol=1e-6)


def test_far_points_have_a_density_below_all_and_no_infinity():
    points = jnp.asarray(sample(50, 3), jnp.float32)
    near, far = (
        density.log_kernel_density(points, jnp.full(3, x), 0.1) for x in (0.0, 40.0)
    )
    assert np.isfinite(far) and far < near - 1e4


def test_distances_are_not_negative():
    points = jnp.asarray(sample(100, 5), jnp.float32)
    found = density.squared_distances(points, points[7])
    assert found[7] < 1e-5 and (found >= 0).all()
    wanted = np.square(points - points[7][None]).sum(axis=1)
    np.testing.assert_allclose(found, wanted, atol=1e-5)

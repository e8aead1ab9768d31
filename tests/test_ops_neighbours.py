"""The nearest points against sorting all of them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from omgrl_jax.ops import neighbours

nearest = jax.jit(neighbours.nearest, static_argnums=2)


@pytest.mark.parametrize(("points", "queries"), [(7, 3), (128, 1), (1000, 300)])
@pytest.mark.parametrize("count", [1, 5])
def test_they_are_those_of_a_full_sort(points, queries, count):
    key, other = jax.random.split(jax.random.key(points + count))
    cloud = jax.random.normal(key, (points, 4))
    asked = jax.random.normal(other, (queries, 4))
    where, distance = nearest(cloud, asked, count)
    table = np.linalg.norm(
        np.asarray(asked, float)[:, None] - np.asarray(cloud, float)[None], axis=2
    )
    order = np.argsort(table, axis=1)[:, :count]
    np.testing.assert_array_equal(where, order)
    wanted = np.take_along_axis(table, order, axis=1)
    np.testing.assert_allclose(distance, wanted, rtol=1e-4, atol=1e-4)


def test_several_may_lie_in_one_group():
    """All five nearest among the first hundred of a thousand points."""
    far = 10.0 + jax.random.uniform(jax.random.key(0), (900, 2))
    near = jax.random.uniform(jax.random.key(1), (100, 2))
    where, _ = nearest(jnp.concatenate([near, far]), jnp.zeros((2, 2)), 5)
    assert (np.asarray(where) < 100).all() and len(set(np.asarray(where[0]))) == 5


def test_a_point_is_its_own_nearest_and_at_no_distance():
    cloud = jax.random.normal(jax.random.key(2), (300, 3))
    where, distance = nearest(cloud, cloud, 1)
    np.testing.assert_array_equal(where[:, 0], np.arange(300))
    np.testing.assert_allclose(distance, 0.0, atol=2e-3)

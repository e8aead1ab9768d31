"""Sublevel sets of least volume: known ellipses, a certificate, trimmed outliers."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from omgrl_jax.ops import sublevel

fit = jax.jit(sublevel.fit, static_argnums=(1, 2))


def test_monomials_by_hand():
    found = sublevel.monomials(jnp.array([[2.0, 3.0], [0.0, -1.0]]), 2)
    # 1, x, y, x^2, xy, y^2.
    wanted = [[1, 2, 3, 4, 6, 9], [1, 0, -1, 0, 0, 1]]
    np.testing.assert_array_equal(found, wanted)
    for width, degree in ((2, 1), (3, 2), (5, 3)):
        size = sublevel.monomials(jnp.zeros((1, width)), degree).shape[1]
        assert size == sublevel.count(width, degree)
    assert sublevel.count(2, 2) == 6


def test_around_the_ends_of_two_axes_it_is_their_ellipse():
    """Around (1 +- 2, 0) and (1, +- .5); what lies inside of it counts for nothing."""
    ends = np.array([[3.0, 0.0], [-1.0, 0.0], [1.0, 0.5], [1.0, -0.5]])
    inner = np.array([[1.0, 0.0], [2.0, 0.1], [0.5, -0.2]])
    lifted = sublevel.monomials(jnp.asarray(np.concatenate([ends, inner])), 1)
    form = fit(lifted, 0.0, 400)
    angles = np.linspace(0.0, 6.0, 9)
    rim = np.stack([1.0 + 2.0 * np.cos(angles), 0.5 * np.sin(angles)], axis=1)
    on = sublevel.values(sublevel.monomials(jnp.asarray(rim), 1), form)
    np.testing.assert_allclose(on, np.ones(9), atol=0.01)
    beyond = sublevel.monomials(jnp.asarray(1.2 * (rim - [1, 0]) + [1, 0]), 1)
    assert (sublevel.values(beyond, form) > 1.1).all()


@pytest.mark.parametrize("degree", [1, 2])
def test_the_certificate_of_the_optimum(degree):
    """No point's form exceeds 1, and the weighted mean is 1: Kiefer and Wolfowitz."""
    points = jax.random.uniform(jax.random.key(0), (300, 3), minval=-1.0)
    lifted = sublevel.monomials(points, degree)
    size = lifted.shape[1]
    rough, fine = (
        sublevel.values(lifted, fit(lifted, 0.0, n)).max() for n in (20, 1500)
    )
    # log det lies below the optimum by at most size * log(max).
    assert 1.0 - 1e-3 < fine < 1.02 < rough
    assert size * np.log(float(fine)) < 0.2


def test_a_bent_cloud_is_followed_by_a_square_and_not_by_an_ellipse():
    """Points near y = x^2: what lies inside of the bend was never seen."""
    x = jax.random.uniform(jax.random.key(1), (500,), minval=-1.0)
    noise = 0.05 * jax.random.normal(jax.random.key(2), (500,))
    cloud = jnp.stack([x, 2.0 * jnp.square(x) - 1.0 + noise], axis=1)
    middle = jnp.array([[0.0, 0.5]])
    outside = {}
    for degree in (1, 2):
        form = fit(sublevel.monomials(cloud, degree), 0.05, 400)
        seen = sublevel.values(sublevel.monomials(cloud, degree), form)
        assert 0.90 < float(np.mean(np.asarray(seen) <= 1.02)) < 1.0
        at = sublevel.values(sublevel.monomials(middle, degree), form)[0]
        outside[degree] = float(at) > 1.02
    assert outside == {1: False, 2: True}


def test_outliers_may_be_left_out():
    rng = np.random.default_rng(3)
    cloud = rng.normal(0.0, 0.1, (200, 2)).clip(-0.3, 0.3)
    cloud[:6] = 5.0 + rng.normal(0.0, 0.02, (6, 2))
    lifted = sublevel.monomials(jnp.asarray(cloud, jnp.float32), 1)
    at = sublevel.monomials(jnp.array([[1.0, 1.0]]), 1)
    assert sublevel.values(at, fit(lifted, 0.0, 300))[0] < 1.0
    assert sublevel.values(at, fit(lifted, 0.05, 300))[0] > 1.5

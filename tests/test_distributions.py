"""Both kinds of distributions beside hand arithmetic, scipy and samples."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from omgrl_jax import actions, distributions

BOX = actions.box((0.0, -2.0), (10.0, 2.0))
NORMAL = distributions.of(BOX)
THREE = distributions.of(actions.discrete(3))


def test_categories_by_hand():
    numbers = jnp.log(jnp.array([0.5, 0.3, 0.2])) + 7.0  # a constant changes nothing
    other = jnp.log(jnp.array([0.2, 0.3, 0.5]))
    np.testing.assert_allclose(
        np.exp(THREE.log_prob(jnp.stack([numbers, other]), jnp.array([1, 2]))),
        [0.3, 0.5],
        rtol=1e-5,
    )
    assert THREE.mode(numbers) == 0 and THREE.mode(other) == 2
    wanted = 0.5 * np.log(0.5 / 0.2) + 0.2 * np.log(0.2 / 0.5)
    np.testing.assert_allclose(THREE.divergence(numbers, other), wanted, rtol=1e-5)
    p = np.array([0.5, 0.3, 0.2])
    np.testing.assert_allclose(
        THREE.entropy(numbers), -(p * np.log(p)).sum(), rtol=1e-5
    )
    drawn = THREE.draw(jax.random.key(0), jnp.broadcast_to(numbers, (4000, 3)))
    np.testing.assert_allclose(np.bincount(drawn) / 4000, p, atol=0.03)
    np.testing.assert_array_equal(THREE.action(drawn), drawn)


def numbers_of(mean, std):
    return jnp.concatenate([jnp.asarray(mean), jnp.log(jnp.asarray(std))], axis=-1)


def test_normal_densities_are_scipys():
    stats = pytest.importorskip("scipy.stats")
    mean, std, at = [0.3, -0.2], [0.5, 2.0], [1.0, 0.5]
    numbers = numbers_of(mean, std)
    wanted = stats.norm(mean, std).logpdf(at).sum()
    np.testing.assert_allclose(
        NORMAL.log_prob(numbers, jnp.array(at)), wanted, rtol=1e-5
    )
    np.testing.assert_allclose(
        NORMAL.entropy(numbers), stats.norm(mean, std).entropy().sum(), rtol=1e-5
    )
    np.testing.assert_array_equal(NORMAL.mode(numbers), jnp.array(mean))


@pytest.mark.parametrize("family", [THREE, NORMAL], ids=["categories", "normal"])
def test_divergences_are_means_of_log_ratios(family):
    size = family.width + len(family.free)
    one, other = jax.random.normal(jax.random.key(1), (2, size)) * 0.5
    many = jnp.broadcast_to(one, (40_000, size))
    drawn = family.draw(jax.random.key(2), many)
    ratios = family.log_prob(many, drawn) - family.log_prob(
        jnp.broadcast_to(other, many.shape), drawn
    )
    spread = 4.0 * float(ratios.std()) / 200.0
    found = family.divergence(one, other)
    np.testing.assert_allclose(found, ratios.mean(), atol=spread)
    np.testing.assert_allclose(family.divergence(one, one), 0.0, atol=1e-6)
    np.testing.assert_allclose(
        family.entropy(one), -family.log_prob(many, drawn).mean(), atol=0.03
    )


def test_choices_beyond_the_box_are_its_ends():
    choices = jnp.array([[-5.0, 0.0], [0.0, 9.0], [1.0, -1.0]])
    wanted = [[0.0, 0.0], [5.0, 2.0], [10.0, -2.0]]
    np.testing.assert_allclose(NORMAL.action(choices), wanted, atol=1e-6)


def test_equal_spaces_share_one_distribution():
    assert distributions.of(actions.box((0.0, -2.0), (10.0, 2.0))) is NORMAL
    assert distributions.of(actions.discrete(3)) is THREE

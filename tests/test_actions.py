"""Kinds of actions: what is drawn, and how networks know it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from omgrl_jax import actions


def test_discrete_actions_are_drawn_alike_and_encoded_one_hot():
    space = actions.discrete(3)
    drawn = np.asarray(space.draw(jax.random.key(0), (40, 50)))
    assert drawn.dtype == np.int32
    np.testing.assert_allclose(np.bincount(drawn.ravel()) / 2000, 1 / 3, atol=0.05)
    np.testing.assert_array_equal(space.encode(jnp.array([2, 0])), np.eye(3)[[2, 0]])
    assert (space.shape, space.width) == ((), 3)
    assert space.zeros(4).shape == (4,) and space.zeros(4).dtype == jnp.int32


def test_a_box_is_filled_evenly_and_encoded_from_minus_one_to_one():
    space = actions.box((-2.0, 0.0), (2.0, 5.0))
    drawn = np.asarray(space.draw(jax.random.key(0), (2000,)))
    assert drawn.shape == (2000, 2)
    np.testing.assert_allclose(drawn.min(axis=0), [-2.0, 0.0], atol=0.02)
    np.testing.assert_allclose(drawn.max(axis=0), [2.0, 5.0], atol=0.02)
    np.testing.assert_allclose(drawn.mean(axis=0), [0.0, 2.5], atol=0.1)
    found = space.encode(jnp.array([[-2.0, 5.0], [1.0, 2.5]]))
    np.testing.assert_allclose(found, [[-1.0, 1.0], [0.5, 0.0]])
    assert (space.count, space.shape, space.width) == (0, (2,), 2)
    assert space.zeros(4).shape == (4, 2)


def test_equal_spaces_are_the_same():
    assert actions.discrete(2) is actions.discrete(2)
    assert actions.box((0.0,), (1.0,)) is actions.box((0.0,), (1.0,))


@pytest.mark.parametrize(
    ("low", "high", "message"),
    [
        ((), (), "as many finite"),
        ((0.0,), (1.0, 2.0), "as many finite"),
        ((0.0,), (float("inf"),), "as many finite"),
        ((1.0,), (1.0,), "below"),
    ],
)
def test_boxes_that_are_none_are_refused(low, high, message):
    with pytest.raises(ValueError, match=message):
        actions.box(low, high)

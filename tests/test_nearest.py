"""Nearest-neighbour dynamics by hand, and on recorded stays."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny_dataset

from omgrl_jax import actions as actions_lib
from omgrl_jax.data import records, scales, space
from omgrl_jax.models import nearest

ENCODE = actions_lib.discrete(2).encode
PLAIN = space.Space(("a", "b"), (0, 1), (0, 1), (), ("x",), 2)


def rows_of(config, states, actions, changes, outcomes, ends):
    """Parameters of a few steps: features [N, 2], actions [N]."""
    model = nearest.make(config, PLAIN, ENCODE)
    keys = jnp.concatenate([states, config.action_weight * ENCODE(actions)], axis=1)
    rows = nearest.Rows(keys, changes, outcomes, 1.0 - ends)
    return model.dynamics, nearest.Neighbours(rows, None)


def world(neighbours=1, action_weight=2.0):
    config = nearest.NearestConfig(neighbours, 0, action_weight)
    return rows_of(
        config,
        jnp.array([[0.0, 0.0], [1.0, 0.0], [0.0, 0.0]]),
        jnp.array([0, 0, 1]),
        jnp.array([[1.0, 0.0], [3.0, 0.0], [-1.0, 0.0]]),
        jnp.array([[10.0], [20.0], [30.0]]),
        jnp.array([0.0, 1.0, 0.0]),
    )


def test_a_step_takes_what_came_of_the_nearest_one():
    dynamics, params = world()
    states = jnp.array([[0.1, 0.0], [0.9, 0.5], [0.1, 0.0]])
    found = dynamics.sample(params, jax.random.key(0), states, jnp.array([0, 0, 1]))
    np.testing.assert_allclose(found.state, [[1.1, 0], [3.9, 0.5], [-0.9, 0]])
    np.testing.assert_array_equal(found.outcome[:, 0], [10.0, 20.0, 30.0])
    np.testing.assert_array_equal(found.discount, [1.0, 0.0, 1.0])


def test_the_weight_of_actions_decides_between_state_and_dose():
    """At [.9, 0] dose 1: the second step is near by state, the third by dose."""
    for weight, outcome in ((0.1, 20.0), (2.0, 30.0)):
        dynamics, params = world(action_weight=weight)
        found = dynamics.mean(params, jnp.array([[0.9, 0.0]]), jnp.array([1]))
        assert found.outcome[0, 0] == outcome


def test_of_two_neighbours_each_is_drawn_and_the_mean_is_between():
    dynamics, params = world(neighbours=2)
    states = jnp.zeros((400, 2)).at[:, 0].set(0.4)
    actions = jnp.zeros(400, jnp.int32)
    found = dynamics.sample(params, jax.random.key(1), states, actions)
    shares = np.bincount(np.asarray(found.outcome[:, 0] == 20.0, int)) / 400
    np.testing.assert_allclose(shares, 0.5, atol=0.1)
    mean = dynamics.mean(params, states[:1], actions[:1])
    np.testing.assert_allclose(mean.state, [[2.4, 0.0]], rtol=1e-5)
    np.testing.assert_allclose(mean.outcome, [[15.0]])
    assert mean.discount[0] == 0.5
    spread = dynamics.spread(params, states[:1], actions[:1])
    np.testing.assert_allclose(spread.noise, [1.0], rtol=1e-5)
    np.testing.assert_allclose(spread.disagreement, [0.4], rtol=1e-5)


def test_recorded_steps_come_out_as_they_were():
    schema, arrays = tiny_dataset.schema(), tiny_dataset.trajectories()
    shape = space.make_space(schema)
    with pytest.raises(
        ValueError, match=r"cannot carry .* on, which follow from doses"
    ):
        nearest.make(nearest.NearestConfig(), shape, ENCODE)
    shape = dataclasses.replace(
        shape, tracked=(), names=shape.names[: shape.num_stored]
    )
    fitted = scales.fit_scales(schema, shape, arrays)
    train = records.make_records(schema, shape, fitted, arrays, "train", 3)
    encode = actions_lib.discrete(shape.num_actions).encode
    model = nearest.make(nearest.NearestConfig(1, 0), shape, encode)
    steps = records.transition_at(train, train.transitions)
    params = model.fit(fitted, train)
    found = model.dynamics.mean(params, steps.state, steps.action)
    np.testing.assert_allclose(found.state, steps.next_state, atol=1e-5)
    np.testing.assert_allclose(found.outcome, steps.outcome, atol=1e-5)
    few = nearest.make(nearest.NearestConfig(1, 10), shape, encode).fit(fitted, train)
    assert few.rows.keys.shape[0] == 10
    with pytest.raises(ValueError, match=r"neighbours=12: 10 of .* are kept"):
        nearest.make(nearest.NearestConfig(12, 10), shape, encode).fit(fitted, train)

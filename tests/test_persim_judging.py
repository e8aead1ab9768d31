"""Judges of simulators, in a world that a simulator can know exactly."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from line_world import SCALES, TASK, Gain, knowing

from experiments.persim import judging, logs, playing, predicting
from omgrl_jax import actions
from omgrl_jax.models import planner

WORLD = judging.World(TASK, 4)
PHYSICS = Gain(jnp.array([0.1, 0.4]))
CONFIG = judging.JudgeConfig(predictions=6, start=3, ahead=5, episodes=3)
PLANS = planner.shooting(TASK.actions, planner.ShootingConfig(4, candidates=30))


def predict(given, personalise=judging.known, physics=PHYSICS):
    return predicting.predict(
        WORLD, personalise, CONFIG, jax.random.key(0), physics, given, SCALES
    )


def test_predictions_of_one_who_knows_are_right_and_of_one_who_does_not_are_off():
    right = predict(knowing(PHYSICS.gain))
    np.testing.assert_allclose(right.rmse, 0.0, atol=1e-5)
    np.testing.assert_allclose(right.r2, 1.0, atol=1e-5)
    # Who thinks of half the gain misses half of every way, who knows none all of it.
    half, none = predict(knowing(0.5 * PHYSICS.gain)), predict(knowing(jnp.zeros(2)))
    np.testing.assert_allclose(none.rmse, 2.0 * half.rmse, rtol=1e-3)
    assert np.all(np.asarray(none.rmse) > 0.05) and np.all(np.asarray(half.r2) < 0.99)


def test_what_comes_after_an_episodes_end_does_not_count():
    # Beyond its ends the line throws the point far away, which no simulator knows.
    strong = Gain(jnp.array([0.6, 1.4]))
    found = predict(knowing(strong.gain), physics=strong)
    np.testing.assert_allclose(found.rmse, 0.0, atol=1e-5)
    np.testing.assert_allclose(found.r2, 1.0, atol=1e-5)


def test_planning_with_one_who_knows_is_planning_in_the_truth():
    key = jax.random.key(1)
    earned = playing.control(
        WORLD,
        judging.known,
        CONFIG,
        PLANS,
        key,
        PHYSICS,
        knowing(PHYSICS.gain),
        SCALES,
    )
    key = jax.random.key(1)
    bound = playing.control_in_truth(WORLD, CONFIG, PLANS, key, PHYSICS, SCALES)
    assert earned.shape == (2, 3) and np.unique(earned).size == 6
    np.testing.assert_allclose(earned, bound, rtol=1e-4)
    # One who takes right for left runs away from the middle, to the end of the line.
    wrong = playing.control(
        WORLD,
        judging.known,
        CONFIG,
        PLANS,
        jax.random.key(1),
        PHYSICS,
        knowing(-PHYSICS.gain),
        SCALES,
    )
    assert np.all(np.asarray(wrong) < np.asarray(bound) - 1.0)


def test_returns_are_those_of_the_episode_up_to_its_end():
    # Far too strong: the first push that is not nothing ends the episode.
    strong, config = Gain(jnp.array([50.0])), CONFIG
    backwards = knowing(-jnp.array([0.01]))
    earned = playing.control(
        WORLD,
        judging.known,
        config,
        PLANS,
        jax.random.key(2),
        strong,
        backwards,
        SCALES,
    )
    assert np.all(np.asarray(earned) < -45.0) and np.all(np.asarray(earned) > -60.0)


def test_the_past_is_what_was_seen_before_the_prediction():
    # A simulator that reads the gain from the last step of its past.
    def personalise(given, past):
        del given
        _, action, change = jnp.split(past.reshape(4, 7)[-1], [2, 5])
        pushed = action @ jnp.array([-1.0, 0.0, 1.0])
        moved = change * SCALES.changes.deviation + SCALES.changes.mean
        gain = moved[0] * SCALES.state.std[0] * pushed
        return jax.tree.map(lambda x: x[0], knowing(gain[None]))

    found, none = predict(jnp.zeros(2), personalise), predict(knowing(jnp.zeros(2)))
    # It errs only where that step was to stay: in one of three episodes.
    assert np.all(np.asarray(found.rmse) < 0.8 * np.asarray(none.rmse))
    assert np.all(np.asarray(found.r2) > 0.75)


def test_encoded_past_is_state_action_and_change_of_each_step():
    state = jnp.array([[9.0, 9.0], [1.0, 2.0], [3.0, 4.0]])
    action = jnp.array([1, 2, 0])
    change = jnp.array([[9.0, 9.0], [0.1, 0.2], [0.3, 0.4]])
    there = jnp.array([False, True, True])
    row = functools.partial(np.testing.assert_allclose, rtol=1e-6)
    row(
        logs.encode(state, action, change, there, actions.discrete(3)),
        [0, 0, 0, 0, 0, 0, 0, 1, 2, 0, 0, 1, 0.1, 0.2, 3, 4, 1, 0, 0, 0.3, 0.4],
    )
    points = jnp.array([[9.0, 9.0], [0.0, 5.0], [2.0, 2.5]])
    row(
        logs.encode(state, points, change, there, actions.box((0.0, 0.0), (2.0, 5.0))),
        [0, 0, 0, 0, 0, 0, 1, 2, -1, 1, 0.1, 0.2, 3, 4, 1, 0, 0.3, 0.4],
    )

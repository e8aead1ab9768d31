"""Planning: known optima of quadratic problems, and a loop in NumPy."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from omgrl_jax import actions
from omgrl_jax.envs import control
from omgrl_jax.models import planner


def test_imagined_return_is_a_loop_in_numpy():
    def advance(states, actions):
        return states + jnp.stack([actions - 1.0, 0.5 * states[0]])

    def reward(state, action, following):
        return following[1] - 0.1 * action + state[0]

    def done(state):
        return state[0] > 2.0

    start = np.array([0.5, -0.25], np.float32)
    # More than one group, and more than fit one.
    plans = np.random.default_rng(0).integers(3, size=(600, 6))
    found = jax.jit(planner.imagined_return(advance, reward, done, jnp.asarray(start)))
    expected = []
    for plan in plans:
        state, total = start.astype(np.float64), 0.0
        for action in plan:
            following = state + np.array([action - 1.0, 0.5 * state[0]])
            total += following[1] - 0.1 * action + state[0]
            state = following
            if state[0] > 2.0:
                break
        expected.append(total)
    np.testing.assert_allclose(found(jnp.asarray(plans)), expected, rtol=1e-5)
    assert len(set(np.round(expected, 6))) > 20


def test_shooting_finds_the_best_of_all_plans():
    target = jnp.array([2, 0, 1])

    def score(plans):
        return -jnp.sum(jnp.square(plans - target[None]), axis=1).astype(jnp.float32)

    config = planner.ShootingConfig(horizon=3, candidates=400)  # of 27 plans
    last = jnp.zeros(3, jnp.int32)
    best = planner.shoot(jax.random.key(0), score, last, 3, config)
    np.testing.assert_array_equal(best.actions, target)
    assert best.actions.dtype == jnp.int32 and float(best.value) == 0.0


def test_last_plan_is_kept_where_it_is_better_and_only_there():
    last = jnp.array([1, 2, 0, 2], jnp.int32)
    config = planner.ShootingConfig(horizon=4, candidates=20)

    def wanted(plans):
        return jnp.all(plans == last[None], axis=1).astype(jnp.float32)

    kept = planner.shoot(jax.random.key(1), wanted, last, 3, config)
    np.testing.assert_array_equal(kept.actions, last)
    assert float(kept.value) == 1.0
    # Where all plans come to the same, an agent that never moved would never do.
    alike = planner.shoot(jax.random.key(2), lambda p: jnp.zeros(20), last, 3, config)
    assert np.any(np.asarray(alike.actions) != last)
    np.testing.assert_array_equal(planner.shifted(last), [2, 0, 2, 2])


def test_drawn_actions_are_held():
    config = planner.ShootingConfig(horizon=7, candidates=40, hold=3)
    seen = []

    def score(plans):
        seen.append(np.asarray(plans))
        return jnp.zeros(40)

    planner.shoot(jax.random.key(0), score, jnp.zeros(7, jnp.int32), 3, config)
    drawn = seen[0][:-1]
    assert drawn.shape == (39, 7)
    np.testing.assert_array_equal(drawn[:, [1, 2, 4, 5]], drawn[:, [0, 0, 3, 3]])
    assert np.unique(drawn[:, [0, 3, 6]], axis=0).shape[0] > 15  # of 27


@pytest.mark.parametrize("wild", [jnp.nan, jnp.inf])
def test_no_number_is_no_good_score(wild):
    # A world that overflows after its end scores by what came before it.
    def advance(states, actions):
        return jnp.where(states > 0.5, jnp.inf, states + actions[None])

    score = planner.imagined_return(
        advance, lambda s, a, f: f[0] - f[0] * 0.5, lambda s: s[0] > 0.5, jnp.zeros(1)
    )
    np.testing.assert_array_equal(score(jnp.array([[0, 0, 0], [1, 1, 1]])), [0.0, 0.5])

    def broken(plans):
        return jnp.where(plans[:, 0] == 2, wild, plans[:, 0].astype(jnp.float32))

    config = planner.ShootingConfig(horizon=2, candidates=30)
    best = planner.shoot(jax.random.key(0), broken, jnp.zeros(2, jnp.int32), 3, config)
    assert float(best.value) == 1.0

    def odd(plans):
        value = quadratic(plans)
        return jnp.where(plans[:, 0, 0] < 0.0, wild, value)

    plan = planner.cem(jax.random.key(0), odd, jnp.zeros((3, 1)), LOW, HIGH, CEM)
    np.testing.assert_allclose(plan.actions[:, 0], optimum(), atol=0.02)


def test_planning_in_the_true_world_brings_a_light_car_up_the_hill():
    task, physics = control.mountain_car(), control.MountainCar(1e-4)
    config = planner.ShootingConfig(horizon=50, candidates=100, hold=10)
    advance = jax.vmap(task.step, in_axes=(None, -1, -1), out_axes=-1)

    def step(carry, key):
        state, last = carry
        world = functools.partial(advance, physics)
        score = planner.imagined_return(world, task.reward, task.done, state)
        plan = planner.shoot(key, score, last, task.num_actions, config)
        following = task.step(physics, state, plan.actions[0])
        return (following, planner.shifted(plan.actions)), task.done(following)

    start = (jnp.array([-0.5, 0.0]), jnp.zeros(50, jnp.int32))
    _, over = jax.jit(lambda keys: jax.lax.scan(step, start, keys))(
        jax.random.split(jax.random.key(0), 150)
    )
    assert bool(over.any())


# x' = x + a over three steps from x = 0, at a cost of sum (x_t - 1)^2 + a_t^2 / 2.
def quadratic(plans):
    x, total = 0.0, 0.0
    for t in range(3):
        x = x + plans[:, t, 0]
        total = total + jnp.square(x - 1.0) + 0.5 * jnp.square(plans[:, t, 0])
    return -total


def optimum():
    ones = np.tril(np.ones((3, 3)))  # x = L a; (L'L + I / 2) a = L' 1
    return np.linalg.solve(ones.T @ ones + 0.5 * np.eye(3), ones.T @ np.ones(3))


LOW, HIGH = jnp.array([-2.0]), jnp.array([2.0])
CEM = planner.CemConfig(horizon=3, candidates=200, elites=20, iterations=12)


def test_cem_comes_to_the_known_optimum_of_a_quadratic_problem():
    plan = planner.cem(jax.random.key(0), quadratic, jnp.zeros((3, 1)), LOW, HIGH, CEM)
    np.testing.assert_allclose(plan.actions[:, 0], optimum(), atol=0.02)
    exact = float(quadratic(jnp.asarray(optimum(), jnp.float32)[None, :, None])[0])
    assert exact - 1e-3 < float(plan.value) <= exact + 1e-5
    # A first deviation of nothing leaves the first mean where it is.
    narrow = dataclasses.replace(CEM, first_deviation=1e-6)
    stuck = planner.cem(
        jax.random.key(0), quadratic, jnp.zeros((3, 1)), LOW, HIGH, narrow
    )
    np.testing.assert_allclose(stuck.actions, 0.0, atol=1e-3)
    few = dataclasses.replace(CEM, iterations=1, candidates=20, elites=20)
    poor = planner.cem(jax.random.key(0), quadratic, jnp.zeros((3, 1)), LOW, HIGH, few)
    assert float(poor.value) < exact - 0.05  # twenty of twenty chosen: no progress


def test_cem_keeps_to_the_bounds_and_keeps_what_it_is_told_to():
    tight, still = jnp.array([0.25]), jnp.zeros((3, 1))
    plan = planner.cem(jax.random.key(0), quadratic, still, -tight, tight, CEM)
    assert np.abs(plan.actions).max() <= 0.25
    np.testing.assert_allclose(plan.actions[:, 0], 0.25, atol=0.02)  # wants more
    first = jnp.full((3, 1), -1.0)
    stiff = dataclasses.replace(CEM, smoothing=0.999, iterations=1)
    found = planner.cem(jax.random.key(0), quadratic, first, LOW, HIGH, stiff)
    np.testing.assert_allclose(found.actions, first, atol=0.01)


def test_more_elites_than_candidates_are_refused():
    with pytest.raises(ValueError, match="elites=50 exceeds candidates=20"):
        planner.CemConfig(candidates=20)


def test_planners_of_both_kinds_plan_as_their_methods_do():
    space = actions.discrete(3)
    config = planner.ShootingConfig(horizon=3, candidates=50)
    shooting = planner.shooting(space, config)
    target = jnp.array([2, 0, 1])

    def score(plans):
        return -jnp.sum(jnp.square(plans - target[None]), axis=1).astype(jnp.float32)

    last, key = shooting.first(), jax.random.key(3)
    np.testing.assert_array_equal(last, [0, 0, 0])
    expected = planner.shoot(jax.random.key(3), score, last, 3, config)
    np.testing.assert_array_equal(shooting.plan(key, score, last)[0], expected[0])
    refining = planner.refining(actions.box((-2.0,), (2.0,)), CEM)
    plan = refining.plan(jax.random.key(0), quadratic, refining.first())
    np.testing.assert_allclose(plan.actions[:, 0], optimum(), atol=0.02)
    high = planner.refining(actions.box((1.0,), (3.0,)), CEM)
    np.testing.assert_array_equal(high.first(), np.full((3, 1), 2.0))
    assert planner.refining(actions.box((1.0,), (3.0,)), CEM) is high

"""Control tasks: Gymnasium's own at default physics, and others that differ by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from omgrl_jax.envs import control

TASKS = {
    "MountainCar-v0": (control.mountain_car(), control.MountainCar()),
    "CartPole-v1": (control.cart_pole(), control.CartPole()),
}
# Ranges somewhat beyond the limits, so that ends and clipping are met.
RANGES = {
    "MountainCar-v0": ([-1.2, -0.07], [0.6, 0.07]),
    "CartPole-v1": ([-2.6, -3.0, -0.25, -3.5], [2.6, 3.0, 0.25, 3.5]),
}


def steps(name, physics, states, actions):
    task = TASKS[name][0]
    take = jax.vmap(task.step, in_axes=(None, 0, 0))
    return np.asarray(jax.jit(take)(physics, states, actions))


@pytest.mark.parametrize("name", TASKS)
def test_steps_are_gymnasiums_from_random_states(name):
    gymnasium = pytest.importorskip("gymnasium")
    task, physics = TASKS[name]
    rng = np.random.default_rng(0)
    low, high = RANGES[name]
    states = rng.uniform(low, high, (500, len(low))).astype(np.float32)
    if name == "MountainCar-v0":
        states[:20] = [-1.2, -0.03]  # runs into the wall and stops there
        states[20:40] = [0.49, 0.05]  # reaches the top
    actions = rng.integers(task.num_actions, size=500)
    found = steps(name, physics, states, actions)
    over = np.asarray(jax.vmap(task.done)(found))
    real = gymnasium.make(name).unwrapped
    real.reset(seed=0)
    for state, action, ours, done in zip(states, actions, found, over, strict=True):
        real.state = tuple(float(x) for x in state)
        real.steps_beyond_terminated = None
        theirs, _, terminated, _, _ = real.step(int(action))
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=2e-6)
        assert terminated == done
    assert 10 < over.sum() < 490


def test_first_states_are_spread_as_gymnasiums():
    def firsts(name, seed):
        keys = jax.random.split(jax.random.key(seed), 2000)
        return jax.vmap(TASKS[name][0].reset)(keys)

    car, pole = firsts("MountainCar-v0", 0), firsts("CartPole-v1", 1)
    assert -0.6 <= car[:, 0].min() < -0.59 and -0.41 < car[:, 0].max() <= -0.4
    assert not car[:, 1].any()
    assert np.abs(pole).max() <= 0.05
    assert pole.std() == pytest.approx(0.1 / 12**0.5, rel=0.05)


def test_gravity_pulls_the_car_by_its_size():
    state, action = jnp.array([[0.0, 0.0]]), jnp.array([1])  # no push; cos 0 = 1
    for gravity in (1e-4, 3.5e-3):
        found = steps("MountainCar-v0", control.MountainCar(gravity), state, action)
        np.testing.assert_allclose(found, [[-gravity, -gravity]], rtol=1e-6)


def test_length_moves_everything_that_follows_from_it():
    # Upright and still: theta'' = -(F/M) / (l (4/3 - m/M)); x'' = F/M - m l theta''/M.
    state, action = jnp.zeros((1, 4)), jnp.array([1])
    for force, length in ((2.0, 0.5), (10.0, 0.15), (18.0, 0.85)):
        physics = control.CartPole(force, length)
        turn = -(force / 1.1) / (length * (4 / 3 - 0.1 / 1.1))
        push = force / 1.1 - 0.1 * length * turn / 1.1
        found = steps("CartPole-v1", physics, state, action)
        np.testing.assert_allclose(found, [[0, 0.02 * push, 0, 0.02 * turn]], rtol=1e-5)


def test_rewards_and_returns_stop_where_the_episode_ends():
    car = TASKS["MountainCar-v0"][0]
    below, top = jnp.array([0.4, 0.01]), jnp.array([0.5, 0.01])
    assert float(car.reward(below, 2, below)) == -1.0
    assert float(car.reward(below, 2, top)) == 0.0
    assert not bool(car.done(jnp.array([0.5, -0.01])))  # rolling back does not count
    pole = TASKS["CartPole-v1"][0]
    assert float(pole.reward(jnp.zeros(4), 1, jnp.zeros(4))) == 1.0
    assert (car.limit, pole.limit) == (500, 200)
    rewards = jnp.array([[-1.0, -1.0, 0.0, -1.0], [-1.0, -1.0, -1.0, -1.0]])
    over = jnp.array([[False, False, True, False], [False] * 4])
    np.testing.assert_array_equal(control.episode_return(rewards, over), [-2.0, -4.0])
    # The step that ends an episode counts, those after it do not.
    ones = jnp.ones(4)
    over = jnp.array([False, True, False, True])
    assert float(control.episode_return(ones, over)) == 2.0

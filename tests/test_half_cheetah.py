"""HalfCheetah: Gymnasium's own at scale one, and others that differ as they should."""

import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

mujoco = pytest.importorskip("mujoco")
gymnasium = pytest.importorskip("gymnasium")

from omgrl_jax.envs import half_cheetah  # noqa: E402
from omgrl_jax.envs.half_cheetah import HalfCheetah  # noqa: E402
from omgrl_jax.runtime import sweep  # noqa: E402
from omgrl_jax.runtime.errors import RunError  # noqa: E402

TASK = half_cheetah.half_cheetah()
STEPS = 200


def take(physics, states, forces):
    step = jax.jit(jax.vmap(TASK.step, in_axes=(0, 0, 0)))
    found = step(HalfCheetah(*map(jnp.asarray, physics)), states, forces)
    return np.asarray(found)


@pytest.fixture(scope="module")
def gone():
    """Gymnasium's own way under random actions, which it begins anew at times."""
    real = gymnasium.make("HalfCheetah-v5").unwrapped
    rng = np.random.default_rng(0)
    rows = []
    for episode in range(4):
        state, _ = real.reset(seed=episode)
        for _ in range(STEPS):
            force = rng.uniform(-1.0, 1.0, 6).astype(np.float32)
            following, reward, *_ = real.step(force)
            rows.append((state, force, following, reward))
            state = following
    return [np.array(x, np.float32) for x in zip(*rows, strict=True)]


def test_steps_are_gymnasiums_at_scale_one(gone):
    states, forces, following, _ = gone
    one = np.ones(len(states), np.float32)
    found = take((one, one), states, forces)
    # States that differ by a rounding to float32 go on differing by as much.
    np.testing.assert_allclose(found, following, rtol=1e-4, atol=1e-4)
    assert np.abs(following[:, 8:]).max() > 10.0  # it moves


def test_rewards_of_an_episode_are_nearly_gymnasiums(gone):
    states, forces, following, rewards = gone
    found = np.asarray(jax.vmap(TASK.reward)(states, forces, following))
    effort = 0.1 * np.square(forces).sum(axis=1)
    np.testing.assert_allclose(found, following[:, 8] - effort, rtol=1e-4, atol=1e-5)
    # Speed at the end of a step for speed over it: sums differ by the way's roughness.
    ours, theirs = (x.reshape(4, STEPS).sum(axis=1) for x in (found, rewards))
    np.testing.assert_allclose(ours, theirs, atol=0.1 * np.abs(theirs).max())
    assert not bool(TASK.done(jnp.zeros(17)))


@pytest.mark.parametrize(("mass", "damping"), [(0.3, 1.7), (1.7, 0.3)])
def test_scales_are_those_of_mass_and_of_damping(mass, damping):
    real = gymnasium.make("HalfCheetah-v5").unwrapped
    real.reset(seed=0)
    real.model.body_mass[:] *= mass
    real.model.body_inertia[:] *= mass
    real.model.dof_damping[:] *= damping
    mujoco.mj_setConst(real.model, mujoco.MjData(real.model))
    rng = np.random.default_rng(0)
    state, rows = real._get_obs(), []
    for _ in range(STEPS):
        force = rng.uniform(-1.0, 1.0, 6).astype(np.float32)
        following = real.step(force)[0]
        rows.append((state, force, following))
        state = following
    states, forces, following = (
        np.array(x, np.float32) for x in zip(*rows, strict=True)
    )
    ones = np.ones(STEPS, np.float32)
    found = take((mass * ones, damping * ones), states, forces)
    np.testing.assert_allclose(found, following, rtol=1e-4, atol=1e-4)
    usual = take((ones, ones), states, forces)
    assert np.abs(usual - following).max() > 1.0


def test_everything_falls_alike_and_the_damped_swing_dies_first():
    high = np.zeros((3, 17), np.float32)
    high[:, 0] = 5.0  # in the air
    scales, ones = np.array([0.3, 1.0, 1.7], np.float32), np.ones(3, np.float32)
    fallen = take((scales, ones), high, np.zeros((3, 6)))
    np.testing.assert_allclose(fallen[:, 9], -9.81 * 0.05, rtol=1e-3)
    pushed = np.abs(take((scales, ones), high, np.ones((3, 6)))[:, 8])
    assert pushed[0] > pushed[1] > pushed[2]
    high[:, 11:] = 2.0
    swung = np.abs(take((ones, scales), high, np.zeros((3, 6)))[:, 11:]).sum(axis=1)
    assert swung[0] > swung[1] > swung[2]


def test_batches_of_any_shape_are_the_steps_of_each():
    rng = np.random.default_rng(1)
    states = rng.normal(0.0, 0.2, (2, 3, 17)).astype(np.float32)
    forces = rng.uniform(-1.0, 1.0, (2, 3, 6)).astype(np.float32)
    physics = HalfCheetah(jnp.array([0.5, 1.5]), jnp.array([1.2, 0.4]))
    columns = jax.vmap(TASK.step, in_axes=(None, -1, -1), out_axes=-1)
    both = jax.jit(jax.vmap(columns))
    found = both(physics, states.transpose(0, 2, 1), forces.transpose(0, 2, 1))
    for agent in range(2):
        own = tuple(np.repeat(x[agent], 3) for x in physics)
        expected = take(own, states[agent], forces[agent])
        np.testing.assert_allclose(found[agent].T, expected, rtol=1e-6)
    assert np.abs(found[0] - found[1]).max() > 0.1


def test_steps_inside_loops_on_several_devices_come_to_an_end():
    # XLA calls the host from threads of its own there.
    def walk(key):
        def step(carry, _):
            state, key = carry
            key, own = jax.random.split(key)
            force = TASK.actions.draw(own, ())
            return (TASK.step(HalfCheetah(), state, force), key), None

        first, key = jax.random.split(key)
        (state, _), _ = jax.lax.scan(step, (TASK.reset(first), key), length=50)
        return state

    run = jax.jit(lambda keys: sweep.sweep(lambda key, _: walk(key), keys, ()))
    found = np.asarray(run(jax.random.split(jax.random.key(0), 4)))
    assert np.isfinite(found).all() and np.unique(found[:, 0]).size == 4


def test_batches_on_which_devices_would_wait_are_refused(monkeypatch):
    monkeypatch.setattr(half_cheetah.jax, "local_device_count", lambda: 2)
    states = np.zeros((2000, 17), np.float32)
    with pytest.raises(RunError, match=r"2000 agents in one step; .* at most 1323"):
        half_cheetah._advance(np.ones((2000, 2)), states, np.zeros((2000, 6)))


def test_first_states_are_spread_as_gymnasiums():
    keys = jax.random.split(jax.random.key(0), 1000)
    first = np.asarray(jax.jit(jax.vmap(TASK.reset))(keys))
    assert np.abs(first[:, :8]).max() <= 0.1
    np.testing.assert_allclose(first[:, :8].std(axis=0), 0.1 / 3**0.5, rtol=0.1)
    np.testing.assert_allclose(first[:, 8:].std(axis=0), 0.1, rtol=0.1)


def test_what_is_missing_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "mujoco", None)
    with pytest.raises(RunError, match=r"omgrl_jax\[mujoco\]"):
        half_cheetah.half_cheetah()

"""The Gymnasium wrapper against Gymnasium's own checker and the simulator."""

import importlib
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

gymnasium = pytest.importorskip("gymnasium")
from gymnasium.utils import env_checker  # noqa: E402

from omgrl_jax.envs import heparin, heparin_gym  # noqa: E402


@pytest.fixture(scope="module")
def env():
    return heparin_gym.HeparinEnv(heparin_gym.EnvConfig(hours=6))


def test_passes_the_checker(env):
    env_checker.check_env(env, skip_render_check=True)
    assert env.observation_space.shape == (22,)


def play(env, seed, actions):
    first, _ = env.reset(seed=seed)
    return first, [env.step(action) for action in actions]


def test_same_seed_same_episode(env):
    first, steps = play(env, 5, [3] * 6)
    again, same = play(env, 5, [3] * 6)
    other, _ = play(env, 6, [3])
    np.testing.assert_array_equal(first, again)
    assert [s[1] for s in steps] == [s[1] for s in same]
    assert not np.array_equal(first, other)


def test_ends_by_truncation_after_the_hours(env):
    _, steps = play(env, 0, [2] * 6)
    assert [s[3] for s in steps] == [False] * 5 + [True]
    assert not any(s[2] for s in steps)


def test_reward_and_dose_belong_to_the_action(env):
    _, steps = play(env, 1, [0, 5, 5, 5])
    for action, (seen, reward, _, _, info) in zip([0, 5, 5, 5], steps, strict=True):
        assert seen[-1] == env.config.doses[action]
        if 61 < info["aptt"] < 99:
            assert reward > 0.4
        elif not 59 < info["aptt"] < 101:
            assert reward < -0.4
    assert min(step[1] for step in steps) < 0
    assert steps[0][4]["concentration"] == 0 < steps[1][4]["concentration"]


def test_observation_is_the_simulators(env):
    seen, _ = env.reset(seed=3)
    drawn, _ = gymnasium.utils.seeding.np_random(3)
    key = jax.random.key(jnp.uint32(drawn.integers(2**32)))
    _, expected = heparin.reset(env.config.population, jax.random.split(key)[0])
    np.testing.assert_allclose(seen[:17], expected.features, rtol=1e-5)
    np.testing.assert_allclose(seen[17], expected.channel_value[0], rtol=1e-5)
    np.testing.assert_allclose(seen[18], expected.channel_age[0], rtol=1e-5)


def test_misuse_is_named():
    fresh = heparin_gym.HeparinEnv()
    with pytest.raises(gymnasium.error.ResetNeeded, match=r"reset\(\)"):
        fresh.step(0)
    fresh.reset(seed=0)
    with pytest.raises(ValueError, match="action 6"):
        fresh.step(6)
    with pytest.raises(ValueError, match="two doses"):
        heparin_gym.EnvConfig(doses=(1.0,))


def test_missing_package_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "gymnasium", None)
    monkeypatch.delitem(sys.modules, "omgrl_jax.envs.heparin_gym")
    with pytest.raises(ImportError, match=r"omgrl_jax\[gym\]"):
        importlib.import_module("omgrl_jax.envs.heparin_gym")

"""Logs of agents whose physics differ: who did what, and under which physics."""

import dataclasses
import functools
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from data_prep import control as prep
from omgrl_jax.data import dataset
from omgrl_jax.learners import online_q

Q = online_q.Config(
    hidden=(8,), copies=4, steps=20, batch_size=8, capacity=100, target_rate=0.05
)
CONFIG = prep.Config(env="cart_pole", data="pure_eps_40", agents=24, seed=3, q=Q)


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    out = tmp_path_factory.mktemp("logs")
    arrays = prep.write(CONFIG, out)
    return out, arrays


def test_every_step_follows_from_the_agents_own_physics(written):
    out, arrays = written
    physics = json.loads((out / "schema.json").read_text())["simulator"]["physics"]
    task = prep.SETTINGS["cart_pole"].task()
    step = jax.jit(jax.vmap(task.step, in_axes=(None, 0, 0)))
    rows = np.concatenate([[0], np.cumsum(arrays.lengths + 1)])
    steps = np.concatenate([[0], np.cumsum(arrays.lengths)])
    kind = type(prep.agents_of(CONFIG))
    for i in range(arrays.lengths.size):
        own = kind(physics["force"][i], physics["length"][i])
        states = arrays.observations[rows[i] : rows[i + 1]]
        actions = arrays.actions[steps[i] : steps[i + 1]]
        found = step(own, jnp.asarray(states[:-1]), jnp.asarray(actions))
        np.testing.assert_allclose(found, states[1:], rtol=1e-4, atol=1e-5)
        over = np.asarray(jax.vmap(task.done)(jnp.asarray(states[1:])))
        assert not over[:-1].any() and over[-1] == arrays.terminals[i]
        assert arrays.terminals[i] or arrays.lengths[i] == task.limit
    np.testing.assert_array_equal(arrays.rewards, np.ones(arrays.actions.size))


def test_agents_are_the_judged_five_and_others_within_the_ranges():
    for name in prep.SETTINGS:
        physics = prep.agents_of(dataclasses.replace(CONFIG, env=name, agents=2000))
        setting = prep.SETTINGS[name]
        for every, first, low, high in zip(
            physics, setting.judged, *setting.ranges, strict=True
        ):
            np.testing.assert_allclose(every[:5], first, rtol=1e-6)
            others = every[5:]
            assert low <= others.min() < low + 0.01 * (high - low)
            assert high - 0.01 * (high - low) < others.max() <= high * (1 + 1e-6)


def test_a_seed_decides_everything(written, tmp_path):
    out, _ = written
    prep.write(CONFIG, tmp_path / "again")
    prep.write(dataclasses.replace(CONFIG, seed=4), tmp_path / "other")
    first, again, other = (
        dataset.load(place).hash
        for place in (out, tmp_path / "again", tmp_path / "other")
    )
    assert first == again != other


@functools.cache
def played(epsilon):
    task = prep.SETTINGS["mountain_car"].task()
    physics = type(prep.agents_of(prep.Config()))(jnp.full(30, 0.0025))
    behaviour = online_q.behaviour(task, Q)
    one = jax.tree.map(lambda x: x[:1], physics)
    params = prep.learn(behaviour, jax.random.key(0), one)
    params = jax.tree.map(lambda x: jnp.repeat(x, 30, axis=0), params)
    found = prep.play(task, behaviour, jax.random.key(1), params, physics, epsilon)
    q = online_q.values(
        task, Q, jax.tree.map(lambda x: x[0], params), found.states[:, :-1]
    )
    return np.asarray(found.actions), np.asarray(q.argmax(axis=-1))


@pytest.mark.parametrize(("epsilon", "agreed"), [(0.0, 1.0), (0.4, 0.6 + 0.4 / 3)])
def test_the_share_of_random_actions_is_the_one_asked_for(epsilon, agreed):
    actions, best = played(epsilon)
    assert np.mean(actions == best) == pytest.approx(agreed, abs=0.01)


def test_random_data_ask_no_policy():
    actions, _ = played(1.0)
    shares = np.bincount(actions.ravel(), minlength=3) / actions.size
    np.testing.assert_allclose(shares, 1 / 3, atol=0.02)

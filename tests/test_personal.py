"""A personal simulator answers as its members do."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from omgrl_jax.models import low_rank, personal, rollout
from omgrl_jax.types import Policy

STATES, ACTIONS, MEMBERS, ROWS = 2, 3, 4, 12
CHANGES = personal.Changes(jnp.array([0.5, -0.25]), jnp.array([2.0, 0.1]))


@functools.cache
def drawn():
    """A model, its members' factors, and what each says of some steps of agent 5."""
    config = low_rank.Config(rank=3, state_hidden=(8,))
    model = low_rank.make(config, 7, STATES, ACTIONS)
    keys = jax.random.split(jax.random.key(0), MEMBERS)
    factors = jax.vmap(model.init)(keys)
    states = jax.random.normal(jax.random.key(1), (ROWS, STATES))
    actions = jnp.arange(ROWS, dtype=jnp.int32) % ACTIONS
    change = jax.vmap(model.change, in_axes=(None, None, 0, 0))
    every = []
    for e in range(MEMBERS):
        agents, shared = jax.tree.map(lambda x, e=e: x[e], factors)
        found = np.asarray(change(shared, agents[5], states, actions))
        moved = np.array([0.5, -0.25]) + np.array([2.0, 0.1]) * found
        every.append(np.asarray(states) + moved)
    return model, factors, states, actions, np.stack(every)


def simulator():
    model, factors = drawn()[:2]
    members = jax.vmap(model.fold)(factors.shared, factors.agents[:, 5])
    return personal.Simulator(members, CHANGES)


def test_the_mean_is_that_of_the_members_of_this_agent():
    _, _, states, actions, every = drawn()
    found = jax.jit(personal.dynamics().mean)(simulator(), states, actions)
    np.testing.assert_allclose(found.state, every.mean(axis=0), rtol=1e-4, atol=1e-5)
    assert found.outcome.shape == (ROWS, 0)
    assert every.std(axis=0).min() > 1e-4  # members differ: their mean is no member


def test_a_sample_is_the_answer_of_a_random_member():
    _, _, states, actions, every = drawn()
    sample = jax.jit(personal.dynamics().sample)
    chosen = []
    for seed in range(30):
        found = sample(simulator(), jax.random.key(seed), states, actions).state
        apart = np.abs(every - np.asarray(found)[None]).max(axis=-1)
        assert apart.min(axis=0).max() < 1e-5
        chosen.append(apart.argmin(axis=0))
        assert np.unique(chosen[-1]).size > 1  # one for each row, not for the batch
    shares = np.bincount(np.ravel(chosen), minlength=MEMBERS) / np.size(chosen)
    np.testing.assert_allclose(shares, 1 / MEMBERS, atol=0.1)


def test_spread_is_the_largest_distance_between_two_members():
    _, _, states, actions, every = drawn()
    found = jax.jit(personal.dynamics().spread)(simulator(), states, actions)
    apart = np.linalg.norm(every[:, None] - every[None], axis=-1).max(axis=(0, 1))
    np.testing.assert_allclose(found.disagreement, apart, rtol=1e-4)
    np.testing.assert_array_equal(found.noise, np.zeros(ROWS))


def test_rollouts_take_a_personal_simulator_for_a_world():
    states = drawn()[2]
    uniform = Policy(
        lambda params, s: jnp.full((*s.shape[:-1], ACTIONS), -jnp.log(3.0))
    )
    world = personal.dynamics()
    run = jax.jit(functools.partial(rollout.rollout, world), static_argnums=(1, 5))
    made = run(simulator(), uniform, (), jax.random.key(0), states, 5)
    assert made.next_state.shape == (5, ROWS, STATES)
    np.testing.assert_array_equal(made.state[1:], made.next_state[:-1])


def test_rows_in_the_place_of_columns_are_refused():
    one = jax.tree.map(lambda x: x[0], simulator().members)
    with pytest.raises(AssertionError):
        personal.change(one, jnp.zeros((ROWS, STATES)), jnp.zeros(STATES, jnp.int32))


def test_a_constant_change_is_no_deviation():
    moving = np.arange(1000) % 2 * 2.0 + 1.0
    columns = [moving, np.zeros(1000), np.full(1000, 0.1), np.full(1000, 7.7)]
    found = personal.fit_changes(jnp.asarray(np.stack(columns, axis=1), jnp.float32))
    np.testing.assert_allclose(found.mean, [2.0, 0.0, 0.1, 7.7], rtol=1e-5)
    np.testing.assert_allclose(found.deviation, [1.0] * 4, rtol=1e-5)

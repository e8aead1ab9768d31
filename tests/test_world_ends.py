"""Worlds in which episodes end, and what their steps earn: as in the records."""

import dataclasses
import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from test_world import task

from omgrl_jax.models import ensemble, rewards, world, world_fit
from omgrl_jax.models.example import examples
from omgrl_jax.models.rollout import rollout
from omgrl_jax.types import Policy

FIT = ensemble.FitConfig(
    members=2,
    elites=2,
    batch_size=64,
    learning_rate=2e-2,
    max_epochs=150,
    patience=150,
    bootstrap=False,
)


def fitted():
    space, scales, train = task()
    config = world.WorldConfig((8,), (8,), ends=True)
    made = world.make(config, space)
    # The first action ends an episode three times in four, the others never.
    rng = np.random.default_rng(0)
    ends = (np.asarray(train.actions) == 0) & (rng.random(train.actions.size) < 0.75)
    train = train._replace(discount=jnp.asarray(~ends, jnp.float32))
    params, fits = world_fit.fit(
        made, config, FIT, jax.random.key(0), scales, train, train
    )
    return made, params, fits, train


def test_the_chance_of_an_end_is_learned_and_drawn():
    made, params, fits, train = fitted()
    assert np.isfinite(fits["ends"].validation_loss).all()
    seen, known = 1.0 - np.asarray(examples(train).discount), examples(train)
    for action in (0, 2):
        own = np.asarray(known.action) == action
        states = known.state[own]
        given = jnp.full(own.sum(), action)
        mean = made.dynamics.mean(params, states, given).discount
        np.testing.assert_allclose(1.0 - mean.mean(), seen[own].mean(), atol=0.05)
        keys = jax.random.split(jax.random.key(1), 200)
        draw = jax.vmap(made.dynamics.sample, in_axes=(None, 0, None, None))
        drawn = jax.jit(draw)(params, keys, states, given).discount
        assert set(np.unique(drawn)) <= {0.0, 1.0}
        np.testing.assert_allclose(drawn.mean(axis=0), mean, atol=0.15)
        np.testing.assert_allclose(drawn.mean(), mean.mean(), atol=0.02)


def test_files_of_such_worlds_have_the_shapes_that_are_said():
    made, params, _, train = fitted()
    shapes = world_fit.shapes(made, 2, params.scales)
    jax.tree.map(lambda a, b: np.testing.assert_equal(a.shape, b.shape), params, shapes)
    without = world.make(world.WorldConfig((8,), (8,)), task()[0])
    assert (
        without.ends is None and world_fit.shapes(without, 2, params.scales).ends == ()
    )
    states, actions = train.states[:3], train.actions[:3]
    step = without.dynamics.sample(params, jax.random.key(0), states, actions)
    assert step.discount is None


@functools.cache
def rewarded():
    """Rewards of the first moving feature reached, and three more where it ends."""
    space, scales, train = task()
    space = dataclasses.replace(space, recorded_reward=0)
    config = world.WorldConfig((8,), (), ends=True, rewards=True, components=2)
    made = world.make(config, space)
    rng = np.random.default_rng(0)
    ends = (np.asarray(train.actions) == 0) & (rng.random(train.actions.size) < 0.5)
    reached = np.roll(np.asarray(train.states)[:, space.dynamic[0]], -1)
    earned = jnp.asarray(reached + 3.0 * ends, jnp.float32)
    outcome = train.outcome.at[:, 0].set(earned)
    going = jnp.asarray(~ends, jnp.float32)
    train = train._replace(discount=going, outcome=outcome)
    params, fits = world_fit.fit(
        made, config, FIT, jax.random.key(0), scales, train, train
    )
    return made, params, fits, train


def test_mixtures_and_ends_are_the_same_drawn_at_once():
    made, params, _, train = rewarded()
    uniform = Policy(lambda _, states: jnp.zeros((*states.shape[:-1], 6)))
    at_once, as_it_goes = (
        rollout(world, params, uniform, None, jax.random.key(2), train.states[:20], 5)
        for world in (made.dynamics, made.dynamics._replace(ahead=None))
    )
    chex.assert_trees_all_close(at_once, as_it_goes, rtol=1e-4, atol=1e-5)
    assert 0.0 < at_once.discount.mean() < 1.0


def test_rewards_are_those_of_where_a_step_leads():
    made, params, fits, train = rewarded()
    assert fits["rewards"].validation_loss.min() < 0.05
    # Two means, two spreads and two weights for each feature that moves.
    last = params.features["net"]["params"]["Dense_1"]["bias"]
    assert last.shape[-1] == 6 * len(task()[0].dynamic)
    known = examples(train)
    states, keys = known.state, jax.random.split(jax.random.key(1), 20)
    actions = jnp.zeros(states.shape[0], jnp.int32)
    draw = jax.jit(jax.vmap(made.dynamics.sample, in_axes=(None, 0, None, None)))
    drawn = draw(params, keys, states, actions)
    moving = task()[0].dynamic[0]
    wanted = drawn.state[..., moving] + 3.0 * (1.0 - drawn.discount)
    assert np.std(wanted) > 1.0
    errors = np.abs(np.asarray(drawn.outcome[..., 0] - wanted))
    assert errors.mean() < 0.1 and errors.max() < 0.5
    mean = made.dynamics.mean(params, states, actions)
    wanted = mean.state[:, moving] + 3.0 * (1.0 - mean.discount)
    np.testing.assert_allclose(mean.outcome[:, 0], wanted, atol=0.5)
    shapes = world_fit.shapes(made, 2, params.scales)
    jax.tree.map(lambda a, b: np.testing.assert_equal(a.shape, b.shape), params, shapes)


def test_where_no_reward_is_recorded_none_is_told():
    space = dataclasses.replace(task()[0], recorded_reward=None)
    config = world.WorldConfig((8,), (8,), rewards=True)
    assert world.make(config, space).rewards is None
    recorded = dataclasses.replace(space, recorded_reward=0)
    with pytest.raises(ValueError, match="--world_rewards without --world_ends"):
        world.make(config, recorded)
    with pytest.raises(ValueError, match="records no reward"):
        rewards.make((8,), space)

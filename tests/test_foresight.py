"""Plans of doses: enumeration, the world step by step, expected rewards, limits."""

import dataclasses
import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny_dataset

from omgrl_jax.data import records as records_lib
from omgrl_jax.data import scales as scales_lib
from omgrl_jax.data import space as space_lib
from omgrl_jax.models import foresight, outcome, world
from omgrl_jax.models.foresight import Config, Foreseen
from omgrl_jax.ops import clinical

CONFIG = Config(horizon=5, hold=2, spread=0.0, limit=0.0)
MEMBERS = 2


@functools.cache
def task():
    schema, arrays = tiny_dataset.schema(delay=1), tiny_dataset.trajectories(24)
    space = space_lib.make_space(schema, "history")
    scales = scales_lib.fit_scales(schema, space, arrays)
    train = records_lib.make_records(schema, space, scales, arrays, "train", 1)
    return space, scales, train


@functools.cache
def networks():
    """Outcome networks to which the age of a draw says nothing."""
    space, _, _ = task()
    outcomes = outcome.make((6,), "proportional", space)
    keys = jax.random.split(jax.random.key(0), MEMBERS)
    params = jax.jit(jax.vmap(outcomes.init))(keys)
    first = params["net"]["params"]["Dense_0"]
    first["kernel"] = first["kernel"].at[:, space.names.index("aptt_age")].set(0.0)
    return outcomes, params


def reward(values):
    _, scales, _ = task()
    raw = scales.channel.invert(values[..., None])[..., 0]
    return clinical.range_reward(raw, 60.0, 75.0)


def test_plans_are_all_sequences_of_held_doses():
    found = foresight.plans(CONFIG, 3)
    wanted = [[a, a, b, b, c] for a, b, c in itertools.product(range(3), repeat=3)]
    np.testing.assert_array_equal(found, wanted)
    with pytest.raises(ValueError, match=r"horizon=9, hold=1: 3\^9 plans"):
        foresight.plans(Config(horizon=9, hold=1), 3)


@functools.cache
def step_by_step():
    """Each plan's channel in the world itself, whose other features stand still."""
    space, scales, train = task()
    outcomes, params = networks()
    made = world.make(world.WorldConfig((), (6,)), space, outcomes)
    keys = jax.random.split(jax.random.key(1), MEMBERS)
    still = jax.tree.map(jnp.zeros_like, jax.vmap(made.init_features)(keys))
    far = jnp.full(space.state_dim, jnp.inf)
    whole = world.WorldParams(still, params, scales, -far, far)
    state = train.states[train.transitions[3]]

    @jax.jit
    @jax.vmap
    def course(plan):
        def hour(states, action):
            out = made.dynamics.mean(whole, states, action[None])
            return out.state, out.outcome[0, 0]

        return jax.lax.scan(hour, state[None], plan)[1]

    return state, np.asarray(course(jnp.asarray(foresight.plans(CONFIG, 3))))


def foreseen():
    space, scales, _ = task()
    outcomes, params = networks()
    given = jnp.asarray(foresight.plans(CONFIG, 3))
    look = jax.jit(functools.partial(foresight.foresee, space, outcomes))
    return look(scales, params, jnp.float32(4.0), step_by_step()[0], given), given


def test_plans_foresee_what_the_world_says_step_by_step():
    found, _ = foreseen()
    np.testing.assert_allclose(
        found.mean.mean(0), step_by_step()[1], rtol=1e-3, atol=1e-4
    )


def test_the_best_plan_is_that_of_an_enumeration():
    _, scales, _ = task()
    found, given = foreseen()
    one = Foreseen(found.mean[:1], found.deviation[:1])
    values = foresight.scores(CONFIG, scales, reward, one, 1)
    x = np.asarray(scales.channel.invert(one.mean[0][..., None]), np.float64)[..., 0]
    earned = 2 / (1 + np.exp(60 - x)) - 2 / (1 + np.exp(75 - x)) - 1
    by_hand = earned.mean(axis=1)
    np.testing.assert_allclose(values, by_hand, atol=1e-4)
    assert np.ptp(by_hand) > 0.01
    every = jnp.ones(3, bool)
    assert foresight.best(values, given, every) == given[int(np.argmax(by_hand)), 0]


def test_rewards_are_expected_ones():
    _, scales, _ = task()
    config = Config(spread=1.0, assay_error=0.0, limit=0.0)
    one = Foreseen(jnp.full((1, 1, 1), 0.3), jnp.full((1, 1, 1), 0.5))
    found = foresight.scores(config, scales, jnp.square, one, 2001)
    np.testing.assert_allclose(found, 0.3**2 + 0.5**2, rtol=1e-2)
    # Without the laboratory's error of .4, .3 are left; never less than a part.
    std = float(scales.channel.std[0])
    for error, left in ((0.4, 0.3**2), (0.6, 0.05 * 0.5**2)):
        noisy = dataclasses.replace(config, assay_error=error * std)
        found = foresight.scores(noisy, scales, jnp.square, one, 2001)
        np.testing.assert_allclose(found, 0.3**2 + left, rtol=1e-2)
    sure = foresight.scores(Config(spread=0.0, limit=0.0), scales, jnp.square, one, 9)
    np.testing.assert_allclose(sure, 0.3**2, rtol=1e-5)


def test_the_limit_costs_its_penalty_in_every_hour_above():
    _, scales, _ = task()
    mean = scales.channel.apply(jnp.array([[99.0], [101.0], [120.0], [60.0]]))[:, 0]
    one = Foreseen(mean[None, None], jnp.zeros((1, 1, 4)))
    config = Config(spread=0.0, limit=100.0, penalty=3.0)
    found = foresight.scores(config, scales, jnp.zeros_like, one, 1)
    np.testing.assert_allclose(found, [-3.0 * 2 / 4])
    # A chance of one half of being above costs half of it.
    edge = scales.channel.apply(jnp.array([100.0]))[0] - 1e-4
    even = Foreseen(jnp.full((1, 1, 1), edge), jnp.ones((1, 1, 1)))
    config = Config(spread=1.0, limit=100.0, penalty=3.0)
    found = foresight.scores(config, scales, jnp.zeros_like, even, 200)
    np.testing.assert_allclose(found, [-1.5], rtol=1e-2)


def test_above_the_limit_no_dose_may_rise():
    _, scales, _ = task()  # doses 0, 500 and 1000
    config = Config(limit=100.0)
    say = functools.partial(foresight.allowed, config, scales)
    high, low = jnp.float32(100.1), jnp.float32(99.9)
    # Whatever was given within the bin, the bin itself stays allowed.
    assert say(high, jnp.int32(1)).tolist() == [True, True, False]
    assert say(high, jnp.int32(0)).tolist() == [True, False, False]
    assert say(low, jnp.int32(0)).tolist() == [True, True, True]
    without = foresight.allowed(Config(limit=0.0), scales, high, jnp.int32(0))
    assert without.tolist() == [True, True, True]


def test_the_limit_is_the_upper_end_of_the_target_unless_set():
    space, scales, _ = task()
    assert foresight.for_target(Config(), space).limit == space.target[2] == 100.0
    other = dataclasses.replace(space, target=(0, 50.0, 70.0))
    assert foresight.for_target(Config(), other).limit == 70.0
    for own in (0.0, 90.0):
        assert foresight.for_target(Config(limit=own), other).limit == own
    with pytest.raises(ValueError, match="no channel has a target"):
        foresight.for_target(Config(), dataclasses.replace(space, target=None))
    # Never silently without one.
    with pytest.raises(ValueError, match="settle it by the target"):
        foresight.allowed(Config(), scales, jnp.float32(0.0), jnp.int32(0))


def test_the_best_plan_is_a_permitted_one_with_a_number():
    given = jnp.array([[0, 2], [1, 1], [2, 0], [1, 0]])
    values = jnp.array([0.1, 0.7, 0.9, jnp.nan])
    every = jnp.ones(3, bool)
    assert foresight.best(values, given, every) == 2
    assert foresight.best(values, given, jnp.array([True, True, False])) == 1
    assert foresight.best(values, given, jnp.array([True, False, False])) == 0

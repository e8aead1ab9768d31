"""A patient's own outcome: likelihood, recovery, inference, the world made of it."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny_dataset
from scipy import stats

from omgrl_jax.data import draws as draws_lib
from omgrl_jax.data import records as records_lib
from omgrl_jax.data import scales as scales_lib
from omgrl_jax.data import space as space_lib
from omgrl_jax.models import (
    ensemble,
    forecaster,
    outcome,
    personal_fit,
    personal_outcome,
    world,
)
from omgrl_jax.models.forecaster import Draw, PersonalParams
from omgrl_jax.ops import belief as belief_lib
from omgrl_jax.ops import regression
from omgrl_jax.ops.belief import Belief

RANK = 2
CONFIG = personal_outcome.Config(rank=RANK, hidden=(4,))


@functools.cache
def task(stays=24):
    schema, arrays = tiny_dataset.schema(delay=1), tiny_dataset.trajectories(stays)
    space = space_lib.make_space(schema, "history")
    scales = scales_lib.fit_scales(schema, space, arrays)
    train = records_lib.make_records(schema, space, scales, arrays, "train", 1)
    return space, scales, train


@functools.cache
def model(config=CONFIG):
    space, _, _ = task()
    population = outcome.make((4,), "proportional", space)
    return personal_outcome.make(config, space, population), population


def filled(draws):
    """A stay with most draws, all of them there."""
    number = int(np.asarray(draws.there).sum(1).argmax())
    count = int(np.asarray(draws.there)[number].sum())
    return jax.tree.map(lambda x: x[number, :count], draws)


def test_draws_are_the_measured_steps_of_each_stay():
    _, _, train = task()
    found = draws_lib.of_records(train)
    measured = np.asarray(train.measured[:, 0])
    stay = np.asarray(train.stay)
    assert int(found.there.sum()) == measured.sum()
    for number in range(stay[-1] + 1):
        rows = np.flatnonzero(measured & (stay == number))
        there = np.asarray(found.there[number])
        np.testing.assert_array_equal(there, np.arange(there.size) < rows.size)
        np.testing.assert_array_equal(
            found.state[number][: rows.size], train.states[rows]
        )
        np.testing.assert_array_equal(
            found.value[number][: rows.size], train.outcome[rows, 0]
        )


def rows_of(made, shared, draws):
    _, scales, _ = task()

    @jax.jit
    @jax.vmap
    def each(state, amount):
        said = made.respond(scales, shared, state, amount)
        return *said.measured(), said.noise

    return map(np.asarray, each(draws.state, draws.amount))


def test_the_loss_is_the_joint_density_of_a_stays_measurements():
    _, scales, train = task()
    made, _ = model()
    shared = made.init(jax.random.key(1))
    stay = filled(draws_lib.of_records(train))
    count = stay.value.shape[0]
    assert count > 3
    usual, rows, noise = rows_of(made, shared, stay)
    covariance = rows @ rows.T + np.diag(noise)
    joint = stats.multivariate_normal.logpdf(stay.value, usual, covariance)
    found = jax.jit(made.loss)(scales, shared, belief_lib.standard(RANK), stay)
    bounds = float((shared["high"] - shared["low"]).sum())
    np.testing.assert_allclose(found - 1e-4 * bounds, -joint / count, rtol=1e-4)


def test_factors_from_draws_are_ridge_regression_and_see_no_later_draw():
    _, scales, train = task()
    made, _ = model()
    shared = made.init(jax.random.key(1))
    # Noise that does not differ, so that ridge regression has one strength.
    last = shared["net"]["params"]["Dense_1"]
    last["kernel"] = last["kernel"].at[:, 2].set(0.0)
    stay = filled(draws_lib.of_records(train))
    prior = Belief(jnp.array([0.5, -1.0]), 0.4 * jnp.eye(RANK))
    follow = jax.jit(made.follow)
    before, after = follow(scales, shared, prior, stay)
    usual, rows, noise = rows_of(made, shared, stay)
    np.testing.assert_allclose(noise, noise[0], rtol=1e-4)
    for count in range(stay.value.shape[0] + 1):
        x = jnp.asarray(rows[:count])
        left = jnp.asarray(np.asarray(stay.value)[:count] - usual[:count])
        by_hand = prior.mean + regression.ridge(
            x, left - x @ prior.mean, float(noise[0]) / 0.4
        )
        last = count == stay.value.shape[0]
        found = after.mean if last else before.mean[count]
        np.testing.assert_allclose(found, by_hand, rtol=2e-3, atol=1e-4)
    later = stay._replace(value=stay.value.at[2:].add(5.0))
    moved, _ = follow(scales, shared, prior, later)
    np.testing.assert_array_equal(moved.mean[:3], before.mean[:3])
    assert np.abs(moved.mean[3] - before.mean[3]).max() > 1e-3


def exactly_low_rank(stays, noise=0.02):
    """Stays whose measurements follow a linear member with factors of rank one."""
    space, scales, _ = task()
    made, _ = model(personal_outcome.Config(rank=1, hidden=()))
    shared = made.init(jax.random.key(4))
    net = jax.tree.map(lambda x: 0.3 * x, shared["net"])
    net["params"]["Dense_0"]["bias"] = jnp.array([0.0, 0.5, 0.0, 1.0, 0.5])
    shared = {**shared, "net": net}
    rng = np.random.default_rng(3)
    shape = (stays, 6)
    state = jnp.asarray(rng.normal(size=(*shape, space.state_dim)), jnp.float32)
    amount = jnp.asarray(rng.choice(tiny_dataset.DOSES, shape), jnp.float32)
    u = jnp.asarray(rng.normal(size=(stays, 1)), jnp.float32)

    @jax.jit
    @functools.partial(jax.vmap, in_axes=(0, 0, 0))
    @functools.partial(jax.vmap, in_axes=(0, 0, None))
    def value(state, amount, u):
        usual, row = made.respond(scales, shared, state, amount).measured()
        return usual + row @ u

    exact = value(state, amount, u)
    seen = exact + noise * jnp.asarray(rng.normal(size=shape), jnp.float32)
    return draws_lib.Draws(
        state=state,
        action=jnp.zeros(shape, jnp.int32),
        amount=amount,
        value=seen,
        censored=jnp.zeros(shape, bool),
        there=jnp.ones(shape, bool),
    ), u


@pytest.mark.parametrize("way", ["integrated", "free"])
def test_an_exactly_low_rank_outcome_is_recovered(way):
    _, scales, _ = task()
    made, _ = model(personal_outcome.Config(rank=1, hidden=()))
    draws, u = exactly_low_rank(72)
    train = jax.tree.map(lambda x: x[:60], draws)
    held_out = jax.tree.map(lambda x: x[60:], draws)
    numbers = jnp.arange(60, dtype=jnp.int32)
    fittable = (
        personal_fit.integrated(made, 1)
        if way == "integrated"
        else personal_fit.free(made, 1, 60)
    )
    fit = ensemble.fit(
        jax.random.key(0),
        fittable.init,
        fittable.loss,
        scales,
        personal_fit.Stay(numbers, train),
        personal_fit.Stay(jnp.full(12, -1, jnp.int32), held_out),
        numbers,
        ensemble.FitConfig(1, 1, 3e-2, 0.0, 20, 250, 250, 80, bootstrap=False),
        epochs_per_call=250,
    )
    shared, prior = fittable.kept(jax.tree.map(lambda x: x[0], fit.params))

    @jax.jit
    def foretold(stays):
        def one(stay):
            before, after = made.follow(scales, shared, prior, stay)
            mean, _ = made.foretell(scales, shared, before, stay)
            alike = jax.tree.map(lambda x: x[:1].repeat(6, 0), before)
            average, _ = made.foretell(scales, shared, alike, stay)
            return mean - stay.value, average - stay.value, after.mean

        return jax.vmap(one)(stays)

    error, average, factors = map(np.asarray, foretold(held_out))
    # Known after some draws; the average patient stays what it is.
    assert np.sqrt((error[:, 3:] ** 2).mean()) < 0.15
    assert np.sqrt((average[:, 3:] ** 2).mean()) > 0.5
    tells = np.corrcoef(factors[:, 0], np.asarray(u[60:, 0]))[0, 1]
    assert abs(tells) > 0.98


def personal_params(made, population, members=2):
    def init(key):
        own, usual = jax.random.split(key)
        return made.init(own), population.init(usual)

    keys = jax.random.split(jax.random.key(7), members)
    shared, usual = jax.jit(jax.vmap(init))(keys)
    prior = jax.tree.map(
        lambda x: jnp.broadcast_to(x, (members, *x.shape)), belief_lib.standard(RANK)
    )
    return PersonalParams(shared, prior, usual)


def test_a_patients_world_is_the_worlds_with_its_outcome():
    space, scales, train = task()
    made, population = model()
    params = personal_params(made, population)
    own = world.make(world.WorldConfig((4,), (4,)), space, made.outcomes)
    keys = jax.random.split(jax.random.key(2), 2)
    features = jax.vmap(own.init_features)(keys)
    who = forecaster.personal(made)
    states = train.states[train.transitions[:5]]
    actions = train.actions[train.transitions[:5]]

    @jax.jit
    def say(factors):
        belief = Belief(jnp.stack([factors] * 2), params.prior.covariance)
        members = who.members(params, belief)
        low = jnp.full(space.state_dim, -9.0)
        whole = world.WorldParams(features, members, scales, low, -low)
        drawn = own.dynamics.sample(whole, jax.random.key(3), states, actions)
        return own.dynamics.mean(whole, states, actions), drawn

    def by_hand(factors):
        @jax.jit
        @functools.partial(jax.vmap, in_axes=(0, None, None))
        @functools.partial(jax.vmap, in_axes=(None, 0, 0))
        def each(shared, state, amount):
            r = made.respond(scales, shared, state, amount)
            share = jnp.maximum(1.0 + r.weights @ factors, 0.2)
            return r.level + r.levels @ factors + r.slope * share * r.now

        amounts = scales.amounts[actions]
        return np.asarray(each(params.shared, states, amounts)).mean(0)

    for factors in (jnp.zeros(RANK), jnp.array([1.0, -3.0])):
        mean, drawn = say(factors)
        np.testing.assert_allclose(mean.outcome[:, 0], by_hand(factors), rtol=1e-4)
        assert np.isfinite(drawn.state).all()


def test_average_patients_keep_the_mean_and_share_the_doubt():
    _, scales, _ = task()
    made, population = model()
    params = personal_params(made, population)
    stay = filled(draws_lib.of_records(task()[2]))
    draw = Draw(stay.state[0], stay.amount[0], stay.value[0], stay.censored[0])
    average, personal = forecaster.average(made), forecaster.personal(made)
    start = average.start(params)
    told = jax.jit(personal.learn)(scales, params, start, draw)
    assert np.abs(told.mean).max() > 1e-3
    memory = jax.jit(average.learn)(scales, params, start, draw)
    belief = average.members(params, memory).belief
    np.testing.assert_array_equal(belief.mean, params.prior.mean)
    np.testing.assert_allclose(belief.covariance, told.covariance, rtol=1e-6)
    own = personal.members(params, told).belief
    np.testing.assert_array_equal(own.mean, told.mean)
    # As much as a stay of this one draw tells.
    first = jax.tree.map(lambda x: x[:1], stay)
    shared = jax.tree.map(lambda x: x[1], params.shared)
    _, after = jax.jit(made.follow)(scales, shared, belief_lib.standard(RANK), first)
    np.testing.assert_allclose(told.mean[1], after.mean, rtol=1e-5)


def test_a_state_without_history_is_refused():
    schema = tiny_dataset.schema()
    space = space_lib.make_space(schema, "full")
    with pytest.raises(ValueError, match=r"such as 'history'.*channels \['aptt'\]"):
        personal_outcome.make(CONFIG, space, model()[1])

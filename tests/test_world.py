"""The learned world: tracked features by rule, dose effects, shares of the members."""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny_dataset

from omgrl_jax.data import records as records_lib
from omgrl_jax.data import scales as scales_lib
from omgrl_jax.data import space as space_lib
from omgrl_jax.data import tracking
from omgrl_jax.models import dealing, ensemble, world, world_fit
from omgrl_jax.models import example as example_lib
from omgrl_jax.models.rollout import rollout
from omgrl_jax.types import Policy, Step

MEMBERS = 3
FREE = world.WorldConfig((8,), (8,), "free", state_margin=50.0)
PROPORTIONAL = world.WorldConfig((8,), (8,), "proportional", state_margin=50.0)


@functools.cache
def task(delay=0):
    schema, arrays = tiny_dataset.schema(delay=delay), tiny_dataset.trajectories(24)
    space = space_lib.make_space(schema, "history")
    scales = scales_lib.fit_scales(schema, space, arrays)
    train = records_lib.make_records(schema, space, scales, arrays, "train", 2)
    return space, scales, train


@functools.cache
def model(config=PROPORTIONAL, delay=0):
    """A world with random networks; sample and mean are compiled once."""
    space, scales, train = task(delay)
    made = world.make(config, space)

    def init(key):
        feature_key, outcome_key = jax.random.split(key)
        return (
            jax.vmap(made.init_features)(jax.random.split(feature_key, MEMBERS)),
            jax.vmap(made.init_outcomes)(jax.random.split(outcome_key, MEMBERS)),
        )

    features, outcomes = jax.jit(init)(jax.random.key(0))
    low, high = train.states.min(axis=0), train.states.max(axis=0)
    margin = config.state_margin
    params = world.WorldParams(features, outcomes, scales, low - margin, high + margin)
    once = {name: jax.jit(getattr(made.dynamics, name)) for name in ("sample", "mean")}
    dynamics = made.dynamics._replace(**once, spread=jax.jit(made.dynamics.spread))
    made = made._replace(dynamics=dynamics, outcome=jax.jit(made.outcome))
    return made, params, space, train


def some(train, count):
    rows = train.transitions[:count]
    return train.states[rows], train.actions[rows]


def who(params, member, noise, state, action):
    """A step that says which member made it, and for which state and action."""
    del params
    number = member[0] + 0.0 * noise
    return Step(state, jnp.stack([number, action.astype(jnp.float32)]))


@pytest.mark.parametrize("batch", [3, 12, 30])
def test_every_member_gets_an_equal_share(batch):
    params = world.WorldParams(jnp.arange(3.0), jnp.arange(3.0), None, None, None)
    states = jnp.arange(2.0 * batch).reshape(batch, 2)
    actions = jnp.arange(batch)
    deal = dealing.draw(params, jax.random.key(0), batch, jax.random.uniform)
    out = dealing.play(params, deal, states, actions, who)
    # Each state comes back to its own place, stepped by one member.
    np.testing.assert_array_equal(out.state, states)
    np.testing.assert_array_equal(out.outcome[:, 1], actions)
    counts = np.bincount(np.asarray(out.outcome[:, 0]).astype(int), minlength=3)
    np.testing.assert_array_equal(counts, [batch // 3] * 3)


@pytest.mark.parametrize("batch", [1, 2, 7])
def test_no_member_is_favoured_where_the_shares_are_uneven(batch):
    params = world.WorldParams(jnp.arange(3.0), jnp.arange(3.0), None, None, None)
    states = jnp.arange(2.0 * batch).reshape(batch, 2)

    @jax.jit
    @jax.vmap
    def draw(key):
        deal = dealing.draw(params, key, batch, jax.random.uniform)
        return dealing.play(params, deal, states, jnp.arange(batch), who)

    out = draw(jax.random.split(jax.random.key(0), 600))
    np.testing.assert_array_equal(out.state, np.broadcast_to(states, out.state.shape))
    member = np.asarray(out.outcome[..., 0]).astype(int)
    share = -(-batch // 3)
    assert max(np.bincount(m, minlength=3).max() for m in member) <= share
    # 600 draws a state: 200 each, standard deviation 11.5.
    for column in member.T:
        np.testing.assert_allclose(np.bincount(column, minlength=3), 200, atol=50)


def tracked_by_hand(made, params, space, key, state, action, outcomes):
    """Tracked features after one member's step, from the public parts."""
    _, value_key, draw_key, _ = jax.random.split(key, 4)
    amount = params.scales.amounts[action]
    said = made.outcome(params.scales, outcomes, state, action, amount)
    value = said.mean + jnp.exp(0.5 * said.log_var) * jax.random.normal(value_key, (1,))
    measured = jax.random.uniform(draw_key, (1,)) < jax.nn.sigmoid(said.logit)
    tracked = tracking.advance(
        space.tracked,
        space.channels,
        params.scales.state.invert(state)[space.num_stored :],
        amount,
        params.scales.channel.invert(value),
        measured,
    )
    return tracked, said.now, measured


@pytest.mark.parametrize("delay", [0, 1])
def test_a_step_tracks_by_rule_and_carries_static_features(delay):
    made, params, space, train = model(delay=delay)
    states, actions = some(train, 40)
    keys = jax.random.split(jax.random.key(5), 40)

    member = jax.tree.map(lambda x: x[1], (params.features, params.outcomes))

    @jax.jit
    @jax.vmap
    def both(key, state, action):
        # The same numbers once more, past the check for keys used twice.
        twin = jax.random.wrap_key_data(jax.random.key_data(key))
        step = made.step(params, member, made.noise(key), state, action)
        hand = tracked_by_hand(made, params, space, twin, state, action, member[1])
        return step, hand

    step, (tracked, now, measured) = both(keys, states, actions)
    raw = params.scales.state.invert(step.state)
    stored = space.num_stored
    np.testing.assert_allclose(raw[:, stored:], tracked, rtol=1e-3, atol=1e-2)
    np.testing.assert_allclose(step.outcome, now, rtol=1e-5)
    assert 0 < np.asarray(measured).sum() < 40
    # Weight is static; the pulse is not.
    np.testing.assert_array_equal(step.state[:, 0], states[:, 0])
    assert np.all(step.state[:, 1] != states[:, 1])


def test_rollouts_that_draw_at_once_are_those_that_draw_as_they_go():
    made, params, _, train = model()
    starts, _ = some(train, 10)
    uniform = Policy(lambda _, states: jnp.zeros((*states.shape[:-1], 6)))
    at_once, as_it_goes = (
        rollout(dynamics, params, uniform, None, jax.random.key(1), starts, 4)
        for dynamics in (made.dynamics, made.dynamics._replace(ahead=None))
    )
    chex.assert_trees_all_close(at_once, as_it_goes, rtol=1e-5, atol=1e-5)
    assert len(np.unique(at_once.action)) > 1


def test_static_features_never_change_in_a_rollout():
    made, params, _, train = model()
    states, _ = some(train, 12)
    actions = jnp.tile(jnp.arange(3), 4)
    now = states
    for key in jax.random.split(jax.random.key(0), 5):
        now = made.dynamics.sample(params, key, now, actions).state
    np.testing.assert_array_equal(now[:, 0], states[:, 0])
    assert np.all(now[:, 1] != states[:, 1])


def test_states_stay_within_their_limits():
    made, params, _, train = model()
    narrow = params._replace(low=jnp.full(8, -0.1), high=jnp.full(8, 0.1))
    states, actions = some(train, 12)
    for step in (
        made.dynamics.sample(narrow, jax.random.key(0), states, actions),
        made.dynamics.mean(narrow, states, actions),
    ):
        assert np.all(np.abs(step.state) <= 0.1)
        # Without the limits they would leave.
    free = made.dynamics.mean(params, states, actions)
    assert np.abs(free.state).max() > 0.1


@pytest.mark.parametrize("delay", [0, 1])
def test_a_proportional_dose_effect_never_falls(delay):
    made, params, _, train = model(delay=delay)
    state = train.states[train.transitions[4]]
    members = jax.jit(jax.vmap(made.outcome, in_axes=(None, 0, None, None, None)))
    amounts = jnp.array([0.0, 300.0, 600.0, 900.0])
    said = [members(params.scales, params.outcomes, state, 1, a) for a in amounts]
    now = np.stack([s.now for s in said])
    assert np.all(np.diff(now, axis=0) > 0)
    # Straight: equal doses, equal effects.
    np.testing.assert_allclose(np.diff(now, n=2, axis=0), 0.0, atol=1e-4)
    reported = np.stack([s.mean for s in said])
    if delay:
        # Blood drawn before the dose cannot show what the dose did.
        np.testing.assert_array_equal(reported, np.tile(reported[:1], (4, 1, 1)))
    else:
        np.testing.assert_array_equal(reported, now)


def test_the_action_matters_only_through_its_dose_where_proportional():
    made, params, _, train = model()
    state = train.states[train.transitions[4]]
    member = jax.tree.map(lambda x: x[0], params.outcomes)
    same = [made.outcome(params.scales, member, state, a, 300.0).now for a in range(3)]
    assert same[0] == same[1] == same[2]


def test_a_free_dose_effect_sees_dose_and_action():
    made, params, _, train = model(FREE)
    state = train.states[train.transitions[4]]
    member = jax.tree.map(lambda x: x[0], params.outcomes)

    def now(action, amount):
        return float(made.outcome(params.scales, member, state, action, amount).now[0])

    assert now(0, 300.0) != now(1, 300.0)
    assert now(0, 300.0) != now(0, 900.0)


def test_mean_is_the_members_mean():
    made, params, space, train = model()
    states, actions = some(train, 12)
    step = made.dynamics.mean(params, states, actions)
    members = [
        jax.tree.map(lambda x, m=m: x[m], params.outcomes) for m in range(MEMBERS)
    ]
    doses = params.scales.amounts[actions]
    now = [
        [made.outcome(params.scales, m, *each).now for m in members]
        for each in zip(states, actions, doses, strict=True)
    ]
    np.testing.assert_allclose(step.outcome, np.mean(now, axis=1), rtol=1e-4, atol=1e-5)
    # No measurement is invented: the last one ages by one step.
    raw, before = (params.scales.state.invert(s) for s in (step.state, states))
    age, last = space.names.index("aptt_age"), space.names.index("aptt_last")
    np.testing.assert_allclose(raw[:, age], before[:, age] + 1.0, rtol=1e-4)
    np.testing.assert_allclose(raw[:, last], before[:, last], rtol=1e-4)
    # Other amounts than the usual ones count.
    dose = space.names.index("dose_last")
    other = made.dynamics.mean(params, states, actions, jnp.full(12, 321.0))
    raw = params.scales.state.invert(other.state)
    np.testing.assert_allclose(raw[:, dose], np.full(12, 321.0), rtol=1e-3)


def test_values_that_were_not_measured_teach_nothing():
    made, params, _, train = model()
    every = example_lib.examples(train)
    member = jax.tree.map(lambda x: x[0], params.outcomes)
    compiled = jax.jit(made.outcome_loss)

    def loss(outcome, measured):
        example = jax.tree.map(lambda x: x[3], every)
        example = example._replace(outcome=outcome, measured=measured)
        return compiled(params.scales, member, example)

    seen, unseen = jnp.array([True]), jnp.array([False])
    assert loss(jnp.array([0.0]), unseen) == loss(jnp.array([9.0]), unseen)
    assert loss(jnp.array([0.0]), seen) != loss(jnp.array([9.0]), seen)


def test_relabelled_outcomes_are_the_estimates_for_the_recorded_doses():
    made, params, _, train = model()
    relabelled = world_fit.relabel(made, params, train)
    rows = train.transitions[:12]
    step = made.dynamics.mean(
        params, train.states[rows], train.actions[rows], train.amounts[rows]
    )
    np.testing.assert_allclose(
        relabelled.outcome[rows], step.outcome, rtol=1e-4, atol=1e-5
    )
    np.testing.assert_array_equal(relabelled.states, train.states)


SHORT = ensemble.FitConfig(members=2, elites=2, max_epochs=1, batch_size=64)


@pytest.mark.parametrize(("state", "channels"), [("paper", True), (None, False)])
def test_the_whole_fit_gives_a_world_that_steps(state, channels):
    """Also for data without any channel, where there is no outcome to fit."""
    schema = tiny_dataset.schema("range" if channels else "none", channels=channels)
    arrays = tiny_dataset.trajectories(channels=channels)
    space = space_lib.make_space(schema, state)
    scales = scales_lib.fit_scales(schema, space, arrays)
    train, validation = (
        records_lib.make_records(schema, space, scales, arrays, name, 2)
        for name in ("train", "validation")
    )
    config = world.WorldConfig((8,), (8,))
    made = world.make(config, space)
    params, fits = world_fit.fit(
        made, config, SHORT, jax.random.key(0), scales, train, validation
    )
    assert all(np.isfinite(fit.validation_loss).all() for fit in fits.values())
    states, actions = some(train, 5)
    step = made.dynamics.sample(params, jax.random.key(1), states, actions)
    assert step.state.shape == (5, space.state_dim)
    assert step.outcome.shape == (5, len(space.channels))
    assert np.isfinite(step.state).all() and np.isfinite(step.outcome).all()


def test_an_unknown_dose_effect_is_named():
    with pytest.raises(ValueError, match="dose_effect='log'"):
        world.WorldConfig(dose_effect="log")


def test_spread_is_the_widest_noise_and_the_farthest_pair():
    """Members are asked one by one through ensembles that hold only them."""
    made, params, _, train = model()
    states, actions = some(train, 6)
    space, _, _ = task()
    dynamic = jnp.array(space.dynamic)

    def alone(member):
        def pick(tree):
            return jax.tree.map(lambda x: x[member : member + 1], tree)

        return params._replace(
            features=pick(params.features), outcomes=pick(params.outcomes)
        )

    singles = [made.dynamics.spread(alone(m), states, actions) for m in range(MEMBERS)]
    found = made.dynamics.spread(params, states, actions)
    noise = np.max([s.noise for s in singles], axis=0)
    np.testing.assert_allclose(found.noise, noise, rtol=1e-5)
    for single in singles:
        np.testing.assert_array_equal(single.disagreement, np.zeros(6))

    # Mean next features and the value a measurement would show, member by member.
    def mean(member):
        step = made.dynamics.mean(alone(member), states, actions)
        own = jax.tree.map(lambda x: x[member], params.outcomes)
        amounts = params.scales.amounts[actions]
        said = jax.vmap(made.outcome, in_axes=(None, None, 0, 0, 0))(
            params.scales, own, states, actions, amounts
        )
        return np.concatenate([step.state[:, dynamic], said.mean], axis=1)

    means = np.stack([mean(m) for m in range(MEMBERS)])
    gaps = np.linalg.norm(means[:, None] - means[None], axis=-1).max(axis=(0, 1))
    np.testing.assert_allclose(found.disagreement, gaps, rtol=1e-3)

"""Policies in the simulator see what the dataset would hold of the same stays."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from data_prep import bins as bins_lib
from data_prep import virtual
from omgrl_jax.data import records as records_lib
from omgrl_jax.data import scales as scales_lib
from omgrl_jax.data import space as space_lib
from omgrl_jax.envs import clinicians, heparin, recording, stays
from omgrl_jax.evaluation import intervention, simulation

PEOPLE = heparin.PatientDistribution()
PRACTICE = clinicians.Practice()
CONFIG = virtual.Config(stays=24, seed=5, max_hours=24, median_hours=16.0)
STATES = ("paper", "full", "history")


@functools.cache
def cohort():
    """Stays at full length, and the dataset made of them."""
    full = virtual.simulate(CONFIG, PEOPLE, PRACTICE)
    arrays, bins, _ = virtual.to_trajectories(CONFIG, full)
    return full, arrays, bins, virtual.to_schema(CONFIG, bins, PEOPLE, PRACTICE)


@functools.cache
def task(state="history"):
    _, arrays, _, schema = cohort()
    space = space_lib.make_space(schema, state)
    return space, scales_lib.fit_scales(schema, space, arrays)


def as_records(state, split, arrays):
    """The arrays by the path that training data take."""
    schema = cohort()[3]
    space, scales = task(state)
    return records_lib.make_records(schema, space, scales, arrays, split, 5)


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("split", ["train", "test"])
def test_a_policy_sees_the_states_that_it_was_trained_on(state, split):
    full, arrays, _, _ = cohort()
    space, scales = task(state)
    see = functools.partial(simulation.recorded_states, space, scales)
    seen = np.asarray(jax.jit(jax.vmap(see))(full.observations, full.orders.total))
    chosen = np.flatnonzero(
        arrays.split == ("train", "validation", "test").index(split)
    )
    expected = np.concatenate([seen[i, : arrays.lengths[i] + 1] for i in chosen])
    found = np.asarray(as_records(state, split, arrays).states)
    assert found.shape == expected.shape and found.shape[1] == space.state_dim
    np.testing.assert_allclose(found, expected, atol=2e-4)
    if split == "train":  # standardised, on the training stays
        moving = found.std(axis=0) > 1e-3
        np.testing.assert_allclose(found.mean(axis=0), 0.0, atol=1e-3)
        np.testing.assert_allclose(found.std(axis=0)[moving], 1.0, atol=1e-3)


def linear(params, states):
    return jax.nn.log_softmax(states @ params)


@functools.cache
def treated(greedy=True):
    """New patients under a policy whose doses hang on all of the state."""
    space, scales = task()
    weights = jax.random.normal(jax.random.key(1), (space.state_dim, 6))
    policy = simulation.learned_policy(space, scales, linear, weights, greedy)
    run = functools.partial(stays.simulate_policy, PEOPLE, policy)
    out = jax.jit(run, static_argnums=(1, 2))(jax.random.key(2), 24, 24)
    return np.asarray(weights), jax.device_get(out)


def test_a_greedy_policy_acts_on_its_own_stays_as_the_dataset_shows_them():
    weights, given = treated()
    arrays = cohort()[1]
    # Bins of its own doses would be others than those it chose from: not used here.
    two = dataclasses.replace(CONFIG, bins=2)
    own, _, _ = virtual.to_trajectories(two, given)
    np.testing.assert_array_equal(own.lengths, arrays.lengths)
    records = as_records("history", "train", own)
    rows = np.asarray(records.transitions)
    scores = np.sort(np.asarray(records.states)[rows] @ weights, axis=1)
    clear = scores[:, -1] - scores[:, -2] > 1e-2
    best = np.argmax(np.asarray(records.states)[rows] @ weights, axis=1)
    amounts = np.asarray(task()[1].amounts)
    assert clear.mean() > 0.9 and np.unique(best).size >= 4
    np.testing.assert_array_equal(
        np.asarray(records.amounts)[rows][clear], amounts[best][clear]
    )


def test_infusions_of_learned_policies_are_the_bins_amounts_without_bolus():
    _, given = treated(greedy=False)
    amounts = np.asarray(task()[1].amounts)
    assert set(np.unique(given.orders.infusion)) == set(amounts.tolist())
    assert not given.orders.bolus.any()


def preferring(params, state):
    del state
    return jax.nn.log_softmax(params)


@functools.cache
def compiled(greedy):
    space, scales = task("paper")  # kept: not to be made while tracing

    def run(logits, key):
        policy = simulation.learned_policy(space, scales, preferring, logits, greedy)
        treated = stays.simulate_policy(PEOPLE, policy, key, 40, 24)
        each = simulation.outcomes(treated, 60.0, 100.0)
        return jax.tree.map(jnp.mean, each), treated

    return jax.jit(run)


def under(logits, key, greedy=False):
    found, given = compiled(greedy)(jnp.asarray(logits), jax.random.key(key))
    return found, jax.device_get(given)


def test_a_greedy_policy_takes_the_likeliest_dose_and_a_sampled_one_all():
    amounts = np.asarray(task()[1].amounts)
    logits = [0.0, 0.0, 0.3, 0.0, 0.0, 0.0]
    _, greedy = under(logits, 3, greedy=True)
    assert set(np.unique(greedy.orders.infusion)) == {amounts[2]}
    _, sampled = under(logits, 3)
    index = np.searchsorted(amounts, sampled.orders.infusion.ravel())
    shares = np.bincount(index, minlength=6) / index.size
    # 960 draws: a standard deviation of at most 0.014.
    expected = np.exp(logits) / np.exp(logits).sum()
    np.testing.assert_allclose(shares, expected, atol=0.06)


def test_the_same_key_gives_every_policy_the_same_patients():
    low, high = np.full(6, -30.0), np.full(6, -30.0)
    low[0], high[5] = 0.0, 0.0
    (less, given), (more, other) = under(low, 4), under(high, 4)
    assert given.orders.total.max() < other.orders.total.min()
    names = list(heparin.FEATURE_NAMES)
    bedside = [names.index(n) for n in ("age", "weight", "sbp", "rr", "temperature")]
    np.testing.assert_array_equal(
        given.observations.features[..., bedside],
        other.observations.features[..., bedside],
    )
    np.testing.assert_array_equal(
        given.observations.channel_value[:, 0], other.observations.channel_value[:, 0]
    )
    assert float(less["above"]) < float(more["above"])
    _, strangers = under(low, 5)
    first = given.observations.features[:, 0, bedside]
    assert not np.isin(strangers.observations.features[:, 0, bedside], first).all()


def test_outcomes_are_means_over_patients_of_the_true_course():
    found, given = under(np.zeros(6), 6)
    aptt = given.truth.aptt
    assert aptt.shape == (40, 24)
    inside = (aptt >= 60) & (aptt <= 100)
    assert 0.1 < inside.mean() < 0.9
    assert float(found["in_range"]) == pytest.approx(inside.mean(), abs=1e-6)
    assert float(found["above"]) == pytest.approx((aptt > 100).mean(), abs=1e-6)
    success = [
        any(all(row[t : t + 4]) for t in range(21)) for row in inside
    ]  # four hours in a row within the first 24
    assert float(found["success"]) == pytest.approx(np.mean(success), abs=1e-6)
    reward = 2 / (1 + np.exp(60 - aptt)) - 2 / (1 + np.exp(100 - aptt)) - 1
    assert float(found["r_p"]) == pytest.approx(reward.mean(), abs=1e-4)


def test_binned_clinicians_give_the_amount_of_the_datasets_bin():
    full, _, bins, schema = cohort()
    edges = jnp.asarray(schema.actions.edges)
    amounts = task()[1].amounts
    # All doses that occurred, and the edges themselves, where ties are decided.
    doses = np.unique(np.concatenate([full.orders.total.ravel(), bins.edges]))
    # Not the next float above 0, which XLA flushes to 0.
    doses = np.concatenate([doses, bins.edges + 0.01])
    expected = bins_lib.assign(bins, doses)
    assert set(expected) == set(range(6))
    np.testing.assert_array_equal(simulation.dose_bins(edges, doses), expected)

    half = stays.Policy(
        lambda key, seen: (),
        lambda state, key, dose, patient: (state, stays.Order(dose / 2, dose / 2)),
    )
    policy = simulation.binned(half, edges, amounts)
    given = jax.vmap(lambda d: policy.act((), None, d, None)[1])(jnp.asarray(doses))
    np.testing.assert_array_equal(given.infusion, np.asarray(bins.amounts)[expected])
    assert not np.any(given.bolus)


def test_the_oracle_beats_every_constant_dose():
    _, scales = task()
    oracle = simulation.oracle(PEOPLE, scales.amounts, 60.0, 100.0)
    run = functools.partial(stays.simulate_policy, PEOPLE, oracle)
    given = jax.jit(run, static_argnums=(1, 2))(jax.random.key(7), 40, 24)
    best = jnp.mean(simulation.outcomes(given, 60.0, 100.0)["r_p"])
    for action in range(6):
        found, _ = under(np.where(np.arange(6) == action, 0.0, -30.0), 7)
        assert float(found["r_p"]) < float(best) - 0.1


STEADY = clinicians.Practice(
    changes=(0.0,) * 5, boluses=(0.0,) * 5, holds=(0,) * 5, initial_bolus_share=0.0
)


def test_cases_of_the_intervention_test_hold_what_a_recorder_knows():
    space, scales = task()
    hours = 7
    at = intervention.cases(PEOPLE, STEADY, space, scales, jax.random.key(8), 30, hours)
    raw = np.asarray(scales.state.invert(at.states))
    known = jax.vmap(lambda p: jnp.stack([p.aptt_value, p.aptt_age], axis=-1))
    column = {name: raw[:, i] for i, name in enumerate(space.names)}
    tracked = np.stack([column["aptt_last"], column["aptt_age"]], axis=1)
    np.testing.assert_allclose(tracked, known(at.patients), rtol=1e-3, atol=1e-3)
    seen = jax.vmap(recording.observe)(at.patients).features
    np.testing.assert_allclose(raw[:, :16], seen[:, :16], rtol=1e-3, atol=1e-3)
    # Clinicians who never change the rate: every dose is the first one.
    doses = np.asarray(at.doses)
    assert np.unique(doses).size > 10
    np.testing.assert_allclose(column["dose_last"], doses, rtol=1e-3, atol=0.1)
    (average,) = [t for t in space.tracked if t.rule == "average"]
    share = 1 - 2 ** (-hours / average.half_life)
    np.testing.assert_allclose(column["dose_average"], doses * share, rtol=1e-3)


def test_extreme_hours_have_the_highest_dose_after_a_value_above_the_range():
    # What was known at the start of each of four hours, and what was given in it.
    known = np.array([[101.0, 101.0, 100.0, 99.0, 200.0]], np.float32)
    given = np.array([[2000.5, 2000.0, 3000.0, 3000.0]], np.float32)
    seen = heparin.Observation(None, known[..., None], None, None, None)
    orders = stays.Order(given, np.zeros_like(given))
    treated = stays.Stays(seen, None, orders, None)
    share = simulation.extreme(treated, jnp.array([0.0, 1000.0, 2000.0]), 100.0)
    # Only the first hour: 2000 U/h still is the bin below, 100 s is inside.
    np.testing.assert_allclose(share, [0.25])

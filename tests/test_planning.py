"""Planned doses for virtual patients: no future, no rise above the limit, the truth."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np

from data_prep import virtual
from omgrl_jax.data import space as space_lib
from omgrl_jax.data.draws import Draws
from omgrl_jax.data.scales import Scales, Standardiser
from omgrl_jax.envs import heparin, kinetics, recording, stays
from omgrl_jax.evaluation import planning, simulation
from omgrl_jax.evaluation.planning import Planning
from omgrl_jax.models import forecaster, foresight, outcome, personal_outcome
from omgrl_jax.models.forecaster import PersonalParams
from omgrl_jax.ops import belief as belief_lib
from omgrl_jax.ops import clinical

HOURS = 24
PLAN = foresight.Config(horizon=2, hold=2, limit=100.0)
DISTRIBUTION = heparin.PatientDistribution()
AMOUNTS = jnp.array([0.0, 1000.0, 2000.0])


@functools.cache
def space():
    bins = virtual.bins_lib.DoseBins(
        np.array([1.0, 1500.0]), np.asarray(AMOUNTS), ("a", "b", "c")
    )
    practice = virtual.clinicians.Practice()
    schema = virtual.to_schema(virtual.Config(), bins, DISTRIBUTION, practice)
    return space_lib.make_space(schema, "history")


def scales():
    size = space().state_dim
    tracked = [item.rule in ("last", "previous") for item in space().tracked]
    log = jnp.array([False] * space().num_stored + tracked)
    dose = jnp.array([name.startswith("dose") for name in space().names])
    mean = jnp.where(log, 4.2, jnp.where(dose, 800.0, jnp.linspace(1.0, 60.0, size)))
    deviation = jnp.where(log, 0.4, jnp.where(dose, 800.0, 30.0))
    state = Standardiser(mean, deviation, log)
    channel = Standardiser(jnp.array([4.2]), jnp.array([0.4]), jnp.ones(1, bool))
    return Scales(state, channel, AMOUNTS)


def reward(values):
    raw = scales().channel.invert(values[..., None])[..., 0]
    return clinical.range_reward(raw, 60.0, 100.0)


@functools.cache
def networks():
    population = outcome.make((3,), "proportional", space())
    config = personal_outcome.Config(rank=2, hidden=(3,))
    made = personal_outcome.make(config, space(), population)

    def init(key):
        own, usual = jax.random.split(key)
        return made.init(own), belief_lib.standard(2), population.init(usual)

    keys = jax.random.split(jax.random.key(5), 2)
    params = PersonalParams(*jax.jit(jax.vmap(init))(keys))
    # Much slope, so that doses matter; factors that count in every state.
    net = params.shared["net"]["params"]["Dense_1"]
    net["bias"] = net["bias"].at[:, 1].set(0.5).at[:, 3:].set(0.4)
    return made, params


def policy(replan=1):
    made, params = networks()
    how = Planning(space(), PLAN, replan)
    who = forecaster.personal(made)
    return planning.policy(how, who, reward, scales(), params, jnp.float32(5.0))


@functools.cache
def observed():
    """What was seen of a patient under a constant dose."""
    admitted = stays.admit(DISTRIBUTION, jax.random.key(3), 1)

    def act(state, key, seen, patient):
        return state, stays.Order(jnp.float32(1500.0), jnp.float32(0.0))

    constant = stays.Policy(lambda key, seen: (), act)
    run = jax.jit(functools.partial(stays.treat, DISTRIBUTION, constant, hours=HOURS))
    return jax.tree.map(lambda x: x[0], run(admitted).observations)


@functools.cache
def dose(replan=1):
    planned = policy(replan)

    @jax.jit
    def whole(seen):
        key = jax.random.key(0)
        first = jax.tree.map(lambda x: x[0], seen)

        def hour(state, now):
            # The policy draws nothing: any key does.
            state, order = planned.act(state, jax.random.clone(key), now, None)
            return state, order.total

        start = planned.reset(jax.random.clone(key), first)
        chart, given = jax.lax.scan(hour, start, seen)
        return given, chart.memory

    return whole


def doses_of(replan=1):
    return lambda seen: dose(replan)(seen)[0]


def test_a_draw_changes_no_earlier_dose():
    seen = observed()
    reports = np.flatnonzero(np.asarray(seen.channel_measured)[1:, 0]) + 1
    assert reports.size > 2
    at = int(reports[1])
    usual = np.asarray(doses_of()(seen))
    later = seen.channel_value.at[at:].multiply(0.5)
    changed = np.asarray(doses_of()(seen._replace(channel_value=later)))
    np.testing.assert_array_equal(changed[:at], usual[:at])
    assert (changed[at:] != usual[at:]).any()
    assert np.unique(usual).size > 1


def test_what_is_known_of_the_patient_follows_from_the_recorded_stay():
    made, params = networks()
    seen = observed()
    given, memory = dose()(seen)
    states = simulation.recorded_states(space(), scales(), seen, given[:-1])
    at = np.flatnonzero(np.asarray(seen.channel_measured)[1:, 0])
    value = scales().channel.apply(seen.channel_value)[:, 0]
    draws = Draws(
        state=states[at],
        action=jnp.zeros(at.size, jnp.int32),
        amount=given[at],
        value=value[at + 1],
        censored=seen.channel_censored[at + 1, 0],
        there=jnp.ones(at.size, bool),
    )
    first = jax.tree.map(lambda x: x[0], params.shared)
    follow = jax.jit(made.follow)
    _, wanted = follow(scales(), first, belief_lib.standard(2), draws)
    np.testing.assert_allclose(memory.mean[0], wanted.mean, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(memory.covariance[0], wanted.covariance, atol=1e-4)


def test_doses_do_not_rise_while_the_last_value_is_above_the_limit():
    seen = observed()
    # Too low at first, so that doses rise; then above the limit to the end.
    early = jnp.arange(HOURS + 1)[:, None] < 4
    values = jnp.where(early, 50.0, 101.0)
    doses = np.asarray(doses_of()(seen._replace(channel_value=values)))
    assert doses[3] > 0
    assert (np.diff(doses)[3:] <= 0).all()
    below = np.asarray(
        doses_of()(seen._replace(channel_value=jnp.full_like(values, 50.0)))
    )
    assert (below[4:] > doses[4:]).any()


def test_a_dose_is_kept_until_it_is_planned_anew():
    doses = np.asarray(doses_of(replan=5)(observed()))
    for hour in range(HOURS):
        if (hour + 1) % 5:
            assert doses[hour + 1] == doses[hour]


def test_true_courses_follow_their_doses_hour_by_hour():
    admitted = stays.admit(DISTRIBUTION, jax.random.key(8), 1)
    patient = jax.tree.map(lambda x: x[0], admitted.patient)
    doses = jnp.array([1200.0, 1200.0, 0.0, 300.0])

    @jax.jit
    def by_hand():
        body, reached = recording.kinetics_now(DISTRIBUTION, patient), []
        concentration = patient.concentration
        for dose in doses:
            hour = kinetics.one_hour(body, concentration, dose)
            concentration = hour.concentration
            reached.append(kinetics.aptt(body, concentration))
        return jnp.stack(reached)

    course = jax.jit(functools.partial(heparin.true_aptt_under, DISTRIBUTION))
    found, wanted = course(patient, doses), by_hand()
    np.testing.assert_allclose(found, wanted, rtol=1e-5)
    assert wanted[2] < wanted[1]


def test_who_knows_the_kinetics_stays_in_range():
    finer = scales()._replace(amounts=500.0 * jnp.arange(6))
    six = dataclasses.replace(space(), num_actions=6)
    how = Planning(six, foresight.Config(4, 4, spread=0.0, limit=100.0), 1)
    knowing = planning.omniscient(how, DISTRIBUTION, reward, finer)
    run = jax.jit(functools.partial(stays.treat, DISTRIBUTION, knowing, hours=HOURS))
    treated = run(stays.admit(DISTRIBUTION, jax.random.key(9), 20))
    outcomes = simulation.outcomes(treated, 60.0, 100.0)
    assert float(outcomes["in_range"].mean()) > 0.5  # random doses: .2

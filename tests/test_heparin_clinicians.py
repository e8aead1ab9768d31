"""Clinicians against the printed nomogram, a trial's result and the known truth."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from omgrl_jax.envs import clinicians, heparin, stays
from omgrl_jax.ops import clinical

CONFIG = heparin.PatientDistribution()
WEIGHT = 80.0
# Medians of the doses that the default clinicians give, in six equal shares.
DOSES = (850.0, 1150.0, 1400.0, 1650.0, 2000.0, 2750.0)


def observation(aptt, measured=True):
    features = np.zeros(16, np.float32)
    features[heparin.FEATURE_NAMES.index("weight")] = WEIGHT
    return heparin.Observation(
        features=jnp.asarray(features),
        channel_value=jnp.asarray([aptt], jnp.float32),
        channel_measured=jnp.asarray([measured]),
        channel_age=jnp.ones(1),
        channel_censored=jnp.asarray([False]),
    )


@functools.lru_cache
def compiled(practice):
    """Reset and dosing of one practice, compiled once."""
    return tuple(
        jax.jit(functools.partial(function, practice))
        for function in (clinicians.clinician_reset, clinicians.clinician_dose)
    )


def orders(practice, reports, seed=0):
    """Orders hour by hour; a report of None means that nothing new is known."""
    reset, dose = compiled(practice)
    reset_key, key = jax.random.split(jax.random.key(seed))
    state = reset(reset_key, observation(30.0))
    given = []
    for report in [30.0, *reports]:
        key, dose_key = jax.random.split(key)
        seen = observation(report or 30.0, measured=report is not None)
        state, order = dose(state, dose_key, seen)
        given.append((float(order.infusion), float(order.bolus)))
    return given


@pytest.mark.parametrize(
    # At 80 kg: 18 U/kg/h = 1440 U/h; +4, +2, 0, -2, -3 U/kg/h; boluses 80, 40 U/kg.
    ("aptt", "expected"),
    [
        (33.0, [(1760, 6400), (1760, 0)]),
        (40.0, [(1600, 3200), (1600, 0)]),
        (60.0, [(1440, 0), (1440, 0)]),
        (80.0, [(1280, 0), (1280, 0)]),
        (95.0, [(0, 0), (1200, 0)]),
    ],
)
def test_weight_based_nomogram(aptt, expected):
    given = orders(clinicians.raschke(), [aptt, None])
    # The baseline value (30 s) changes nothing: opening bolus and rate only.
    assert given[0] == (1440, 6400)
    assert given[1:] == expected


def test_personal_habits():
    practice = clinicians.Practice()
    given = np.array([orders(practice, [], seed)[0] for seed in range(40)])
    rates, boluses = given.T
    assert (given % 50 == 0).all()
    assert len(set(rates)) > 5
    assert 5 < (boluses > 0).sum() < 30


def test_who_never_follows_never_changes():
    practice = dataclasses.replace(clinicians.raschke(), adherence=0.0)
    assert orders(practice, [33.0, 95.0, None])[1:] == [(1440, 0)] * 3


def test_who_is_not_prompt_reacts_later_but_once():
    practice = dataclasses.replace(clinicians.raschke(), promptness=0.3)
    rates = np.array([orders(practice, [40.0, *[None] * 12], s) for s in range(12)])
    changes = np.diff(rates[..., 0], axis=1) != 0
    assert (changes.sum(axis=1) <= 1).all()
    assert changes.any(axis=1).sum() >= 10
    assert not changes[:, 0].all()


def test_tables_must_fit():
    with pytest.raises(ValueError, match="4 edges make 5 zones"):
        clinicians.Practice(changes=(1.0, 2.0))
    with pytest.raises(ValueError, match="increase"):
        clinicians.Practice(edges=(60.0, 45.0, 100.0, 120.0))


@jax.jit
def with_doses(key, constant):
    """Stays under one dose (index), or under the oracle where `constant` < 0."""
    doses = jnp.asarray(DOSES)
    reward = functools.partial(clinical.range_reward, low=60.0, high=100.0)

    def act(state, key, obs, patient):
        del key, obs
        best = heparin.oracle_dose(CONFIG, patient, doses, reward)
        chosen = jnp.where(constant < 0, best, constant)
        return state, clinicians.Order(doses[chosen], jnp.zeros(()))

    policy = stays.Policy(reset=lambda key, obs: jnp.zeros(()), act=act)
    return stays.simulate_policy(CONFIG, policy, key, 600, 48)


@functools.lru_cache
def simulated(name):
    key = jax.random.key(1)
    if name == "raschke":
        return stays.simulate(CONFIG, clinicians.raschke(), key, 1200, 24)
    if name == "clinicians":
        return stays.simulate(CONFIG, clinicians.Practice(), key, 600, 48)
    return with_doses(key, -1 if name == "oracle" else DOSES.index(name))


def r_p(name):
    return float(clinical.range_reward(simulated(name).truth.aptt, 60, 100).mean())


def test_nomogram_reaches_the_threshold_as_in_the_trial():
    # Trial: 97 % of the weight-based arm exceeded 1.5 times control (46 s) within 24 h.
    # Virtual ICU patients vary more and are drawn less punctually: within 6 points.
    seen = simulated("raschke").observations
    reached = (seen.channel_value >= 46) & seen.channel_measured
    share = float(reached[:, 1:, 0].any(axis=1).mean())
    assert share == pytest.approx(0.97, abs=0.06)


def test_clinicians_are_as_good_as_clinicians():
    aptt = np.asarray(simulated("clinicians").truth.aptt)
    assert -0.03 < r_p("clinicians") < 0.11
    assert 0.48 < ((aptt >= 60) & (aptt <= 100)).mean() < 0.57
    assert 0.08 < (aptt > 100).mean() < 0.14


def test_knowing_the_patient_is_best_and_one_dose_for_all_is_worst():
    assert r_p("oracle") > r_p("clinicians") + 0.3
    assert r_p("clinicians") > r_p(1650.0) + 0.3


def test_insight_multiplies_orders_by_what_no_record_holds():
    """The same patients and draws: doses differ by clearance to the power alone."""

    def first_orders(insight):
        practice = dataclasses.replace(clinicians.Practice(), insight=insight)
        policy = stays.clinician_policy(practice)

        def one(key):
            reset_key, start_key, act_key = jax.random.split(key, 3)
            patient, seen = heparin.reset(CONFIG, reset_key)
            state = policy.reset(start_key, seen)
            _, order = policy.act(state, act_key, seen, patient)
            return order.total, patient.patient.log_clearance

        return jax.jit(jax.vmap(one))(jax.random.split(jax.random.key(3), 50))

    plain, clearance = first_orders(0.0)
    knowing, _ = first_orders(0.5)
    assert np.std(clearance) > 0.3
    np.testing.assert_allclose(knowing, plain * np.exp(0.5 * clearance), rtol=1e-5)

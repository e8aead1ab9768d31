"""The environment: what is known when, what the truth is, who the patients are."""

import dataclasses
import functools
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from omgrl_jax.envs import clinicians, heparin, patients, population, signs, stays
from omgrl_jax.envs.clinicians import Order

CONFIG = heparin.PatientDistribution()
# Nothing moves and nothing is mismeasured: what is left is the dose.
QUIET = dataclasses.replace(
    CONFIG,
    signs=tuple(s._replace(within=0.0) for s in CONFIG.signs),
    drift_sd=0.0,
    residual_sd=0.0,
    aptt_limit=1e6,
)
N, HOURS = 300, 48
LAB_COLUMNS = [heparin.FEATURE_NAMES.index(name) for name in heparin.PANEL_NAMES]


@functools.partial(jax.jit, static_argnums=0)
def scheduled(config, key, doses):
    """The same schedule of infusions, U/h [HOURS], for N patients."""

    def act(hour, key, observation, patient):
        del key, observation, patient
        return hour + 1, Order(infusion=doses[hour], bolus=jnp.zeros(()))

    policy = stays.Policy(reset=lambda key, obs: jnp.zeros((), jnp.int32), act=act)
    return stays.simulate_policy(config, policy, key, N, HOURS)


def run(*segments, config=CONFIG, seed=0) -> stays.Stays:
    """Stays under (hours, U/h) segments; the last one lasts to the end."""
    doses = np.concatenate([np.full(hours, dose) for hours, dose in segments])
    doses = np.pad(doses, (0, HOURS - len(doses)), mode="edge").astype(np.float32)
    return jax.device_get(scheduled(config, jax.random.key(seed), doses))


@functools.partial(jax.jit, static_argnums=(0, 2))
def patients_at_reset(config, key, count):
    """States and observations of `count` patients, as `simulate_policy` makes them."""
    keys = jax.vmap(lambda k: jax.random.split(k, 3)[0])(jax.random.split(key, count))
    return jax.vmap(functools.partial(heparin.reset, config))(keys)


def assert_same(left, right):
    for a, b in zip(jax.tree.leaves(left), jax.tree.leaves(right), strict=True):
        np.testing.assert_array_equal(a, b)


def test_same_key_same_stays_and_other_key_others():
    first = run((1, 1200.0))
    assert_same(first, run((1, 1200.0)))
    assert not np.allclose(first.truth.aptt, run((1, 1200.0), seed=1).truth.aptt)


def test_patients_do_not_depend_on_their_number():
    _, few = patients_at_reset(CONFIG, jax.random.key(0), 4000)
    many = run((1, 1200.0)).observations
    np.testing.assert_allclose(
        few.features[:N], many.features[:, 0], rtol=1e-5, atol=1e-5
    )


def test_shapes_and_finite_values():
    got = run((1, 1500.0))
    assert got.observations.features.shape == (N, HOURS + 1, 17)
    assert got.observations.channel_value.shape == (N, HOURS + 1, 1)
    assert got.observations.channel_measured.dtype == bool
    assert got.truth.aptt.shape == (N, HOURS)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(got))


def test_observation_never_uses_the_future():
    k = 9
    low = run((1, 800.0))
    high = run((k, 800.0), (1, 3000.0))

    def rows(got, chosen):
        return jax.tree.map(lambda x: x[:, chosen], got.observations)

    # The dose of hour k follows row k; blood reported at row k + 1 was drawn before it.
    assert_same(rows(low, slice(0, k + 2)), rows(high, slice(0, k + 2)))
    # The dose acts in its own hour, and reports show it from the next hour on.
    assert (high.truth.aptt[:, k] > low.truth.aptt[:, k]).all()
    assert_same(low.truth.aptt[:, :k], high.truth.aptt[:, :k])
    drawn_later = low.observations.channel_measured[:, k + 2, 0]
    assert drawn_later.any()
    drawn_later = drawn_later & ~low.observations.channel_censored[:, k + 2, 0]
    reports = [x.observations.channel_value[drawn_later, k + 2] for x in (low, high)]
    assert (reports[1] > reports[0]).all()


def test_report_is_the_truth_one_hour_before_when_nothing_is_noisy():
    got = run((1, 1500.0), config=QUIET)
    reported = got.observations.channel_value[..., 0]
    measured = got.observations.channel_measured[..., 0]
    # Row t + 1 shows blood drawn at the start of hour t: the truth that ended t - 1.
    patient, row = np.nonzero(measured[:, 2:])
    np.testing.assert_allclose(
        reported[patient, row + 2], got.truth.aptt[patient, row], rtol=1e-5
    )
    assert (got.observations.channel_age[..., 0][:, 1:][measured[:, 1:]] == 1).all()


def test_values_are_held_and_age_between_reports():
    got = run((1, 1500.0)).observations
    fresh = got.channel_measured[:, 1:, 0]
    held = ~fresh
    value, age = got.channel_value[..., 0], got.channel_age[..., 0]
    np.testing.assert_array_equal(value[:, 1:][held], value[:, :-1][held])
    np.testing.assert_array_equal(age[:, 1:][held], age[:, :-1][held] + 1)
    panel = run((1, 1500.0)).panel_measured[:, 1:]
    labs = got.features[..., LAB_COLUMNS]
    np.testing.assert_array_equal(labs[:, 1:][~panel], labs[:, :-1][~panel])
    assert (labs[:, 1:][panel] != labs[:, :-1][panel]).any(axis=1).all()


def test_measurement_error_has_the_stated_size():
    noisy = run((1, 400.0))  # too little for the laboratory's upper limit
    measured = noisy.observations.channel_measured[:, 2:, 0]
    error = np.log(noisy.observations.channel_value[:, 2:, 0][measured]) - np.log(
        noisy.truth.aptt[:, :-1][measured]
    )
    # About 3,000 draws: standard errors .004 of the mean and .003 of the spread.
    assert abs(error.mean()) < 0.02
    assert error.std() == pytest.approx(CONFIG.residual_sd, abs=0.015)


def test_draws_come_sooner_after_a_value_out_of_range():
    got = run((1, 1700.0))
    value = got.observations.channel_value[..., 0]
    gaps = {True: [], False: []}
    for patient in range(N):
        rows = np.nonzero(got.observations.channel_measured[patient, 1:, 0])[0] + 1
        inside = (value[patient, rows] >= 60) & (value[patient, rows] <= 100)
        for gap, in_range in zip(np.diff(rows), inside[:-1], strict=True):
            gaps[bool(in_range)].append(int(gap))
    assert set(gaps[True]) == {5, 6, 7, 8}
    assert set(gaps[False]) == {4, 5, 6}
    assert 5.0 < np.mean(gaps[True] + gaps[False]) < 7.0


def test_censored_at_the_limit_and_nowhere_else():
    got = run((1, 4000.0)).observations
    value, censored = got.channel_value, got.channel_censored
    assert 0.05 < censored.mean() < 0.95
    assert (value <= 150).all()
    np.testing.assert_array_equal(censored, value == 150)


def test_pt_and_inr_answer_weakly():
    column = heparin.FEATURE_NAMES.index("pt")
    low, high = run((1, 0.0)), run((1, 2000.0))
    low, high = low.observations.features[:, -1], high.observations.features[:, -1]
    ratio = high[:, [column, 15]] / low[:, [column, 15]]
    assert 1.02 < np.median(ratio[:, 0]) < 1.3
    np.testing.assert_allclose(ratio[:, 0], ratio[:, 1], rtol=1e-5)
    others = [i for i in range(16) if i not in (column, 15)]
    np.testing.assert_array_equal(high[:, others], low[:, others])


def test_signs_keep_their_stationary_spread():
    # After 200 hours from the set point the deviation is stationary up to .98^400.
    count = len(signs.SIGNS)
    noise = jax.random.normal(jax.random.key(0), (200, 1000, count))
    step = jax.vmap(functools.partial(signs.advance, signs.SIGNS), (0, None, 0))
    target = jnp.arange(1.0, count + 1)
    start = jnp.tile(target, (1000, 1))
    end, _ = jax.lax.scan(lambda x, z: (step(x, target, z), None), start, noise)
    end, target = np.asarray(end), np.asarray(target)
    within = signs.column(signs.SIGNS, "within")
    np.testing.assert_allclose((end - target).std(axis=0), within, rtol=0.12)
    assert (abs((end - target).mean(axis=0)) < 0.15 * within).all()


def test_truth_under_a_held_dose_is_the_same_by_both_paths():
    stepped = run((1, 1500.0), config=QUIET)

    state, _ = patients_at_reset(QUIET, jax.random.key(0), N)
    held = jax.vmap(lambda s: heparin.true_aptt_after(QUIET, s, 1500.0, HOURS))
    got = jax.jit(held)(state)
    np.testing.assert_allclose(got, stepped.truth.aptt, rtol=1e-4)


def test_aptt_grows_with_the_dose_in_every_patient():
    state, _ = patients_at_reset(CONFIG, jax.random.key(3), 4000)

    @jax.jit
    @functools.partial(jax.vmap, in_axes=(0, None))
    def after(state, dose):
        return heparin.true_aptt_after(CONFIG, state, dose, 6)[-1]

    by_dose = np.stack([after(state, d) for d in (0.0, 800.0, 1600.0, 2400.0)])
    assert (np.diff(by_dose, axis=0) > 0).all()


def test_variability_between_patients():
    state, _ = patients_at_reset(CONFIG, jax.random.key(1), 4000)
    of = jax.vmap(functools.partial(patients.kinetics_of, CONFIG))
    body = jax.jit(of)(state.patient, state.signs, state.drift)
    weight = state.patient.weight

    def cv(x):
        return np.sqrt(np.expm1(np.log(np.asarray(x)).var()))

    assert cv(body.capacity / weight) == pytest.approx(0.50, abs=0.04)
    assert cv(body.volume / weight) == pytest.approx(0.40, abs=0.03)
    assert cv(body.slope) == pytest.approx(0.40, abs=0.04)
    logs = np.log([body.capacity / weight, body.volume / weight])
    assert np.corrcoef(logs)[0, 1] == pytest.approx(0.70, abs=0.06)


@pytest.mark.parametrize(
    ("sign", "field", "direction"),
    [
        ("creatinine", "capacity", -1),
        ("bilirubin", "capacity", -1),
        ("bilirubin", "baseline", 1),
        ("wbc", "slope", -1),
    ],
)
def test_covariates_matter(sign, field, direction):
    states, _ = patients_at_reset(CONFIG, jax.random.key(0), 4000)
    state = jax.tree.map(lambda x: x[0], states)
    worse = state.signs.at[signs.index(sign)].add(1.0)  # e-fold
    before = patients.kinetics_of(CONFIG, state.patient, state.signs, state.drift)
    after = patients.kinetics_of(CONFIG, state.patient, worse, state.drift)
    assert direction * (getattr(after, field) - getattr(before, field)) > 0


def test_shifted_patients_are_older_heavier_and_renal():
    usual, moved = (
        patients_at_reset(config, jax.random.key(1), 4000)[1].features
        for config in (CONFIG, heparin.shifted())
    )
    for name, factor in (("age", 1.1), ("weight", 1.1), ("creatinine", 1.8)):
        column = heparin.FEATURE_NAMES.index(name)
        assert moved[:, column].mean() > factor * usual[:, column].mean()


def test_shifted_patients_fare_as_they_would_in_their_own_population():
    """Why one compiled treatment serves both: only who is admitted differs."""
    moved = heparin.shifted()
    doctors = stays.clinician_policy(clinicians.Practice())
    treat = jax.jit(stays.treat, static_argnums=(0, 1, 3))
    admitted = stays.admit(moved, jax.random.key(3), 20)
    at_home = stays.simulate_policy(moved, doctors, jax.random.key(3), 20, 12)
    here = treat(CONFIG, doctors, stays.again(admitted), 12)
    for a, b in zip(jax.tree.leaves(at_home), jax.tree.leaves(here), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4)
    elsewhere = treat(
        dataclasses.replace(CONFIG, aptt_limit=90.0), doctors, admitted, 12
    )
    assert float(elsewhere.observations.channel_value.max()) <= 90.0
    assert float(here.observations.channel_value.max()) > 90.0


def test_configuration_survives_json():
    config = heparin.shifted(dataclasses.replace(CONFIG, residual_sd=0.17))
    text = json.dumps(population.to_dict(config))
    assert population.from_dict(json.loads(text)) == config
    with pytest.raises(ValueError, match="no field nonsense"):
        population.from_dict({"nonsense": 1})


def test_impossible_configurations_are_refused():
    with pytest.raises(ValueError, match="draw_hours_inside"):
        dataclasses.replace(CONFIG, draw_hours_inside=(0, 4))
    with pytest.raises(ValueError, match=r"signs must name.*gcs"):
        dataclasses.replace(CONFIG, signs=CONFIG.signs[1:])

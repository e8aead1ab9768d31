"""Kinetics against published half-lives, steady states and another ODE solver."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import integrate

from omgrl_jax.envs import heparin, kinetics, patients, signs

CONFIG = heparin.PatientDistribution()
WEIGHT = 80.0


def reference() -> kinetics.Kinetics:
    """The reference patient, through the same path as every other patient."""
    zero = jnp.zeros(())
    medians = jnp.asarray(signs.medians(signs.SIGNS))
    patient = patients.Patient(
        age=zero + CONFIG.reference_age,
        gender=zero,
        weight=zero + WEIGHT,
        volume=zero + CONFIG.volume_per_kg * WEIGHT,
        log_clearance=zero,
        log_slope=jnp.log(CONFIG.response_slope),
        log_baseline=jnp.log(CONFIG.baseline_aptt),
        set_points=medians,
    )
    return patients.kinetics_of(CONFIG, patient, medians, zero)


@pytest.mark.parametrize(("dose", "minutes"), [(25, 30), (100, 60), (400, 150)])
def test_half_life(dose, minutes):
    body = reference()
    start = dose / CONFIG.volume_per_kg  # U/kg over L/kg = U/L
    # dt = -dC / elimination(C): time to fall from C0 to C0 / 2 is an integral.
    hours, _ = integrate.quad(
        lambda c: 1.0 / float(kinetics.elimination(body, jnp.asarray(c))),
        start / 2,
        start,
    )
    assert hours * 60 == pytest.approx(minutes, rel=0.10)


def hold(body, dose, hours):
    """Concentration after `hours` hours of a constant infusion, and what left."""

    def hour(concentration, _):
        after = kinetics.one_hour(body, concentration, dose)
        return after.concentration, after.eliminated

    end, gone = jax.lax.scan(hour, jnp.zeros(()), None, length=hours)
    return float(end), float(gone.sum())


@pytest.mark.parametrize(
    # 28.6 * exp(3.145 * .225) = 58.0 s, 28.6 * exp(3.145 * .339) = 83.1 s
    ("rate", "activity", "seconds"),
    [(18, 0.225, 58.0), (24, 0.339, 83.1)],
)
def test_steady_state(rate, activity, seconds):
    body = reference()
    end, _ = hold(body, rate * WEIGHT, 48)
    assert end / 1000 == pytest.approx(activity, rel=0.01)
    assert float(kinetics.aptt(body, jnp.asarray(end))) == pytest.approx(
        seconds, rel=0.02
    )


@pytest.mark.parametrize(
    ("activity", "seconds"), [(0.1, 38.0), (0.2, 55.0), (0.3, 74.5), (0.4, 99.0)]
)
def test_response(activity, seconds):
    got = kinetics.aptt(reference(), jnp.asarray(1000.0 * activity))
    assert float(got) == pytest.approx(seconds, rel=0.04)


@pytest.mark.parametrize("bolus", [0.0, 6400.0])
@pytest.mark.parametrize("dose", [0.0, 1440.0, 4000.0])
def test_mass_balance(bolus, dose):
    body = reference()
    concentration, gone = jnp.asarray(90.0), 0.0
    before = float(concentration * body.volume)
    for hour in range(6):
        after = kinetics.one_hour(body, concentration, dose, bolus if hour == 0 else 0)
        concentration, gone = after.concentration, gone + float(after.eliminated)
    given = before + bolus + 6 * dose
    assert gone > 0.5 * before
    assert given == pytest.approx(gone + float(concentration * body.volume), rel=1e-5)


@pytest.mark.parametrize("speed", [0.3, 1.0, 3.0])
@pytest.mark.parametrize(("start", "dose"), [(0, 1440), (8000, 0), (300, 3000)])
def test_one_hour_equals_an_adaptive_solver(speed, start, dose):
    body = reference()
    body = body._replace(
        capacity=speed * body.capacity, linear_rate=speed * body.linear_rate
    )
    v, vmax, km, k = (float(x) for x in body[:4])
    solution = integrate.solve_ivp(
        lambda _, c: dose / v - vmax / v * c / (km + c) - k * c,
        (0, 1),
        [float(start)],
        rtol=1e-9,
        atol=1e-9,
    )
    got = kinetics.one_hour(body, jnp.asarray(float(start)), float(dose))
    # 0.3 U/L changes the aPTT by a factor exp(3.145 * .0003), that is by 0.1 %.
    assert float(got.concentration) == pytest.approx(
        solution.y[0, -1], rel=2e-3, abs=0.3
    )


def test_eliminated_amount_is_the_integral_of_the_flux():
    body = reference()
    v, vmax, km, k = (float(x) for x in body[:4])

    def flow(_, y):
        out = vmax * y[0] / (km + y[0]) + k * v * y[0]
        return [1440 / v - out / v, out]

    expected = integrate.solve_ivp(flow, (0, 1), [200.0, 0.0], rtol=1e-9).y[1, -1]
    got = kinetics.one_hour(body, jnp.asarray(200.0), 1440.0).eliminated
    np.testing.assert_allclose(float(got), expected, rtol=1e-3)

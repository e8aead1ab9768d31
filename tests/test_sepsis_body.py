"""Virtual patients with sepsis: what drugs do to a body, and what is charted of it."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from omgrl_jax.envs.sepsis import body as body_lib
from omgrl_jax.envs.sepsis import chart
from omgrl_jax.envs.sepsis.body import Body, Dose, Physiology

PHYSIOLOGY = Physiology()
QUIET = jnp.zeros(body_lib.NOISES)


def body(severity=1.0, deficit=0.5, lactate=3.0, damage=4.0):
    return Body(*(jnp.float32(x) for x in (severity, deficit, lactate, damage)))


def dose(fluid=0.0, pressor=0.0):
    return Dose(jnp.float32(fluid), jnp.float32(pressor))


@jax.jit
def after(now, given, frailty=0.0):
    return body_lib.advance(PHYSIOLOGY, jnp.float32(frailty), now, given, QUIET)


def test_a_step_by_hand():
    now, given = body(), dose(1000.0, 0.15)
    # Half of 34 mmHg, less 3 % for one mmol/L above two, against 28 and 3.5 lost.
    pressure = 90.0 - 28.0 - 3.5 + 17.0 * 0.97
    found = body_lib.mean_pressure(PHYSIOLOGY, now, given.pressor)
    np.testing.assert_allclose(found, pressure, rtol=1e-6)
    short = 3.0 * np.log1p(np.exp((66.0 - pressure) / 3.0)) / 10.0
    np.testing.assert_allclose(
        body_lib.shortfall(PHYSIOLOGY, jnp.float32(pressure)), short, rtol=1e-5
    )
    lactate = 3.0 + 1.2 * short + 0.6 * 0.5 - 0.3 * 2.0
    wanted = Body(
        severity=0.93,
        deficit=0.88 * 0.5 + 0.35 - 0.7,
        lactate=lactate,
        damage=4.0 + 0.9 * short + 0.2 * 1.0 - 0.45,
    )
    # A pressure beyond 76 mmHg under a half effect would add to the damage.
    assert pressure < PHYSIOLOGY.excess
    for x, y in zip(after(now, given), wanted, strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-5)


@pytest.mark.parametrize(
    ("now", "helpful", "harmful"),
    [
        (body(severity=1.3, deficit=0.0), dose(0, 0.3), dose(1000, 0)),
        (body(severity=0.6, deficit=2.5), dose(1000, 0), dose(0, 0)),
        (body(severity=0.2, deficit=-1.5), dose(0, 0), dose(1000, 0)),
        (body(severity=0.2, deficit=0.0), dose(0, 0), dose(0, 0.3)),
    ],
)
def test_each_drug_has_patients_whom_it_helps_and_patients_whom_it_harms(
    now, helpful, harmful
):
    """After two steps, for what fluid does shows one step later."""
    ends = [after(after(now, given), given).damage for given in (helpful, harmful)]
    assert ends[0] < ends[1] - 0.1


def test_damage_and_frailty_kill():
    damages = jnp.linspace(0.0, 20.0, 5)
    for dies in (body_lib.dies, body_lib.dies_late):
        risk = jax.vmap(
            lambda d, dies=dies: dies(PHYSIOLOGY, jnp.float32(0.0), body(damage=d))
        )(damages)
        assert np.all(np.diff(risk) > 0) and 0 < risk[0] < risk[-1] < 1
        frail = dies(PHYSIOLOGY, jnp.float32(2.0), body())
        assert frail > dies(PHYSIOLOGY, jnp.float32(0.0), body())
    assert after(body(), dose(), 2.0).severity > after(body(), dose(), 0.0).severity


PATIENT = chart.Patient(
    *(jnp.float32(x) for x in (60.0, 1.0, 80.0, 1.0)),
    set_points=jnp.zeros(len(chart.SIGNS)),
)


def charted(now, given=None, before=None, uniform=0.5, physiology=PHYSIOLOGY):
    nothing = jnp.zeros(())
    given = given or chart.Given(dose(), nothing, nothing)
    write = functools.partial(chart.write, physiology, PATIENT)
    calm = jnp.zeros(chart.NORMALS)
    return write(now, given, before, jnp.full(chart.UNIFORMS, uniform), calm)


def test_the_chart_by_hand():
    now = body()
    given = chart.Given(dose(250.0, 0.15), jnp.float32(900.0), jnp.float32(3.0))
    row = charted(now, given)
    pressure = float(body_lib.mean_pressure(PHYSIOLOGY, now, given.last.pressor))
    wanted = {
        **{"age": 60.0, "frailty": 1.0, "sofa": 4.0, "hours": 12.0},
        **{"fluid_last": 250.0, "fluid_total": 900.0, "lactate": 3.0},
        "mbp": pressure,
        "sbp": pressure + 2.0 * 42.0 / 3.0,
        "dbp": pressure - 42.0 / 3.0,
        "hr": 76.0 + 16.0 + 6.5,
        "gcs": 15.0 - 1.8,
        "creatinine": np.exp(-0.1 + 0.025 + 0.28),
    }
    for name, value in wanted.items():
        np.testing.assert_allclose(chart.feature(row, name), value, rtol=1e-5)
    # Sums of thirds: the mean pressure is the one of its systole and diastole.
    thirds = chart.feature(row, "sbp") + 2.0 * chart.feature(row, "dbp")
    np.testing.assert_allclose(thirds / 3.0, pressure, rtol=1e-5)
    assert len(chart.NAMES) == row.features.size


def test_what_is_too_much_costs_the_lungs_what_their_setting_says():
    """In charts only: the course of the patient is the same."""
    full, dry = (body(deficit=x) for x in (-0.5, 0.5))
    given = chart.Given(dose(), jnp.float32(0.0), jnp.float32(3.0))
    stiff = Physiology(lungs=8.0)
    for physiology, wanted in ((PHYSIOLOGY, 1.5), (stiff, 8.0)):
        rows = [charted(one, given, physiology=physiology) for one in (dry, full)]
        first, second = (chart.feature(row, "spo2") for row in rows)
        np.testing.assert_allclose(first - second, 0.5 * wanted, rtol=1e-4)
    nobody, still = jnp.float32(0.0), dose(500.0, 0.1)
    one, other = (
        body_lib.advance(p, nobody, full, still, QUIET) for p in (PHYSIOLOGY, stiff)
    )
    np.testing.assert_array_equal(one, other)


def test_lactate_is_held_until_it_is_measured_again():
    first = charted(body(lactate=3.0))
    held = charted(body(lactate=4.0), before=first, uniform=0.99)
    assert chart.feature(held, "lactate") == chart.feature(first, "lactate")
    assert not held.channel_measured[1] and held.channel_age[1] == 1.0
    anew = charted(body(lactate=4.0), before=held, uniform=0.1)
    np.testing.assert_allclose(chart.feature(anew, "lactate"), 4.0, rtol=1e-6)
    assert anew.channel_measured.all() and anew.channel_age[1] == 0.0
    np.testing.assert_allclose(anew.channel_value[1], 4.0, rtol=1e-6)

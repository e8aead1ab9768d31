"""Virtual patients on intravenous heparin: a pure-JAX environment, one hour a step.

One patient per function; `jax.vmap` makes a cohort. Time convention: row t is the
START of hour t. Blood is drawn at the start of an hour, before that hour's dose,
and the laboratory reports at its end, so a report is one hour old when it becomes
known. Signs at the bedside are known at once.

    state, observation = reset(config, key)
    state, observation, truth = step(config, state, key, dose)

`config` is static under `jax.jit`. Keys given to a function are consumed by it.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from omgrl_jax.envs import kinetics, patients
from omgrl_jax.envs import noise as noise_lib
from omgrl_jax.envs import signs as signs_lib
from omgrl_jax.envs.population import PatientDistribution, shifted
from omgrl_jax.envs.recording import (
    FEATURE_NAMES,
    INDICATOR_NAMES,
    PANEL_NAMES,
    Observation,
    PatientState,
    draw_aptt,
    draw_panel,
    kinetics_now,
    observe,
    panel_values,
    true_aptt,
    whole_hours,
)
from omgrl_jax.types import Array, Key

__all__ = [
    "FEATURE_NAMES",
    "INDICATOR_NAMES",
    "PANEL_NAMES",
    "Observation",
    "PatientDistribution",
    "PatientState",
    "Truth",
    "oracle_dose",
    "reset",
    "shifted",
    "step",
    "true_aptt",
    "true_aptt_after",
    "true_aptt_under",
]


class Truth(NamedTuple):
    """What only the simulator knows, at the end of the hour. Scalars.

    Attributes:
      aptt: true aPTT without measurement error, s.
      concentration: heparin activity, IU/mL.
      eliminated: amount eliminated in the hour, U.
    """

    aptt: Array
    concentration: Array
    eliminated: Array


def reset(config: PatientDistribution, key: Key) -> tuple[PatientState, Observation]:
    """A new patient before the first dose, with a baseline aPTT and a panel.

    Args:
      config: the population.
      key: consumed.

    Returns:
      The patient's state and what is known at the start of hour 0.
    """
    patient_key, noise_key = jax.random.split(key)
    patient = patients.sample_patient(config, patient_key)
    uniform, noise = noise_lib.draw(noise_key, 3, 2 + len(config.signs))
    within = signs_lib.column(config.signs, "within")
    signs = patient.set_points + within * noise[2:]
    drift = config.drift_sd * noise[0]
    concentration = jnp.zeros(())
    body = patients.kinetics_of(config, patient, signs, drift)
    measured = kinetics.aptt(body, concentration)
    measured = measured * jnp.exp(config.residual_sd * noise[1])
    state = PatientState(
        patient=patient,
        concentration=concentration,
        signs=signs,
        drift=drift,
        panel=panel_values(config, signs, concentration),
        panel_due=whole_hours(config.panel_hours, uniform[0]) - 1,
        panel_measured=jnp.asarray(True),
        aptt_value=jnp.minimum(measured, config.aptt_limit),
        aptt_age=whole_hours((1, 4), uniform[1]).astype(jnp.float32),
        aptt_censored=measured >= config.aptt_limit,
        aptt_measured=jnp.asarray(True),
        # The first control is due some hours after the START of the infusion.
        aptt_due=whole_hours(config.draw_hours_inside, uniform[2]),
    )
    return state, observe(state)


def step(
    config: PatientDistribution,
    state: PatientState,
    key: Key,
    dose: Array | float,
    bolus: Array | float = 0.0,
) -> tuple[PatientState, Observation, Truth]:
    """One hour of treatment.

    Args:
      config: the population.
      state: the patient at the start of the hour.
      key: consumed.
      dose: infusion rate held during the hour, U/h, scalar.
      bolus: amount given at once at the start of the hour, U, scalar.

    Returns:
      The patient at the end of the hour, what is known then, and the truth then.
    """
    uniform, noise = noise_lib.draw(key, 2, 2 + len(config.signs))
    hour = kinetics.one_hour(
        kinetics_now(config, state), state.concentration, dose, bolus
    )

    drift_innovation = config.drift_sd * (1.0 - config.drift_persistence**2) ** 0.5
    after = state._replace(
        concentration=hour.concentration,
        signs=signs_lib.advance(
            config.signs, state.signs, state.patient.set_points, noise[2:]
        ),
        drift=config.drift_persistence * state.drift + drift_innovation * noise[0],
        **draw_panel(config, state, uniform[0]),
        **draw_aptt(config, state, noise[1], uniform[1]),
    )
    truth = Truth(
        aptt=true_aptt(config, after),
        concentration=hour.concentration / kinetics.UNITS_PER_LITRE,
        eliminated=hour.eliminated,
    )
    return after, observe(after), truth


def true_aptt_after(
    config: PatientDistribution,
    state: PatientState,
    dose: Array | float,
    hours: int,
) -> Array:
    """True aPTT at the end of each of `hours` hours under a held dose.

    The patient's condition is frozen, so differences between doses are effects of
    the dose alone (the intervention test).

    Args:
      config: the population.
      state: the patient now.
      dose: infusion held all the time, U/h, scalar.
      hours: how long, static.

    Returns:
      [hours] seconds; the last entry is the aPTT after `hours` hours.
    """
    doses = jnp.broadcast_to(jnp.asarray(dose, jnp.float32), (hours,))
    return true_aptt_under(config, state, doses)


def true_aptt_under(
    config: PatientDistribution, state: PatientState, doses: Array
) -> Array:
    """True aPTT [H] at the end of each hour under infusions [H], U/h.

    The patient's condition is frozen, see `true_aptt_after`.
    """
    body = kinetics_now(config, state)

    def hour(concentration: Array, dose: Array) -> tuple[Array, Array]:
        concentration = kinetics.one_hour(body, concentration, dose).concentration
        return concentration, kinetics.aptt(body, concentration)

    return jax.lax.scan(hour, state.concentration, doses)[1]


def oracle_dose(
    config: PatientDistribution,
    state: PatientState,
    doses: Array,
    reward,
    hours: int = 4,
) -> Array:
    """The best of `doses` for a planner that knows the patient.

    Args:
      config: the population.
      state: the patient now.
      doses: [A] candidate infusions, U/h.
      reward: maps aPTT in s, any shape, to a reward of that shape.
      hours: each candidate is judged by its mean reward when held that long.

    Returns:
      Index of the best candidate, int32 scalar.
    """
    futures = jax.vmap(lambda dose: true_aptt_after(config, state, dose, hours))(doses)
    return jnp.argmax(jnp.mean(reward(futures), axis=1)).astype(jnp.int32)

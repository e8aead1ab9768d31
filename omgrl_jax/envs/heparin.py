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

import chex
import jax
import jax.numpy as jnp

from omgrl_jax.envs import kinetics, population
from omgrl_jax.envs.population import PatientDistribution, shifted

__all__ = [
    "FEATURE_NAMES",
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
]

FEATURE_NAMES = (
    *("age", "gender", "weight", "gcs", "dbp", "sbp", "rr", "hemoglobin"),
    *("temperature", "wbc", "platelets", "pt", "paco2", "creatinine"),
    *("bilirubin", "inr"),
)
PANEL_NAMES = (
    *("hemoglobin", "wbc", "platelets", "pt", "paco2", "creatinine"),
    *("bilirubin", "inr"),
)


class Observation(NamedTuple):
    """What a recorder knows at the start of an hour; raw units, held values.

    Attributes:
      features: [16] in the order of `FEATURE_NAMES`.
      channel_value: [1] last reported aPTT, s.
      channel_measured: [1] bool, a new report arrived in the hour that just ended.
      channel_age: [1] hours since that blood was drawn.
      channel_censored: [1] bool, the value is the laboratory's upper limit.
    """

    features: chex.Array
    channel_value: chex.Array
    channel_measured: chex.Array
    channel_age: chex.Array
    channel_censored: chex.Array


class Truth(NamedTuple):
    """What only the simulator knows, at the end of the hour. Scalars.

    Attributes:
      aptt: true aPTT without measurement error, s.
      concentration: heparin activity, IU/mL.
      eliminated: amount eliminated in the hour, U.
    """

    aptt: chex.Array
    concentration: chex.Array
    eliminated: chex.Array


class PatientState(NamedTuple):
    """One patient at the start of an hour. Scalars unless said otherwise.

    Attributes:
      patient: constants of the stay.
      concentration: heparin, U/L.
      signs: [S] present signs, logs where `Sign.log`.
      drift: deviation of log clearance.
      panel: [8] last reported laboratory values, order of `PANEL_NAMES`.
      panel_due: hours until the next panel is drawn, int32.
      panel_measured: a new panel arrived in the hour that just ended, bool.
      aptt_value: last reported aPTT, s.
      aptt_age: hours since it was drawn.
      aptt_censored: bool.
      aptt_measured: a new report arrived in the hour that just ended, bool.
      aptt_due: hours until the next aPTT is drawn, int32.
    """

    patient: population.Patient
    concentration: chex.Array
    signs: chex.Array
    drift: chex.Array
    panel: chex.Array
    panel_due: chex.Array
    panel_measured: chex.Array
    aptt_value: chex.Array
    aptt_age: chex.Array
    aptt_censored: chex.Array
    aptt_measured: chex.Array
    aptt_due: chex.Array


def _kinetics(config: PatientDistribution, state: PatientState) -> kinetics.Kinetics:
    return population.kinetics_of(config, state.patient, state.signs, state.drift)


def _sign(signs: chex.Array, name: str) -> jax.Array:
    return signs[population.sign_index(name)]


def _panel(
    config: PatientDistribution, signs: chex.Array, concentration: chex.Array
) -> jax.Array:
    """Laboratory values [8] of blood drawn now; heparin raises PT and INR weakly."""
    activity = concentration / kinetics.UNITS_PER_LITRE
    pt = jnp.exp(_sign(signs, "pt") + config.pt_heparin * activity)
    return jnp.stack(
        [
            jnp.clip(_sign(signs, "hemoglobin"), 4.0, 20.0),
            jnp.exp(_sign(signs, "wbc")),
            jnp.exp(_sign(signs, "platelets")),
            pt,
            jnp.clip(_sign(signs, "paco2"), 15.0, 110.0),
            jnp.exp(_sign(signs, "creatinine")),
            jnp.exp(_sign(signs, "bilirubin")),
            pt / config.inr_reference,
        ]
    )


def _observe(state: PatientState) -> Observation:
    signs, panel = state.signs, dict(zip(PANEL_NAMES, state.panel, strict=True))
    sbp = jnp.clip(_sign(signs, "sbp"), 50.0, 230.0)
    bedside = {
        "age": state.patient.age,
        "gender": state.patient.gender,
        "weight": state.patient.weight,
        "gcs": jnp.clip(jnp.round(_sign(signs, "gcs")), 3.0, 15.0),
        "dbp": sbp * jnp.minimum(jnp.exp(_sign(signs, "dbp_ratio")), 0.9),
        "sbp": sbp,
        "rr": jnp.clip(_sign(signs, "rr"), 5.0, 50.0),
        "temperature": jnp.clip(_sign(signs, "temperature"), 34.0, 41.5),
    }
    known = {**bedside, **panel}
    return Observation(
        features=jnp.stack([known[name] for name in FEATURE_NAMES]),
        channel_value=state.aptt_value[None],
        channel_measured=state.aptt_measured[None],
        channel_age=state.aptt_age[None],
        channel_censored=state.aptt_censored[None],
    )


def _whole_hours(bounds: tuple[int, int], uniform: chex.Array) -> jax.Array:
    """A whole number of hours, evenly spread over the closed interval."""
    low, high = bounds
    hours = low + jnp.floor(uniform * (high - low + 1)).astype(jnp.int32)
    return jnp.minimum(hours, high)  # uniform may round to exactly 1


def reset(
    config: PatientDistribution, key: chex.PRNGKey
) -> tuple[PatientState, Observation]:
    """A new patient before the first dose, with a baseline aPTT and a panel.

    Args:
      config: the population.
      key: consumed.

    Returns:
      The patient's state and what is known at the start of hour 0.
    """
    patient_key, noise_key = jax.random.split(key)
    patient = population.sample_patient(config, patient_key)
    noise = jax.random.normal(noise_key, (5 + len(config.signs),))
    uniform = jax.scipy.stats.norm.cdf(noise[:3])
    within = population.sign_column(config, "within")
    signs = patient.set_points + within * noise[5:]
    drift = config.drift_sd * noise[3]
    concentration = jnp.zeros(())
    body = population.kinetics_of(config, patient, signs, drift)
    measured = kinetics.aptt(body, concentration)
    measured = measured * jnp.exp(config.residual_sd * noise[4])
    state = PatientState(
        patient=patient,
        concentration=concentration,
        signs=signs,
        drift=drift,
        panel=_panel(config, signs, concentration),
        panel_due=_whole_hours(config.panel_hours, uniform[0]) - 1,
        panel_measured=jnp.asarray(True),
        aptt_value=jnp.minimum(measured, config.aptt_limit),
        aptt_age=_whole_hours((1, 4), uniform[1]).astype(jnp.float32),
        aptt_censored=measured >= config.aptt_limit,
        aptt_measured=jnp.asarray(True),
        # The first control is due some hours after the START of the infusion.
        aptt_due=_whole_hours(config.draw_hours_inside, uniform[2]),
    )
    return state, _observe(state)


def _draw_aptt(
    config: PatientDistribution,
    state: PatientState,
    noise: chex.Array,
    uniform: chex.Array,
) -> dict[str, jax.Array]:
    """The aPTT fields after this hour: drawn at its start, reported at its end."""
    draw = state.aptt_due <= 0
    measured = true_aptt(config, state) * jnp.exp(config.residual_sd * noise)
    reported = jnp.minimum(measured, config.aptt_limit)
    low, high = config.aptt_range
    wait = jnp.where(
        (reported >= low) & (reported <= high),
        _whole_hours(config.draw_hours_inside, uniform),
        _whole_hours(config.draw_hours_outside, uniform),
    )
    return {
        "aptt_value": jnp.where(draw, reported, state.aptt_value),
        "aptt_age": jnp.where(draw, 1.0, state.aptt_age + 1.0),
        "aptt_censored": jnp.where(
            draw, measured >= config.aptt_limit, state.aptt_censored
        ),
        "aptt_measured": draw,
        "aptt_due": jnp.where(draw, wait, state.aptt_due) - 1,
    }


def step(
    config: PatientDistribution,
    state: PatientState,
    key: chex.PRNGKey,
    dose: chex.Numeric,
    bolus: chex.Numeric = 0.0,
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
    # All noise of the hour comes from one call: the generator is what costs.
    noise = jax.random.normal(key, (4 + len(config.signs),))
    uniform = jax.scipy.stats.norm.cdf(noise[:2])
    hour = kinetics.one_hour(_kinetics(config, state), state.concentration, dose, bolus)

    persistence = population.sign_column(config, "persistence")
    innovation = population.sign_column(config, "within") * (1 - persistence**2) ** 0.5
    set_points = state.patient.set_points
    deviation = persistence * (state.signs - set_points) + innovation * noise[4:]
    drift_innovation = config.drift_sd * (1.0 - config.drift_persistence**2) ** 0.5

    panel = state.panel_due <= 0
    panel_now = _panel(config, state.signs, state.concentration)
    panel_wait = _whole_hours(config.panel_hours, uniform[0])
    after = state._replace(
        concentration=hour.concentration,
        signs=set_points + deviation,
        drift=config.drift_persistence * state.drift + drift_innovation * noise[2],
        panel=jnp.where(panel, panel_now, state.panel),
        panel_due=jnp.where(panel, panel_wait, state.panel_due) - 1,
        panel_measured=panel,
        **_draw_aptt(config, state, noise[3], uniform[1]),
    )
    truth = Truth(
        aptt=true_aptt(config, after),
        concentration=hour.concentration / kinetics.UNITS_PER_LITRE,
        eliminated=hour.eliminated,
    )
    return after, _observe(after), truth


def true_aptt(config: PatientDistribution, state: PatientState) -> jax.Array:
    """The patient's true aPTT now, s."""
    return kinetics.aptt(_kinetics(config, state), state.concentration)


def true_aptt_after(
    config: PatientDistribution,
    state: PatientState,
    dose: chex.Numeric,
    hours: int,
) -> jax.Array:
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
    body = _kinetics(config, state)

    def hour(concentration, _):
        concentration = kinetics.one_hour(body, concentration, dose).concentration
        return concentration, kinetics.aptt(body, concentration)

    return jax.lax.scan(hour, state.concentration, None, length=hours)[1]


def oracle_dose(
    config: PatientDistribution,
    state: PatientState,
    doses: chex.Array,
    reward,
    hours: int = 4,
) -> jax.Array:
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

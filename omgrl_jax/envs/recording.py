"""What is charted, drawn and reported of a virtual patient, and when.

Blood is drawn at the start of an hour, before that hour's dose, and the laboratory
reports at its end. Values are held until the next report.
"""

from typing import NamedTuple

import jax.numpy as jnp

from omgrl_jax.envs import kinetics, patients
from omgrl_jax.envs import signs as signs_lib
from omgrl_jax.envs.population import PatientDistribution
from omgrl_jax.types import Array

FEATURE_NAMES = (
    *("age", "gender", "weight", "gcs", "dbp", "sbp", "rr", "hemoglobin"),
    *("temperature", "wbc", "platelets", "pt", "paco2", "creatinine"),
    *("bilirubin", "inr"),
)
# 1 where the values of a panel are held from an earlier hour.
INDICATOR_NAMES = ("panel_missing",)
PANEL_NAMES = (
    *("hemoglobin", "wbc", "platelets", "pt", "paco2", "creatinine"),
    *("bilirubin", "inr"),
)


class Observation(NamedTuple):
    """What a recorder knows at the start of an hour; raw units, held values.

    Attributes:
      features: [17] in the order of `FEATURE_NAMES`, then `INDICATOR_NAMES`.
      channel_value: [1] last reported aPTT, s.
      channel_measured: [1] bool, a new report arrived in the hour that just ended.
      channel_age: [1] hours since that blood was drawn.
      channel_censored: [1] bool, the value is the laboratory's upper limit.
    """

    features: Array
    channel_value: Array
    channel_measured: Array
    channel_age: Array
    channel_censored: Array


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

    patient: patients.Patient
    concentration: Array
    signs: Array
    drift: Array
    panel: Array
    panel_due: Array
    panel_measured: Array
    aptt_value: Array
    aptt_age: Array
    aptt_censored: Array
    aptt_measured: Array
    aptt_due: Array


def kinetics_now(config: PatientDistribution, state: PatientState) -> kinetics.Kinetics:
    """Kinetics of the patient in the present condition."""
    return patients.kinetics_of(config, state.patient, state.signs, state.drift)


def true_aptt(config: PatientDistribution, state: PatientState) -> Array:
    """The patient's true aPTT now, s."""
    return kinetics.aptt(kinetics_now(config, state), state.concentration)


def _sign(signs: Array, name: str) -> Array:
    return signs[signs_lib.index(name)]


def panel_values(
    config: PatientDistribution, signs: Array, concentration: Array
) -> Array:
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


def observe(state: PatientState) -> Observation:
    """What a recorder of this patient knows now."""
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
    missing = {"panel_missing": 1.0 - state.panel_measured.astype(jnp.float32)}
    known = {**bedside, **panel, **missing}
    return Observation(
        features=jnp.stack([known[n] for n in (*FEATURE_NAMES, *INDICATOR_NAMES)]),
        channel_value=state.aptt_value[None],
        channel_measured=state.aptt_measured[None],
        channel_age=state.aptt_age[None],
        channel_censored=state.aptt_censored[None],
    )


def whole_hours(bounds: tuple[int, int], uniform: Array) -> Array:
    """A whole number of hours, evenly spread over the closed interval."""
    low, high = bounds
    hours = low + jnp.floor(uniform * (high - low + 1)).astype(jnp.int32)
    return jnp.minimum(hours, high)  # uniform may round to exactly 1


def draw_aptt(
    config: PatientDistribution,
    state: PatientState,
    noise: Array,
    uniform: Array,
) -> dict[str, Array]:
    """The aPTT's fields after this hour: drawn at its start, reported at its end.

    Args:
      config: the population.
      state: the patient at the start of the hour.
      noise: standard normal, the error of the measurement.
      uniform: in [0, 1], decides when the next draw is due.

    Returns:
      New values of `aptt_value`, `_age`, `_censored`, `_measured` and `_due`.
    """
    draw = state.aptt_due <= 0
    measured = true_aptt(config, state) * jnp.exp(config.residual_sd * noise)
    reported = jnp.minimum(measured, config.aptt_limit)
    low, high = config.aptt_range
    wait = jnp.where(
        (reported >= low) & (reported <= high),
        whole_hours(config.draw_hours_inside, uniform),
        whole_hours(config.draw_hours_outside, uniform),
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


def draw_panel(
    config: PatientDistribution, state: PatientState, uniform: Array
) -> dict[str, Array]:
    """The panel's fields after this hour: drawn at its start, reported at its end.

    Args:
      config: the population.
      state: the patient at the start of the hour.
      uniform: in [0, 1], decides when the next panel is due.

    Returns:
      New values of `panel`, `panel_due` and `panel_measured`.
    """
    draw = state.panel_due <= 0
    drawn = panel_values(config, state.signs, state.concentration)
    wait = whole_hours(config.panel_hours, uniform)
    return {
        "panel": jnp.where(draw, drawn, state.panel),
        "panel_due": jnp.where(draw, wait, state.panel_due) - 1,
        "panel_measured": draw,
    }

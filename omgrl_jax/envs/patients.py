"""One virtual patient: constants of the stay and the kinetics that follow from them."""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from omgrl_jax.envs import kinetics
from omgrl_jax.envs import noise as noise_lib
from omgrl_jax.envs import signs as signs_lib
from omgrl_jax.envs.population import PatientDistribution
from omgrl_jax.types import Array, Key


class Patient(NamedTuple):
    """What never changes during a stay. Scalars unless said otherwise.

    Attributes:
      age: years.
      gender: 1 for female, else 0.
      weight: kg.
      volume: L.
      log_clearance: log of clearance over that of the reference patient, before
        creatinine, bilirubin and drift.
      log_slope: log of the response slope (mL/IU), before leukocytes.
      log_baseline: log of the aPTT without heparin (s), before bilirubin.
      set_points: [S] where each sign returns to; logs where `Sign.log`.
    """

    age: Array
    gender: Array
    weight: Array
    volume: Array
    log_clearance: Array
    log_slope: Array
    log_baseline: Array
    set_points: Array


def log_sd(cv: float) -> float:
    """Standard deviation of log x for a log-normal x with this variation."""
    return float(np.sqrt(np.log1p(cv**2)))


def sample_patient(config: PatientDistribution, key: Key) -> Patient:
    """Draws one patient; the key is consumed."""
    count = len(config.signs)
    uniform, noise = noise_lib.draw(key, 1, 6 + count)
    age = config.age_mean + config.age_sd * noise[0]
    age = jnp.clip(age, *config.age_range)
    female = uniform[0] < config.female_share
    weight = jnp.where(female, config.weight_women, config.weight_men)
    weight = jnp.clip(weight * jnp.exp(config.weight_cv * noise[1]), 35.0, 220.0)

    rho = config.clearance_volume_correlation
    mixed = rho * noise[2] + (1.0 - rho**2) ** 0.5 * noise[3]
    years = age - config.reference_age
    log_weight = jnp.log(weight / config.reference_weight)
    return Patient(
        age=age,
        gender=female.astype(jnp.float32),
        weight=weight,
        volume=config.volume_per_kg
        * weight
        * jnp.exp(log_sd(config.volume_cv) * noise[2]),
        log_clearance=config.clearance_weight_power * log_weight
        + config.clearance_age * years
        + log_sd(config.clearance_cv) * mixed,
        log_slope=jnp.log(config.response_slope)
        + config.slope_age * years
        + log_sd(config.slope_cv) * noise[4],
        log_baseline=jnp.log(config.baseline_aptt)
        + log_sd(config.baseline_cv) * noise[5],
        set_points=jnp.asarray(signs_lib.medians(config.signs))
        + signs_lib.column(config.signs, "between") * noise[6:],
    )


def kinetics_of(
    config: PatientDistribution,
    patient: Patient,
    signs: Array,
    drift: Array,
) -> kinetics.Kinetics:
    """Kinetics of a patient in the present condition.

    Args:
      config: the population.
      patient: the constants of the stay.
      signs: [S] present signs, logs where `Sign.log`.
      drift: present deviation of log clearance, scalar.

    Effects are counted from `signs_lib.SIGNS`, not from `config.signs`: a shifted
    population differs from the reference patient, it does not redefine that patient.

    Returns:
      Kinetics. Both elimination paths scale with clearance; dividing by volume
      turns them into rates, so a large volume means a long half-life.
    """
    excess = signs - signs_lib.medians(signs_lib.SIGNS)
    log_clearance = (
        patient.log_clearance
        + drift
        + config.clearance_creatinine * excess[signs_lib.index("creatinine")]
        + config.clearance_bilirubin * excess[signs_lib.index("bilirubin")]
    )
    reference_volume = config.volume_per_kg * config.reference_weight
    clearance = jnp.exp(log_clearance) * reference_volume  # L, times a rate: L/h
    return kinetics.Kinetics(
        volume=patient.volume,
        capacity=config.saturable_rate * clearance,
        half_saturation=jnp.asarray(config.half_saturation),
        linear_rate=config.linear_rate * clearance / patient.volume,
        baseline=jnp.exp(
            patient.log_baseline
            + config.baseline_bilirubin * excess[signs_lib.index("bilirubin")]
        ),
        slope=jnp.exp(
            patient.log_slope + config.slope_wbc * excess[signs_lib.index("wbc")]
        ),
    )

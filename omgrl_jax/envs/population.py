"""Who the virtual patients are: distributions of covariates and of kinetics.

Medians are calibrated so that the reference patient (80 kg, 65 years, creatinine
1.1 mg/dL, bilirubin 0.7 mg/dL, leukocytes 10.5 K/uL) shows heparin half-lives of
30, 60 and 150 minutes after 25, 100 and 400 U/kg and an aPTT of 28.6 s without
heparin, growing e-fold per 1/3.145 IU/mL. Variability follows what population
models of adults report: clearance 50 %, volume 40 % (correlation .75), slope up
to 64 %, residual error of a measured aPTT 17-30 %.
"""

import dataclasses
from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np

from omgrl_jax.envs import kinetics


class Sign(NamedTuple):
    """One vital sign or laboratory value as a slowly drifting process.

    Attributes:
      name: feature name, or "dbp_ratio" for diastolic over systolic pressure.
      median: over patients, in the feature's unit.
      between: standard deviation of the patients' own set points.
      within: stationary standard deviation around the set point.
      persistence: hourly autocorrelation of the deviation.
      log: whether both deviations live on the natural-log scale.
    """

    name: str
    median: float
    between: float
    within: float
    persistence: float
    log: bool


SIGNS = (
    Sign("gcs", 13.5, 2.5, 0.8, 0.90, False),
    Sign("sbp", 120.0, 14.0, 10.0, 0.80, False),
    Sign("dbp_ratio", 0.52, 0.10, 0.07, 0.80, True),
    Sign("rr", 19.0, 3.0, 2.5, 0.70, False),
    Sign("temperature", 37.0, 0.35, 0.35, 0.90, False),
    Sign("hemoglobin", 10.2, 1.5, 0.4, 0.98, False),
    Sign("wbc", 10.5, 0.40, 0.15, 0.98, True),
    Sign("platelets", 210.0, 0.45, 0.10, 0.98, True),
    Sign("pt", 14.0, 0.12, 0.04, 0.98, True),
    Sign("paco2", 40.0, 6.0, 2.5, 0.95, False),
    Sign("creatinine", 1.1, 0.50, 0.12, 0.98, True),
    Sign("bilirubin", 0.7, 0.70, 0.12, 0.98, True),
)


@dataclasses.dataclass(frozen=True)
class PatientDistribution:
    """Parameters of the simulated population and of its recording.

    Attributes:
      age_mean: years.
      age_sd: years.
      age_range: ages are clipped to it, years.
      female_share: probability.
      weight_men: median weight of men, kg.
      weight_women: median weight of women, kg.
      weight_cv: spread of log weight within a gender.
      signs: vital signs and laboratory values, in this order.
      reference_age: age at which the kinetic medians below hold, years.
      reference_weight: weight at which they hold, kg.
      volume_per_kg: median distribution volume, L/kg.
      saturable_rate: median capacity over volume (Vmax), U/L/h.
      half_saturation: Km, U/L.
      linear_rate: median linear elimination rate, 1/h.
      baseline_aptt: median aPTT without heparin, s.
      response_slope: median growth of log-aPTT, mL/IU.
      clearance_cv: unexplained variation; with covariates it comes to about .5.
      volume_cv: unexplained variation.
      clearance_volume_correlation: of the two logs.
      slope_cv: unexplained variation; with covariates about .40.
      baseline_cv: unexplained variation.
      clearance_weight_power: clearance grows with weight to this power.
      clearance_age: change of log clearance per year of age.
      clearance_creatinine: change of log clearance per log creatinine.
      clearance_bilirubin: change of log clearance per log bilirubin.
      slope_age: change of log slope per year of age.
      slope_wbc: change of log slope per log leukocytes (inflammation resists).
      baseline_bilirubin: change of log baseline aPTT per log bilirubin.
      pt_heparin: change of log prothrombin time per IU/mL of heparin.
      inr_reference: prothrombin time at which INR is 1, s.
      drift_sd: stationary deviation of log clearance within a stay.
      drift_persistence: hourly autocorrelation of that deviation.
      residual_sd: log-normal error of a MEASURED aPTT (never of the true one).
      aptt_limit: the laboratory reports "above" this, s.
      aptt_range: values inside wait longer for the next draw, s.
      draw_hours_inside: shortest and longest hours to the next draw, in range.
      draw_hours_outside: the same after a value out of range.
      panel_hours: shortest and longest hours between other laboratory panels.
    """

    age_mean: float = 64.0
    age_sd: float = 15.0
    age_range: tuple[float, float] = (18.0, 90.0)
    female_share: float = 0.43
    weight_men: float = 86.0
    weight_women: float = 73.0
    weight_cv: float = 0.21
    signs: tuple[Sign, ...] = SIGNS
    reference_age: float = 65.0
    reference_weight: float = 80.0
    volume_per_kg: float = 0.05
    saturable_rate: float = 1247.0
    half_saturation: float = 594.0
    linear_rate: float = 0.0795
    baseline_aptt: float = 28.6
    response_slope: float = 3.145
    clearance_cv: float = 0.45
    volume_cv: float = 0.40
    clearance_volume_correlation: float = 0.75
    slope_cv: float = 0.37
    baseline_cv: float = 0.10
    clearance_weight_power: float = 0.75
    clearance_age: float = -0.005
    clearance_creatinine: float = -0.25
    clearance_bilirubin: float = -0.08
    slope_age: float = 0.004
    slope_wbc: float = -0.25
    baseline_bilirubin: float = 0.04
    pt_heparin: float = 0.25
    inr_reference: float = 12.5
    drift_sd: float = 0.10
    drift_persistence: float = 0.96
    residual_sd: float = 0.20
    aptt_limit: float = 150.0
    aptt_range: tuple[float, float] = (60.0, 100.0)
    draw_hours_inside: tuple[int, int] = (5, 8)
    draw_hours_outside: tuple[int, int] = (4, 6)
    panel_hours: tuple[int, int] = (5, 12)

    def __post_init__(self):
        """Raises ValueError where the configuration cannot be simulated."""
        if tuple(s.name for s in self.signs) != tuple(s.name for s in SIGNS):
            raise ValueError(
                "PatientDistribution.signs must name, in this order: "
                + ", ".join(s.name for s in SIGNS)
            )
        for name in ("draw_hours_inside", "draw_hours_outside", "panel_hours"):
            low, high = getattr(self, name)
            if not 1 <= low <= high:
                raise ValueError(
                    f"PatientDistribution.{name} = ({low}, {high}): needs "
                    "1 <= shortest <= longest, in whole hours."
                )


def shifted(distribution: PatientDistribution | None = None) -> PatientDistribution:
    """An older, heavier population with renal impairment, same physiology.

    The kinetic medians stay those of the reference patient: only the covariates
    move, so a model that learned their effects can follow.
    """
    distribution = distribution or PatientDistribution()
    signs = tuple(
        s._replace(median=2.4) if s.name == "creatinine" else s
        for s in distribution.signs
    )
    return dataclasses.replace(
        distribution,
        age_mean=76.0,
        age_sd=9.0,
        weight_men=100.0,
        weight_women=88.0,
        signs=signs,
    )


def to_dict(distribution: PatientDistribution) -> dict[str, Any]:
    """The configuration as plain JSON types; `from_dict` restores it."""
    fields = dataclasses.asdict(distribution)
    return {**fields, "signs": [s._asdict() for s in distribution.signs]}


def from_dict(fields: dict[str, Any]) -> PatientDistribution:
    """Restores a configuration, for instance from a dataset's `schema.json`.

    Args:
      fields: what `to_dict` returned, possibly read back from JSON.

    Returns:
      An equal configuration.

    Raises:
      ValueError: on unknown fields.
    """
    known = {field.name for field in dataclasses.fields(PatientDistribution)}
    if unknown := sorted(set(fields) - known):
        raise ValueError(f"PatientDistribution has no field {', '.join(unknown)}.")
    plain = {k: tuple(v) if isinstance(v, list) else v for k, v in fields.items()}
    if "signs" in plain:
        plain["signs"] = tuple(Sign(**s) for s in fields["signs"])
    return PatientDistribution(**plain)


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

    age: chex.Array
    gender: chex.Array
    weight: chex.Array
    volume: chex.Array
    log_clearance: chex.Array
    log_slope: chex.Array
    log_baseline: chex.Array
    set_points: chex.Array


def log_sd(cv: float) -> float:
    """Standard deviation of log x for a log-normal x with this variation."""
    return float(np.sqrt(np.log1p(cv**2)))


def sign_column(config: PatientDistribution, field: str) -> np.ndarray:
    """One field of every sign, [S] float32."""
    return np.asarray([getattr(s, field) for s in config.signs], np.float32)


def sign_index(name: str) -> int:
    """Position of a sign in the vectors of length S."""
    return next(i for i, s in enumerate(SIGNS) if s.name == name)


def reference_signs() -> np.ndarray:
    """Medians of the REFERENCE population, [S], logs where `Sign.log`.

    Taken from `SIGNS` and not from a configuration: a shifted population differs
    from the reference patient, it does not redefine that patient.
    """
    return np.asarray([np.log(s.median) if s.log else s.median for s in SIGNS], "f4")


def sample_patient(config: PatientDistribution, key: chex.PRNGKey) -> Patient:
    """Draws one patient; the key is consumed."""
    count = len(config.signs)
    noise = jax.random.normal(key, (7 + count,))
    age = config.age_mean + config.age_sd * noise[0]
    age = jnp.clip(age, *config.age_range)
    female = jax.scipy.stats.norm.cdf(noise[1]) < config.female_share
    weight = jnp.where(female, config.weight_women, config.weight_men)
    weight = jnp.clip(weight * jnp.exp(config.weight_cv * noise[2]), 35.0, 220.0)

    rho = config.clearance_volume_correlation
    mixed = rho * noise[3] + (1.0 - rho**2) ** 0.5 * noise[4]
    years = age - config.reference_age
    log_weight = jnp.log(weight / config.reference_weight)
    medians = sign_column(config, "median")
    is_log = sign_column(config, "log").astype(bool)
    centres = np.where(is_log, np.log(medians), medians)
    return Patient(
        age=age,
        gender=female.astype(jnp.float32),
        weight=weight,
        volume=config.volume_per_kg
        * weight
        * jnp.exp(log_sd(config.volume_cv) * noise[3]),
        log_clearance=config.clearance_weight_power * log_weight
        + config.clearance_age * years
        + log_sd(config.clearance_cv) * mixed,
        log_slope=jnp.log(config.response_slope)
        + config.slope_age * years
        + log_sd(config.slope_cv) * noise[5],
        log_baseline=jnp.log(config.baseline_aptt)
        + log_sd(config.baseline_cv) * noise[6],
        set_points=centres + sign_column(config, "between") * noise[7:],
    )


def kinetics_of(
    config: PatientDistribution,
    patient: Patient,
    signs: chex.Array,
    drift: chex.Array,
) -> kinetics.Kinetics:
    """Kinetics of a patient in the present condition.

    Args:
      config: the population.
      patient: the constants of the stay.
      signs: [S] present signs, logs where `Sign.log`.
      drift: present deviation of log clearance, scalar.

    Returns:
      Kinetics. Both elimination paths scale with clearance; dividing by volume
      turns them into rates, so a large volume means a long half-life.
    """
    excess = signs - reference_signs()
    log_clearance = (
        patient.log_clearance
        + drift
        + config.clearance_creatinine * excess[sign_index("creatinine")]
        + config.clearance_bilirubin * excess[sign_index("bilirubin")]
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
            + config.baseline_bilirubin * excess[sign_index("bilirubin")]
        ),
        slope=jnp.exp(patient.log_slope + config.slope_wbc * excess[sign_index("wbc")]),
    )

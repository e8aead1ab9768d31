"""Who the virtual patients are: distributions of covariates and of kinetics.

Medians are calibrated so that the reference patient (80 kg, 65 years, creatinine
1.1 mg/dL, bilirubin 0.7 mg/dL, leukocytes 10.5 K/uL) shows heparin half-lives of
30, 60 and 150 minutes after 25, 100 and 400 U/kg and an aPTT of 28.6 s without
heparin, growing e-fold per 1/3.145 IU/mL. Variability follows what population
models of adults report: clearance 50 %, volume 40 % (correlation .75), slope up
to 64 %, residual error of a measured aPTT 17-30 %.
"""

import dataclasses
from typing import Any

from omgrl_jax.envs import signs as signs_lib


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
    signs: tuple[signs_lib.Sign, ...] = signs_lib.SIGNS
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
        if tuple(s.name for s in self.signs) != signs_lib.NAMES:
            raise ValueError(
                "PatientDistribution.signs must name, in this order: "
                + ", ".join(signs_lib.NAMES)
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
    move, so a model that learned their effects can follow. What happens to a patient
    once admitted is the same in both populations.
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
    plain: dict[str, Any] = {
        k: tuple(v) if isinstance(v, list) else v for k, v in fields.items()
    }
    if "signs" in plain:
        plain["signs"] = tuple(signs_lib.Sign(**s) for s in fields["signs"])
    return PatientDistribution(**plain)

"""What to extract from MIMIC-III: each default stands here once."""

import dataclasses

from data_prep import impute

STATES = ("paper", "full", "history")
INTUBATED = ("charted", "normal", "missing")
ARTERIAL_CO2 = {"pressure": "paco2", "total": "total_co2"}


@dataclasses.dataclass(frozen=True)
class Config:
    """What to extract; `mimic3` explains each field as a flag.

    Attributes:
      state: default state, one of `STATES`.
      min_age: youngest patients, years.
      min_hours: shortest stay kept, hours from the first dose.
      max_hours: longer stays are cut there.
      tail_hours: hours kept after the last infusion; negative keeps all.
      require_aptt: whether stays without any aPTT are left out.
      boluses: whether MetaVision's boluses count in the hour's dose.
      intubated: coma score of intubated patients, one of `INTUBATED`.
      arterial_co2: one of `ARTERIAL_CO2`.
      indicators: whether to add features for imputation and intubation.
      bins: number of dose bins.
      validation: share of patients.
      test: share of patients.
      seed: of split, patient numbers and donors.
      donors: most donor rows of the imputation.
      suppress_small_counts: whether counts of 1 to 10 are hidden in tables.
    """

    state: str = "history"
    min_age: int = 18
    min_hours: int = 7
    max_hours: int = 72
    tail_hours: float = -1.0
    require_aptt: bool = True
    boluses: bool = True
    intubated: str = "charted"
    arterial_co2: str = "pressure"
    indicators: bool = False
    bins: int = 6
    validation: float = 0.1
    test: float = 0.2
    seed: int = 0
    donors: int = 5000
    suppress_small_counts: bool = True

    def __post_init__(self):
        """Raises ValueError naming the flag that cannot be fulfilled."""
        if not 1 <= self.min_hours <= self.max_hours:
            raise ValueError("--min_hours: needs 1 <= min_hours <= max_hours")
        if min(self.validation, self.test) < 0 or self.validation + self.test >= 1:
            raise ValueError("--validation, --test: shares must leave training stays")
        if self.donors < impute.NEIGHBOURS:
            raise ValueError(f"--donors: at least {impute.NEIGHBOURS}")
        for name, allowed in (
            ("state", STATES),
            ("intubated", INTUBATED),
            ("arterial_co2", ARTERIAL_CO2),
        ):
            if getattr(self, name) not in allowed:
                raise ValueError(f"--{name}: use one of {', '.join(allowed)}")

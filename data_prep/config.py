"""What to extract from MIMIC-III: each default stands here once."""

import dataclasses
from typing import Any

from data_prep import impute

STATES = ("paper", "full", "history")
INTUBATED = ("charted", "normal", "missing")
ARTERIAL_CO2 = {"pressure": "paco2", "total": "total_co2"}


def _one_of(default: str, choices: tuple[str, ...]) -> Any:
    """A field whose flag refuses other values."""
    return dataclasses.field(default=default, metadata={"choices": choices})


@dataclasses.dataclass(frozen=True)
class Config:
    """What to extract; every field is a flag of `mimic3`.

    Attributes:
      state: default state: paper (16 variables), full (adds last aPTT, its age and the
        last dose) or history (adds dose average, that average at the last draw and the
        aPTT before). All three are described in the dataset.
      min_age: youngest patients, years.
      min_hours: shortest stay kept, hours from the first dose.
      max_hours: longer stays are cut there.
      tail_hours: cut a stay this many hours after its last infusion; negative keeps it
        to discharge.
      require_aptt: leave out stays without any aPTT.
      boluses: count MetaVision's boluses in the hour's dose (CareVue has none).
      intubated: coma score of intubated patients, charted, normal (15) or missing.
      arterial_co2: the paper's 'arterial carbon dioxide', pressure (PaCO2, mmHg) or
        total (total CO2 of arterial blood, mEq/L).
      indicators: add features that say what was imputed and who was intubated, to the
        default state and to one form of every other (`history_missing`).
      bins: number of dose bins.
      validation: share of patients for validation.
      test: share of patients for testing.
      seed: of split, patient numbers and imputation donors.
      donors: most rows from which a nearest neighbour is sought.
      suppress_small_counts: write counts of 1 to 10 as '<=10' in the tables.
    """

    state: str = _one_of("history", STATES)
    min_age: int = 18
    min_hours: int = 7
    max_hours: int = 72
    tail_hours: float = -1.0
    require_aptt: bool = True
    boluses: bool = True
    intubated: str = _one_of("charted", INTUBATED)
    arterial_co2: str = _one_of("pressure", tuple(ARTERIAL_CO2))
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

"""What to extract for sepsis: each default stands here once."""

import dataclasses
from typing import Any

from data_prep import impute
from omgrl_jax.ops import sofa_rewards

ACTIONS = ("levels", "doses")
VASOPRESSOR = ("maximum", "mean")
MORTALITY = ("hospital", "90_days")
SPLITS = ("patients", "temporal")
INTUBATED = ("charted", "normal", "missing")
STEP_HOURS = (1, 4)


def _one_of(default: Any, choices: tuple) -> Any:
    """A field whose flag refuses other values."""
    return dataclasses.field(default=default, metadata={"choices": choices})


@dataclasses.dataclass(frozen=True)
class Config:
    """What to extract; every field is a flag of `mimic_sepsis`.

    Attributes:
      step_hours: hours between two decisions, 1 or 4.
      min_age: youngest patients, years.
      before_hours: hours before the onset of sepsis from which a stay is followed.
      after_hours: hours after the onset until which it is followed.
      min_steps: shortest stay kept, in steps.
      actions: levels (none, lower and upper half of training doses of fluid and of
        vasopressor, nine actions) or doses (two numbers).
      vasopressor: rate of a step, its maximum or its mean over time.
      dose_quantile: with --actions=doses, the quantile of non-zero training doses at
        which larger ones are cut.
      reward: sofa (changes of SOFA and survival), terminal (survival alone) or
        negative_sofa (the score of the next row, survival left aside).
      mortality: death that the reward counts, in hospital or within 90_days of ICU
        admission.
      intubated: coma score of intubated patients, charted, normal (15) or missing.
      indicators: add features that say what was imputed, in a second state
        (`full_missing`), and make it the default.
      split: patients (at random) or temporal (the latest patients tested, MIMIC-IV
        alone).
      validation: share of patients for validation.
      test: share of patients for testing.
      seed: of split, patient numbers and imputation donors.
      donors: most rows from which a nearest neighbour is sought.
      suppress_small_counts: write counts of 1 to 10 as '<=10' in the tables.
    """

    step_hours: int = _one_of(4, STEP_HOURS)
    min_age: int = 18
    before_hours: int = 24
    after_hours: int = 48
    min_steps: int = 2
    actions: str = _one_of("levels", ACTIONS)
    vasopressor: str = _one_of("maximum", VASOPRESSOR)
    dose_quantile: float = 0.99
    reward: str = _one_of("sofa", tuple(sofa_rewards.REWARDS))
    mortality: str = _one_of("hospital", MORTALITY)
    intubated: str = _one_of("normal", INTUBATED)
    indicators: bool = False
    split: str = _one_of("patients", SPLITS)
    validation: float = 0.15
    test: float = 0.15
    seed: int = 0
    donors: int = 5000
    suppress_small_counts: bool = True

    def __post_init__(self):
        """Raises ValueError naming the flag that cannot be fulfilled."""
        if min(self.before_hours, self.after_hours) < 0:
            raise ValueError("--before_hours, --after_hours: not below 0")
        if self.min_steps < 1:
            raise ValueError("--min_steps: at least 1")
        if not 0 < self.dose_quantile <= 1:
            raise ValueError("--dose_quantile: above 0 and at most 1")
        if min(self.validation, self.test) < 0 or self.validation + self.test >= 1:
            raise ValueError("--validation, --test: shares must leave training stays")
        if self.donors < impute.NEIGHBOURS:
            raise ValueError(f"--donors: at least {impute.NEIGHBOURS}")
        for field in dataclasses.fields(self):
            allowed = field.metadata.get("choices")
            if allowed and getattr(self, field.name) not in allowed:
                words = ", ".join(map(str, allowed))
                raise ValueError(f"--{field.name}: use one of {words}")

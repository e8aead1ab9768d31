"""The configuration of the study of personal dosing."""

# A field may bear the name of the module that its type comes from.
from __future__ import annotations

import dataclasses

from omgrl_jax.models import foresight, outcome, personal_outcome
from omgrl_jax.models.ensemble import FitConfig

# Models of the outcome; each of the last two brings its average patient along.
MODELS = ("population", "persim", "persim_free")
REFERENCES = ("truth", "clinicians", "clinicians_binned", "random")


def _population_fit() -> FitConfig:
    return FitConfig(members=3, elites=3)


def _personal_fit() -> FitConfig:
    # Examples are stays, not hours.
    return FitConfig(members=3, elites=3, batch_size=16, patience=8)


@dataclasses.dataclass(frozen=True)
class Config:
    """What the study depends on; every field is a flag of the same name.

    Attributes:
      state: the state to learn from; empty for the dataset's default. It must tell the
        last aPTT and running dose averages, as "history" does.
      train_stays: training stays to use, drawn by patient; 0 for all there are.
      seeds: how often everything is fitted, and judged on new patients.
      first_seed: the first of the seeds.
      models: models to compare. population: one for all, knows a patient by the state
        alone. persim: latent factors with a prior that is integrated out.
        persim_free: factors fitted freely, as published.
      outcome_hidden: widths of the population's outcome networks.
      dose_effect: how the population's networks depend on the dose, see
        experiments.omg_rl.
      factors: latent factors and their networks.
      population_fit: how the population's networks are fitted to hours.
      factors_fit: how the personal networks are fitted to stays. Free factors need
        every stay: persim_free is never bootstrapped.
      plan: how doses are planned.
      replan: hours for which a dose is given before it is planned anew.
      reward_run: directory of a finished experiments.omg_rl run on the same dataset,
        state and training stays, whose r_psi plans are made for; empty for the
        clinical reward r_p. The run's first seed serves all seeds.
      patients: new virtual patients treated by each policy and seed.
      hours: hours for which each of them is treated.
    """

    state: str = ""
    train_stays: int = dataclasses.field(default=0, metadata={"min": 0})
    seeds: int = dataclasses.field(default=5, metadata={"min": 1})
    first_seed: int = 0
    models: tuple[str, ...] = dataclasses.field(
        default=MODELS, metadata={"choices": MODELS}
    )
    outcome_hidden: tuple[int, ...] = (32, 32)
    dose_effect: str = dataclasses.field(
        default="proportional", metadata={"choices": outcome.DOSE_EFFECTS}
    )
    factors: personal_outcome.Config = dataclasses.field(
        default_factory=personal_outcome.Config
    )
    population_fit: FitConfig = dataclasses.field(default_factory=_population_fit)
    factors_fit: FitConfig = dataclasses.field(default_factory=_personal_fit)
    plan: foresight.Config = dataclasses.field(default_factory=foresight.Config)
    replan: int = dataclasses.field(default=1, metadata={"min": 1})
    reward_run: str = ""
    patients: int = dataclasses.field(default=400, metadata={"min": 2})
    hours: int = dataclasses.field(default=48, metadata={"min": 1})

    def __post_init__(self) -> None:
        """Rejects what cannot be meant, naming the flag."""
        if not self.models:
            raise ValueError("--models= is empty: name at least one")
        fits = self.population_fit.elites, self.factors_fit.elites
        if fits[0] != fits[1]:
            raise ValueError(
                f"--population_fit_elites={fits[0]}, --factors_fit_elites={fits[1]}: "
                "each personal network needs one of the population's beside it; keep "
                "as many of both"
            )

    @property
    def seed_list(self) -> list[int]:
        """The seeds of the study."""
        return list(range(self.first_seed, self.first_seed + self.seeds))

"""What a coverage study needs of a problem, and its settings."""

import dataclasses
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import jax.numpy as jnp

from omgrl_jax.evaluation import off_policy
from omgrl_jax.learners import fitted_q as fitted_q_lib
from omgrl_jax.types import Array

Behaviour = Literal["known", "fitted"]


@dataclasses.dataclass(frozen=True)
class GarnetConfig:
    """A random decision process (Archibald et al. 1995).

    Attributes:
      states: number of states; in one more an episode is over.
      actions: number of actions.
      branching: states that each action can lead to.
      ending: probability that a step ends the episode.
    """

    states: int = dataclasses.field(default=15, metadata={"min": 2})
    actions: int = dataclasses.field(default=4, metadata={"min": 2})
    branching: int = dataclasses.field(default=3, metadata={"min": 1})
    ending: float = dataclasses.field(default=0.05, metadata={"above": 0, "below": 1})


@dataclasses.dataclass(frozen=True)
class HeparinConfig:
    """Virtual patients.

    Attributes:
      logger: who doses in the logs. "cloned": a network that was fitted to clinicians
        and sees what the recorder sees, so that every assumption holds; "binned":
        clinicians whose doses are replaced by those of their bins; "clinicians": as in
        a dataset, with boluses and habits that no record holds.
      tilt: the target policy is the cloned one with the log odds of the highest against
        the lowest dose raised by so much.
      pilot_stays: clinicians' stays that bins, scales and the cloned policy come from.
      hidden: widths of the cloned policy and of the behaviour policy.
      clone_rounds: rounds of their fit; the round that is best on other patients is
        kept, at the temperature that is best there.
      clone_steps: gradient steps of a round.
      clone_rate: Adam's step size.
      clone_batch: hours in a gradient step.
      truth_patients: new patients whose mean return is the true value.
    """

    logger: Literal["cloned", "binned", "clinicians"] = "cloned"
    tilt: float = 3.0
    pilot_stays: int = dataclasses.field(default=400, metadata={"min": 3})
    hidden: tuple[int, ...] = (32, 32)
    clone_rounds: int = dataclasses.field(default=15, metadata={"min": 1})
    clone_steps: int = dataclasses.field(default=50, metadata={"min": 1})
    clone_rate: float = dataclasses.field(default=3e-3, metadata={"above": 0})
    clone_batch: int = dataclasses.field(default=256, metadata={"min": 1})
    truth_patients: int = dataclasses.field(default=4000, metadata={"min": 2})


@dataclasses.dataclass(frozen=True)
class Config:
    """What to study; every field is a flag of the same name.

    Attributes:
      problem: "garnet", a random table; "icu_sepsis", the table of 716 states made
        from MIMIC-III; "heparin", virtual patients.
      replicates: number of logs drawn and evaluated.
      chunk: replicates computed and kept at once.
      seed: seed of everything that is drawn.
      patients: patients of a log on whom estimates rest.
      fit_patients: others, on whom the behaviour policy and Q are fitted.
      shifts: share of decisions in which an evaluated policy follows a target instead
        of the behaviour policy, as its evaluator knows that: the policies are softened
        with 1 - shift. The target of a table is one step of improvement on the logging
        policy, that of virtual patients the cloned policy tilted to high doses.
      behaviour: "fitted": the probabilities of the logging policy are estimated, as
        they must be on records, and each log has evaluated policies and true values of
        its own; "known": they are given (not for human loggers).
      ope: horizon, discount and intervals.
      fitted_q: fit of Q by a network (virtual patients; tables are fitted by counts).
      garnet: the random table.
      heparin: the virtual patients.
    """

    problem: Literal["garnet", "icu_sepsis", "heparin"] = "garnet"
    replicates: int = dataclasses.field(default=100, metadata={"min": 1})
    chunk: int = dataclasses.field(default=20, metadata={"min": 1})
    seed: int = 0
    patients: int = dataclasses.field(default=200, metadata={"min": 2})
    fit_patients: int = dataclasses.field(default=200, metadata={"min": 1})
    shifts: tuple[float, ...] = (0.0, 0.3, 0.6)
    behaviour: Behaviour = "fitted"
    ope: off_policy.Config = dataclasses.field(default_factory=off_policy.Config)
    fitted_q: fitted_q_lib.Config = dataclasses.field(
        default_factory=fitted_q_lib.Config
    )
    garnet: GarnetConfig = dataclasses.field(default_factory=GarnetConfig)
    heparin: HeparinConfig = dataclasses.field(default_factory=HeparinConfig)

    def __post_init__(self) -> None:
        """Rejects what cannot be meant, naming the flag."""
        if not self.shifts:
            raise ValueError("--shifts: at least one is needed")
        if not all(0 <= x <= 1 for x in self.shifts):
            raise ValueError(f"--shifts={self.shifts}: shares lie between 0 and 1")
        human = self.problem == "heparin" and self.heparin.logger != "cloned"
        if self.behaviour == "known" and human:
            raise ValueError(
                "--behaviour=known: nobody knows the probabilities of human loggers; "
                "use --heparin_logger=cloned or --behaviour=fitted"
            )


class Replicate(NamedTuple):
    """What one log says of K policies, and what is true.

    Attributes:
      truth: [K] true values.
      truth_error: [K] their standard errors; zero where they are exact.
      estimates: estimator -> `Estimate` with leaves [K, ...].
    """

    truth: Array
    truth_error: Array
    estimates: dict[str, off_policy.Estimate]


class Problem(NamedTuple):
    """A problem whose answer is known.

    Attributes:
      data: what `replicate` needs beside its number.
      replicate: `(number [], data) -> Replicate`: draws a log, fits what has to be
        fitted and estimates. Pure: it can be mapped.
    """

    data: Any
    replicate: Callable[[Array, Any], Replicate]


def mixture(log_behaviour: Array, log_target: Array, shift: Array) -> Array:
    """`log((1 - shift) mu + shift target)`, any shape; either may be -inf."""
    return jnp.log((1.0 - shift) * jnp.exp(log_behaviour) + shift * jnp.exp(log_target))

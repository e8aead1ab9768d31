"""The configuration of a run: each field is a flag of the experiment scripts."""

# A field may bear the name of the module that its type comes from.
from __future__ import annotations

import dataclasses
import json
import pathlib
from collections.abc import Callable
from typing import Any, NamedTuple, NoReturn, Self

from absl import logging

from omgrl_jax.algorithms import (
    airl,
    combo,
    cql,
    guarded_cql,
    iq_learn,
    iql,
    ml_irl,
    mopo,
    morel,
    multitask_iql,
    ogsrl,
    omg_rl,
    q_learning,
    reward_regression,
)
from omgrl_jax.data.space import Space
from omgrl_jax.evaluation import off_policy
from omgrl_jax.learners import fitted_q
from omgrl_jax.learners.dyna import RolloutConfig
from omgrl_jax.learners.guardian.guardian import GuardianConfig
from omgrl_jax.learners.limits import LimitsConfig
from omgrl_jax.learners.restraint import MultipliersConfig
from omgrl_jax.learners.reward import RewardConfig
from omgrl_jax.learners.soft_actor_critic import AgentConfig
from omgrl_jax.models.ensemble import FitConfig
from omgrl_jax.models.world import WorldConfig
from omgrl_jax.runtime import flags as config_flags
from omgrl_jax.runtime import storage
from omgrl_jax.types import Algorithm, Dynamics, Policy

PRESETS = pathlib.Path(__file__).parent / "presets"
# What the fits depend on, beside the records and the seed.
MODEL_FIELDS = ("behaviour_hidden", "behaviour_members", "world", "fit")


@dataclasses.dataclass(frozen=True)
class RunConfig:
    """Everything that the result of a run depends on, beside the dataset.

    Attributes:
      state: the state to learn from (paper, full, history; of sepsis full, compact);
        empty for the dataset's default.
      train_stays: training stays to use, drawn by patient; 0 for all there are.
      algorithms: what to train, in this order.
      seeds: number of seeds, trained as one batch.
      first_seed: the first of them.
      epochs: training epochs (the paper's episodes).
      interval: epochs between checkpoints.
      patients: new virtual patients per policy and seed in the true simulator.
      hours: hours for which each of them is treated.
      shifted_patients: judge on an older, heavier population with renal impairment
        instead of the one that made the dataset.
      model_hours: hours of the rollouts on which policies are scored in the model.
      soften: share of decisions in which a policy that is evaluated off-policy does
        as clinicians do.
      off_policy: horizon, discount and intervals of off-policy estimates.
      fitted_q: how action values are fitted for them.
      behaviour_hidden: widths of the behaviour policy's layers.
      behaviour_members: networks whose probabilities it averages; importance ratios
        need several where the clinicians' doses vary much.
      world: the world model.
      fit: how its networks and the behaviour policy are fitted.
      agent: actor and critic, the same for every method that has them.
      rollout: use of the world model, likewise.
      reward: the learned reward, likewise.
      limits: safety costs and the guardian's share, for ogsrl and guarded_cql, and for
        omg_rl and combo where these are limited.
      guardian: the region of supported states and doses, likewise.
      multipliers: how those of guarded_cql, and of limited omg_rl and combo, answer to
        what lies above its limit.
      omg_rl: what OMG-RL adds.
      combo: what COMBO adds.
      cql: what CQL adds; soft actor-critic (sac) is CQL without conservatism.
      bcq: what BCQ adds; double DQN (ddqn) is BCQ with threshold 0, and linear_q that
        without hidden layers or bcq's other settings.
      iql: what IQL adds.
      mopo: what MOPO adds.
      morel: what MOReL adds.
      airl: what AIRL adds.
      iq_learn: what IQ-Learn adds.
      reward_regression: what reward regression adds.
      ml_irl: what offline ML-IRL adds.
      dueling_cql: dueling double DQN with conservatism, its threshold and weight.
      multitask_iql: what IQL with multi-task heads adds.
      ogsrl: OGSRL's own networks and steps.
      guarded_cql: what CQL under limits adds.
    """

    state: str = ""
    train_stays: int = 0
    algorithms: tuple[str, ...] = ("omg_rl", "combo")
    seeds: int = 1
    first_seed: int = 0
    epochs: int = 200
    interval: int = 50
    patients: int = 400
    hours: int = 48
    shifted_patients: bool = False
    model_hours: int = 24
    soften: float = dataclasses.field(default=0.1, metadata={"above": 0, "below": 1})
    off_policy: off_policy.Config = dataclasses.field(default_factory=off_policy.Config)
    fitted_q: fitted_q.Config = dataclasses.field(default_factory=fitted_q.Config)
    behaviour_hidden: tuple[int, ...] = (128, 128)
    behaviour_members: int = dataclasses.field(default=1, metadata={"min": 1})
    world: WorldConfig = dataclasses.field(default_factory=WorldConfig)
    fit: FitConfig = dataclasses.field(default_factory=FitConfig)
    agent: AgentConfig = dataclasses.field(default_factory=AgentConfig)
    rollout: RolloutConfig = dataclasses.field(default_factory=RolloutConfig)
    reward: RewardConfig = dataclasses.field(default_factory=RewardConfig)
    limits: LimitsConfig = dataclasses.field(default_factory=LimitsConfig)
    guardian: GuardianConfig = dataclasses.field(default_factory=GuardianConfig)
    multipliers: MultipliersConfig = dataclasses.field(
        default_factory=MultipliersConfig
    )
    omg_rl: omg_rl.Config = dataclasses.field(default_factory=omg_rl.Config)
    combo: combo.Config = dataclasses.field(default_factory=combo.Config)
    cql: cql.Config = dataclasses.field(default_factory=cql.Config)
    bcq: q_learning.Config = dataclasses.field(default_factory=q_learning.Config)
    iql: iql.Config = dataclasses.field(default_factory=iql.Config)
    mopo: mopo.Config = dataclasses.field(default_factory=mopo.Config)
    morel: morel.Config = dataclasses.field(default_factory=morel.Config)
    airl: airl.Config = dataclasses.field(default_factory=airl.Config)
    iq_learn: iq_learn.Config = dataclasses.field(default_factory=iq_learn.Config)
    reward_regression: reward_regression.Config = dataclasses.field(
        default_factory=reward_regression.Config
    )
    ml_irl: ml_irl.Config = dataclasses.field(default_factory=ml_irl.Config)
    dueling_cql: q_learning.Config = dataclasses.field(
        default_factory=lambda: q_learning.Config(
            threshold=0.0, dueling=True, conservatism=1.0
        )
    )
    multitask_iql: multitask_iql.Config = dataclasses.field(
        default_factory=multitask_iql.Config
    )
    ogsrl: ogsrl.Config = dataclasses.field(default_factory=ogsrl.Config)
    guarded_cql: guarded_cql.Config = dataclasses.field(
        default_factory=guarded_cql.Config
    )

    def __post_init__(self) -> None:
        """Rejects what cannot be meant, naming the flag; shares the parts."""
        unknown = [name for name in self.algorithms if name not in ALGORITHMS]
        if unknown or not self.algorithms:
            raise ValueError(
                f"--algorithms={','.join(self.algorithms)}: choose among "
                f"{', '.join(ALGORITHMS)}"
            )
        for name in ("seeds", "epochs", "interval", "patients", "hours", "model_hours"):
            if getattr(self, name) < 1:
                raise ValueError(f"--{name} must be at least 1")
        config_flags.share(self)

    def before_training(self) -> Self:
        """This setting with defaults for all that neither task nor models depend on."""
        names = ("state", "train_stays", "seeds", "first_seed", "shifted_patients")
        names += MODEL_FIELDS
        horizon = RolloutConfig(horizon=self.rollout.horizon)
        given = {n: getattr(self, n) for n in names}
        return type(self)(**given, rollout=horizon)

    @property
    def seed_list(self) -> list[int]:
        """The seeds of the run."""
        return list(range(self.first_seed, self.first_seed + self.seeds))


class Problem(NamedTuple):
    """What a method is built for.

    Attributes:
      space: the task.
      dynamics: the fitted world.
      behaviour: the fitted behaviour policy.
    """

    space: Space
    dynamics: Dynamics
    behaviour: Policy


# name -> how it is built; a new method comes last, since its place gives it its keys.
ALGORITHMS: dict[str, Callable[[RunConfig, Problem], Algorithm]] = {
    "omg_rl": lambda c, p: omg_rl.make(c.omg_rl, p.space, p.dynamics, p.behaviour),
    "combo": lambda c, p: combo.make(c.combo, p.space, p.dynamics),
    "cql": lambda c, p: cql.make(c.cql, p.space),
    "sac": lambda c, p: cql.make(dataclasses.replace(c.cql, conservatism=0.0), p.space),
    "bcq": lambda c, p: q_learning.make(c.bcq, p.space, p.behaviour),
    "ddqn": lambda c, p: q_learning.make(
        dataclasses.replace(c.bcq, threshold=0.0), p.space, p.behaviour
    ),
    "iql": lambda c, p: iql.make(c.iql, p.space),
    "mopo": lambda c, p: mopo.make(c.mopo, p.space, p.dynamics),
    "morel": lambda c, p: morel.make(c.morel, p.space, p.dynamics),
    "airl": lambda c, p: airl.make(c.airl, p.space, p.dynamics),
    "iq_learn": lambda c, p: iq_learn.make(c.iq_learn, p.space),
    "reward_regression": lambda c, p: reward_regression.make(
        c.reward_regression, p.space, p.dynamics
    ),
    "ml_irl": lambda c, p: ml_irl.make(c.ml_irl, p.space, p.dynamics),
    "dueling_cql": lambda c, p: q_learning.make(c.dueling_cql, p.space, p.behaviour),
    # A table of weights: double DQN without hidden layers.
    "linear_q": lambda c, p: q_learning.make(
        q_learning.Config(0.0, agent=dataclasses.replace(c.agent, critic_hidden=())),
        p.space,
        p.behaviour,
    ),
    "multitask_iql": lambda c, p: multitask_iql.make(c.multitask_iql, p.space),
    "ogsrl": lambda c, p: ogsrl.make(c.ogsrl, p.space, p.dynamics),
    "guarded_cql": lambda c, p: guarded_cql.make(c.guarded_cql, p.space),
}


class _WorldAsked(Exception):
    """A method asked for the world model."""


class _WithoutWorld(Problem):
    """A problem that tells when a method asks for the world model."""

    @property
    def dynamics(self) -> NoReturn:
        raise _WorldAsked


def rolls_out(name: str, config: RunConfig, space: Space, behaviour: Policy) -> bool:
    """Whether a method is built from the dynamics of a world model.

    Args:
      name: the method.
      config: the configuration of the run.
      space: the task.
      behaviour: the behaviour policy.

    Raises:
      ValueError: if the method cannot learn in this task.
    """
    nothing: Any = None
    try:
        ALGORITHMS[name](config, _WithoutWorld(space, nothing, behaviour))
    except _WorldAsked:
        return True
    return False


def flat(config: RunConfig) -> dict[str, Any]:
    """The configuration as flag names and plain values."""
    found = config_flags.flatten(config)
    return {k: list(v) if isinstance(v, tuple) else v for k, v in found.items()}


def preset(name: str, base: RunConfig) -> RunConfig:
    """A configuration with the flags of a preset put over it.

    Args:
      name: file in `experiments/presets`, without `.flags`.
      base: the configuration underneath.

    Returns:
      The configuration.
    """
    return config_flags.changed(base, [f"--flagfile={PRESETS / name}.flags"])


def claim(out: pathlib.Path, config: Any, dataset_hash: str) -> None:
    """Marks a directory as this run's, or stops where it is another's.

    Args:
      out: the directory; made when missing.
      config: the configuration, a dataclass.
      dataset_hash: content hash of the dataset.

    Raises:
      ValueError: naming the first setting that differs.
    """
    wanted = json.loads(json.dumps({**flat(config), "dataset": dataset_hash}))
    path = out / "run.json"
    if path.is_file():
        found = json.loads(path.read_text())
        for name in sorted({*wanted, *found}):
            if wanted.get(name) != found.get(name):
                raise ValueError(
                    f"--out={out} holds another run: {name} was {found.get(name)}, now "
                    f"{wanted.get(name)}. Use another directory or the same settings."
                )
        logging.info("Resuming the run in %s", out)
        return
    out.mkdir(parents=True, exist_ok=True)
    storage.atomic_write(path, json.dumps(wanted, indent=1) + "\n")

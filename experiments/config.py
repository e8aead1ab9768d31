"""The configuration of a run: each field is a flag of the experiment scripts."""

import dataclasses
import json
import pathlib
from typing import Any

from absl import logging

from omgrl_jax.algorithms import combo, omg_rl
from omgrl_jax.learners.dyna import RolloutConfig
from omgrl_jax.learners.reward import RewardConfig
from omgrl_jax.learners.soft_actor_critic import AgentConfig
from omgrl_jax.models.ensemble import FitConfig
from omgrl_jax.models.world import WorldConfig
from omgrl_jax.runtime import storage


@dataclasses.dataclass(frozen=True)
class RunConfig:
    """Everything that the result of a run depends on, beside the dataset.

    Attributes:
      state: the state to learn from (paper, full, history); empty for the dataset's
        default.
      algorithms: what to train, in this order.
      seeds: number of seeds, trained as one batch.
      first_seed: the first of them.
      epochs: training epochs (the paper's episodes).
      interval: epochs between checkpoints.
      patients: new virtual patients per policy and seed in the true simulator.
      hours: hours for which each of them is treated.
      model_hours: hours of the rollouts on which policies are scored in the model.
      combo_conservatism: weight of COMBO's conservative term; its reward is known and
        stands still, so that it needs less than a reward that is being learned.
      behaviour_hidden: widths of the behaviour policy's layers.
      world: the world model.
      fit: how its networks and the behaviour policy are fitted.
      agent: actor and critic.
      rollout: use of the world model.
      reward: the guided reward.
    """

    state: str = ""
    algorithms: tuple[str, ...] = ("omg_rl", "combo")
    seeds: int = 1
    first_seed: int = 0
    epochs: int = 200
    interval: int = 50
    patients: int = 400
    hours: int = 48
    model_hours: int = 24
    combo_conservatism: float = 0.1
    behaviour_hidden: tuple[int, ...] = (128, 128)
    world: WorldConfig = dataclasses.field(default_factory=WorldConfig)
    fit: FitConfig = dataclasses.field(default_factory=FitConfig)
    agent: AgentConfig = dataclasses.field(default_factory=AgentConfig)
    rollout: RolloutConfig = dataclasses.field(default_factory=RolloutConfig)
    reward: RewardConfig = dataclasses.field(default_factory=RewardConfig)

    def __post_init__(self) -> None:
        """Rejects what cannot be meant, naming the flag."""
        unknown = [name for name in self.algorithms if name not in ALGORITHMS]
        if unknown or not self.algorithms:
            raise ValueError(
                f"--algorithms={','.join(self.algorithms)}: choose among "
                f"{', '.join(ALGORITHMS)}"
            )
        for name in ("seeds", "epochs", "interval", "patients", "hours", "model_hours"):
            if getattr(self, name) < 1:
                raise ValueError(f"--{name} must be at least 1")

    @property
    def seed_list(self) -> list[int]:
        """The seeds of the run."""
        return list(range(self.first_seed, self.first_seed + self.seeds))


def _omg_rl(config: RunConfig, space: Any, dynamics: Any, behaviour: Any) -> Any:
    settings = omg_rl.Config(config.agent, config.rollout, config.reward)
    return omg_rl.make(settings, space, dynamics, behaviour)


def _combo(config: RunConfig, space: Any, dynamics: Any, behaviour: Any) -> Any:
    del behaviour
    agent = dataclasses.replace(config.agent, conservatism=config.combo_conservatism)
    return combo.make(combo.Config(agent, config.rollout), space, dynamics)


# name -> (configuration, space, dynamics, behaviour policy) -> Algorithm
ALGORITHMS = {"omg_rl": _omg_rl, "combo": _combo}


def flat(config: RunConfig) -> dict[str, Any]:
    """The configuration as flag names and plain values."""
    out: dict[str, Any] = {}
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            inner = dataclasses.asdict(value)
            out.update({f"{field.name}_{k}": v for k, v in inner.items()})
        else:
            out[field.name] = value
    return {k: list(v) if isinstance(v, tuple) else v for k, v in out.items()}


def claim(out: pathlib.Path, config: RunConfig, dataset_hash: str) -> None:
    """Marks a directory as this run's, or stops where it is another's.

    Args:
      out: the directory; made when missing.
      config: the configuration.
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

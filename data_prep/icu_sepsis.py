"""Logs of ICU-Sepsis patients under the clinicians' policy, in the dataset format.

    python -m data_prep.icu_sepsis --stays=2000 --seed=0 --out=DIR

Stays are drawn from the table of the package `icu-sepsis` (see
`omgrl_jax/envs/icu_sepsis.py`). A state is a one-hot row of 716 columns on the unit
scale: standardised, the column of a rare state would stand hundreds of deviations away.
The last row of a stay is the terminal state, survival or death. The step by which a
patient survives is rewarded by 1, every other one by 0. 2,000 stays are about 20,000
rows, 60 MB in memory.
"""

import dataclasses
import pathlib

import numpy as np
from absl import flags, logging

from omgrl_jax.data import dataset
from omgrl_jax.envs import icu_sepsis, tabular
from omgrl_jax.runtime import flags as config_flags
from omgrl_jax.runtime import script


@dataclasses.dataclass(frozen=True)
class Config:
    """What to log; every field is a flag of the same name.

    Attributes:
      stays: number of stays, one patient each.
      validation: share of stays for validation.
      test: share of stays for testing.
      seed: seed of everything that is drawn.
    """

    stays: int = dataclasses.field(default=2000, metadata={"min": 3})
    validation: float = dataclasses.field(default=0.1, metadata={"above": 0})
    test: float = dataclasses.field(default=0.1, metadata={"above": 0})
    seed: int = 0

    def __post_init__(self) -> None:
        """Raises ValueError naming the flags that leave no training stay."""
        if self.validation + self.test >= 1:
            raise ValueError("--validation, --test: shares must leave training stays.")


def to_trajectories(config: Config, played: tabular.Episodes) -> dataset.Trajectories:
    """Lays the episodes end to end.

    Args:
      config: the settings.
      played: `N` episodes; they come in random order, so that the splits are runs.

    Returns:
      The arrays.
    """
    row = np.arange(played.states.shape[1]) <= played.lengths[:, None]
    step = row[:, 1:]
    states = played.states[row]
    one_hot = np.zeros((states.size, icu_sepsis.STATES), np.float32)
    one_hot[np.arange(states.size), states] = 1.0
    shares = (config.validation, config.test)
    counts = [max(1, round(share * config.stays)) for share in shares]
    split = np.zeros(config.stays, np.int32)
    split[: sum(counts)] = np.repeat([1, 2], counts)
    return dataset.Trajectories(
        observations=one_hot,
        actions=played.actions[step],
        lengths=played.lengths,
        patients=np.arange(config.stays),
        split=split,
        terminals=played.ended,
        rewards=played.rewards[step],
    )


def to_schema(config: Config) -> dataset.Schema:
    """The schema, with the settings in it."""
    return dataset.Schema(
        name="icu-sepsis",
        features=tuple(
            dataset.Feature(f"state_{state}", scale="unit")
            for state in range(icu_sepsis.STATES)
        ),
        actions=dataset.Actions(icu_sepsis.ACTIONS),
        step_hours=4.0,
        reward={"kind": "recorded"},
        simulator={"environment": icu_sepsis.NAME, "run": dataclasses.asdict(config)},
    )


def write(config: Config, out: str | pathlib.Path) -> dataset.Trajectories:
    """Draws the stays and writes the dataset.

    Args:
      config: what to log.
      out: directory, made when missing.

    Returns:
      The arrays written.

    Raises:
      RunError: if the package `icu-sepsis` is not installed.
    """
    sepsis = icu_sepsis.load()
    played = tabular.simulate(
        sepsis.process,
        sepsis.clinicians,
        np.random.default_rng(config.seed),
        config.stays,
        icu_sepsis.MAX_STEPS,
    )
    arrays = to_trajectories(config, played)
    dataset.save(out, to_schema(config), arrays)
    return arrays


def define_flags(values: flags.FlagValues = flags.FLAGS) -> None:
    """One flag for each field of `Config`, and --out."""
    config_flags.define_dataset_script(Config, values)


def main() -> None:
    """Writes the dataset named by the flags."""
    config, out = config_flags.read(Config), flags.FLAGS.out
    arrays = write(config, out)
    survived = float(np.sum(np.asarray(arrays.rewards))) / config.stays
    logging.info("%d stays in %s, %.1f %% survive", config.stays, out, 100 * survived)


if __name__ == "__main__":
    script.run(main, define_flags)

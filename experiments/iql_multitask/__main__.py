"""IQL with multi-task heads for fluids and vasopressors in sepsis, and its rivals.

    python -m experiments.iql_multitask --out=DIR
    python -m experiments.iql_multitask --out=DIR --seeds=10 --estimated_seeds=0
    python -m experiments.iql_multitask --dataset=DIR --out=DIR --seeds=10

Learns policies over 3 x 3 levels of fluid and vasopressor from recorded stays, and asks
three things of each. Is it better than the clinicians? (In the simulator where there is
one; from held-out stays by weighted doubly robust estimates, with values fitted to the
policy itself, else.) Does it dose as physiology asks: more vasopressor at a lower
pressure, more treatment at a higher lactate, not one action for all? And does a method
promise what it keeps? Rivals: the same without auxiliary heads or entropy, IQL, double
DQN, a dueling one with CQL, linear and boosted-trees Q, cloned clinicians.

Without --dataset virtual patients are made under --out (`data_prep.virtual_sepsis`);
records come from `data_prep.mimic_sepsis`. Writes policies.csv, clinical.csv,
curves.csv, off_policy.csv, belief.csv, methods/ and report/index.html. The same command
goes on where it stopped, method by method; the same --out takes further methods later.
"""

import dataclasses
import pathlib
from typing import Any

from absl import flags

from experiments import study_script
from experiments.config import RunConfig
from experiments.iql_multitask.config import METHODS, StudyConfig
from omgrl_jax.runtime import flags as config_flags
from omgrl_jax.runtime import metrics, script, storage

_VALIDATION = 0.1  # share of virtual stays
# Where this study's defaults differ from those of heparin.
DEFAULTS: dict[str, Any] = {
    "seeds": 3,
    "estimated_seeds": 1,
    "epochs": 50,
    "interval": 25,
    "patients": 2000,
    "off_policy_horizon": 18,
    "rollout_horizon": 1,
    # Rewards come at the end of 18 steps: values must have time to travel back.
    "agent_updates": 100,
    "agent_target_rate": 0.02,
    "multitask_iql_patience": 0,
    "multitask_iql_learning_rate": 1e-3,
    "multitask_iql_batch_size": 512,
    "multitask_iql_hidden": (128, 128, 64),
    "multitask_iql_temperature": 0.5,
    "multitask_iql_entropy_weight": 0.1,
    "multitask_iql_auxiliary": ("mbp", "lactate"),
    # Ratios over 18 steps need careful probabilities. On a tuning cohort the held-out
    # loss of one network of (128, 128) was 1.237, of five such small ones 1.221, of
    # four large ones on resampled stays 1.235.
    "behaviour_members": 5,
    "behaviour_hidden": (48, 48),
    "fit_batch_size": 1024,
    "fit_learning_rate": 3e-3,
    "fit_bootstrap": False,
    # Returns of a stay scatter by 11 around 6: with batches of 256 fitted values of the
    # clinicians' own policy came out as 5.9 and 6.2 of 6.3, with these as 6.3 and 6.4.
    "fitted_q_batch_size": 1024,
    "fitted_q_target_rate": 0.01,
}


def define_flags(values: flags.FlagValues = flags.FLAGS) -> None:
    """Flags for the dataset, where to write, the study and the methods."""
    study_script.define(StudyConfig, DEFAULTS, "virtual patients", values)


def main() -> None:
    """Runs the study that the flags describe."""
    study_script.start(StudyConfig, run)


def run(
    study: StudyConfig,
    config: RunConfig,
    directory: str,
    out: pathlib.Path,
    allow_git_worktree: bool = False,
) -> pathlib.Path:
    """The whole study.

    Args:
      study: what is compared.
      config: settings of the methods.
      directory: where the dataset lies; empty for virtual patients.
      out: where to write.
      allow_git_worktree: whether records may be written inside a git work tree.

    Returns:
      The page.

    Raises:
      DatasetError: if the dataset is not sound.
      ValueError: if a setting does not fit the dataset or the study begun in `out`.
      WorktreeError: if `out` lies in a git work tree and may not.
    """
    # Not at the top: they start JAX.
    import pandas as pd

    from experiments import task as task_lib
    from experiments.config import claim
    from experiments.iql_multitask import page, summary
    from experiments.iql_multitask import study as study_lib

    # What made the data stands with the data, where they are given.
    named = study if not directory else _without_cohort(study)
    directory = directory or made(study, out)
    task = task_lib.load(directory, config.state, 1, config.train_stays)
    if task.schema.kind == "records":
        storage.refuse_git_worktree(
            out, allow_git_worktree, config_flags.ALLOW_GIT_WORKTREE
        )
    # Methods are kept one by one: the same study may have more of them later.
    same = dataclasses.replace(named, methods=METHODS[:1])
    claim(out, study_script.together(same, config), task.hash)
    found = study_lib.run(study, config, task, out)
    for name, rows in found.items():
        metrics.write_csv(out / f"{name}.csv", pd.DataFrame(rows))
    print(summary.table(found))
    return page.write(out, config, task.schema, found)


def made(study: StudyConfig, out: pathlib.Path) -> str:
    """The directory of the virtual patients, made where they are not there yet.

    Args:
      study: how many patients, and which.
      out: where the study lies.

    Raises:
      ValueError: naming the flag, if those that are there are others.
    """
    from data_prep import virtual_sepsis
    from experiments import sepsis_cohort

    wanted = virtual_sepsis.Config(
        stays=study.stays,
        seed=study.cohort_seed,
        test=study.tested,
        validation=_VALIDATION,
        style=study.style,
    )
    of = {"stays": "stays", "seed": "cohort_seed", "test": "tested", "style": "style"}
    return sepsis_cohort.made(wanted, out / "dataset", of)


def _without_cohort(study: StudyConfig) -> StudyConfig:
    usual = StudyConfig()
    names = ("stays", "tested", "style", "cohort_seed")
    return dataclasses.replace(study, **{name: getattr(usual, name) for name in names})


if __name__ == "__main__":
    script.run(main, define_flags)

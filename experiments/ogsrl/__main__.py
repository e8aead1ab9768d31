"""OGSRL: policies that improve on clinicians within what these know and what is safe.

    python -m experiments.ogsrl --out=DIR --seeds=5
    python -m experiments.ogsrl --out=DIR --actions=doses --methods=gmb_cpo,mb_trpo
    python -m experiments.ogsrl --dataset=DIR --out=DIR --seeds=5

Learns policies in a world model of training patients under two kinds of constraints: a
guardian's, on how often states and doses leave what clinicians' records support, and
safety costs', on how many steps end in an unsafe state (--limits_costs, with a limit
for each in --limits_most). Beside it the same without guardian, without costs, without
both, and CQL with and without them. Judged on held-out records, in a world model of
held-out patients and, where a simulator made the data, in truth; and trained again with
other limits and other coverages of the guardian.

Without --dataset virtual patients with sepsis are made under --out
(`data_prep.virtual_sepsis`); records come from `data_prep.mimic_sepsis`. Heparin has
costs and settings of its own: --flagfile=experiments/presets/ogsrl_heparin.flags with a
dataset of `data_prep.virtual` or `data_prep.mimic3`. Writes policies.csv,
constraints.csv, guardian.csv, methods/ and report/index.html. The same command goes on
where it stopped, method by method; the same --out takes further methods later.
"""

import dataclasses
import pathlib

from absl import flags

from experiments import study_script
from experiments.config import RunConfig
from experiments.ogsrl.config import DEFAULTS, OWN, StudyConfig
from omgrl_jax.runtime import flags as config_flags
from omgrl_jax.runtime import metrics, script, storage

_VALIDATION = 0.2  # share of virtual stays


def define_flags(values: flags.FlagValues = flags.FLAGS) -> None:
    """Flags for the dataset, where to write, the study and the methods."""
    study_script.define(StudyConfig, DEFAULTS, "virtual patients with sepsis", values)


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
    from experiments.ogsrl import page, summary
    from experiments.ogsrl import study as study_lib

    # What made the data stands with the data, where they are given.
    named = study if not directory else _without_cohort(study)
    directory = directory or made(study, out)
    task = task_lib.load(
        directory,
        config.state,
        config.rollout.horizon,
        config.train_stays,
        continuous=True,
    )
    study_lib.require(study, config, task)
    if task.schema.kind == "records":
        storage.refuse_git_worktree(
            out, allow_git_worktree, config_flags.ALLOW_GIT_WORKTREE
        )
    # Methods are kept one by one: the same study may have more of them later.
    same = dataclasses.replace(named, methods=(OWN,), limits_swept=(), coverages=())
    claim(out, study_script.together(same, config), task.hash)
    found = study_lib.run(study, config, task, out)
    for name, rows in found.items():
        metrics.write_csv(out / f"{name}.csv", pd.DataFrame(rows))
    print(summary.table(config, found))
    return page.write(out, study, config, task.schema, found)


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
        actions=study.actions,
        lungs=study.lungs,
    )
    of = {
        "stays": "stays",
        "seed": "cohort_seed",
        "test": "tested",
        "actions": "actions",
        "lungs": "lungs",
    }
    return sepsis_cohort.made(wanted, out / "dataset", of)


def _without_cohort(study: StudyConfig) -> StudyConfig:
    usual = StudyConfig()
    names = ("stays", "tested", "cohort_seed", "actions", "lungs")
    return dataclasses.replace(study, **{name: getattr(usual, name) for name in names})


if __name__ == "__main__":
    script.run(main, define_flags)

"""Patients as agents: PerSim's factors for each patient, and personal dosing.

    python -m experiments.personal_dosing --dataset=DIR --out=DIR --seeds=5

Each patient has a vector of latent factors that shifts the level of aPTT and scales its
response to heparin. It starts as the average and follows each new aPTT (Bayesian linear
regression; earlier draws alone). Every hour all plans of held doses are compared in the
patient's own world, by the expected reward less a penalty for exceeding a limit; the
dose may not rise while the last aPTT is above it.

On virtual patients (data_prep.virtual) everything is judged by the truth: time in range
of new patients in the simulator, beside planning with the average factors, with one
model for all, with the true kinetics, and beside clinicians; and what the factors tell
of the true kinetics, which no model sees. On real records (data_prep.mimic3): errors on
held-out draws, and suggested beside given doses, in aggregate.

Writes rows.csv, summary.csv, model/ and report/index.html. The same command goes on
where it stopped. Of the time on a processor most goes into compiling, once for all
seeds.
"""

import dataclasses
import pathlib
from typing import Any

from absl import flags

from experiments.personal_dosing.config import Config
from omgrl_jax.runtime import devices, metrics, script, storage
from omgrl_jax.runtime import flags as config_flags


def define_flags(values: flags.FlagValues = flags.FLAGS) -> None:
    """Flags for the dataset, where to write, and every field of the configuration."""
    config_flags.define_study_script([Config], values)


def main() -> None:
    """Runs the study that the flags describe."""
    config = config_flags.read(Config)
    devices.enable_compilation_cache()
    devices.choose_kernels()
    allow = bool(flags.FLAGS[config_flags.ALLOW_GIT_WORKTREE].value)
    page = run(config, flags.FLAGS.dataset, pathlib.Path(flags.FLAGS.out), allow)
    print(f"\nReport: {page}")


def run(
    config: Config, directory: str, out: pathlib.Path, allow_git_worktree: bool
) -> pathlib.Path:
    """The whole study.

    Args:
      config: the settings.
      directory: where the dataset lies.
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
    from experiments import task as task_lib
    from experiments.config import claim
    from experiments.personal_dosing import fitting, page, study

    task = task_lib.load(directory, config.state, 1, config.train_stays)
    if task.schema.kind == "records":
        storage.refuse_git_worktree(
            out, allow_git_worktree, config_flags.ALLOW_GIT_WORKTREE
        )
    ready = fitting.prepare(config, task, out)
    # Seeds are kept one by one: the same study may have more of them later.
    same = dataclasses.replace(config, seeds=1, first_seed=0, models=("persim",))
    claim(out, same, task.hash)
    rows = study.run(ready)
    found = study.summarise(rows)
    metrics.write_csv(out / "rows.csv", rows)
    metrics.write_csv(out / "summary.csv", found)
    print(table(found))
    factors = study.map_of_first_seed(ready)
    schema = task.schema
    return page.write(
        out, ready.config, schema.name, rows, factors, schema.actions.unit
    )


def table(summary: Any) -> str:
    """The main figures of `study.summarise` as text."""
    lines = []
    for section, measures in (
        ("dosing", ("r_p", "in_range", "above", "success")),
        ("prediction", ("rmse", "inside")),
        ("probe", ("whole", "rest", "new")),
    ):
        own = summary[summary["section"] == section]
        for (method, about), part in own.groupby(["method", "about"], sort=False):
            by = part.set_index("measure")
            cells = [
                f"{m} {by.loc[m, 'mean']:.3f} ± {by.loc[m, 'deviation']:.3f}"
                for m in measures
                if m in by.index
            ]
            lines.append(f"{section:<11}{method:<20}{about:<16}{'  '.join(cells)}")
    return "\n".join(lines)


if __name__ == "__main__":
    script.run(main, define_flags)

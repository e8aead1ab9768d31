"""Every figure and table of the OMG-RL paper (arXiv 2409.13299), on any dataset.

    python -m data_prep.virtual --stays=2000 --test=0.15 --out=DATA
    python -m experiments.paper --dataset=DATA --out=DIR --seeds=10 --train_stays=500 \
        --flagfile=experiments/presets/paper.flags

Runs the main experiment (Figs. 1 to 4: OMG-RL and COMBO), the methods that the paper
names or leaves out (model-based, model-free, and other ways to learn a reward),
Table II (expert stays) and OMG-RL with the settings of the authors' code. All seeds of
a cell train as one batch; a cell that is complete is kept, so that the same command
goes on where it stopped. Writes paper.csv (a row for each cell, policy and seed),
results.json and report/index.html, with the paper's published numbers beside ours: its
data are not public, so that only the shapes can be compared.

On two cores a cell of ten seeds takes four to ten minutes, the whole about two to three
hours.
"""

import dataclasses
import json
import pathlib
from collections.abc import Sequence

from absl import flags, logging

from experiments import paper_results, printing, repeating
from experiments.config import RunConfig, preset
from omgrl_jax.runtime import devices, metrics, script, storage
from omgrl_jax.runtime import flags as config_flags

MAIN = ("omg_rl", "combo")
MODEL_BASED = ("mopo", "morel")
MODEL_FREE = ("cql", "bcq", "iql", "sac", "ddqn")
REWARD_LEARNING = ("airl", "iq_learn", "ml_irl", "reward_regression")
MEASURES = ("r_p", "in_range", "above", "success", "model_r_p")


def cells_of(config: RunConfig, stays: int) -> dict[str, RunConfig]:
    """The cells beside the main run: name -> setting.

    Args:
      config: the main run's setting.
      stays: training stays of the dataset; sizes of Table II above it are left out,
        which `warn_of_sizes` tells.
    """
    found = {
        name: dataclasses.replace(config, algorithms=(name,))
        for name in (*MODEL_BASED, *MODEL_FREE, *REWARD_LEARNING)
    }
    alone = dataclasses.replace(config, algorithms=("omg_rl",))
    for size in paper_results.EXPERT_STAYS:
        if size <= stays and size != config.train_stays:
            found[f"stays_{size}"] = dataclasses.replace(alone, train_stays=size)
    # Over defaults, not over the main run: its entropy is not the authors'.
    parts = ("agent", "rollout", "reward", "omg_rl")
    usual = {name: getattr(RunConfig(), name) for name in parts}
    found["authors"] = preset("authors", dataclasses.replace(alone, **usual))
    return found


def chosen(wanted: dict[str, RunConfig], only: Sequence[str]) -> dict[str, RunConfig]:
    """The cells that were asked for.

    Args:
      wanted: all there are.
      only: names; all where empty.

    Raises:
      ValueError: on a name that is not there.
    """
    if any(name not in wanted for name in only):
        raise ValueError(
            f"--cells={','.join(only)}: choose among {', '.join(wanted)} (sizes above "
            "the dataset's training stays are left out)"
        )
    return {name: wanted[name] for name in only or wanted}


def warn_of_sizes(stays: int) -> None:
    """Names the sizes of Table II that a dataset of so many training stays lacks."""
    lacking = [str(n) for n in paper_results.EXPERT_STAYS if n > stays]
    if lacking:
        logging.warning(
            "Table II is drawn without %s expert stays: --dataset has %d training "
            "stays. Virtual patients for all of it: python -m data_prep.virtual "
            "--stays=2000 --test=0.15 --out=DATA",
            ", ".join(lacking),
            stays,
        )


def run(
    config: RunConfig,
    directory: str,
    out: pathlib.Path,
    allow_git_worktree: bool,
    only: Sequence[str] = (),
) -> pathlib.Path:
    """The whole paper.

    Args:
      config: the main run's setting.
      directory: the dataset.
      out: where to write.
      allow_git_worktree: whether records may be written inside a git work tree.
      only: cells to run beside the main run; all where empty.

    Returns:
      The path of the report.

    Raises:
      ValueError: on a cell that the dataset does not allow or that does not exist.
    """
    from experiments import cells, omg_rl
    from experiments.report import page

    config = dataclasses.replace(config, algorithms=MAIN)
    study = cells.Study(directory, out, allow_git_worktree)
    task = study.task(config)
    models = study.model_folder(config)
    stays = study.available_stays(config)
    wanted = chosen(cells_of(config, stays), only)
    if not only:
        warn_of_sizes(stays)
    clock = repeating.Clock()
    omg_rl.run(config, directory, out / "main", allow_git_worktree, models)
    clock.lap("main run")
    main = json.loads((out / "main" / "results.json").read_text())
    results = cells.run_all(study, [cells.Cell(*item) for item in wanted.items()])
    clock.lap("other cells")
    table = cells.seed_table({"main": main, **results}, "stochastic")
    metrics.write_csv(out / "paper.csv", table)
    merged = {
        **paper_results.merged(config, main, results),
        "title": f"Every experiment of the OMG-RL paper, on {task.schema.name}",
        **repeating.sections(clock),
    }
    storage.atomic_write(out / "results.json", json.dumps(merged, allow_nan=False))
    print(printing.seed_means(table, "cell", MEASURES))
    return page.write(out)


def define_flags() -> None:
    """The dataset, the output directory, and every field of the setting."""
    flags.DEFINE_list(
        "cells", [], "Cells to run beside the main run, such as cql,stays_100; or all."
    )
    config_flags.define_study_script([RunConfig])


def main() -> None:
    """Runs the experiments that the flags describe."""
    config = config_flags.read(RunConfig)
    devices.configure_host_devices()
    out = pathlib.Path(flags.FLAGS.out)
    given = flags.FLAGS
    report = run(config, given.dataset, out, given.allow_git_worktree, given.cells)
    print(f"\nReport: {report}")


if __name__ == "__main__":
    script.run(main, define_flags)

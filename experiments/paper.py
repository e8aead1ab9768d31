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
"""

import dataclasses
import json
import pathlib
from collections.abc import Sequence
from typing import Any

from absl import flags

from experiments import printing
from experiments.config import RunConfig, preset
from omgrl_jax.runtime import devices, metrics, script, storage
from omgrl_jax.runtime import flags as config_flags

MAIN = ("omg_rl", "combo")
MODEL_BASED = ("mopo", "morel")
MODEL_FREE = ("cql", "bcq", "iql", "sac", "ddqn")
REWARD_LEARNING = ("airl", "iq_learn", "ml_irl", "reward_regression")
EXPERT_STAYS = (100, 300, 500, 1000, 1500)
MEASURES = ("r_p", "in_range", "above", "success", "model_r_p")
SOURCE = "Lim and Lee 2024, arXiv 2409.13299"


def published() -> list[dict[str, Any]]:
    """The paper's own numbers, with where they stand."""
    table = zip(EXPERT_STAYS, (11.70, 16.70, 19.5, 15.4, 12.74), strict=True)
    rows = [
        {
            "figure": "Table II",
            "quantity": f"return, {stays} expert stays",
            "value": value,
            "stays": stays,
        }
        for stays, value in table
    ]
    rows.append(
        {
            "figure": "Fig. 1",
            "quantity": "validation loss of every member, at most",
            "value": 0.2,
        }
    )
    rows.append(
        {
            "figure": "later version",
            "quantity": "treatment success of the agent, mean of ten runs",
            "value": 0.60,
            "policy": "omg_rl",
            # The authors' code: any predicted reward of at least .2.
            "measure": "success_any_0.2",
        }
    )
    return [{**row, "source": SOURCE} for row in rows]


def cells_of(config: RunConfig, stays: int) -> dict[str, RunConfig]:
    """The cells beside the main run: name -> setting.

    Args:
      config: the main run's setting.
      stays: training stays of the dataset; sizes of Table II above it are left out.
    """
    found = {
        name: dataclasses.replace(config, algorithms=(name,))
        for name in (*MODEL_BASED, *MODEL_FREE, *REWARD_LEARNING)
    }
    alone = dataclasses.replace(config, algorithms=("omg_rl",))
    for size in EXPERT_STAYS:
        if size <= stays and size != config.train_stays:
            found[f"stays_{size}"] = dataclasses.replace(alone, train_stays=size)
    found["authors"] = preset("authors", alone)
    return found


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
    wanted = cells_of(config, study.available_stays(config))
    unknown = [name for name in only if name not in wanted]
    if unknown:
        raise ValueError(f"--cells={','.join(only)}: choose among {', '.join(wanted)}")
    wanted = {name: wanted[name] for name in only or wanted}
    omg_rl.run(config, directory, out / "main", allow_git_worktree, models)
    main = json.loads((out / "main" / "results.json").read_text())
    results = cells.run_all(study, [cells.Cell(*item) for item in wanted.items()])
    table = cells.seed_table({"main": main, **results}, "stochastic")
    metrics.write_csv(out / "paper.csv", table)
    merged = {
        **main,
        "title": f"Every experiment of the OMG-RL paper, on {task.schema.name}",
        "policies": main["policies"] + merged_policies(results),
        "reward_alignment": main["reward_alignment"] + merged_alignment(results),
        "expert_stays": expert_stays(config, main, results),
        "published": published(),
    }
    storage.atomic_write(out / "results.json", json.dumps(merged, allow_nan=False))
    print(printing.seed_means(table, "cell", MEASURES))
    return page.write(out)


def merged_policies(results: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows of every other method; `authors` is OMG-RL under another name."""
    rows = []
    for name, sections in results.items():
        if name.startswith("stays_"):
            continue
        called = {"omg_rl": "omg_rl_authors"} if name == "authors" else {}
        for row in sections["policies"]:
            rows.append({**row, "policy": called.get(row["policy"], row["policy"])})
    return rows


def merged_alignment(results: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """How the rewards of the other methods rank doses, called by their method."""
    return [
        {**row, "reward": f"r_psi of {name}"}
        for name, sections in results.items()
        for row in sections["reward_alignment"]
        if name in REWARD_LEARNING and row["reward"] == "r_psi"
    ]


def expert_stays(
    config: RunConfig, main: dict[str, Any], results: dict[str, dict[str, Any]]
) -> list[dict[str, Any]]:
    """Table II: OMG-RL by number of expert stays, a row for each size and seed."""
    sizes = {config.train_stays: main}
    for name, sections in results.items():
        if name.startswith("stays_"):
            sizes[int(name.removeprefix("stays_"))] = sections
    rows = []
    for stays, sections in sorted(sizes.items()):
        for seed in config.seed_list:
            row: dict[str, Any] = {"stays": stays, "seed": seed}
            row["return_r_p_model"] = last_return(sections, seed)
            for found in sections["policies"]:
                key = [found[k] for k in ("policy", "mode", "world", "seed")]
                if key == ["omg_rl", "stochastic", "simulator", seed]:
                    row |= {k: found[k] for k in ("r_p", "in_range", "above")}
            rows.append({k: v for k, v in row.items() if v is not None})
    return rows


def last_return(sections: dict[str, Any], seed: int, points: int = 5) -> float | None:
    """OMG-RL's return under r_p in its rollouts, mean of the last logged epochs."""
    curve = [
        (row["step"], row["value"])
        for row in sections["learning"]
        if (row["algorithm"], row["metric"]) == ("omg_rl", "return/r_p")
        and row["seed"] == seed
    ]
    values = [value for _, value in sorted(curve)[-points:] if value is not None]
    return sum(values) / len(values) if values else None


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
    devices.enable_compilation_cache()
    out = pathlib.Path(flags.FLAGS.out)
    given = flags.FLAGS
    report = run(config, given.dataset, out, given.allow_git_worktree, given.cells)
    print(f"\nReport: {report}")


if __name__ == "__main__":
    script.run(main, define_flags)

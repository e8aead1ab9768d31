"""What does each part of OMG-RL do? One setting changed at a time, on the same worlds.

    python -m experiments.ablations --dataset=DIR --out=DIR --seeds=10 \
        --flagfile=experiments/presets/recommended.flags

Trains and judges OMG-RL as the flags describe it and once for every change in `GROUPS`,
each on the same fitted worlds (but where the change is one of the world) and the same
new patients. --groups chooses some of them; --groups=modes is the table of importance
weights. Writes ablations.csv (a row for each setting and seed), results.json and
report/index.html, and prints means with their spread. Every setting is kept when it is
complete: the same command goes on where it stopped.

A setting takes about a third of the time of `experiments.omg_rl`; there are about
forty. What equals the unchanged setting is not trained again, and states that the
dataset does not offer are left out: missingness indicators need
`data_prep.virtual --indicators=true`, or `data_prep.mimic3` with the same flag.
"""

import dataclasses
import json
import pathlib
from collections.abc import Sequence
from typing import Any

import pandas as pd
from absl import flags, logging

from experiments import printing, repeating
from experiments.config import RunConfig
from omgrl_jax.ops.irl import MODES
from omgrl_jax.runtime import devices, metrics, script, storage
from omgrl_jax.runtime import flags as config_flags

MEASURES = (
    *("r_p", "in_range", "above", "log_prob"),
    *("within_state", "recorded_pairs", "ess"),
)
AS_GIVEN = "as given"
# group -> the settings that it compares: flags by name, written as a user would.
GROUPS: dict[str, tuple[dict[str, Any], ...]] = {
    "modes": tuple(
        {"reward_inputs": inputs, "reward_mode": mode}
        for inputs in ("state_action", "outcome")
        for mode in MODES
    ),
    "experts": ({"reward_append_experts": False},),
    "rollouts": ({"agent_recorded_share": 1.0},),
    "conservatism": tuple(
        {"omg_rl_conservatism": weight} for weight in (0.0, 0.1, 0.25, 0.5, 1.0)
    ),
    "horizon": tuple({"rollout_horizon": hours} for hours in (1, 5, 10, 20, 40)),
    "ensemble": tuple(
        {"fit_members": members, "fit_elites": elites}
        for members, elites in ((1, 1), (3, 2), (5, 4), (7, 5))
    ),
    "regularisers": (
        {"reward_weight_decay": 0.0},
        {"reward_weight_decay": 1e-2},
        {"reward_centring": 0.0},
        {"reward_bound": 2.0},
        {"reward_normalise": False},
        {"reward_average": 0.0},
        {"reward_average": 0.97},
        {"reward_power": 0.5},
    ),
    # What could make r_psi more than imitation, each over the same parts.
    "reward_options": (
        {"reward_inputs": "next_state"},
        {"reward_shaping": True},
        {"omg_rl_behaviour": "removed"},
        {"reward_members": 4, "reward_caution": 1.0},
        {"omg_rl_reward_epochs": 100},
        {"omg_rl_reward_patience": 20},
        {"reward_least_ess": 0.1},
        {"omg_rl_penalty": 1.0},
    ),
    "entropy": tuple({"agent_entropy_coefficient": value} for value in (0.1, 0.3, 1.0)),
    "state": tuple({"state": state} for state in ("paper", "full", "history")),
    # Needs a dataset with indicators (data_prep, --indicators=true).
    "missingness": ({"state": "history"}, {"state": "history_missing"}),
}


def settings(groups: Sequence[str]) -> dict[str, list[str]]:
    """The changes to try: label -> arguments, the unchanged setting first.

    Args:
      groups: names of groups.

    Raises:
      ValueError: on an unknown group.
    """
    unknown = [name for name in groups if name not in GROUPS]
    if unknown:
        raise ValueError(
            f"--groups={','.join(groups)}: choose among {', '.join(GROUPS)}"
        )
    found: dict[str, list[str]] = {AS_GIVEN: []}
    for name in groups:
        for change in GROUPS[name]:
            words = [f"{flag}={value}" for flag, value in change.items()]
            found[" ".join(words)] = [f"--{word}" for word in words]
    return found


def offered(study: Any, wanted: dict[str, RunConfig]) -> dict[str, RunConfig]:
    """Leaves out settings whose state the dataset does not have.

    Args:
      study: the study, `experiments.cells.Study`.
      wanted: label -> setting.

    Returns:
      Those that are left; each one left out is logged with the reason.
    """
    found = {}
    for label, config in wanted.items():
        if label.startswith("state="):
            try:
                study.task(config)
            except ValueError as error:
                logging.warning("Left out: %s", error)
                continue
        found[label] = config
    return found


def run(
    config: RunConfig,
    directory: str,
    out: pathlib.Path,
    groups: Sequence[str],
    allow_git_worktree: bool = False,
) -> pd.DataFrame:
    """Trains and judges every setting, and writes table and report.

    Args:
      config: what they all share.
      directory: the dataset.
      out: where to write.
      groups: which settings.
      allow_git_worktree: whether records may be written inside a git work tree.

    Returns:
      A row for each setting, policy and seed.
    """
    from experiments import cells
    from experiments.report import page

    config = dataclasses.replace(config, algorithms=("omg_rl",))
    study = cells.Study(directory, out, allow_git_worktree)
    task = study.task(config)
    config = dataclasses.replace(config, state=task.state)  # default or not: the same
    chosen = offered(
        study,
        {
            label: config_flags.changed(config, arguments)
            for label, arguments in settings(groups).items()
        },
    )
    folders: dict[RunConfig, str] = {}  # what is the same setting is one cell
    for label, one in chosen.items():
        name = "base" if label == AS_GIVEN else label.replace(" ", "+")
        folders.setdefault(one, name)
    every = [cells.Cell(name, one) for one, name in folders.items()]
    clock = repeating.Clock()
    results = cells.run_all(study, every, with_baselines=["base"])
    clock.lap("settings")
    labelled = {label: results[folders[one]] for label, one in chosen.items()}
    table = cells.seed_table(labelled, "stochastic").rename(columns={"cell": "setting"})
    metrics.write_csv(out / "ablations.csv", table)
    merged = {
        **results["base"],
        "title": f"OMG-RL, one setting changed at a time, on {task.schema.name}",
        "ablation": ablation_rows(table),
        **repeating.sections(clock),
    }
    storage.atomic_write(out / "results.json", json.dumps(merged, allow_nan=False))
    page.write(out)
    return table


def ablation_rows(table: pd.DataFrame) -> list[dict[str, Any]]:
    """The report's section: what OMG-RL came to under every setting, by seed."""
    rows = []
    for row in table[table.policy == "omg_rl"].to_dict("records"):
        setting, _, value = row["setting"].partition("=")
        if " " in value:  # more than one flag
            setting, value = row["setting"], ""
        found = {"setting": setting, "value": value, "seed": row["seed"]}
        found |= {k: row[k] for k in MEASURES if pd.notna(row.get(k))}
        rows.append(found)
    return rows


def define_flags() -> None:
    """The dataset, the output directory, the groups and every field of the setting."""
    flags.DEFINE_list(
        "groups", list(GROUPS), f"What to change, of: {', '.join(GROUPS)}."
    )
    config_flags.define_study_script([RunConfig])


def main() -> None:
    """Runs the comparison that the flags describe."""
    config = config_flags.read(RunConfig)
    devices.configure_host_devices()
    out = pathlib.Path(flags.FLAGS.out)
    given = flags.FLAGS
    table = run(config, given.dataset, out, given.groups, given.allow_git_worktree)
    print(printing.seed_means(table, "setting", MEASURES))
    print(f"\nReport: {out / 'report' / 'index.html'}")


if __name__ == "__main__":
    script.run(main, define_flags)

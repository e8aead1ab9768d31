"""What does each part of OMG-RL do? One setting changed at a time, on the same worlds.

    python -m experiments.ablations --dataset=DIR --out=DIR --seeds=10 \
        --flagfile=experiments/presets/recommended.flags

Trains and judges OMG-RL as the flags describe it and once for every change in `GROUPS`,
each on the same fitted worlds (but where the change is one of the world) and the same
new patients. --groups chooses some of them; --groups=modes is the table of importance
weights. Writes ablations.csv (a row for each setting and seed), results.json and
report/index.html, and prints means with their spread. Every setting is kept when it is
complete: the same command goes on where it stopped.

A setting takes about a third of the time of `experiments.omg_rl`;
there are about forty.
"""

import dataclasses
import pathlib
from collections.abc import Sequence
from typing import Any

import pandas as pd
from absl import flags

from experiments import printing
from experiments.config import RunConfig
from omgrl_jax.learners.reward import INPUTS
from omgrl_jax.ops.irl import MODES
from omgrl_jax.runtime import devices, metrics, script
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
        for inputs in INPUTS
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
    "entropy": tuple({"agent_entropy_coefficient": value} for value in (0.1, 0.3, 1.0)),
    "state": tuple({"state": state} for state in ("paper", "full", "history")),
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


def run(
    config: RunConfig,
    directory: str,
    out: pathlib.Path,
    groups: Sequence[str],
    allow_git_worktree: bool = False,
) -> pd.DataFrame:
    """Trains and judges every setting.

    Args:
      config: what they all share.
      directory: the dataset.
      out: where to write.
      groups: which settings.
      allow_git_worktree: whether records may be written inside a git work tree.

    Returns:
      A row for each setting and seed.
    """
    from experiments import cells

    config = dataclasses.replace(config, algorithms=("omg_rl",))
    chosen = settings(groups)
    study = cells.Study(directory, out, allow_git_worktree)
    folders = {
        name: "base" if name == AS_GIVEN else name.replace(" ", "+") for name in chosen
    }
    every = [
        cells.Cell(folders[name], config_flags.changed(config, arguments))
        for name, arguments in chosen.items()
    ]
    results = cells.run_all(study, every, with_baselines=["base"])
    names = {folder: name for name, folder in folders.items()}
    table = cells.seed_table(results, "stochastic")
    table.insert(0, "setting", table.pop("cell").map(names))
    metrics.write_csv(out / "ablations.csv", table)
    return table


def define_flags() -> None:
    """The dataset, the output directory, the groups and every field of the setting."""
    flags.DEFINE_string("dataset", None, "Directory of the dataset (see WORKSPACE.md).")
    flags.DEFINE_string("out", None, "Directory to write to; made when missing.")
    flags.DEFINE_list(
        "groups", list(GROUPS), f"What to change, of: {', '.join(GROUPS)}."
    )
    flags.DEFINE_bool(
        "allow_git_worktree", False, "Write records' output inside a git work tree."
    )
    flags.mark_flags_as_required(["dataset", "out"])
    config_flags.define(RunConfig)


def main() -> None:
    """Runs the comparison that the flags describe."""
    config = config_flags.read(RunConfig)
    devices.configure_host_devices()
    devices.enable_compilation_cache()
    out = pathlib.Path(flags.FLAGS.out)
    given = flags.FLAGS
    table = run(config, given.dataset, out, given.groups, given.allow_git_worktree)
    print(printing.seed_means(table, "setting", MEASURES))


if __name__ == "__main__":
    script.run(main, define_flags)

"""Which importance weights learn the better reward? One table, on virtual patients.

    python -m experiments.reward_modes --dataset=DIR --out=DIR --seeds=10

Trains OMG-RL with each mode and each input of the reward on the same fitted worlds and
judges all of them on the same new patients. Writes reward_modes.csv (a row for each
seed and setting) and prints means with their spread. Resumable like every script;
--algorithms, --reward_mode and --reward_inputs have no effect.
"""

import dataclasses
import pathlib
from typing import Any

import numpy as np
import pandas as pd
from absl import flags

from experiments.config import RunConfig, claim
from omgrl_jax.learners.reward import INPUTS
from omgrl_jax.ops.irl import MODES
from omgrl_jax.runtime import devices, metrics, script
from omgrl_jax.runtime import flags as config_flags

MEASURES = ("r_p", "in_range", "above", "within_state", "recorded_pairs", "ess")


def run(config: RunConfig, directory: str, out: pathlib.Path) -> pd.DataFrame:
    """Trains and judges every combination.

    Args:
      config: settings that all share.
      directory: a virtual dataset.
      out: where to write.

    Returns:
      A row for each seed, input and mode.

    Raises:
      ValueError: if the dataset has no simulator behind it, or `out` another run.
    """
    from experiments import fitting, training, truth
    from experiments import task as task_lib

    task = task_lib.load(directory, config.state, config.rollout.horizon)
    if not truth.known(task):
        raise ValueError(
            f"--dataset={directory}: only virtual patients have a truth to judge by; "
            "make some with 'python -m data_prep.virtual'"
        )
    claim(out, config, task.hash)
    models = fitting.fit_all(config, task, out / "model")
    _, cases = truth.intervention_section(config, task, models)
    rows: list[dict[str, Any]] = []
    for inputs in INPUTS:
        for mode in MODES:
            setting = dataclasses.replace(
                config,
                algorithms=("omg_rl",),
                reward=dataclasses.replace(config.reward, mode=mode, inputs=inputs),
            )
            folder = out / f"{inputs}_{mode}"
            trained = training.train_all(setting, task, models, folder)
            rows += judge(setting, task, models, trained, cases)
            metrics.write_csv(out / "reward_modes.csv", pd.DataFrame(rows))
    return pd.DataFrame(rows)


def judge(
    config: RunConfig, task: Any, models: Any, trained: Any, cases: Any
) -> list[dict[str, Any]]:
    """One row a seed: true outcomes of the stochastic policy, alignment, weights."""
    from experiments import truth

    ess = trained["omg_rl"].history.history.metrics["reward/ess"]
    outcomes = truth.policy_rows(config, task, models, trained)
    aligned = truth.alignment_rows(config, task, models, trained, cases)
    rows = []
    for index, seed in enumerate(config.seed_list):
        row = {
            "inputs": config.reward.inputs,
            "mode": config.reward.mode,
            "seed": seed,
            "ess": float(np.mean(ess[index])),
        }
        for found in outcomes:
            if found["seed"] != seed:
                continue
            if (found["policy"], found["mode"]) == ("omg_rl", "stochastic"):
                row |= {k: found[k] for k in ("r_p", "in_range", "below", "above")}
            elif found["policy"] == "clinicians":
                row["clinicians_r_p"] = found["r_p"]
            elif found["policy"] == "behavioural_cloning":
                row.setdefault("behavioural_cloning_r_p", found["r_p"])
        for found in aligned:
            if found["seed"] == seed and found["reward"] == "r_psi":
                row["within_state"] = found["within_state"]
                row["recorded_pairs"] = found["recorded_pairs"]
        rows.append(row)
    return rows


def table(frame: pd.DataFrame) -> str:
    """Mean of each setting, with its standard deviation where there are more seeds."""

    def cell(values: Any) -> str:
        spread = f" ± {values.std(ddof=1):.3f}" if values.size > 1 else ""
        return f"{values.mean():+.3f}{spread}"

    lines = [f"{'inputs':<14}{'mode':<7}" + "".join(f"{m:>18}" for m in MEASURES)]
    for (inputs, mode), part in frame.groupby(["inputs", "mode"], sort=False):
        cells = "".join(f"{cell(part[m]):>18}" for m in MEASURES)
        lines.append(f"{inputs:<14}{mode:<7}{cells}")
    return "\n".join(lines)


def main() -> None:
    """Runs the comparison that the flags describe."""
    config = config_flags.read(RunConfig)
    devices.configure_host_devices()
    devices.enable_compilation_cache()
    print(table(run(config, flags.FLAGS.dataset, pathlib.Path(flags.FLAGS.out))))


def define_flags() -> None:
    """The dataset, the output directory, and every field of the configuration."""
    flags.DEFINE_string("dataset", None, "Directory of a virtual dataset.")
    flags.DEFINE_string("out", None, "Directory to write to; made when missing.")
    flags.mark_flags_as_required(["dataset", "out"])
    config_flags.define(RunConfig)


if __name__ == "__main__":
    script.run(main, define_flags)

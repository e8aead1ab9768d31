"""What a member came to: judged, and kept in a file of its own."""

import json
import pathlib
from typing import Any

import jax
import numpy as np

from experiments import held_out, judging, treating, truth
from experiments.config import RunConfig
from experiments.fitting import Models
from experiments.sweep.programs import Held
from experiments.task import Task
from experiments.training import Trained, shareable
from omgrl_jax.runtime import parameters, storage

Measures = dict[str, float]
# Share of the epochs, the last ones, over which training metrics are averaged.
_LAST = 0.1
_LABELS = ("policy", "mode", "world", "seed")


def path_of(out: pathlib.Path, config_hash: str, seed: int) -> pathlib.Path:
    """Where a member's measures are kept; the file is there when it is complete."""
    return out / "members" / config_hash / f"seed_{seed}.json"


def judge(
    config: RunConfig, task: Task, models: Models, trained: dict[str, Trained]
) -> list[Measures]:
    """Measures of every seed of one setting.

    Args:
      config: the setting, with the seeds in question.
      task: the task.
      models: their models.
      trained: the one method, trained.

    Returns:
      For each seed measure -> value: `train/...` are means over the last tenth of the
      epochs, `model/...` are scores in the learned world, `records/...` of held-out
      decisions, `simulator/...` of new virtual patients, where there is a simulator.
    """
    ((name, one),) = trained.items()
    last = max(1, round(_LAST * config.epochs))
    rows = judging.model_policy_rows(config, task, models, trained, baselines=False)
    rows += held_out.policy_rows(config, task, models, trained)
    if truth.known(task):
        treated = treating.treat_all(config, task, models, trained, baselines=False)
        rows += treating.policy_rows(treated)
    found: list[Measures] = []
    for index, seed in enumerate(config.seed_list):
        of_training = one.history.history.metrics.items()
        measures = {
            f"train/{m}": float(v[index, -last:].mean()) for m, v in of_training
        }
        for row in rows:
            if (row["policy"], row["seed"]) == (name, seed):
                measures |= _named(row)
        found.append(measures)
    return found


def keep(
    out: pathlib.Path,
    config_hash: str,
    seed: int,
    measures: Measures,
    name: str,
    held: Held,
) -> None:
    """Keeps the networks of a member, and then what it came to.

    Args:
      out: directory of the sweep.
      config_hash: of its setting.
      seed: its seed.
      measures: what it came to; values that are not finite are left out.
      name: the method.
      held: its final state on the host, without rows of experience.
    """
    path = path_of(out, config_hash, seed)
    path.parent.mkdir(parents=True, exist_ok=True)
    parameters.save(path.with_name(f"seed_{seed}_{name}.npz"), shareable(held.state))
    finite = {k: v for k, v in measures.items() if np.isfinite(v)}
    storage.atomic_write(path, json.dumps(finite, indent=1) + "\n")


def part(states: Any, index: int | list[int]) -> Any:
    """One member of states on the host, or several with their axis."""
    return jax.tree.map(lambda x: x[np.asarray(index)], states)


def _named(row: dict[str, Any]) -> Measures:
    place = [row["world"]] + ([] if row["mode"] == "-" else [row["mode"]])
    return {"/".join([*place, k]): v for k, v in row.items() if k not in _LABELS}

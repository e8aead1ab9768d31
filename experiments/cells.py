"""Cells: settings that are trained and judged side by side, each kept when complete.

A study is a list of cells. All seeds of a cell train as one batch; cells that fit the
same models share them; a cell that is done is read, not run again. Every cell is a run
directory of its own, with a `results.json` that the report can read.
"""

import functools
import json
import pathlib
from collections.abc import Sequence
from typing import Any, NamedTuple

import pandas as pd
from absl import logging

from experiments import collect, fitting, held_out, judging, training, treating, truth
from experiments import task as task_lib
from experiments.config import RunConfig, claim, flat
from omgrl_jax.runtime import flags as config_flags
from omgrl_jax.runtime import mappings, storage

_KEPT_TASKS = 2  # a dataset in memory twice is enough: cells come in order


class Cell(NamedTuple):
    """One setting.

    Attributes:
      name: folder of the cell, unique in its study; `a/b` makes folders in folders.
      config: the setting, with the seeds.
    """

    name: str
    config: RunConfig


class Study:
    """Cells on one dataset, with the models that they share."""

    def __init__(
        self, directory: str, out: pathlib.Path, allow_git_worktree: bool = False
    ):
        """Opens a study.

        Args:
          directory: the dataset.
          out: where to write: `cells/NAME/` and `models/`.
          allow_git_worktree: whether records may be written inside a git work tree.
        """
        self.directory, self.out = directory, out
        self._allow = allow_git_worktree
        self._task = functools.lru_cache(_KEPT_TASKS)(task_lib.load)
        self._models = functools.lru_cache(_KEPT_TASKS)(self._fit)
        self._cases = functools.lru_cache(_KEPT_TASKS)(self._draw_cases)

    def task(self, config: RunConfig) -> task_lib.Task:
        """The dataset as a setting sees it."""
        horizon = config.rollout.horizon
        task = self._task(self.directory, config.state, horizon, config.train_stays)
        if task.schema.kind == "records":
            storage.refuse_git_worktree(
                self.out, self._allow, config_flags.ALLOW_GIT_WORKTREE
            )
        return task

    def available_stays(self, config: RunConfig) -> int:
        """Training stays of the dataset, used or not."""
        split = self.task(config).arrays.split
        return int(((split == 0) | (split == -1)).sum())

    def models(self, config: RunConfig) -> fitting.Models:
        """The models of a setting's seeds, fitted where they are not there yet."""
        return self._models(config.before_training())

    def model_folder(self, config: RunConfig) -> pathlib.Path:
        """Where the models of a setting lie, for all settings that share them."""
        return self.out / "models" / fitting.key(config)

    def _fit(self, config: RunConfig) -> fitting.Models:
        return fitting.fit_all(config, self.task(config), self.model_folder(config))

    def _draw_cases(self, config: RunConfig) -> Any:
        return truth.intervention_cases(config, self.task(config))

    def run(self, cell: Cell, baselines: bool = False) -> dict[str, Any]:
        """Trains and judges a cell, or reads what it came to.

        Args:
          cell: the cell.
          baselines: judge clinicians, cloned and simple policies and the oracle too.

        Returns:
          The sections of its `results.json`: `policies`, `reward_alignment`,
          `support`, `ood_safety`, `learning`, ...

        Raises:
          ValueError: if the cell's folder holds another setting.
        """
        out, config = self.out / "cells" / cell.name, cell.config
        claim(out, config, self.task(config).hash)
        path = out / "results.json"
        if path.is_file():
            return json.loads(path.read_text())
        logging.info("Cell %s", cell.name)
        results = self._judge(cell, self._train(config, out), baselines)
        storage.atomic_write(path, json.dumps(results, allow_nan=False))
        mappings.forget_programs()
        return results

    def _train(self, config: RunConfig, out: pathlib.Path) -> dict[str, Any]:
        return training.train_all(config, self.task(config), self.models(config), out)

    def _judge(self, cell: Cell, trained: Any, baselines: bool) -> dict[str, Any]:
        config = cell.config
        task, models = self.task(config), self.models(config)
        shared = (config, task, models, trained)
        policies = judging.model_policy_rows(*shared, baselines=baselines)
        policies += held_out.policy_rows(*shared)
        alignment: list[dict[str, Any]] = []
        safety: list[dict[str, Any]] = []
        if truth.known(task):
            treated = treating.treat_all(*shared, baselines=baselines)
            policies += treating.policy_rows(treated)
            safety = treating.safety_rows(*shared, treated, baselines=baselines)
            if judging.learned_rewards(trained, 0):
                cases = self._cases(config.before_training())
                alignment = truth.alignment_rows(*shared, cases)
        return collect.finite(
            {
                "title": cell.name,
                "kind": task.schema.kind,
                **collect.dataset_sections(task, pathlib.Path(self.directory)),
                "policies": policies,
                "support": held_out.support_rows(*shared),
                "ood_safety": safety,
                "reward_alignment": alignment,
                "learning": collect.learning_rows(config, trained),
                "config": {**flat(config), "state": task.state},
            }
        )


def run_all(
    study: Study, cells: Sequence[Cell], with_baselines: Sequence[str] = ()
) -> dict[str, dict[str, Any]]:
    """Runs cells in order.

    Args:
      study: the study.
      cells: its cells.
      with_baselines: names of those that judge the baselines too.

    Returns:
      Name -> sections.

    Raises:
      ValueError: if two cells have one name, or the dataset does not allow a setting.
    """
    names = [cell.name for cell in cells]
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        raise ValueError(f"two cells are called {', '.join(sorted(twice))}")
    for cell in cells:  # what the dataset does not allow stops before any work
        study.task(cell.config)
    return {cell.name: study.run(cell, cell.name in with_baselines) for cell in cells}


def seed_table(results: dict[str, dict[str, Any]], mode: str) -> pd.DataFrame:
    """What a study came to, a row for each cell, algorithm and seed.

    Args:
      results: name -> sections.
      mode: "stochastic" or "greedy".

    Returns:
      Columns `cell`, `policy`, `seed`; the measures of the true simulator where there
      is one, else of the model (`world` says which); `model_r_p` and `model_r_psi`, the
      returns an hour in the model; `promised` or `promised_psi`, what the method's own
      critic promises (`promises`); `log_prob` and `agreement` with held-out doses;
      the rank correlations of r_psi (`within_state`, ...) and `ess`, the mean effective
      sample size, where a reward was learned.
    """
    rows = []
    for name, sections in results.items():
        worlds = {row["world"] for row in sections["policies"]}
        world = "simulator" if "simulator" in worlds else "model"
        for row in sections["policies"]:
            if row["world"] == world and row["mode"] in (mode, "-"):
                rows.append({"cell": name, **row, **_beside(sections, row)})
    return pd.DataFrame(rows)


def _same_run(one: dict[str, Any], other: dict[str, Any]) -> bool:
    return (one["policy"], one["seed"]) == (other["policy"], other["seed"])


def _beside(sections: dict[str, Any], row: dict[str, Any]) -> dict[str, Any]:
    """What other sections say of the same policy and seed."""
    found: dict[str, Any] = {}
    for other in sections["policies"]:
        same = all(other[k] == row[k] for k in ("policy", "mode", "seed"))
        if same and other["world"] == "model":
            found |= {f"model_{k}": other[k] for k in ("r_p", "r_psi") if k in other}
            found |= {k: v for k, v in other.items() if k.startswith("promised")}
        if other["world"] == "records" and _same_run(other, row):
            found |= {k: other[k] for k in ("log_prob", "agreement") if k in other}
    learned = [r for r in sections["learning"] if r["algorithm"] == row["policy"]]
    sizes = [
        r["value"]
        for r in learned
        if (r["metric"], r["seed"]) == ("reward/ess", row["seed"])
    ]
    if sizes:
        found["ess"] = sum(sizes) / len(sizes)
    # A cell that learns one reward calls it r_psi.
    if any(r["metric"] == "return/r_psi" for r in learned):
        for r in sections["reward_alignment"]:
            if r["seed"] == row["seed"] and r["reward"] == "r_psi":
                found |= {k: v for k, v in r.items() if k not in ("seed", "reward")}
    return found

"""A sweep from its grid to its table: what is not there yet is run."""

import dataclasses
import itertools
import json
import pathlib

import pandas as pd
from absl import logging

from experiments import cells, fitting
from experiments.config import ALGORITHMS, Problem, RunConfig
from experiments.sweep import grid, members, running
from experiments.sweep.config import SweepConfig
from experiments.sweep.grid import Setting
from experiments.sweep.running import Wanted
from experiments.task import Task
from omgrl_jax.runtime import hosts, mappings


def run(
    sweep: SweepConfig,
    config: RunConfig,
    directory: str,
    out: pathlib.Path,
    allow_git_worktree: bool,
) -> pd.DataFrame:
    """Trains and judges what is not there yet.

    Args:
      sweep: the method, its grid and how much runs at once.
      config: what the settings have in common, and the seeds.
      directory: where the dataset lies.
      out: where to write.
      allow_git_worktree: whether records may be written inside a git work tree.

    Returns:
      The tidy table, of the members of all hosts: `configuration`, a column for each
      setting of the grid, `seed`, `metric`, `value`.

    Raises:
      ValueError: if the grid or the dataset does not allow it.
      TooLargeError: if a single member does not fit the memory.
    """
    config = dataclasses.replace(config, algorithms=(sweep.experiment,))
    study = cells.Study(directory, out, allow_git_worktree)
    task = study.task(config)
    given = (config, sweep.experiment, sweep.grid, problem_of(config, task), task.hash)
    settings = grid.settings(*given)
    for one in settings:  # what the dataset does not allow stops before any work
        problem_of(one.config, study.task(one.config))
    wanted = [(s, seed) for s in settings for seed in hosts.share(config.seed_list)]
    missing = [one for one in wanted if not _path(out, one).is_file()]
    if len(missing) < len(wanted):
        done = len(wanted) - len(missing)
        logging.info("%d of %d members are there already", done, len(wanted))
    # Settings of other models or records have no program in common.
    missing.sort(key=lambda one: _fitted_on(one[0]))
    for _, same in itertools.groupby(missing, lambda one: _fitted_on(one[0])):
        alike = list(same)
        shared = running.prepare(study, alike)
        running.run(shared, sweep.experiment, alike, sweep.chunk, out)
        mappings.forget_programs()
    return _gathered(out, wanted)


def problem_of(config: RunConfig, task: Task) -> Problem:
    """What the method is built for, before anything is fitted.

    Args:
      config: the setting.
      task: the task.

    Raises:
      ValueError: if the method cannot learn in the task.
    """
    world, behaviour, _ = fitting.make(config, task.space)
    problem = Problem(task.space, world.dynamics, behaviour)
    ALGORITHMS[config.algorithms[0]](config, problem)
    return problem


def _fitted_on(setting: Setting) -> tuple[str, int]:
    """What the models of a setting, and the records as it sees them, depend on."""
    return fitting.key(setting.config), setting.config.rollout.horizon


def _path(out: pathlib.Path, wanted: Wanted) -> pathlib.Path:
    return members.path_of(out, wanted[0].hash, wanted[1])


def _gathered(out: pathlib.Path, wanted: list[Wanted]) -> pd.DataFrame:
    """The members of all hosts as one table."""
    rows = []
    for setting, seed in wanted:
        measures = json.loads(_path(out, (setting, seed)).read_text())
        same = {"configuration": setting.hash, **setting.values, "seed": seed}
        rows += [{**same, "metric": k, "value": v} for k, v in measures.items()]
    every = [row for text in hosts.gather(json.dumps(rows)) for row in json.loads(text)]
    return pd.DataFrame(every)

"""A sweep from its grid to its table: what is not there yet is run."""

import dataclasses
import itertools
import json
import pathlib

import pandas as pd
from absl import logging

from experiments import cells, fitting
from experiments.config import ALGORITHMS, Problem, RunConfig
from experiments.sweep import grid, members, programs, running
from experiments.sweep.config import SweepConfig
from experiments.sweep.grid import Setting
from experiments.sweep.programs import Program
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
    wanted = hosts.share([(s, seed) for seed in config.seed_list for s in settings])
    missing = [one for one in wanted if not _path(out, one).is_file()]
    if len(missing) < len(wanted):
        done = len(wanted) - len(missing)
        logging.info("%d of %d members are there already", done, len(wanted))
    # What the dataset or the method does not allow stops here, before any work.
    planned = _planned(sweep.experiment, study, settings) if missing else []
    for programs_here in planned:
        _run(sweep, study, programs_here, missing, out)
    return _gathered(out, settings, wanted)


def _planned(
    method: str, study: cells.Study, settings: list[Setting]
) -> list[list[Program]]:
    """Programs of settings, those that share their models together."""
    found = []
    for _, same in itertools.groupby(sorted(settings, key=_fitted_on), _fitted_on):
        alike = list(same)
        config = alike[0].config
        task = study.task(config)
        world, _, _ = fitting.make(config, task.space)
        data = programs.shapes(config, task, world)
        found.append(programs.plan(method, alike, problem_of(config, task), data))
    return found


def _run(
    sweep: SweepConfig,
    study: cells.Study,
    planned: list[Program],
    missing: list[Wanted],
    out: pathlib.Path,
) -> None:
    """The missing members of programs that share their models."""
    hashes = [{one.hash for one in program.settings} for program in planned]
    here = [[w for w in missing if w[0].hash in some] for some in hashes]
    every = [wanted for some in here for wanted in some]
    if not every:
        return
    shared = running.prepare(study, every)
    for program, some in zip(planned, here, strict=True):
        if some:
            # Seeds of a setting stand together, so that they are judged together.
            order = {one.hash: place for place, one in enumerate(program.settings)}
            some.sort(key=lambda wanted: (order[wanted[0].hash], wanted[1]))
            running.run(shared, sweep.experiment, program, some, sweep.chunk, out)
            mappings.forget_programs()


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


def _gathered(
    out: pathlib.Path, settings: list[Setting], wanted: list[Wanted]
) -> pd.DataFrame:
    """The members of all hosts as one table, in the order of the grid and the seeds."""
    rows = []
    for setting, seed in wanted:
        measures = json.loads(_path(out, (setting, seed)).read_text())
        same = {"configuration": setting.hash, **setting.values, "seed": seed}
        rows += [{**same, "metric": k, "value": v} for k, v in measures.items()]
    every = [row for text in hosts.gather(json.dumps(rows)) for row in json.loads(text)]
    order = {one.hash: place for place, one in enumerate(settings)}
    every.sort(key=lambda row: (order[row["configuration"]], row["seed"]))
    return pd.DataFrame(every)

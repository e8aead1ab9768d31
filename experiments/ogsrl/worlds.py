"""Worlds of the study: one of training patients to learn in, one of others to judge in.

What a policy exploits in the errors of the first it does not find in the second. Both
stop their fits on the same validation patients, who are in neither.
"""

import pathlib
from typing import Any, NamedTuple

import jax

from experiments import fitting
from experiments.config import RunConfig
from experiments.fitting import Fitted, Models
from experiments.task import Task
from omgrl_jax.data import space as space_lib
from omgrl_jax.data.records import Records
from omgrl_jax.models import nearest, world_fit
from omgrl_jax.models import world as world_lib
from omgrl_jax.runtime import parameters
from omgrl_jax.types import Dynamics, Key, Params

PURPOSE, JUDGING = 88, 89  # folded into a seed: the fits of the two worlds


class Judging(NamedTuple):
    """The world of held-out patients.

    Attributes:
      dynamics: the functions.
      params: their parameters.
    """

    dynamics: Dynamics
    params: Params


def learning(
    kind: str, config: RunConfig, task: Task, directory: pathlib.Path
) -> Models:
    """The worlds of training patients, one a seed, fitted where they are not there.

    Args:
      kind: one of `config.WORLDS`.
      config: settings.
      task: the task.
      directory: where fits are kept.

    Returns:
      Models whose behaviour policy is empty: no method here asks for it.
    """
    nobody: Any = None
    if kind == "nearest":
        made = _nearest(task)
        one = made.fit(task.scales, task.train)
        world = world_lib.make(config.world, task.space)
        world = world._replace(dynamics=made.dynamics)
        return Models(world, nobody, [Fitted(one, (), {})] * config.seeds)
    world = world_lib.make(config.world, task.space)
    fitted = []
    for seed in config.seed_list:
        path = directory / f"world_{fitting.key(config)}_{seed}.npz"
        key = jax.random.fold_in(jax.random.key(seed), PURPOSE)
        params = _ensemble(config, task, task.train, key, path)
        fitted.append(Fitted(params, (), {}))
    return Models(world, nobody, fitted)


def judging(
    kind: str, config: RunConfig, task: Task, directory: pathlib.Path
) -> Judging:
    """The world of held-out patients, the same for all seeds.

    Args:
      kind: one of `config.WORLDS`.
      config: settings.
      task: the task.
      directory: where the fit is kept.
    """
    if kind == "nearest":
        made = _nearest(task)
        return Judging(made.dynamics, made.fit(task.scales, task.test))
    world = world_lib.make(config.world, task.space)
    path = directory / f"judge_{fitting.key(config)}.npz"
    key = jax.random.fold_in(jax.random.key(config.first_seed), JUDGING)
    return Judging(world.dynamics, _ensemble(config, task, task.test, key, path))


def _nearest(task: Task) -> nearest.Nearest:
    encode = space_lib.action_numbers(task.space)
    return nearest.make(nearest.NearestConfig(), task.space, encode)


def _ensemble(
    config: RunConfig, task: Task, records: Records, key: Key, path: pathlib.Path
) -> world_lib.WorldParams:
    world = world_lib.make(config.world, task.space)

    def fit() -> world_lib.WorldParams:
        given = (key, task.scales, records, task.validation)
        return world_fit.fit(world, config.world, config.fit, *given)[0]

    shapes = world_fit.shapes(world, config.fit.elites, task.scales)
    return parameters.kept(path, shapes, fit)

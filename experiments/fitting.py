"""Fits the world model and the behaviour policy of every seed, once."""

import hashlib
import json
import pathlib
from typing import Any, NamedTuple

import jax
import numpy as np
import tqdm

from experiments.config import MODEL_FIELDS, RunConfig, flat
from experiments.task import Task
from omgrl_jax.data.space import Space
from omgrl_jax.learners import behaviour as behaviour_lib
from omgrl_jax.models import absent, world_fit
from omgrl_jax.models import world as world_lib
from omgrl_jax.runtime import parameters, storage
from omgrl_jax.types import Params, Policy


class Fitted(NamedTuple):
    """One seed's supervised models.

    Attributes:
      world: parameters of the world model.
      behaviour: parameters of the behaviour policy mu.
      losses: arrays by name: losses by epoch and the elites, for figures.
    """

    world: world_lib.WorldParams
    behaviour: Params
    losses: dict[str, np.ndarray]


class Models(NamedTuple):
    """The functions, and every seed's parameters."""

    world: world_lib.World
    behaviour: Policy
    fitted: list[Fitted]


def make(config: RunConfig, space: Space) -> tuple[world_lib.World, Policy, Any]:
    """The functions of the models, before anything is fitted.

    Args:
      config: the run's configuration.
      space: the task.

    Returns:
      The world, the behaviour policy, and what fits the latter.
    """
    world = world_lib.make(config.world, space)
    asked = config.behaviour_hidden, space, config.behaviour_members
    return world, *behaviour_lib.make(*asked)


def key(config: RunConfig) -> str:
    """A name for what the models of a configuration depend on, beside dataset and seed.

    Args:
      config: the run's configuration.
    """
    fields = ("state", "train_stays", *MODEL_FIELDS)
    settings = {
        name: value
        for name, value in flat(config).items()
        if any(name == field or name.startswith(f"{field}_") for field in fields)
    }
    text = json.dumps(settings, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def fit_all(
    config: RunConfig, task: Task, directory: pathlib.Path, with_world: bool = True
) -> Models:
    """Fits what is not there yet; each seed's result is written when it is complete.

    Args:
      config: the run's configuration.
      task: the task.
      directory: where the parameters go, one folder a seed.
      with_world: whether to fit a world model; methods that learn from records alone
        need none. The behaviour policy is the same either way.

    Returns:
      The models.
    """
    world, policy, fit_behaviour = make(config, task.space)
    if not with_world:
        world = absent.make()
    fitted = []
    for seed in config.seed_list:
        folder = directory / f"seed_{seed}"
        done = _load(config, task, world, folder)
        if done is None:
            fitted_world = world if with_world else None
            done = _fit(config, task, fitted_world, fit_behaviour, seed)
            _save(done, folder)
        fitted.append(done)
    return Models(world, policy, fitted)


def _fit(
    config: RunConfig,
    task: Task,
    world: world_lib.World | None,
    fit_behaviour: Any,
    seed: int,
) -> Fitted:
    world_key, behaviour_key = jax.random.split(jax.random.key(seed))
    params, fits = absent.params(task.scales), {}
    what = "behaviour policy" if world is None else "world model"
    with tqdm.tqdm(desc=f"{what}, seed {seed}", leave=True) as bar:
        if world is not None:
            params, fits = world_fit.fit(
                world,
                config.world,
                config.fit,
                world_key,
                task.scales,
                task.train,
                task.validation,
                _reporter(bar),
            )
        behaviour, cloned = fit_behaviour(
            behaviour_key,
            config.fit,
            task.scales,
            task.train,
            task.validation,
            _reporter(bar),
        )
    losses = {"behaviour.validation": cloned.validation_loss}
    for name, fit in fits.items():
        losses[f"{name}.train"] = fit.train_loss
        losses[f"{name}.validation"] = fit.validation_loss
        losses[f"{name}.elites"] = fit.elites
    return Fitted(params, behaviour, losses)


def _reporter(bar: Any) -> Any:
    """Shows epochs; their largest number is not reached when members stop early."""
    state = {"done": 0}

    def report(done: int, largest: int, loss: float) -> None:
        if done < state["done"]:
            state["done"] = 0
        bar.total = (bar.n - state["done"]) + largest
        bar.update(done - state["done"])
        bar.set_postfix_str(f"validation {loss:.3f}")
        state["done"] = done

    return report


def _save(fitted: Fitted, folder: pathlib.Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    parameters.save(folder / "world.npz", fitted.world)
    parameters.save(folder / "behaviour.npz", fitted.behaviour)
    # Written last: its presence says that the seed is complete.
    storage.atomic_savez(folder / "losses.npz", **fitted.losses)


def _load(
    config: RunConfig, task: Task, world: world_lib.World, folder: pathlib.Path
) -> Fitted | None:
    if not (folder / "losses.npz").is_file():
        return None
    with np.load(folder / "losses.npz", allow_pickle=False) as archive:
        losses = {name: archive[name] for name in archive.files}
    members = config.fit.elites
    world_shapes = world_fit.shapes(world, members, task.scales)
    asked = config.behaviour_hidden, task.space, config.behaviour_members
    behaviour_shapes = behaviour_lib.shapes(*asked)
    return Fitted(
        parameters.load(folder / "world.npz", world_shapes),
        parameters.load(folder / "behaviour.npz", behaviour_shapes),
        losses,
    )

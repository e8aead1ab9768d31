"""Trains each algorithm over all seeds as one batched, resumable run."""

import pathlib
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from experiments.config import ALGORITHMS, Problem, RunConfig, flat
from experiments.fitting import Models
from experiments.task import Task
from omgrl_jax import optimize
from omgrl_jax.data.records import Records
from omgrl_jax.learners import dyna
from omgrl_jax.models import world_fit
from omgrl_jax.runtime import checkpoint, parameters, storage, train
from omgrl_jax.types import Algorithm, Array, Key, Params

# Fields of states that hold rows of experience.
_ROWS = ("buffer", "pool", "rows")


class Own(NamedTuple):
    """What a seed does not share with the others, leaves [N, ...].

    Attributes:
      world: its world model.
      behaviour: its behaviour policy.
      outcome: [N, R, C] its estimate of the channels for every recorded row.
    """

    world: Params
    behaviour: Params
    outcome: Array


class Trained(NamedTuple):
    """An algorithm after training.

    Attributes:
      algorithm: the functions.
      states: final states, leaves [N, ...].
      history: metrics by name, [N, epochs].
    """

    algorithm: Algorithm
    states: Any
    history: train.Result


def own_data(models: Models, task: Task) -> Own:
    """Stacks the seeds' models and their estimates for the recorded rows."""
    outcomes = [
        world_fit.relabel(models.world, one.world, task.train).outcome
        for one in models.fitted
    ]
    world = _stack([one.world for one in models.fitted])
    behaviour = _stack([one.behaviour for one in models.fitted])
    return Own(world, behaviour, jnp.stack(outcomes))


def with_own_models(algorithm: Algorithm) -> Algorithm:
    """The algorithm on pairs (training and validation records, a seed's own models)."""

    def join(pair: tuple[tuple[Records, Records], Own]) -> dyna.Data:
        (train, validation), own = pair
        return dyna.Data(
            train._replace(outcome=own.outcome),
            own.world,
            own.behaviour,
            validation=validation,
            measurements=train.outcome,
        )

    def init(key: Key, pair: Any) -> Any:
        return algorithm.init(key, join(pair))

    def update(state: Any, key: Key, pair: Any) -> Any:
        return algorithm.update(state, key, join(pair))

    return algorithm._replace(init=init, update=update)


def train_all(
    config: RunConfig, task: Task, models: Models, out: pathlib.Path
) -> dict[str, Trained]:
    """Trains every algorithm of the configuration, from checkpoints where there are.

    Args:
      config: the run's configuration.
      task: the task.
      models: fitted models of every seed.
      out: directory of the run; checkpoints go to `restricted/`, since buffers hold
        recorded states, trained parameters to `model/`.

    Returns:
      The trained algorithms by name.
    """
    own = own_data(models, task)
    checkpoints_root = storage.restricted_directory(out / "restricted")
    trained = {}
    for name in config.algorithms:
        problem = Problem(task.space, models.world.dynamics, models.behaviour)
        algorithm = ALGORITHMS[name](config, problem)
        settings = {**flat(config), "algorithm": name, "dataset": task.hash}
        with checkpoint.Checkpoints(
            checkpoints_root / "checkpoints" / name, settings
        ) as saved:
            result = train.train(
                with_own_models(algorithm),
                run_keys(config.seed_list, name),
                (task.train, task.validation),
                member_data=own,
                num_updates=config.epochs,
                interval=config.interval,
                checkpoints=saved,
                description=f"{name}, {config.seeds} seeds",
                show=[
                    "return/r_p" if algorithm.reward is None else "return/r_psi",
                    "critic/bellman",
                ],
            )
        states = at_home(result.state)
        trained[name] = Trained(algorithm, states, result)
        for index, seed in enumerate(config.seed_list):
            member = jax.tree.map(lambda x, i=index: x[i], states)
            folder = out / "model" / f"seed_{seed}"
            parameters.save(folder / f"{name}.npz", shareable(member))
    return trained


def run_keys(seeds: Sequence[int], name: str) -> Key:
    """The keys of runs, [N].

    Args:
      seeds: their seeds.
      name: of the algorithm: each has a stream of its own, whatever else is trained.
    """
    keys = jax.vmap(jax.random.key)(jnp.array(seeds))
    # Small numbers are left to the fits: splitting a key folds in 0, 1, ...
    stream = 1000 + list(ALGORITHMS).index(name)
    return jax.vmap(jax.random.fold_in, (0, None))(keys, stream)


def at_home(states: Any) -> Any:
    """Final states on the first device, without the rollouts they were trained on.

    A sweep leaves its members spread over the host devices, where each later operation
    would be a collective one: needless, and able to wait for itself for ever.

    Args:
      states: an algorithm's states, leaves [N, ...].

    Returns:
      The states with every `buffer` and `pool`, however deep, set to None.
    """
    host = jax.device_get(without_rows(states))
    return jax.tree.map(jnp.asarray, host)


def without_rows(part: Any) -> Any:
    """A part of a state with whatever holds rows of experience set to None.

    Rollouts start in recorded states, so that a buffer is as confidential as records.

    Args:
      part: a state, or anything in one.
    """
    if not isinstance(part, tuple):
        return part
    names = getattr(part, "_fields", (None,) * len(part))
    kept = [
        None if name in _ROWS else without_rows(value)
        for name, value in zip(names, part, strict=True)
    ]
    return type(part)(*kept) if hasattr(part, "_fields") else tuple(kept)


def shareable(state: Any) -> dict[str, Params]:
    """The trained networks of a state: no buffer, no recorded row.

    Args:
      state: an algorithm's state as `at_home` leaves it.

    Returns:
      Its parameters by field, without what only the optimisers need.
    """

    def parameters_of(part: Any) -> Any:
        return part.params if isinstance(part, optimize.Learner) else part

    kept = {k: v for k, v in state._asdict().items() if v is not None}
    return jax.tree.map(
        parameters_of, kept, is_leaf=lambda part: isinstance(part, optimize.Learner)
    )


def _stack(trees: list[Any]) -> Any:
    return jax.tree.map(lambda *x: jnp.stack(x), *trees)

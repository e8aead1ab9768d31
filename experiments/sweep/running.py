"""Trains and judges members, those of one compiled program after the other."""

import dataclasses
import itertools
import pathlib
from collections.abc import Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from absl import logging

from experiments import cells, training
from experiments.config import ALGORITHMS, Problem, RunConfig
from experiments.fitting import Fitted, Models
from experiments.sweep import chunks, members, programs
from experiments.sweep.grid import Setting
from experiments.task import Task
from experiments.training import Trained
from omgrl_jax.runtime import train
from omgrl_jax.runtime.history import History
from omgrl_jax.types import Algorithm

# One seed of one setting.
Wanted = tuple[Setting, int]


class Shared(NamedTuple):
    """What settings share that differ in the method alone.

    Attributes:
      task: the task.
      models: functions of the models, without parameters.
      problem: what methods are built for; one object, by which programs know it.
      fitted: seed -> its models, on the host.
      own: seed -> what the method is given of them, leaves [1, ...], on the host.
    """

    task: Task
    models: Models
    problem: Problem
    fitted: dict[int, Fitted]
    own: dict[int, training.Own]


def of_seeds(config: RunConfig, seeds: list[int]) -> RunConfig:
    """The setting for seeds that follow each other."""
    return dataclasses.replace(config, first_seed=seeds[0], seeds=len(seeds))


def prepare(study: cells.Study, missing: list[Wanted]) -> Shared:
    """Fits the models of all seeds, where they are not there yet.

    Args:
      study: task and models by setting.
      missing: seeds of settings that share their models.
    """
    config = missing[0][0].config
    task = study.task(config)
    each = {
        seed: study.models(of_seeds(config, [seed]))
        for seed in dict.fromkeys(seed for _, seed in missing)
    }
    models = next(iter(each.values()))
    return Shared(
        task=task,
        models=models._replace(fitted=[]),
        problem=Problem(task.space, models.world.dynamics, models.behaviour),
        fitted={s: jax.device_get(one.fitted[0]) for s, one in each.items()},
        own={
            s: jax.device_get(training.own_data(one, task)) for s, one in each.items()
        },
    )


def run(
    shared: Shared,
    method: str,
    program: programs.Program,
    missing: list[Wanted],
    chunk: int,
    out: pathlib.Path,
) -> None:
    """Members that are not there yet; each is kept when its chunk is complete.

    Args:
      shared: what they share.
      method: the method.
      program: their program.
      missing: seeds of its settings.
      chunk: members that train at once; 0: as many as memory holds.
      out: where they are kept.
    """
    logging.info("%s", _said(program))
    algorithm = programs.make(method, program, shared.problem)
    # A chunk larger than what is missing would be filled with repeats.
    at_once = min(chunk, len(missing)) or _plan(shared, program, algorithm, missing)
    logging.info("Chunks of %d members", at_once)

    def work(chunk: list[Wanted]) -> train.Result:
        return _train(shared, method, program, algorithm, chunk)

    for done, result in chunks.run(missing, at_once, work):
        _judge(shared, method, algorithm, done, result, out)


def _train(
    shared: Shared,
    method: str,
    program: programs.Program,
    algorithm: Algorithm,
    chunk: list[Wanted],
) -> train.Result:
    """The result of a chunk, its state on the host and without rows of experience."""
    result = train.train(
        algorithm,
        training.run_keys([seed for _, seed in chunk], method),
        (shared.task.train, shared.task.validation),
        member_data=_member_data(shared, program, chunk),
        num_updates=program.config.epochs,
        interval=program.config.interval,
        description=f"{method}, {len(chunk)} members",
        show=["return/r_psi", "return/r_p", "critic/bellman"],
        finite=False,  # one member that diverges does not stop the others
    )
    return result._replace(state=jax.device_get(training.without_rows(result.state)))


def _member_data(
    shared: Shared, program: programs.Program, chunk: list[Wanted]
) -> programs.Member:
    every = [shared.own[seed] for _, seed in chunk]
    values = {
        name: jnp.array([one.values[name] for one, _ in chunk], jnp.float32)
        for name in program.batched
    }
    own = jax.tree.map(lambda *leaves: np.concatenate(leaves), *every)
    return programs.Member(own, values)


def _plan(
    shared: Shared,
    program: programs.Program,
    algorithm: Algorithm,
    missing: list[Wanted],
) -> int:
    """Members of a chunk, by what one of them takes."""
    given = _member_data(shared, program, missing[:1])
    one = jax.tree.map(lambda x: x[0], given)
    records = shared.task.train, shared.task.validation
    state = jax.eval_shape(algorithm.init, jax.random.key(0), (records, one))
    each = chunks.bytes_of(state) + chunks.bytes_of(one)
    return chunks.size(each, len(missing), chunks.free_bytes())


def _judge(
    shared: Shared,
    method: str,
    algorithm: Algorithm,
    chunk: list[Wanted],
    result: train.Result,
    out: pathlib.Path,
) -> None:
    metrics = result.history.metrics
    for setting, places in _neighbours(chunk):
        seeds = [chunk[place][1] for place in places]
        states = members.part(result.state, places)
        history = History({m: v[places] for m, v in metrics.items()}, {}, np.zeros(0))
        on_device = jax.tree.map(jnp.asarray, states)
        # A policy may depend on a setting that its parameters do not hold.
        own = ALGORITHMS[method](setting.config, shared.problem)
        judged = algorithm._replace(policy=own.policy)
        trained = Trained(judged, on_device, train.Result(None, history))
        models = shared.models._replace(fitted=[shared.fitted[s] for s in seeds])
        config = of_seeds(setting.config, seeds)
        found = members.judge(config, shared.task, models, {method: trained})
        for index, (seed, measures) in enumerate(zip(seeds, found, strict=True)):
            held = members.part(states, index)
            members.keep(out, setting.hash, seed, measures, method, held)


def _neighbours(chunk: list[Wanted]) -> Iterator[tuple[Setting, list[int]]]:
    """Places of a chunk that are of one setting and of seeds that follow each other."""
    numbered = enumerate(chunk)
    for _, run in itertools.groupby(numbered, lambda x: (x[1][0].hash, x[1][1] - x[0])):
        found: list[Any] = list(run)
        yield found[0][1][0], [place for place, _ in found]


def _said(program: programs.Program) -> str:
    """What a program serves, in words."""
    if not program.batched:
        return "One program for one setting"
    names = ", ".join(f"--{name}" for name in program.batched)
    return f"One program for {len(program.settings)} settings: {names} are batched"

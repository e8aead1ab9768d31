"""Fits each model of the outcome once for each seed, and makes it a forecaster."""

import dataclasses
import functools
import pathlib
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import tqdm

from experiments.personal_dosing.config import Config
from experiments.task import Task
from omgrl_jax.data import draws as draws_lib
from omgrl_jax.data.draws import Draws
from omgrl_jax.models import (
    ensemble,
    forecaster,
    foresight,
    personal_fit,
    personal_outcome,
)
from omgrl_jax.models import outcome as outcome_lib
from omgrl_jax.models.example import examples
from omgrl_jax.models.forecaster import Forecaster, PersonalParams
from omgrl_jax.ops.belief import Belief
from omgrl_jax.runtime import parameters
from omgrl_jax.types import Params


class Ready(NamedTuple):
    """What every unit of the study needs.

    Attributes:
      config: the settings, the limit of doses settled.
      task: the dataset.
      population: outcome networks of all patients.
      personal: outcome of single patients.
      draws: split -> measurements of its stays, leaves [N, D, ...].
      age: [] hours that a draw is old when the next one is made, the median.
      out: where results are kept.
    """

    config: Config
    task: Task
    population: outcome_lib.Outcomes
    personal: personal_outcome.PersonalOutcome
    draws: dict[str, Draws]
    age: jax.Array
    out: pathlib.Path


def prepare(config: Config, task: Task, out: pathlib.Path) -> Ready:
    """Gets ready what every unit needs.

    Args:
      config: settings.
      task: the dataset.
      out: where to write.

    Raises:
      ValueError: if the dataset has no measured channel with a target, or its state
        does not tell what personal models need.
    """
    space = task.space
    if space.target is None:
        raise ValueError(
            f"--dataset: '{task.schema.name}' has no channel with a target range "
            "(schema.json: reward), which doses could be planned for"
        )
    plan = foresight.for_target(config.plan, space)
    config = dataclasses.replace(config, plan=plan)
    population = outcome_lib.make(config.outcome_hidden, config.dose_effect, space)
    personal = personal_outcome.make(config.factors, space, population)
    splits = {"train": task.train, "validation": task.validation, "test": task.test}
    draws = {name: draws_lib.of_records(split) for name, split in splits.items()}
    return Ready(config, task, population, personal, draws, _age(task, draws), out)


def _age(task: Task, draws: dict[str, Draws]) -> jax.Array:
    ages = [k for k, item in enumerate(task.space.tracked) if item.rule == "age"]
    if not ages:
        return jnp.zeros(())
    train = draws["train"]
    raw = task.scales.state.invert(train.state)[..., task.space.num_stored + ages[0]]
    return jnp.median(raw[np.asarray(train.there)])


def forecasters(ready: Ready) -> dict[str, Forecaster]:
    """Model -> functions; made anew, each call compiles anew."""
    personal = forecaster.personal(ready.personal)
    average = forecaster.average(ready.personal)
    return {
        "population": forecaster.unaware(ready.population),
        "persim": personal,
        "persim_free": personal,
        "persim_average": average,
        "persim_free_average": average,
    }


def fitted(ready: Ready, model: str, seed: int) -> Params:
    """Parameters of a model's forecaster, fitted where they are not there yet."""
    population = _kept(ready, "population", seed)
    if model == "population":
        return population
    shared, prior = _kept(ready, model, seed)
    return PersonalParams(shared, prior, population)


def _kept(ready: Ready, model: str, seed: int) -> Params:
    fit = _fit_population if model == "population" else _fit_personal

    def fitted_now() -> Params:
        with tqdm.tqdm(desc=f"{model}, seed {seed}", leave=False, disable=None) as bar:

            def report(done: int, largest: int, loss: float) -> None:
                bar.total = largest
                bar.update(done - bar.n)
                bar.set_postfix_str(f"validation {loss:.3f}")

            return fit(ready, model, jax.random.key(seed), report)

    path = ready.out / "model" / f"{model}_{seed}.npz"
    return parameters.kept(path, _template(ready, model), fitted_now)


def _fit_population(ready: Ready, model: str, key: jax.Array, report: Any) -> Params:
    del model
    task = ready.task
    found = ensemble.fit(
        jax.random.fold_in(key, 0),
        ready.population.init,
        ready.population.loss,
        task.scales,
        examples(task.train),
        examples(task.validation),
        task.train.stay[task.train.transitions],
        ready.config.population_fit,
        report,
    )
    return found.params


def _fit_personal(
    ready: Ready, model: str, key: jax.Array, report: Any
) -> tuple[Params, Belief]:
    train, validation = _drawn(ready.draws["train"]), ready.draws["validation"]
    count, others = train.value.shape[0], validation.value.shape[0]
    config = ready.config.factors_fit
    if model == "persim_free":
        config = dataclasses.replace(config, bootstrap=False)
    numbers = jnp.arange(count, dtype=jnp.int32)
    way = _fittable(ready.personal, model, ready.config.factors.rank, count)
    found = ensemble.fit(
        jax.random.fold_in(key, 1),
        way.init,
        way.loss,
        ready.task.scales,
        personal_fit.Stay(numbers, train),
        personal_fit.Stay(jnp.full(others, -1, jnp.int32), validation),
        numbers,
        config,
        report,
    )
    # What was fitted of single patients is not kept.
    return jax.vmap(way.kept)(found.params)


def _drawn(draws: Draws) -> Draws:
    """The stays with a draw: the others tell nothing of a patient."""
    some = np.asarray(draws.there).any(axis=1)
    return jax.tree.map(lambda x: x[some], draws)


@functools.cache
def _fittable(
    personal: personal_outcome.PersonalOutcome, model: str, rank: int, stays: int
) -> personal_fit.Fittable:
    """One object for all seeds, so that they share a compilation."""
    if model == "persim":
        return personal_fit.integrated(personal, rank)
    return personal_fit.free(personal, rank, stays)


def _template(ready: Ready, model: str) -> Any:
    members = ready.config.population_fit.elites

    def init(key: jax.Array) -> Any:
        if model == "population":
            return ready.population.init(key)
        way = _fittable(ready.personal, "persim", ready.config.factors.rank, 1)
        return way.kept(way.init(key))

    keys = jax.random.split(jax.random.key(0), members)
    return jax.eval_shape(jax.vmap(init), keys)

"""Policies of the study's methods, each trained over all seeds and kept."""

import dataclasses
import pathlib
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np

from experiments import training
from experiments.config import RunConfig, claim
from experiments.fitting import Models
from experiments.iql_multitask.config import StudyConfig
from experiments.task import Task
from omgrl_jax.data import records as records_lib
from omgrl_jax.learners import boosted_q, known_reward
from omgrl_jax.types import Array, Params, Policy


class Learned(NamedTuple):
    """What one seed of a method learned.

    Attributes:
      policy: the functions; the same object for all seeds where they are compiled.
      params: their parameters.
      values: `(standardised states [N, S]) -> [N, A]`, the method's own action values;
        None where it has none.
    """

    policy: Policy
    params: Params
    values: Callable[[Array], np.ndarray] | None


def single_task(config: RunConfig) -> RunConfig:
    """Without auxiliary heads: nothing is foretold."""
    own = dataclasses.replace(config.multitask_iql, auxiliary_weight=0.0)
    return dataclasses.replace(config, multitask_iql=own)


def no_entropy(config: RunConfig) -> RunConfig:
    """Without the bonus for entropy."""
    own = dataclasses.replace(config.multitask_iql, entropy_weight=0.0)
    return dataclasses.replace(config, multitask_iql=own)


# Methods that are another one with a setting changed.
_VARIANTS: dict[str, tuple[str, Callable[[RunConfig], RunConfig]]] = {
    "single_task_iql": ("multitask_iql", single_task),
    "no_entropy": ("multitask_iql", no_entropy),
}


def learn(
    study: StudyConfig,
    config: RunConfig,
    task: Task,
    models: Models,
    method: str,
    out: pathlib.Path,
) -> list[Learned]:
    """The policies of a method, of every seed in order.

    Args:
      study: what is compared.
      config: settings of the methods.
      task: the task.
      models: fitted behaviour policies of every seed.
      method: which method.
      out: where it trains and goes on where it stopped.

    Raises:
      ValueError: if `out` holds another setting.
    """
    if method == "boosted_q":
        return [_boosted(study, config, task, seed) for seed in config.seed_list]
    algorithm, change = _VARIANTS.get(method, (method, lambda same: same))
    config = dataclasses.replace(change(config), algorithms=(algorithm,))
    claim(out, config, task.hash)
    trained = training.train_all(config, task, models, out)[algorithm]
    # On the host, where taking one seed's part needs no program for each shape.
    states = jax.device_get(trained.states)
    found = []
    for index in range(config.seeds):
        state = jax.tree.map(lambda x, i=index: x[i], states)
        params = trained.algorithm.policy_params(state)
        asked = trained.algorithm.action_values
        values = None if asked is None else _values(asked, state)
        found.append(Learned(trained.algorithm.policy, params, values))
    return found


def _values(asked: Any, state: Any) -> Callable[[Array], np.ndarray]:
    run = jax.jit(asked)
    return lambda states: np.asarray(run(state, states))


def _boosted(study: StudyConfig, config: RunConfig, task: Task, seed: int) -> Learned:
    rows = task.train.transitions
    steps = records_lib.transition_at(task.train, rows)
    rewards = known_reward.make(task.space, task.scales)(steps)
    found = boosted_q.fit(
        study.boosted,
        steps,
        rewards,
        task.space.num_actions,
        config.agent.discount,
        seed,
    )
    return Learned(found.policy, None, lambda states: found.values(np.asarray(states)))

"""Policies of the study's methods, each trained over all seeds and kept."""

import dataclasses
import pathlib
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from experiments import judging, training
from experiments.config import RunConfig, claim
from experiments.fitting import Models
from experiments.iql_multitask.config import (
    ALONE,
    AS_PUBLISHED,
    NO_ENTROPY,
    OWN,
    SHARPENED,
    StudyConfig,
)
from experiments.task import Task
from omgrl_jax.data import records as records_lib
from omgrl_jax.data.records import Records
from omgrl_jax.evaluation import bedside, calibration
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


def as_published(config: RunConfig) -> RunConfig:
    """The settings of the page that the method comes from."""
    own = dataclasses.replace(
        config.multitask_iql,
        hidden=(256, 256, 128),
        temperature=3.0,
        entropy_weight=0.3,
        learning_rate=3e-4,
        batch_size=1024,
        patience=20,
    )
    return dataclasses.replace(config, multitask_iql=own)


# Methods that are another one with a setting changed.
_VARIANTS: dict[str, tuple[str, Callable[[RunConfig], RunConfig]]] = {
    ALONE: (OWN, single_task),
    NO_ENTROPY: (OWN, no_entropy),
    AS_PUBLISHED: (OWN, as_published),
}
# Temperatures of acting, the sharpest last, and what validation patients must keep: a
# little more than the clinical test asks of others.
_HEATS = (1.0, 0.85, 0.7, 0.6, 0.5, 0.42, 0.35, 0.3, 0.25)
_LEAST_USED, _LEAST_SHARE, _LEAST_ENTROPY = 7, 0.015, 1.58


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
      out: where methods train, each in a folder of its own, and go on where they
        stopped.

    Raises:
      ValueError: if a folder holds another setting.
    """
    if method == "boosted_q":
        return [_boosted(study, config, task)] * config.seeds
    if method == SHARPENED:
        plain = learn(study, config, task, models, OWN, out)
        return [_sharpened(one, task.validation) for one in plain]
    out = out / method
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


def _sharpened(one: Learned, validation: Records) -> Learned:
    """The same policy at the sharpest temperature at which it is still diverse."""
    log_probs = judging.log_probs(
        one.policy, one.params, validation.states[validation.transitions]
    )
    log_probs = np.asarray(log_probs, np.float64)
    heat = sharpest(log_probs)
    return Learned(
        calibration.tempered(one.policy), (one.params, jnp.float32(heat)), one.values
    )


def sharpest(log_probs: np.ndarray) -> float:
    """The lowest temperature of acting whose actions are diverse enough.

    No reward and no outcome is looked at: only how many actions validation patients
    would get, and how evenly.

    Args:
      log_probs: [N, A] of the policy in their states.

    Returns:
      The temperature; 1 where the policy is not diverse to begin with.
    """
    found = 1.0
    for heat in _HEATS:
        scaled = log_probs / heat
        chances = np.exp(scaled - scaled.max(axis=1, keepdims=True))
        shares = (chances / chances.sum(axis=1, keepdims=True)).mean(axis=0)
        used, entropy = bedside.used_and_entropy(shares[None], _LEAST_SHARE)
        if used[0] < _LEAST_USED or entropy[0] < _LEAST_ENTROPY:
            break
        found = heat
    return found


def _boosted(study: StudyConfig, config: RunConfig, task: Task) -> Learned:
    """Nothing in it is drawn by chance: the same for all seeds."""
    rows = task.train.transitions
    steps = records_lib.transition_at(task.train, rows)
    rewards = known_reward.make(task.space, task.scales)(steps)
    found = boosted_q.fit(
        study.boosted,
        steps,
        rewards,
        task.space.num_actions,
        config.agent.discount,
    )
    return Learned(found.policy, None, lambda states: found.values(np.asarray(states)))

"""What held-out records say of policies without any model of outcomes.

Whether clinicians' doses are likely under a policy, how often it would do what they
never did, and whether rollouts stay where recorded stays go. None of it is a value.
"""

from typing import Any

import jax
import numpy as np

from experiments import judging
from experiments.config import RunConfig
from experiments.fitting import Models
from experiments.task import Task
from experiments.training import Trained
from omgrl_jax.evaluation import drift
from omgrl_jax.types import Params, Policy

RARE = 0.02  # a dose with less probability than this is out of the clinicians' support
HORIZONS = (1, 5, 10, 20)


def policy_rows(
    config: RunConfig, task: Task, models: Models, trained: dict[str, Trained]
) -> list[dict[str, Any]]:
    """Likelihood of clinicians' held-out doses, a row for each seed and policy.

    Args:
      config: the run's configuration.
      task: the task; its validation stays are used, which chose no policy.
      models: fitted models.
      trained: trained algorithms.

    Returns:
      Rows of world "records": `log_prob`, the mean log-probability of the dose given,
      and `agreement`, the share of hours whose likeliest dose was given.
    """
    rows = []
    states, actions = _pairs(task.validation)
    for index, seed in enumerate(config.seed_list):
        for name, (policy, params) in _named(models, trained, index).items():
            log_probs = np.asarray(judging.log_probs(policy, params, states))
            taken = log_probs[np.arange(actions.size), actions]
            agreement = np.mean(log_probs.argmax(axis=1) == actions)
            row = {"policy": name, "mode": "-", "world": "records", "seed": seed}
            row |= {"log_prob": float(taken.mean()), "agreement": float(agreement)}
            rows.append(row)
    return rows


def support_rows(
    config: RunConfig, task: Task, models: Models, trained: dict[str, Trained]
) -> list[dict[str, Any]]:
    """How much probability a policy puts on doses that clinicians hardly ever gave."""
    rows = []
    states, _ = _pairs(task.test)
    for index, seed in enumerate(config.seed_list):
        mu = models.fitted[index].behaviour
        rare = np.exp(judging.log_probs(models.behaviour, mu, states)) < RARE
        for name, (policy, params) in _named(models, trained, index).items():
            chosen = np.exp(np.asarray(judging.log_probs(policy, params, states)))
            outside = float(np.mean(np.sum(chosen * rare, axis=1)))
            row = {"policy": name, "mode": "stochastic", "seed": seed}
            rows.append({**row, "share_out_of_support": outside, "threshold": RARE})
    return rows


def drift_rows(
    config: RunConfig, task: Task, models: Models, trained: dict[str, Trained]
) -> list[dict[str, Any]]:
    """Distance of rollouts from the training states, by horizon, policy and seed."""
    horizons = tuple(h for h in HORIZONS if h <= config.rollout.horizon)
    if task.test.windows.shape[0] == 0 or not horizons:
        return []
    rows = []
    for index, seed in enumerate(config.seed_list):
        key = jax.random.fold_in(jax.random.key(seed), 78)
        for name, (policy, params) in _named(models, trained, index).items():
            modelled, recorded = drift.drift(
                models.world.dynamics,
                models.fitted[index].world,
                policy,
                params,
                key,
                task.train,
                task.test,
                horizons,
            )
            found = zip(horizons, modelled.tolist(), recorded.tolist(), strict=True)
            rows += [
                {"policy": name, "seed": seed, "horizon": h, "model": m, "recorded": r}
                for h, m, r in found
            ]
    return rows


def _named(
    models: Models, trained: dict[str, Trained], index: int
) -> dict[str, tuple[Policy, Params]]:
    cloned = models.behaviour, models.fitted[index].behaviour
    return {
        **judging.learned_policies(trained, index),
        "behavioural_cloning": cloned,
    }


def _pairs(records: Any) -> tuple[jax.Array, np.ndarray]:
    rows = records.transitions
    return records.states[rows], np.asarray(records.actions[rows])

"""Off-policy estimates from held-out stays, beside the truth where it is known."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from experiments import estimating
from experiments import sepsis_truth as truth
from experiments.config import RunConfig
from experiments.fitting import Models
from experiments.iql_multitask.config import CLONED
from experiments.iql_multitask.learning import Learned
from experiments.task import Task
from omgrl_jax.evaluation import episodes, off_policy
from omgrl_jax.types import Params, Policy

PURPOSE = 85  # folded into a seed


class Stays(NamedTuple):
    """Recorded stays for estimates.

    Attributes:
      fitting: training stays, on which values are fitted.
      judged: held-out stays.
    """

    fitting: episodes.Episodes
    judged: episodes.Episodes


def stays_of(config: RunConfig, task: Task) -> Stays:
    """The stays of the dataset, padded to the horizon of the estimates."""
    reward = estimating.reward_of(task)
    return Stays(
        *(
            estimating.episodes_of(config, task, split, reward)
            for split in ("train", "test")
        )
    )


def require(config: RunConfig, task: Task) -> None:
    """Stops where values would not be of whole stays, or not of one kind.

    Args:
      config: settings.
      task: the task.

    Raises:
      ValueError: naming the flag, or the reward.
    """
    if truth.known(task) and not truth.world(task).reward.settles:
        raise ValueError(
            "schema.json: simulator.sepsis.reward has no outcome: learned values go on "
            "after the last row, where the truth and the estimates end; make the data "
            "with --reward=sofa or terminal"
        )
    longest, horizon = int(task.arrays.lengths.max()), config.off_policy.horizon
    if horizon < longest:
        raise ValueError(
            f"--off_policy_horizon={horizon}: the longest stay has {longest} steps, "
            f"whose last rewards would not count; use {longest} or more"
        )
    learned, judged = config.agent.discount, config.off_policy.discount
    if learned != judged:
        raise ValueError(
            f"--agent_discount={learned} and --off_policy_discount={judged}: what is "
            "learned and what is judged must be discounted alike"
        )


def rows(
    config: RunConfig,
    task: Task,
    models: Models,
    stays: Stays,
    name: str,
    policy: tuple[Policy, Params],
    index: int,
) -> list[dict[str, Any]]:
    """Every estimator's value of one policy, softened towards the clinicians.

    Args:
      config: settings.
      task: the task.
      models: fitted behaviour policies.
      stays: of `stays_of`.
      name: of the policy.
      policy: the policy and its parameters; cloned clinicians are not softened.
      index: of the seed.

    Returns:
      A row for each estimator with its interval, effective sample size and `truth`, the
      mean over a simulator's new patients, None where there is none.
    """
    behaviour = estimating.calibrated(task, models, index)
    judged, share = behaviour, 1.0
    if name != CLONED:
        mixed = off_policy.softened(policy[0], behaviour[0], config.soften)
        judged, share = (mixed, (policy[1], behaviour[1])), config.soften
    seed = config.seed_list[index]
    key = jax.random.fold_in(jax.random.key(seed), PURPOSE)
    found = off_policy.evaluate(
        key, config.off_policy, config.fitted_q, *stays, judged, behaviour
    )
    real = None
    if truth.known(task):
        given = truth.acting(task, policy[1], behaviour[1], share=share)
        both, discount = (policy[0], behaviour[0]), config.off_policy.discount
        came = truth.learned(task, both, given, seed, config.patients, discount)
        real = float(np.mean(came.value))
    same = {"policy": name, "mode": "stochastic", "seed": seed, "truth": real}
    return [
        {**same, "estimator": estimator, **estimating.numbers(one, estimator)}
        for estimator, one in found.items()
    ]


def clinicians_row(config: RunConfig, stays: Stays) -> dict[str, Any]:
    """The mean return of held-out stays, with its bootstrap interval over patients."""
    judged = stays.judged
    weights = config.off_policy.discount ** np.arange(judged.rewards.shape[1])
    returns = np.sum(np.asarray(judged.rewards * judged.alive) * weights, axis=1)
    patients = np.asarray(judged.patients)
    count = np.bincount(patients)
    sums = np.bincount(patients, weights=returns)
    rng = np.random.default_rng(0)
    even = np.full(count.size, 1.0 / count.size)
    drawn = rng.multinomial(count.size, even, size=config.off_policy.resamples)
    tail = (1.0 - config.off_policy.level) / 2.0
    low, high = np.quantile((drawn @ sums) / (drawn @ count), [tail, 1.0 - tail])
    same = {"policy": "clinicians", "mode": "-", "estimator": "mean return"}
    value = {"value": returns.mean(), "low": low, "high": high}
    return {**same, "seed": None, **{k: float(v) for k, v in value.items()}}


def belief_row(
    config: RunConfig,
    stays: Stays,
    name: str,
    one: Learned,
    seed: int,
    settled: bool,
) -> dict[str, Any] | None:
    """What a method's own values promise, beside the best return in its data.

    Args:
      config: settings.
      stays: of `stays_of`.
      name: of the method.
      one: what it learned.
      seed: the seed.
      settled: whether every stay is terminal, so that values and recorded returns end
        together.

    Returns:
      `promised`, the mean over held-out first states of the value of what the policy
      does; `highest`, the largest action value in training states; `best_return`, the
      largest sum of rewards still to come at any of them. None where the method has no
      values, or they are of another sum.
    """
    if one.values is None or not settled:
        return None
    fitting = stays.fitting
    first = stays.judged.states[:, 0]
    chances = np.exp(np.asarray(one.policy.log_probs(one.params, first)))
    promised = np.mean(np.sum(chances * one.values(first), axis=1))
    reached = np.asarray(fitting.states[:, :-1])[np.asarray(fitting.alive)]
    highest = np.max(one.values(jnp.asarray(reached)))
    alive = np.asarray(fitting.alive)
    to_come = np.asarray(fitting.rewards * fitting.alive, np.float64)
    for t in range(to_come.shape[1] - 2, -1, -1):
        to_come[:, t] += config.off_policy.discount * to_come[:, t + 1]
    return {
        "policy": name,
        "seed": seed,
        "promised": float(promised),
        "highest": float(highest),
        "best_return": float(to_come[alive].max()),
    }

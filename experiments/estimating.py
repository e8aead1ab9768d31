"""Off-policy evaluation of a run: what held-out doses alone say of each policy.

Every policy is softened towards the clinicians before it is judged (`--soften`), since
nobody changes practice overnight and ratios to doses never given tell nothing. Rows
carry their interval, effective sample size and largest weight, and the truth where a
simulator knows it.
"""

import math
from collections.abc import Iterable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from absl import logging

from experiments import judging, ward
from experiments.config import RunConfig
from experiments.fitting import Models
from experiments.task import Task
from experiments.training import Trained
from experiments.truth import ESTIMATION, known
from omgrl_jax.data import dataset as dataset_lib
from omgrl_jax.evaluation import calibration, episodes, off_policy
from omgrl_jax.learners import known_reward
from omgrl_jax.ops import clinical
from omgrl_jax.types import Params, Policy

Named = dict[str, tuple[Policy, Params]]


def off_policy_rows(
    config: RunConfig, task: Task, models: Models, trained: dict[str, Trained]
) -> list[dict[str, Any]]:
    """Estimates of every learned policy and of cloned clinicians, by seed.

    Args:
      config: the run's configuration.
      task: the task.
      models: fitted models.
      trained: trained algorithms.

    Returns:
      The report's rows; none where the state does not hold what was last measured, so
      that no reward can be read from records.
    """
    try:
        reward = reward_of(task)
    except ValueError as error:
        logging.info("No off-policy estimates: %s", error)
        return []
    fitting, judged = (
        episodes_of(config, task, name, reward) for name in ("train", "test")
    )
    rows, doubted = [], set()
    for index, seed in enumerate(config.seed_list):
        world = models.fitted[index].world
        behaviour = calibrated(task, models, index)
        key = jax.random.fold_in(jax.random.key(seed), 79)
        for place, (name, policy) in enumerate(
            softened(config, task, models, trained, index).items()
        ):
            model_key, key_of_policy = jax.random.split(jax.random.fold_in(key, place))
            found = off_policy.evaluate(
                key_of_policy,
                config.off_policy,
                config.fitted_q,
                fitting,
                judged,
                policy,
                behaviour,
            )
            believed = off_policy.model_value(
                model_key,
                config.off_policy,
                (models.world, world),
                policy,
                reward,
                judged,
            )
            truth = true_value(config, task, policy, judged, seed)
            # The largest weights of all: no other estimator rests on fewer patients.
            if off_policy.doubtful(found["wdr"]):
                doubted.add(name)
            for estimator, one in {**found, "model": believed}.items():
                row = {"policy": name, "mode": "stochastic", "estimator": estimator}
                row |= {"world": "records", "seed": seed, "truth": truth}
                rows.append({**row, **numbers(one, estimator)})
    warn(doubted)
    return rows


def warn(doubted: Iterable[str]) -> None:
    """Warns once of policies whose estimates rest on too few effective patients."""
    if names := sorted(set(doubted)):
        logging.warning(
            "Off-policy estimates of %s rest on fewer than %.0f effective patients: do "
            "not believe them or their intervals",
            ", ".join(names),
            off_policy.LEAST_PATIENTS,
        )


def calibration_rows(task: Task, models: Models) -> list[dict[str, Any]]:
    """Reliability of the calibrated behaviour policies on held-out stays.

    Args:
      task: the task.
      models: fitted models.

    Returns:
      A row for each bin of predicted probabilities, pooled over doses and seeds:
      `predicted`, `observed` and `count`, the decisions in it in the mean over seeds.
    """
    rows = task.test.transitions
    curves = []
    for index in range(len(models.fitted)):
        policy, params = calibrated(task, models, index)
        log_probs = judging.log_probs(policy, params, task.test.states[rows])
        found = calibration.calibration(log_probs, task.test.actions[rows])
        curves.append(jax.tree.map(np.asarray, found.actions))
    return pooled(curves)


def pooled(curves: Sequence[calibration.Reliability]) -> list[dict[str, Any]]:
    """Several reliability curves [A, K] over the same decisions as one.

    Args:
      curves: one for each seed.

    Returns:
      As `calibration_rows`. Seeds share their patients, so that a count over all of
      them would hide how few there are: it is that of one seed, rounded up.
    """
    counts = np.concatenate([curve.count for curve in curves])
    means = {
        name: np.concatenate([getattr(curve, name) for curve in curves])
        for name in ("predicted", "observed")
    }
    out = []
    for k in range(counts.shape[1]):
        kept = counts[:, k] > 0  # the others hold NaN
        if not kept.any():
            continue
        weights = counts[kept, k]
        row: dict[str, Any] = {
            name: float(np.average(values[kept, k], weights=weights))
            for name, values in means.items()
        }
        out.append({**row, "count": math.ceil(weights.sum() / len(curves))})
    return out


def calibrated(task: Task, models: Models, index: int) -> tuple[Policy, Params]:
    """The behaviour policy of one seed at the temperature that validation asks for."""
    params = models.fitted[index].behaviour
    rows = task.validation.transitions
    states = task.validation.states[rows]
    log_probs = judging.log_probs(models.behaviour, params, states)
    heat = calibration.fit_temperature(log_probs, task.validation.actions[rows])
    return calibration.tempered(models.behaviour), (params, heat)


def softened(
    config: RunConfig,
    task: Task,
    models: Models,
    trained: dict[str, Trained],
    index: int,
) -> Named:
    """The policies to judge: learned ones softened, and the behaviour policy itself."""
    behaviour = calibrated(task, models, index)
    found: Named = {}
    for name, (policy, params) in judging.learned_policies(trained, index).items():
        mixed = off_policy.softened(policy, behaviour[0], config.soften)
        found[name] = mixed, (params, behaviour[1])
    return {**found, "behavioural_cloning": behaviour}


def true_value(
    config: RunConfig,
    task: Task,
    policy: tuple[Policy, Params],
    judged: episodes.Episodes,
    seed: int,
) -> float | None:
    """The value that the estimators estimate, from new virtual patients.

    Args:
      config: the run's configuration.
      task: the task.
      policy: the policy and its parameters.
      judged: the stays whose lengths decide for how long rewards count.
      seed: whose new patients.

    Returns:
      The value; None where no simulator stands behind the dataset.
    """
    if not known(task) or task.space.target is None:
        return None
    _, low, high = task.space.target
    lasting = jnp.mean(judged.alive.astype(jnp.float32), axis=0)
    discounts = config.off_policy.discount ** jnp.arange(lasting.size)
    patients = ward.admit(config, task, seed, ESTIMATION, config.shifted_patients)
    treated = ward.treat(
        ward.of(task, max(config.hours, lasting.size)),
        task.space,
        policy[0],
        task.scales,
        policy[1],
        False,
        patients,
    )
    reported = treated.observations.channel_value[:, 1 : lasting.size + 1, 0]
    rewards = jnp.mean(clinical.range_reward(reported, low, high), axis=0)
    return float(jnp.sum(discounts * lasting * rewards))


def reward_of(task: Task) -> episodes.Reward:
    """The reward by which policies are judged: the recorded one, or r_p as reported.

    Args:
      task: the task.

    Raises:
      ValueError: if no reward can be read from records.
    """
    if task.space.recorded_reward is not None:
        return known_reward.make(task.space, task.scales)
    return episodes.reported_reward(task.space, task.scales)


def episodes_of(
    config: RunConfig, task: Task, split: str, reward: episodes.Reward
) -> episodes.Episodes:
    """The stays of a split, padded to the horizon of the estimates."""
    chosen = task.arrays.split == dataset_lib.SPLITS.index(split)
    records = getattr(task, split)
    patients = np.asarray(task.arrays.patients)[chosen]
    return episodes.episodes_of(records, reward, config.off_policy.horizon, patients)


def numbers(one: off_policy.Estimate, estimator: str) -> dict[str, float | None]:
    """Value, interval and what tells how far to trust them, for a row."""
    numbers = {k: float(getattr(one, k)) for k in ("value", "low", "high")}
    if estimator in ("fqe", "model"):  # no stay is weighted
        return {**numbers, "ess": None, "largest": None}
    ess, largest = float(jnp.min(one.ess)), float(jnp.max(one.largest))
    return {**numbers, "ess": ess, "largest": largest}

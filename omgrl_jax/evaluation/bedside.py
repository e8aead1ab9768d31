"""Does a policy dose as physiology asks? Tests that a clinician would think of.

* Sensitivity: change one sign of a state, leave the rest: does the dose level follow?
  (Lower pressure, more vasopressor; higher lactate, more treatment.) Spearman's
  correlation over the sweep; a dose that never changes has none and counts as 0.
* Diversity: how many actions does it use in held-out states, and how evenly?

None of this is a value: a policy may pass and be harmful. Intervals resample patients.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from omgrl_jax.evaluation.intervention import rank_correlations
from omgrl_jax.types import Array, Params, Policy

RARE = 0.01  # an action with a smaller share of the decisions is not counted as used


class Interval(NamedTuple):
    """A figure with its bootstrap interval over patients.

    Attributes:
      value: the figure.
      low: lower end.
      high: upper end.
    """

    value: float
    low: float
    high: float


class Diversity(NamedTuple):
    """How many actions a policy uses.

    Attributes:
      used: number of actions whose share is at least `RARE`.
      entropy: of the shares of the actions, nats.
      shares: [A] of decisions.
    """

    used: Interval
    entropy: Interval
    shares: np.ndarray


@functools.partial(jax.jit, static_argnums=(0, 3, 6))
def levels_along(
    policy: Policy,
    params: Params,
    states: Array,
    features: tuple[int, ...],
    values: Array,
    levels: Array,
    greedy: bool,
) -> Array:
    """Dose levels while features of each state are swept and the rest stays.

    Args:
      policy: the policy.
      params: its parameters.
      states: [N, S] standardised.
      features: columns of the state that are swept together.
      values: [K] standardised values that they take.
      levels: [A] dose level of each action.
      greedy: take the likeliest action's level; else the mean over the policy.

    Returns:
      [N, K] levels.
    """

    def at(value: Array) -> Array:
        changed = states.at[:, np.asarray(features)].set(value)
        log_probs = policy.log_probs(params, changed)
        if greedy:
            return levels[jnp.argmax(log_probs, axis=-1)]
        return jnp.exp(log_probs) @ levels

    return jax.vmap(at)(values).T


def sensitivity(
    key: Array,
    along: np.ndarray,
    values: np.ndarray,
    patients: np.ndarray,
    resamples: int = 1000,
) -> Interval:
    """Mean over states of the rank correlation of swept value and level.

    Args:
      key: consumed.
      along: [N, K] of `levels_along`.
      values: [K] of the sweep.
      patients: [N] whose states they are.
      resamples: of patients.
    """
    each = rank_correlations(values, np.asarray(along))
    sums, counts = _by_patient(each[:, None], patients)
    drawn = _resample(key, counts.size, resamples)
    means = (drawn @ sums)[:, 0] / (drawn @ counts)
    return _interval(float(sums.sum() / counts.sum()), means)


def diversity(
    key: Array, chosen: np.ndarray, patients: np.ndarray, resamples: int = 1000
) -> Diversity:
    """How many actions a policy uses in given states, and how evenly.

    Args:
      key: consumed.
      chosen: [N, A] probability of each action in each state; 0 or 1 for a policy that
        takes its likeliest one.
      patients: [N] whose states they are.
      resamples: of patients.
    """
    sums, counts = _by_patient(chosen, patients)
    drawn = _resample(key, counts.size, resamples)
    resampled = (drawn @ sums) / (drawn @ counts)[:, None]
    shares = sums.sum(axis=0) / counts.sum()
    used, spread = used_and_entropy(shares[None])
    all_used, all_spread = used_and_entropy(resampled)
    return Diversity(
        _interval(float(used[0]), all_used),
        _interval(float(spread[0]), all_spread),
        shares,
    )


def used_and_entropy(
    shares: np.ndarray, rare: float = RARE
) -> tuple[np.ndarray, np.ndarray]:
    """How many actions have a share of at least `rare` [N], and the entropy [N].

    Args:
      shares: [N, A], each row adding up to one.
      rare: smallest share that counts.
    """
    positive = np.where(shares > 0, shares, 1.0)
    return (shares >= rare).sum(axis=1), -(shares * np.log(positive)).sum(axis=1)


def _by_patient(
    values: np.ndarray, patients: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Sums [P, C] and numbers [P] of rows [N, C]."""
    _, group = np.unique(patients, return_inverse=True)
    sums = np.zeros((int(group.max()) + 1, values.shape[1]))
    np.add.at(sums, group, values)
    return sums, np.bincount(group).astype(np.float64)


def _resample(key: Array, patients: int, resamples: int) -> np.ndarray:
    """How often each patient is drawn, [resamples, P]."""
    seed = np.asarray(jax.random.bits(key, (2,)))
    rng = np.random.default_rng(seed.tolist())
    even = np.full(patients, 1.0 / patients)
    return rng.multinomial(patients, even, size=resamples).astype(np.float64)


def _interval(value: float, resampled: np.ndarray, level: float = 0.95) -> Interval:
    low, high = np.quantile(resampled, [(1 - level) / 2, (1 + level) / 2])
    return Interval(value, float(low), float(high))

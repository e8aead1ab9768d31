"""What a policy would have been worth, from stays that others treated.

The value meant everywhere here: the expected discounted sum of rewards over the first
`T` steps of a recorded stay, or over all of it where it is shorter. Where recording
was cut the sum ends too; policies are thus compared over the stays as long as they
were recorded, which is fair as long as their length does not depend on the treatment.

An estimate rests on few patients when the policy departs from the clinicians' choices,
whatever its interval says. Hence the effective number of patients stands beside each
one, and below `LEAST_PATIENTS` it should not be believed.
"""

import dataclasses
import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from omgrl_jax.evaluation import in_model
from omgrl_jax.evaluation.episodes import (
    Episodes,
    Reward,
    count_patients,
    log_of,
    steps_of,
    times_of,
)
from omgrl_jax.learners import fitted_q
from omgrl_jax.models.world import World, WorldParams
from omgrl_jax.ops import estimators
from omgrl_jax.types import Array, Key, Params, Policy

# Below so many effective patients an estimate is marked as doubtful. With 50 equally
# weighted patients the standard error of a mean is a seventh of the spread of returns.
LEAST_PATIENTS = 50.0


@dataclasses.dataclass(frozen=True)
class Config:
    """How a policy is evaluated off-policy.

    Attributes:
      horizon: steps `T` of a stay that count.
      discount: discount factor of a step.
      resamples: bootstrap resamples of patients.
      level: confidence level of the intervals.
    """

    horizon: int = dataclasses.field(default=24, metadata={"min": 1})
    discount: float = dataclasses.field(default=0.99, metadata={"above": 0, "max": 1})
    resamples: int = dataclasses.field(default=1000, metadata={"min": 1})
    level: float = dataclasses.field(default=0.95, metadata={"above": 0, "below": 1})

    @property
    def scale(self) -> float:
        """Largest value of rewards of size one: the sum of the discounts."""
        return float(np.sum(self.discount ** np.arange(self.horizon)))


class Estimate(NamedTuple):
    """An estimate with what tells how far it can be trusted.

    Attributes:
      value: [] the estimate.
      low: [] lower end of the bootstrap interval.
      high: [] upper end.
      ess: [T] effective number of patients behind the summand of each step.
      largest: [T] largest share that one patient has in it.
    """

    value: Array
    low: Array
    high: Array
    ess: Array
    largest: Array


@functools.cache
def softened(policy: Policy, other: Policy, share: float) -> Policy:
    """The policy that follows `policy`, and `other` in a share of its decisions.

    `(1 - share) pi(a|s) + share other(a|s)`. With the behaviour policy as `other` the
    ratios to it cannot fall below `share`, and what is evaluated is a cautious change
    of practice: this is the form to prefer. `uniform` keeps ratios above zero too, but
    gives weight to doses nobody gives. The estimates are those of the softened policy,
    not of `policy`.

    Args:
      policy: the policy.
      other: what it is mixed with.
      share: share of `other`, in (0, 1).

    Returns:
      A policy whose parameters are the pair of both; the same object for the same
      arguments, so that functions of it are compiled once.

    Raises:
      ValueError: on a share outside of (0, 1).
    """
    if not 0.0 < share < 1.0:
        raise ValueError(f"share={share}: must lie between 0 and 1")

    def log_probs(params: tuple[Params, Params], states: Array) -> Array:
        return jnp.logaddexp(
            np.float32(np.log1p(-share)) + policy.log_probs(params[0], states),
            np.float32(np.log(share)) + other.log_probs(params[1], states),
        )

    return Policy(log_probs)


def uniform(num_actions: int) -> Policy:
    """Every action alike; takes no parameters (pass None)."""

    def log_probs(params: Params, states: Array) -> Array:
        del params
        return jnp.full((*states.shape[:-1], num_actions), -np.log(num_actions))

    return Policy(log_probs)


@functools.partial(jax.jit, static_argnums=(1, 4))
def estimate(
    key: Key, config: Config, log: estimators.Log, patients: Array, num_patients: int
) -> dict[str, Estimate]:
    """Every estimator with its bootstrap interval over patients.

    The intervals hold the ratios and Q fixed: what their own fit may have got wrong is
    not in them.

    Args:
      key: consumed.
      config: settings.
      log: [N, T] stays.
      patients: [N] patient of each stay.
      num_patients: `P`.

    Returns:
      Name of `ops.estimators.ESTIMATORS` -> estimate.
    """
    ones = jnp.ones(patients.shape)
    values = estimators.estimate(log, ones, config.discount)
    counts = estimators.group_counts(key, patients, num_patients, config.resamples)
    resampled = estimators.bootstrap(log, counts, config.discount)
    products = estimators.log_products(estimators.cut(log))
    weights = estimators.normalised_weights(products, ones)
    by_patient = estimators.group_weights(weights, patients, num_patients)
    # One sort for all of them: it is what takes long to compile.
    low, high = jax.vmap(estimators.percentile_interval, in_axes=(0, None))(
        jnp.stack([resampled[name] for name in estimators.ESTIMATORS]), config.level
    )
    found = {}
    for k, (name, estimator) in enumerate(estimators.ESTIMATORS.items()):
        used = estimator.reach(by_patient)[:, 1:]
        found[name] = Estimate(
            value=jnp.sum(values[name]),
            low=low[k],
            high=high[k],
            ess=estimators.effective_size(used),
            largest=jnp.max(used, axis=0),
        )
    return found


@functools.partial(jax.jit, static_argnums=(1, 2))
def fitted_values(
    key: Key,
    config: Config,
    fit: fitted_q.Config,
    fitting: Episodes,
    log_probs: Array,
    judged: Episodes,
) -> Array:
    """Q of a policy by fitted Q evaluation on some stays, in the states of others.

    Args:
      key: consumed.
      config: horizon and discount.
      fit: how Q is fitted.
      fitting: [M, T] stays to learn from.
      log_probs: [M, T + 1, A] of the policy in their states.
      judged: [N, T] stays.

    Returns:
      [N, T, A] action values in the states of `judged`.
    """
    shape = (fitting.states.shape[-1], log_probs.shape[-1])
    q = fitted_q.make(fit.hidden, *shape, scale=config.scale)
    params = fitted_q.fit(key, fit, q, steps_of(fitting, log_probs, config.discount))
    return q.values(params, judged.states[:, :-1], times_of(judged)[:, :-1])


def evaluate(
    key: Key,
    config: Config,
    fit: fitted_q.Config,
    fitting: Episodes,
    judged: Episodes,
    policy: tuple[Policy, Params],
    behaviour: tuple[Policy, Params],
) -> dict[str, Estimate]:
    """Fits Q of the policy on some stays and estimates its value on others.

    Args:
      key: consumed.
      config: settings.
      fit: how Q is fitted.
      fitting: stays of other patients, those that the behaviour policy was fitted on.
      judged: held-out stays.
      policy: the evaluated policy and its parameters, softened by the caller.
      behaviour: the fitted (and calibrated) behaviour policy and its parameters.

    Returns:
      Name -> estimate. Ask `doubtful` before believing one.
    """
    fit_key, bootstrap_key = jax.random.split(key)

    def log_probs(which: tuple[Policy, Params], states: Array) -> Array:
        return which[0].log_probs(which[1], states)

    log_pi = log_probs(policy, fitting.states)
    q = fitted_values(fit_key, config, fit, fitting, log_pi, judged)
    states = judged.states[:, :-1]
    log = log_of(judged, log_probs(policy, states), log_probs(behaviour, states), q)
    count = count_patients(judged)
    return estimate(bootstrap_key, config, log, judged.patients, count)


def doubtful(estimate: Estimate) -> bool:
    """Whether any step rests on fewer than `LEAST_PATIENTS`, or nothing is defined."""
    return few(float(jnp.min(estimate.ess)))


def few(effective: float) -> bool:
    """Whether so many effective patients are too few to be believed; NaN is."""
    return not effective >= LEAST_PATIENTS


def model_value(
    key: Key,
    config: Config,
    world: tuple[World, WorldParams],
    policy: tuple[Policy, Params],
    reward: Reward,
    judged: Episodes,
) -> Estimate:
    """The value that a world model believes in: rollouts from the recorded starts.

    Each stay is rolled out once, its rewards count for as many steps as were recorded,
    and they are discounted as in the other estimates. The interval is over patients
    alone: an error of the model is not in it, and a policy can live on such errors.

    Args:
      key: consumed.
      config: settings.
      world: the model and its parameters.
      policy: the evaluated policy and its parameters.
      reward: of transitions [...].
      judged: [N, T] stays to start from.

    Returns:
      The estimate.
    """
    rollout_key, bootstrap_key = jax.random.split(key)
    horizon = judged.alive.shape[1]
    courses = in_model.policy_courses(
        *world, *policy, rollout_key, judged.states[:, 0], horizon
    )
    returns = jnp.where(judged.alive, reward(courses).T, 0.0)
    # As the value of a first state that nothing corrects: the direct method.
    zeros = jnp.zeros_like(returns)
    value = returns @ (config.discount ** jnp.arange(horizon, dtype=jnp.float32))
    log = estimators.Log(returns, zeros, judged.alive, zeros, zeros.at[:, 0].set(value))
    count = count_patients(judged)
    return estimate(bootstrap_key, config, log, judged.patients, count)["fqe"]

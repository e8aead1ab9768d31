"""Held-out draws: each foretold from the same stay's earlier draws."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from experiments.personal_dosing import people
from experiments.personal_dosing.fitting import Ready
from experiments.task import Task
from omgrl_jax.data.draws import Draws
from omgrl_jax.data.scales import Scales
from omgrl_jax.models import outcome as outcome_lib
from omgrl_jax.models.forecaster import PersonalParams
from omgrl_jax.models.outcome import Outcomes
from omgrl_jax.models.personal_outcome import PersonalOutcome
from omgrl_jax.ops.belief import Belief
from omgrl_jax.types import Array, Params

# By how many draws of the stay came before, without the one at its start.
BANDS = {"0": (0, 0), "1 to 2": (1, 2), "3 to 5": (3, 5), "6 or more": (6, 10**6)}
LATER, ANY = "3 or more", "any"
_BANDS = {**BANDS, LATER: (3, 10**6), ANY: (0, 10**6)}
_WIDE = 1.645  # standard deviations that hold nine of ten values


@functools.partial(jax.jit, static_argnums=(0, 1))
def personal(
    model: PersonalOutcome,
    own: bool,
    scales: Scales,
    params: PersonalParams,
    draws: Draws,
) -> tuple[Array, Array]:
    """Mean and variance of every draw [M, N, D], of measurements.

    Args:
      model: the functions.
      own: whether factors follow the earlier draws, or stay the average; the doubt
        about them follows in both cases (`forecaster.average`).
      scales: the training scales.
      params: members, leaves [M, ...].
      draws: leaves [N, D, ...].
    """

    def one(shared: Params, prior: Belief, stay: Draws) -> tuple[Array, Array]:
        before, _ = model.follow(scales, shared, prior, stay)
        if not own:
            alike = jnp.broadcast_to(prior.mean, before.mean.shape)
            before = Belief(alike, before.covariance)
        return model.foretell(scales, shared, before, stay)

    each = jax.vmap(one, (None, None, 0))
    return jax.vmap(each, (0, 0, None))(params.shared, params.prior, draws)


@functools.partial(jax.jit, static_argnums=0)
def population(
    outcomes: Outcomes, scales: Scales, params: Params, draws: Draws
) -> tuple[Array, Array]:
    """The same of a model that knows a patient by the state alone."""

    def one(
        member: Params, state: Array, action: Array, amount: Array
    ) -> tuple[Array, Array]:
        said = outcomes.predict(scales, member, state, action, amount)
        return said.mean[0], jnp.exp(said.log_var[0])

    for _ in range(2):  # draws of a stay, stays
        one = jax.vmap(one, (None, 0, 0, 0))
    every = jax.vmap(one, (0, None, None, None))
    return every(params, draws.state, draws.action, draws.amount)


def last_values(task: Task, states: Array) -> np.ndarray:
    """The last measurement that states [..., S] tell, standardised, [...]."""
    places = outcome_lib.last_value_index(task.space)
    last = functools.partial(outcome_lib.last_values, task.scales, places)
    found = jax.jit(jax.vmap(last))(states.reshape(-1, states.shape[-1]))
    return np.asarray(found[:, 0]).reshape(states.shape[:-1])


def rows(ready: Ready, model: str, params: Params) -> list[dict[str, Any]]:
    """Errors of log aPTT on the draws of test stays, by draws that came before.

    Args:
      ready: of `fitting.prepare`.
      model: a model, with "_average" behind it for the average factors, or
        "persistence", whose `params` do not matter.
      params: its parameters.

    Returns:
      Rows with `band`, `rmse` (of logs; beyond the laboratory's limit, where a draw is
      a lower bound, an estimate above it is no error) and `inside`, the share of the
      other draws in their interval of 90 %. Bands of fewer than eleven patients are
      left out.
    """
    draws, scales = ready.draws["test"], ready.task.scales
    variance = None
    if model == "persistence":
        mean = last_values(ready.task, draws.state)
    else:
        if model == "population":
            found = population(ready.population, scales, params, draws)
        else:
            own = not model.endswith("_average")
            found = personal(ready.personal, own, scales, params, draws)
        means, variances = map(np.asarray, found)
        mean = means.mean(axis=0)
        variance = variances.mean(axis=0) + means.var(axis=0)
    patients = people.of_stays(ready.task, "test")
    return _by_band(draws, patients, mean, variance, float(scales.channel.std[0]))


def _by_band(
    draws: Draws,
    patients: np.ndarray,
    mean: np.ndarray,
    variance: np.ndarray | None,
    unit: float,
) -> list[dict[str, Any]]:
    value, censored = np.asarray(draws.value), np.asarray(draws.censored)
    there = np.asarray(draws.there)
    error = np.where(censored, np.minimum(mean - value, 0.0), mean - value)
    before = np.broadcast_to(np.arange(value.shape[1]), value.shape)
    found = []
    for band, (low, high) in _BANDS.items():
        chosen = there & (before >= low) & (before <= high)
        if people.too_few(patients[chosen.any(axis=1)]):
            continue
        row = {"band": band, "rmse": unit * float(np.sqrt(np.mean(error[chosen] ** 2)))}
        if variance is not None:
            inside = np.abs(error) <= _WIDE * np.sqrt(variance)
            if exact := inside[chosen & ~censored].tolist():
                row["inside"] = float(np.mean(exact))
        found.append(row)
    return found

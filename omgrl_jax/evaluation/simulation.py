"""Policies in the true simulator: new virtual patients, by one definition for all.

A learned policy sees what a recorder knows: the observed features and the tracked ones,
computed by the same rules as in the dataset, on the training scales.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from omgrl_jax.data import tracking
from omgrl_jax.data.scales import Scales
from omgrl_jax.data.space import Space
from omgrl_jax.envs import heparin, stays
from omgrl_jax.ops import clinical
from omgrl_jax.types import Array, Key, Params

LogProbs = Callable[[Params, Array], Array]


class Observer(NamedTuple):
    """What the recorder carries from hour to hour.

    Attributes:
      tracked: [K] raw tracked features at the last hour.
      amount: [] dose given since.
      first: [] bool, nothing was given yet.
    """

    tracked: Array
    amount: Array
    first: Array


def start_observer(space: Space, seen: heparin.Observation) -> Observer:
    """The recorder before the first dose of a patient."""
    tracked = tracking.start(
        space.tracked, space.channels, seen.channel_value, seen.channel_age
    )
    return Observer(tracked, jnp.float32(0.0), jnp.bool_(True))


def observe(
    space: Space, scales: Scales, observer: Observer, seen: heparin.Observation
) -> tuple[Array, Array]:
    """The standardised state [S] of an hour, and its raw tracked features [K]."""
    moved = tracking.advance(
        space.tracked,
        space.channels,
        observer.tracked,
        observer.amount,
        seen.channel_value,
        seen.channel_measured,
    )
    tracked = jnp.where(observer.first, observer.tracked, moved)
    features = seen.features[jnp.array(space.stored, int)]
    return scales.state.apply(jnp.concatenate([features, tracked])), tracked


def recorded_states(
    space: Space, scales: Scales, seen: heparin.Observation, amounts: Array
) -> Array:
    """The states of one stay as a dataset holds them.

    Args:
      space: the task.
      scales: the training scales.
      seen: observations, leaves [H + 1, ...].
      amounts: [H] doses given.

    Returns:
      [H + 1, S] standardised states.
    """

    def hour(
        observer: Observer, now: tuple[heparin.Observation, Array]
    ) -> tuple[Observer, Array]:
        observed, amount = now
        state, tracked = observe(space, scales, observer, observed)
        return Observer(tracked, amount, jnp.bool_(False)), state

    start = start_observer(space, jax.tree.map(lambda x: x[0], seen))
    # The dose after the last observation does not matter: the scan ends there.
    return jax.lax.scan(hour, start, (seen, jnp.pad(amounts, (0, 1))))[1]


def learned_policy(
    space: Space,
    scales: Scales,
    log_probs: LogProbs,
    params: Params,
    greedy: Array | bool = False,
) -> stays.Policy:
    """A policy over dose bins as a way of dosing virtual patients.

    Args:
      space: the task.
      scales: the training scales, with the dose of each bin.
      log_probs: `(params, state [S]) -> [A]`.
      params: its parameters.
      greedy: [] bool, take the likeliest action instead of drawing one; may be traced,
        so that both ways share a compilation.

    Returns:
      The policy; bins are given as infusions of their representative dose.
    """

    def reset(key: Key, seen: heparin.Observation) -> Observer:
        del key
        return start_observer(space, seen)

    def act(
        observer: Observer, key: Key, seen: heparin.Observation, patient: Any
    ) -> tuple[Observer, stays.Order]:
        del patient
        state, tracked = observe(space, scales, observer, seen)
        scores = log_probs(params, state)
        drawn = jax.random.categorical(key, scores)
        action = jnp.where(greedy, jnp.argmax(scores), drawn)
        dose = scales.amounts[action]
        order = stays.Order(infusion=dose, bolus=jnp.zeros_like(dose))
        return Observer(tracked, dose, jnp.bool_(False)), order

    return stays.Policy(reset, act)


def dose_bins(edges: Array, doses: Array) -> Array:
    """Bins [...] of doses [...]: bin a holds `edges[a - 1] < dose <= edges[a]`."""
    return jnp.searchsorted(edges, doses, side="left").astype(jnp.int32)


def extreme(treated: stays.Stays, edges: Array, high: float) -> Array:
    """Share of hours with the highest dose although the last value was too high, [N].

    What no protocol asks for, whatever becomes of it.

    Args:
      treated: stays of N patients.
      edges: [A - 1] upper edges of the dose bins.
      high: upper end of the therapeutic range.
    """
    known = treated.observations.channel_value[:, :-1, 0]
    top = dose_bins(edges, treated.orders.total) == edges.shape[0]
    return jnp.mean((top & (known > high)).astype(known.dtype), axis=1)


def binned(policy: stays.Policy, edges: Array, amounts: Array) -> stays.Policy:
    """A policy whose hourly doses are replaced by those of their bins."""

    def act(state: Any, key: Key, seen: Any, patient: Any) -> tuple[Any, stays.Order]:
        state, order = policy.act(state, key, seen, patient)
        dose = amounts[dose_bins(edges, order.total)]
        return state, stays.Order(infusion=dose, bolus=jnp.zeros_like(dose))

    return stays.Policy(policy.reset, act)


def oracle(
    config: heparin.PatientDistribution, amounts: Array, low: float, high: float
) -> stays.Policy:
    """Plans a few hours ahead with the true patient: a reference, not a method."""

    def reset(key: Key, seen: heparin.Observation) -> tuple:
        del key, seen
        return ()

    def act(state: tuple, key: Key, seen: Any, patient: Any) -> tuple:
        del key, seen
        reward = functools.partial(clinical.range_reward, low=low, high=high)
        best = heparin.oracle_dose(config, patient, amounts, reward)
        dose = amounts[best]
        return state, stays.Order(infusion=dose, bolus=jnp.zeros_like(dose))

    return stays.Policy(reset, act)


def outcomes(treated: stays.Stays, low: float, high: float) -> dict[str, Array]:
    """Scores the true aPTT of every stay.

    Args:
      treated: stays of N patients.
      low: lower end of the therapeutic range.
      high: upper end.

    Returns:
      `ops.clinical.treatment_outcomes`, [N] each.
    """
    each = functools.partial(clinical.treatment_outcomes, low=low, high=high)
    return jax.vmap(each)(treated.truth.aptt)

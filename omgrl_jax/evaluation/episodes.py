"""Recorded stays from their start, padded: what off-policy evaluation works on."""

import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from omgrl_jax.data import records as records_lib
from omgrl_jax.data.records import Records
from omgrl_jax.data.scales import Scales
from omgrl_jax.data.space import Space
from omgrl_jax.learners import fitted_q
from omgrl_jax.learners.actor import log_prob_of
from omgrl_jax.ops import clinical, estimators
from omgrl_jax.types import Array, Transition

Reward = Callable[[Transition], Array]


class Episodes(NamedTuple):
    """Stays from their start, padded to `T` steps.

    Attributes:
      states: [N, T + 1, S] standardised; after the end the last one is repeated.
      actions: [N, T] int32.
      rewards: [N, T].
      alive: [N, T] bool, False after the end of the recording.
      patients: [N] int32, 0..P-1: stays of one patient share a number.
    """

    states: Array
    actions: Array
    rewards: Array
    alive: Array
    patients: Array


def reported_reward(space: Space, scales: Scales) -> Reward:
    """r_p of the value last REPORTED when a step ends, read from the next state.

    Recorded steps and rollouts in a model are scored by the same definition, and the
    estimates contain no model of the outcome. (The other choice is the reward of
    `learners.known_reward` on records whose outcomes a model has replaced.)

    Args:
      space: the task; its state must hold the last value of the rewarded channel.
      scales: its standardisation.

    Returns:
      `reward(transitions [...]) -> [...]`.

    Raises:
      ValueError: if there is no target range, or the state lacks the last value.
    """
    if space.target is None:
        raise ValueError("schema.json: reward.kind must be 'range' for a reported r_p")
    channel, low, high = space.target
    for k, item in enumerate(space.tracked):
        if item.rule == "last" and item.channel == space.channels[channel]:
            column = space.num_stored + k
            break
    else:
        raise ValueError(
            f"the state does not hold the last value of '{space.channels[channel]}'; "
            "use --state=full or --state=history"
        )

    def reward(transitions: Transition) -> Array:
        raw = scales.state.invert(transitions.next_state)[..., column]
        return clinical.range_reward(raw, low, high)

    return reward


def episodes_of(
    records: Records,
    reward: Reward,
    horizon: int,
    patients: np.ndarray | None = None,
) -> Episodes:
    """The stays of one split as padded arrays.

    Args:
      records: the split.
      reward: of transitions [...]; unscored padding may hold anything finite.
      horizon: `T`; what follows in longer stays is left out.
      patients: [stays] group number of each stay of the split; None where each stay is
        a patient of its own.

    Returns:
      The episodes.

    Raises:
      ValueError: if the group numbers are not one for each stay.
    """
    stay = np.asarray(records.stay)
    first = np.flatnonzero(np.diff(stay, prepend=-1))
    length = np.diff(np.append(first, stay.size)) - 1
    if patients is None:
        patients = np.arange(first.size)
    if np.shape(patients) != first.shape:
        raise ValueError(
            f"patients has shape {np.shape(patients)}; the split has {first.size} stays"
        )
    step = np.arange(horizon)
    seen = first[:, None] + np.minimum(np.arange(horizon + 1), length[:, None])
    # A transition must stay within its stay also where it is padding.
    left = first[:, None] + np.minimum(step, length[:, None] - 1)
    transitions = records_lib.transition_at(records, jnp.asarray(left, jnp.int32))
    return Episodes(
        states=records.states[jnp.asarray(seen)],
        actions=transitions.action,
        rewards=reward(transitions),
        alive=jnp.asarray(step < length[:, None]),
        patients=jnp.asarray(np.unique(patients, return_inverse=True)[1], jnp.int32),
    )


def count_patients(episodes: Episodes) -> int:
    """Number of patients `P`; needs concrete arrays."""
    return int(np.max(np.asarray(episodes.patients))) + 1


def times_of(episodes: Episodes) -> Array:
    """Hour of the stay over the horizon, [N, T + 1] in [0, 1]."""
    count, horizon = episodes.alive.shape
    times = jnp.arange(horizon + 1, dtype=jnp.float32) / horizon
    return jnp.broadcast_to(times, (count, horizon + 1))


def steps_of(episodes: Episodes, log_probs: Array, discount: float) -> fitted_q.Steps:
    """The recorded steps, one after the other, for fitted Q evaluation.

    Args:
      episodes: [N, T] stays.
      log_probs: [N, T + 1, A] of the evaluated policy in their states.
      discount: discount factor of a step.

    Returns:
      Steps of M = N T, padding included.
    """
    count, horizon = episodes.alive.shape
    times = times_of(episodes)
    follows = jnp.pad(episodes.alive[:, 1:], ((0, 0), (0, 1)))
    steps = fitted_q.Steps(
        state=episodes.states[:, :-1],
        time=times[:, :-1],
        action=episodes.actions,
        reward=episodes.rewards,
        next_state=episodes.states[:, 1:],
        next_time=times[:, 1:],
        next_log_probs=log_probs[:, 1:],
        continues=discount * follows.astype(jnp.float32),
        alive=episodes.alive,
    )
    return jax.tree.map(lambda x: x.reshape(count * horizon, *x.shape[2:]), steps)


def log_of(
    episodes: Episodes, log_pi: Array, log_mu: Array, q: Array
) -> estimators.Log:
    """What the estimators need of recorded stays.

    Args:
      episodes: [N, T] stays.
      log_pi: [N, T, A] of the evaluated policy.
      log_mu: [N, T, A] of the behaviour policy.
      q: [N, T, A] action values of the evaluated policy.

    Returns:
      The log.
    """
    taken = functools.partial(log_prob_of, actions=episodes.actions)
    return estimators.Log(
        rewards=episodes.rewards,
        log_ratios=taken(log_pi) - taken(log_mu),
        alive=episodes.alive,
        q=taken(q),
        v=fitted_q.expected(log_pi, q),
    )

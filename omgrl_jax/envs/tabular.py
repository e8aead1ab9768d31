"""Decision processes with finitely many states and actions, their dynamics known.

Everything here is numpy in float64: exact values need more digits than JAX's usual
float32 keeps. `S` states, `A` actions.
"""

from typing import NamedTuple

import numpy as np

from omgrl_jax.types import Array


class Process(NamedTuple):
    """A tabular decision process.

    Attributes:
      transitions: [S, A, S] probabilities of the next state; all zero in a state in
        which an episode is over.
      rewards: [S, A, S] reward of each step; axes on which it does not depend may have
        length one.
      start: [S] probabilities of the first state.
    """

    transitions: np.ndarray
    rewards: np.ndarray
    start: np.ndarray

    @property
    def running(self) -> np.ndarray:
        """[S] bool, False in states in which an episode is over."""
        return np.any(self.transitions[:, 0] > 0, axis=-1)


class Episodes(NamedTuple):
    """Simulated episodes, filled up to the longest with what is to be ignored.

    Attributes:
      states: [N, T + 1] states visited, the last one included.
      actions: [N, T] actions taken.
      rewards: [N, T] rewards, zero after the end.
      lengths: [N] steps taken.
      ended: [N] bool, whether the episode came to its end, and was not cut.
    """

    states: np.ndarray
    actions: np.ndarray
    rewards: np.ndarray
    lengths: np.ndarray
    ended: np.ndarray


def make(
    transitions: np.ndarray,
    rewards: np.ndarray,
    start: np.ndarray,
    terminal: np.ndarray | list[int] | tuple[int, ...] = (),
) -> Process:
    """Builds a process from its tables.

    Args:
      transitions: [S, A, S] probabilities; rows of terminal states are ignored.
      rewards: anything that broadcasts to [S, A, S].
      start: [S] probabilities.
      terminal: states in which an episode is over.

    Returns:
      The process.

    Raises:
      ValueError: if shapes disagree or probabilities do not sum to one.
    """
    transitions = np.array(transitions, np.float64)
    rewards, start = np.asarray(rewards, np.float64), np.asarray(start, np.float64)
    states = start.size
    if transitions.ndim != 3 or transitions.shape[::2] != (states, states):
        raise ValueError(f"transitions {transitions.shape} for {states} start states")
    np.broadcast_to(rewards, transitions.shape)  # raises where it cannot
    transitions[np.asarray(terminal, int)] = 0.0
    running = np.setdiff1d(np.arange(states), terminal)
    sums = np.append(transitions[running].sum(axis=-1), start.sum())
    lowest = min(transitions.min(), start.min())
    if lowest < 0 or not np.allclose(sums, 1.0, rtol=0, atol=1e-9):
        raise ValueError("transitions and start must be probabilities that sum to one")
    shape = (1,) * (3 - rewards.ndim) + rewards.shape
    return Process(transitions, rewards.reshape(shape), start)


def simulate(
    process: Process,
    policy: np.ndarray | Array,
    rng: np.random.Generator,
    episodes: int,
    max_steps: int,
) -> Episodes:
    """Plays episodes, all of them side by side.

    Args:
      process: the process.
      policy: [S, A] probabilities of the actions; rows of states in which episodes are
        over are not read.
      rng: the source of all that is drawn.
      episodes: their number `N`.
      max_steps: episodes that still run then are cut.

    Returns:
      The episodes, `T` the length of the longest.
    """
    policy = np.asarray(policy, np.float64)
    rewards = np.broadcast_to(process.rewards, process.transitions.shape)
    states = np.zeros((episodes, max_steps + 1), np.int32)
    actions = np.zeros((episodes, max_steps), np.int32)
    earned = np.zeros((episodes, max_steps))
    lengths = np.zeros(episodes, np.int32)
    states[:, 0] = _draw(rng, np.tile(process.start, (episodes, 1)))
    for t in range(max_steps):
        here = np.flatnonzero((lengths == t) & process.running[states[:, t]])
        if here.size == 0:
            break
        s = states[here, t]
        a = _draw(rng, policy[s])
        following = _draw(rng, process.transitions[s, a])
        states[here, t + 1], actions[here, t] = following, a
        earned[here, t] = rewards[s, a, following]
        lengths[here] = t + 1
    last = states[np.arange(episodes), lengths]
    longest = int(lengths.max())
    return Episodes(
        states=states[:, : longest + 1],
        actions=actions[:, :longest],
        rewards=earned[:, :longest],
        lengths=lengths,
        ended=~process.running[last],
    )


def _draw(rng: np.random.Generator, probabilities: np.ndarray) -> np.ndarray:
    """One index for each row of probabilities [N, K]."""
    cumulative = np.cumsum(probabilities, axis=1)
    # Rounding may leave the last sum below one: scaled, no index falls behind it.
    level = rng.random((probabilities.shape[0], 1)) * cumulative[:, -1:]
    return np.sum(cumulative <= level, axis=1)

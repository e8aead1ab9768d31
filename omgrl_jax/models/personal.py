"""The personal simulator of one agent as a `Dynamics`: members of `low_rank`, averaged.

What the networks see and say is standardised twice: states by their own scale, changes
by theirs, since a step changes some features by a thousandth of their range.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from omgrl_jax.models.low_rank import Factors, LowRank, Personal
from omgrl_jax.types import Array, Dynamics, Key, Params, Spread, Step


class Changes(NamedTuple):
    """Scale of the changes of standardised states in one step.

    Attributes:
      mean: [S].
      deviation: [S], above zero.
    """

    mean: Array
    deviation: Array


class Simulator(NamedTuple):
    """One agent's simulators: the parameters of its `Dynamics`.

    Attributes:
      members: leaves [E, ...].
      changes: scale of their answers.
    """

    members: Personal
    changes: Changes


def fit_changes(change: Array) -> Changes:
    """The scale of changes [M, S]; features whose change is constant keep it."""
    deviation, largest = jnp.std(change, axis=0), jnp.max(jnp.abs(change), axis=0)
    # A constant has a deviation of some units in its last place.
    still = deviation <= 1e-5 * largest
    return Changes(jnp.mean(change, axis=0), jnp.where(still, 1.0, deviation))


def of_agent(
    model: LowRank, factors: Factors, changes: Changes, agent: Array | int
) -> Simulator:
    """The simulator of an agent who was there when the factors were fitted.

    Args:
      model: the functions.
      factors: fitted members, leaves [E, ...].
      changes: scale of the changes they were fitted to.
      agent: [] number of the agent; vmap for many.

    Returns:
      Its simulator.
    """
    members = jax.vmap(model.fold)(factors.shared, factors.agents[:, agent])
    return Simulator(members, changes)


def dynamics(model: LowRank) -> Dynamics:
    """The `Dynamics` whose parameters are a `Simulator`; its outcomes are empty.

    Args:
      model: the functions, with discrete actions.

    Returns:
      `sample` answers with one member for each row, `mean` with the mean of all;
      `spread` knows of disagreement only, since members predict no noise.
    """

    def every(simulator: Simulator, states: Array, actions: Array) -> Array:
        change = jax.vmap(model.personal_change, in_axes=(0, None, None))
        scale = simulator.changes
        found = change(simulator.members, states, actions)  # [E, B, S]
        return (
            states[None] + scale.mean[None, None] + scale.deviation[None, None] * found
        )

    def mean(
        params: Params, states: Array, actions: Array, amounts: Array | None = None
    ) -> Step:
        del amounts
        return _step(jnp.mean(every(params, states, actions), axis=0))

    def sample(params: Params, key: Key, states: Array, actions: Array) -> Step:
        following = every(params, states, actions)
        count = following.shape[0]
        member = jax.random.randint(key, actions.shape, 0, count)
        return _step(following[member, jnp.arange(actions.size)])

    def spread(params: Params, states: Array, actions: Array) -> Spread:
        following = every(params, states, actions)
        apart = following[:, None] - following[None]
        distance = jnp.linalg.norm(apart, axis=-1)
        return Spread(jnp.zeros(actions.shape), jnp.max(distance, axis=(0, 1)))

    return Dynamics(sample, mean, spread)


def _step(states: Array) -> Step:
    return Step(states, jnp.zeros((states.shape[0], 0)))

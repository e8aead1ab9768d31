"""Pessimism in a learned world: rollouts are marked where the model may be wrong.

A method marks each rolled-out step by `Transition.uncertainty` before it is kept, and
turns the reward of a transition into the one that the agent is given for it. Recorded
steps did happen: their uncertainty is zero and their reward stays what it was.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from omgrl_jax.learners.dyna import Data
from omgrl_jax.learners.soft_actor_critic import RewardFunction
from omgrl_jax.types import Array, Dynamics, Metrics, Params, Spread, Transition


class Pessimism(NamedTuple):
    """How a method distrusts the world.

    Attributes:
      measure: `(data) -> measured`, arrays taken from the records once, before the
        first epoch; None where nothing is needed.
      mark: `(measured, data, rollouts [H, B, ...]) -> (rollouts, metrics)`: the same
        number of rows with `uncertainty` and `discount` as the method wants them.
      given: `(reward) -> reward function`: what the agent is given for transitions
        whose reward would be `reward(transitions)`.
    """

    measure: Callable[[Data], Any]
    mark: Callable[[Any, Data, Transition], tuple[Transition, Metrics]]
    given: Callable[[RewardFunction], RewardFunction]


def nothing(data: Data) -> None:
    """For methods that measure nothing on the records."""
    del data


def none() -> Pessimism:
    """Takes the world at its word: rollouts and rewards stay as they are."""

    def mark(
        measured: None, data: Data, rollouts: Transition
    ) -> tuple[Transition, Metrics]:
        del measured, data
        return rollouts, {}

    return Pessimism(nothing, mark, lambda reward: reward)


def penalty(
    spread: Callable[[Params, Transition], Spread], of: str, weight: float
) -> Pessimism:
    """Takes `weight * u(s, a)` off the reward of every rolled-out step.

    Args:
      spread: as `make_spread` gives it.
      of: which uncertainty u, a field of `Spread`.
      weight: reward lost for one standardised unit of u.

    Returns:
      The pessimism; it logs the mean of u as `rollout/uncertainty`.
    """

    def mark(
        measured: None, data: Data, rollouts: Transition
    ) -> tuple[Transition, Metrics]:
        del measured
        uncertainty = getattr(spread(data.world, rollouts), of)
        metrics = {"rollout/uncertainty": jnp.mean(uncertainty)}
        return rollouts._replace(uncertainty=uncertainty), metrics

    def given(reward: RewardFunction) -> RewardFunction:
        def lowered(transitions: Transition) -> Array:
            return reward(transitions) - weight * transitions.uncertainty

        return lowered

    return Pessimism(nothing, mark, given)


def make_spread(dynamics: Dynamics) -> Callable[[Params, Transition], Spread]:
    """The world's spread as a function of transitions.

    Args:
      dynamics: the world.

    Returns:
      `spread(params, transitions [...]) -> Spread` with leaves [...].

    Raises:
      ValueError: if the world cannot tell how little it knows.
    """
    of_states = dynamics.spread
    if of_states is None:
        raise ValueError(
            "this method needs a world model that gives its spread (Dynamics.spread), "
            "such as the ensemble of models/world.py"
        )

    def spread(params: Params, transitions: Transition) -> Spread:
        axes, count = transitions.action.shape, transitions.action.size
        states = transitions.state.reshape((count, transitions.state.shape[-1]))
        found = of_states(params, states, transitions.action.reshape(count))
        return jax.tree.map(lambda x: x.reshape(axes), found)

    return spread

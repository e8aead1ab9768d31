"""Worlds in which policies are learned: what a model says, ended by the task's rules.

A model of the change of states knows neither rewards nor when an episode is over; both
are rules of the task that everyone may know. Where an episode is over nothing moves
any more and nothing is earned, so that rollouts need no end of their own.

The same arguments give the same functions, so that what learns in them is compiled
once for all seeds.
"""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from omgrl_jax.data.records import Scales
from omgrl_jax.envs.control import Control
from omgrl_jax.models import personal
from omgrl_jax.models.personal import Simulator
from omgrl_jax.types import Array, Dynamics, Key, Spread, Step


class PersonalWorld(NamedTuple):
    """Parameters of the world of one agent.

    Attributes:
      simulator: the agent's.
      scales: of states and rewards.
    """

    simulator: Simulator
    scales: Scales


@functools.cache
def of_one(task: Control) -> Dynamics:
    """The world of one agent, of parameters `PersonalWorld`.

    Args:
      task: what the agent lives in.
    """
    inner = personal.dynamics()

    def sample(params: PersonalWorld, key: Key, states: Array, actions: Array) -> Step:
        return inner.sample(params.simulator, key, states, actions)

    def mean(params: PersonalWorld, *given: Any) -> Step:
        return inner.mean(params.simulator, *given)

    def spread(params: PersonalWorld, states: Array, actions: Array) -> Spread:
        assert inner.spread is not None
        return inner.spread(params.simulator, states, actions)

    return ruled(Dynamics(sample, mean, spread), task)


@functools.cache
def ruled(dynamics: Dynamics, task: Control) -> Dynamics:
    """The same dynamics with the task's rewards and ends.

    Args:
      dynamics: a model of standardised states, whose parameters have `scales`.
      task: the task.

    Returns:
      Dynamics whose only outcome is the standardised reward.
    """

    def live(params: Any, states: Array, actions: Array, step: Step) -> Step:
        scale = params.scales.state
        raw, following = scale.invert(states), scale.invert(step.state)
        over = jax.vmap(task.done)(raw)
        earned = jax.vmap(task.reward)(raw, actions, following)
        reward = jnp.where(over, 0.0, earned)[:, None]
        outcome = params.scales.channel.apply(reward)
        return Step(jnp.where(over[:, None], states, step.state), outcome)

    def sample(params: Any, key: Key, states: Array, actions: Array) -> Step:
        step = dynamics.sample(params, key, states, actions)
        return live(params, states, actions, step)

    def mean(
        params: Any, states: Array, actions: Array, amounts: Array | None = None
    ) -> Step:
        step = dynamics.mean(params, states, actions, amounts)
        return live(params, states, actions, step)

    return Dynamics(sample, mean, dynamics.spread)

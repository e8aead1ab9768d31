"""Worlds in which policies are learned: what a model says, ended by the task's rules.

A model of the change of states knows neither rewards nor when an episode is over; both
are rules of the task that everyone may know. Where an episode is over nothing moves
any more, nothing is earned and nothing is uncertain.

The same arguments give the same functions, so that what learns in them is compiled
once for all seeds.
"""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from omgrl_jax.data.scales import Scales
from omgrl_jax.envs.control import Control
from omgrl_jax.models import personal
from omgrl_jax.models.personal import Simulator
from omgrl_jax.types import Array, Dynamics, Key, Spread, Step


class PersonalWorld(NamedTuple):
    """Parameters of the world of one agent.

    Attributes:
      simulator: the agent's.
      scales: of states and rewards.
      low: [S] lower limits of standardised states.
      high: [S] upper limits; beyond them the simulator only guesses.
    """

    simulator: Simulator
    scales: Scales
    low: Array
    high: Array


@functools.cache
def of_one(task: Control) -> Dynamics:
    """The world of one agent, of parameters `PersonalWorld`.

    Args:
      task: what the agent lives in.
    """
    inner = personal.dynamics()

    def within(params: PersonalWorld, states: Array, step: Step) -> Step:
        # One that ran away to no number stays where it was.
        sane = jnp.where(jnp.isfinite(step.state), step.state, states)
        return step._replace(state=jnp.clip(sane, params.low[None], params.high[None]))

    def sample(params: PersonalWorld, key: Key, states: Array, actions: Array) -> Step:
        step = inner.sample(params.simulator, key, states, actions)
        return within(params, states, step)

    def mean(params: PersonalWorld, states: Array, *given: Any) -> Step:
        return within(params, states, inner.mean(params.simulator, states, *given))

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
        ends = over | jax.vmap(task.done)(following)
        state = jnp.where(over[:, None], states, step.state)
        return Step(state, outcome, 1.0 - ends)

    def sample(params: Any, key: Key, states: Array, actions: Array) -> Step:
        step = dynamics.sample(params, key, states, actions)
        return live(params, states, actions, step)

    def mean(
        params: Any, states: Array, actions: Array, amounts: Array | None = None
    ) -> Step:
        step = dynamics.mean(params, states, actions, amounts)
        return live(params, states, actions, step)

    def spread(params: Any, states: Array, actions: Array) -> Spread:
        assert dynamics.spread is not None
        found = dynamics.spread(params, states, actions)
        over = jax.vmap(task.done)(params.scales.state.invert(states))
        return Spread(*(jnp.where(over, 0.0, x) for x in found))

    known = None if dynamics.spread is None else spread
    return Dynamics(sample, mean, known)

"""What judges of simulators share: the true world, its scales, an agent's past."""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from experiments.persim import logs as logs_lib
from omgrl_jax.data.scales import Standardiser
from omgrl_jax.envs.control import Control
from omgrl_jax.models import personal
from omgrl_jax.models.personal import Changes, Simulator
from omgrl_jax.types import Array

# (what is known of the agent, its past [Q]) -> its simulator
Personalise = Callable[[Any, Array], Simulator]


@dataclasses.dataclass(frozen=True)
class JudgeConfig:
    """How simulators are judged.

    Attributes:
      predictions: episodes of random actions predicted for each agent.
      start: step at which a prediction begins.
      ahead: steps that it goes on, or up to the episode's end.
      episodes: episodes of planning for each agent.
      limit: steps of an episode of planning; 0 for the task's.
    """

    predictions: int = dataclasses.field(default=200, metadata={"min": 2})
    start: int = dataclasses.field(default=10, metadata={"min": 1})
    ahead: int = dataclasses.field(default=50, metadata={"min": 1})
    episodes: int = dataclasses.field(default=20, metadata={"min": 1})
    limit: int = dataclasses.field(default=0, metadata={"min": 0})


class World(NamedTuple):
    """What simulators are judged in; static.

    Attributes:
      task: the task.
      past_steps: steps of the past that a simulator may be told.
    """

    task: Control
    past_steps: int


class Scales(NamedTuple):
    """Between raw states and what networks see.

    Attributes:
      state: of states.
      changes: of standardised changes.
    """

    state: Standardiser
    changes: Changes


def known(simulator: Simulator, past: Array) -> Simulator:
    """The simulator that was there before the episode."""
    del past
    return simulator


class Past(NamedTuple):
    """An agent's last steps in an episode, the latest last.

    Attributes:
      state: [K, S] standardised.
      action: [K], or [K, P].
      change: [K, S] standardised.
      there: [K] bool, whether there was such a step.
    """

    state: Array
    action: Array
    change: Array
    there: Array


def no_past(world: World) -> Past:
    """The past at the start of an episode."""
    steps, size = world.past_steps, len(world.task.low)
    nothing = jnp.zeros((steps, size))
    none = jnp.zeros(steps, bool)
    return Past(nothing, world.task.actions.zeros(steps), nothing, none)


def remember(
    past: Past, scales: Scales, state: Array, action: Array, following: Array
) -> Past:
    """The past after one more step between raw states [S]."""
    before, after = scales.state.apply(state), scales.state.apply(following)
    change = (after - before - scales.changes.mean) / scales.changes.deviation
    step = Past(before, action, change, jnp.ones((), bool))
    return jax.tree.map(lambda old, x: jnp.concatenate([old[1:], x[None]]), past, step)


def encoded(world: World, past: Past) -> Array:
    """The past as simulators are told of it, [Q]."""
    return logs_lib.encode(*past, world.task.actions)


def advance(
    scale: Standardiser, simulator: Simulator, states: Array, actions: Array
) -> Array:
    """Raw states [S, B] one step later, as a simulator says: actions [B] or [P, B]."""
    mean, deviation = scale.mean[:, None], scale.std[:, None]
    following = personal.advance(simulator, (states - mean) / deviation, actions)
    return following * deviation + mean

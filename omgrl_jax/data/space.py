"""The static shape of a task: which features, channels and actions there are."""

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from omgrl_jax import actions as actions_lib
from omgrl_jax.actions import ActionSpace
from omgrl_jax.data import tracking
from omgrl_jax.data.schema import Actions, Schema
from omgrl_jax.types import Array


@dataclasses.dataclass(frozen=True)
class Space:
    """The static shape of a task: hashable, known when functions are traced.

    Attributes:
      names: the `S` state features: stored ones first, then tracked ones.
      stored: columns of the dataset's features that the state consists of.
      dynamic: state indices that a model predicts (stored and not static).
      tracked: rules of the remaining features.
      channels: names of the `C` auxiliary channels.
      num_actions: `A`; 0 where actions are continuous.
      target: (channel index, low, high) of the clinical reward, or None.
      recorded_reward: index of the channel that carries a recorded reward, or None.
      levels: where actions are doses, how many levels each drug has, the last drug's
        changing first; empty where they are no doses.
      bounds: (lowest, highest) of each of the `P` numbers of continuous actions; empty
        where actions are discrete.
    """

    names: tuple[str, ...]
    stored: tuple[int, ...]
    dynamic: tuple[int, ...]
    tracked: tuple[tracking.Tracked, ...]
    channels: tuple[str, ...]
    num_actions: int
    target: tuple[int, float, float] | None = None
    recorded_reward: int | None = None
    levels: tuple[int, ...] = ()
    bounds: tuple[tuple[float, float], ...] = ()

    @property
    def action_shape(self) -> tuple[int, ...]:
        """Of one action: nothing, or [P]."""
        return (len(self.bounds),) if self.bounds else ()

    @property
    def action_width(self) -> int:
        """How many numbers tell networks of an action."""
        return self.num_actions or len(self.bounds)

    @property
    def state_dim(self) -> int:
        """Number of state features `S`."""
        return len(self.names)

    @property
    def num_stored(self) -> int:
        """Number of stored (not tracked) state features."""
        return len(self.stored)


def actions(space: Space) -> ActionSpace:
    """What an agent may do, as its distributions ask for it."""
    if space.bounds:
        return actions_lib.box(*zip(*space.bounds, strict=True))
    return actions_lib.discrete(space.num_actions)


def no_action(space: Space) -> Array:
    """The first action [], or the middle of the box [P]."""
    dtype = jnp.float32 if space.bounds else jnp.int32
    return jnp.zeros(space.action_shape, dtype)


def action_inputs(space: Space) -> Callable[[Array], Array]:
    """Actions as networks are told of them.

    Args:
      space: the task.

    Returns:
      `(actions) -> [..., K]`, `K` being `space.action_width`: discrete actions one-hot,
      choices [..., P] of continuous ones within -1 to 1, as they are done.
    """
    if space.bounds:
        return lambda choices: jnp.clip(choices, -1.0, 1.0)
    return lambda actions: jax.nn.one_hot(actions, space.num_actions)


def action_numbers(space: Space) -> Callable[[Array], Array]:
    """Actions as numbers, so that like doses lie near each other.

    Args:
      space: the task.

    Returns:
      `(actions) -> [..., K]`: of doses, or of their levels, that of each drug on a
      scale of -1 to 1, in the order of the schema; of other actions one-hot.
    """
    if not space.levels:
        return action_inputs(space)
    every = np.unravel_index(np.arange(space.num_actions), space.levels)
    share = [x / max(n - 1, 1) for x, n in zip(every, space.levels, strict=True)]
    table = 2.0 * np.stack(share, axis=-1).astype(np.float32) - 1.0
    return lambda actions: jnp.asarray(table)[actions]


def make_space(
    schema: Schema, state: str | None = None, continuous: bool = False
) -> Space:
    """The shape of the task that a schema and one of its states describe.

    Args:
      schema: the dataset's schema.
      state: name of the state; None for the default.
      continuous: whether actions may be continuous, for what can deal with them; most
        algorithms choose among discrete ones.

    Returns:
      The space; where actions are continuous `num_actions` is 0.

    Raises:
      ValueError: if actions are continuous and must not be, or the state has features
        that follow from single doses by rule.
    """
    if not schema.actions.count and not continuous:
        raise ValueError(
            f"dataset '{schema.name}': its actions are continuous; this needs discrete "
            "ones (bins of doses, for example). Only experiments.persim and "
            "experiments.ogsrl take others"
        )
    stored, tracked = schema.state(state)
    names = [schema.features[i].name for i in stored] + [t.name for t in tracked]
    if tracked and not schema.actions.count:
        raise ValueError(
            f"dataset '{schema.name}': {names[-1]} follows from doses by rule, and its "
            "actions are continuous, maybe of several drugs; use a state without it"
        )
    dynamic = [k for k, i in enumerate(stored) if not schema.features[i].static]
    channels = list(schema.channel_names)
    target = None
    recorded = None
    if schema.reward.get("kind") == "range":
        index = channels.index(schema.reward["channel"])
        low, high = schema.channels[index].target or (0.0, 0.0)
        target = (index, float(low), float(high))
    elif schema.reward.get("kind") == "recorded":
        recorded = len(channels)
        channels.append("reward")
    return Space(
        names=tuple(names),
        stored=tuple(stored),
        dynamic=tuple(dynamic),
        tracked=tuple(tracked),
        channels=tuple(channels),
        num_actions=schema.actions.count,
        target=target,
        recorded_reward=recorded,
        levels=_levels(schema.actions),
        bounds=tuple(zip(schema.actions.low, schema.actions.high, strict=True)),
    )


def _levels(actions: Actions) -> tuple[int, ...]:
    if not actions.count:
        return ()
    if actions.drugs:
        return tuple(drug.levels for drug in actions.drugs)
    return (actions.count,) if actions.unit else ()

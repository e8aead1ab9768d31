"""The next state from what networks say of it: changes added, rules followed."""

import jax.numpy as jnp

from omgrl_jax.data import tracking
from omgrl_jax.data.scales import Scales
from omgrl_jax.data.space import Space
from omgrl_jax.models import outcome as outcome_lib
from omgrl_jax.models.world_params import WorldParams
from omgrl_jax.types import Array, Step


def usual(space: Space, scales: Scales, actions: Array) -> Array:
    """The doses that tracked features follow; continuous actions have no such ones.

    Args:
      space: the task.
      scales: the standardisation, with the usual dose of each action.
      actions: [...] or [..., P].

    Returns:
      [...] raw doses; zero where actions are continuous.
    """
    if space.bounds:
        return jnp.zeros(actions.shape[:-1])
    return scales.amounts[actions]


def advance(
    space: Space,
    params: WorldParams,
    state: Array,
    change: Array,
    amount: Array,
    value: Array,
    measured: Array,
    estimate: Array,
) -> Step:
    """The next state: features plus their change, tracked features by rule.

    Args:
      space: the task.
      params: the standardisation and the range of states.
      state: [S].
      change: [D] of the dynamic features, standardised.
      amount: [] raw dose given.
      value: [C] what measurements would show, standardised.
      measured: [C] bool, whether they are made.
      estimate: [C] channels at the end of the step, standardised.
    """
    stored = space.num_stored
    features = state[:stored].at[jnp.array(space.dynamic, int)].add(change)
    tracked = tracking.advance(
        space.tracked,
        space.channels,
        params.scales.state.invert(state)[stored:],
        amount,
        params.scales.channel.invert(value),
        measured,
    )
    tail = outcome_lib.standardise_tracked(params.scales, stored, tracked)
    following = jnp.concatenate([features, tail])
    return Step(jnp.clip(following, params.low, params.high), estimate)

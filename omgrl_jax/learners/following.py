"""Auxiliary targets: what recorded steps found out about measured channels."""

from collections.abc import Sequence
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from omgrl_jax.data.records import Records
from omgrl_jax.data.space import Space
from omgrl_jax.types import Array


class Found(NamedTuple):
    """What was found out in steps about the auxiliary channels.

    Attributes:
      values: [B, K] standardised values at the end of the step.
      measured: [B, K] bool, whether that value was measured in the step.
      censored: [B, K] bool, whether it is a lower bound.
    """

    values: Array
    measured: Array
    censored: Array


def channels_of(space: Space, names: Sequence[str]) -> np.ndarray:
    """Indices of the auxiliary channels.

    Args:
      space: the task.
      names: the channels wanted; empty for all but a recorded reward.

    Returns:
      [K] indices.

    Raises:
      ValueError: if a name is not a channel, or is the recorded reward.
    """
    known = [n for i, n in enumerate(space.channels) if i != space.recorded_reward]
    for name in names:
        if name not in known:
            raise ValueError(
                f"auxiliary channel '{name}': this dataset has "
                f"{', '.join(known) or 'no channel beside the reward'}"
            )
    chosen = [space.channels.index(name) for name in names or known]
    return np.asarray(chosen, np.int32)


def found_in(
    records: Records, rows: Array, channels: np.ndarray, values: Array | None = None
) -> Found:
    """What was found out in the steps that start at `rows` [B].

    Args:
      records: the records.
      rows: [B].
      channels: [K] indices.
      values: [R, C] in the place of `records.outcome`, where that was estimated.

    Returns:
      Fields [B, K].
    """
    values = records.outcome if values is None else values
    parts = (values, records.measured, records.censored)
    return Found(*(part[rows][:, channels] for part in parts))


def squared_errors(predicted: Array, actions: Array, found: Found) -> Array:
    """Mean squared error of each auxiliary channel for the actions taken.

    The mean is over the steps in which the channel was measured, so that a weight means
    the same for a channel that is seldom measured. Above a lower bound there is no
    error.

    Args:
      predicted: [B, A, K] next value foretold for each action.
      actions: [B] actions taken.
      found: fields [B, K].

    Returns:
      [K]; 0 for a channel that was never measured in the batch.
    """
    taken = jnp.take_along_axis(predicted, actions[:, None, None], axis=1)[:, 0]
    error = found.values - taken
    error = jnp.where(found.censored, jnp.maximum(error, 0.0), error)
    squares = jnp.sum(jnp.where(found.measured, jnp.square(error), 0.0), axis=0)
    return squares / jnp.maximum(jnp.sum(found.measured, axis=0), 1)

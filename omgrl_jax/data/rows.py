"""What a dataset's rows hold in raw units: states, doses, channels.

Rows lie end to end as in the dataset format.
"""

import jax.numpy as jnp
import numpy as np

from omgrl_jax.data import dataset as dataset_lib
from omgrl_jax.data import tracking
from omgrl_jax.data.schema import Schema
from omgrl_jax.data.space import Space


def track(schema: Schema, space: Space, arrays: dataset_lib.Trajectories) -> np.ndarray:
    """Computes the tracked features of every row.

    Args:
      schema: the dataset's schema.
      space: the state in use.
      arrays: the dataset's arrays.

    Returns:
      [R, K] raw tracked features, float32.
    """
    starts = dataset_lib.row_starts(arrays.lengths)
    rows = int(arrays.lengths.sum() + arrays.lengths.size)
    if not space.tracked:
        return np.zeros((rows, 0), np.float32)
    values, measured, ages = channels_of(schema, arrays)
    amounts = per_row(arrays.lengths, amounts_of(schema, arrays))
    channels = list(schema.channel_names)
    out = np.zeros((rows, len(space.tracked)), np.float32)
    features = tracking.start(
        space.tracked, channels, jnp.asarray(values[starts]), jnp.asarray(ages[starts])
    )
    out[starts] = np.asarray(features)
    for t in range(int(arrays.lengths.max())):
        here = starts + np.minimum(t, arrays.lengths - 1)
        features = tracking.advance(
            space.tracked,
            channels,
            features,
            jnp.asarray(amounts[here]),
            jnp.asarray(values[here + 1]),
            jnp.asarray(measured[here + 1]),
        )
        running = arrays.lengths > t
        out[(here + 1)[running]] = np.asarray(features)[running]
    return out


def amounts_of(schema: Schema, arrays: dataset_lib.Trajectories) -> np.ndarray:
    """Doses of all actions, [M]: recorded ones, else each bin's representative.

    Continuous actions are doses themselves: of them these are zeros.
    """
    if arrays.amounts is not None:
        return arrays.amounts
    if not schema.actions.count:
        return np.zeros(arrays.actions.shape[0], np.float32)
    table = np.asarray(schema.actions.amounts or np.zeros(schema.actions.count))
    return table[arrays.actions].astype(np.float32)


def raw_states(
    schema: Schema, space: Space, arrays: dataset_lib.Trajectories
) -> np.ndarray:
    """All states in raw units, [R, S]."""
    stored = arrays.observations[:, list(space.stored)]
    return np.concatenate([stored, track(schema, space, arrays)], axis=1)


def channels_of(
    schema: Schema, arrays: dataset_lib.Trajectories
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Values, measured, ages [R, C]; a recorded reward joins as the last channel."""
    rows = int(arrays.lengths.sum() + arrays.lengths.size)
    empty = np.zeros((rows, 0), np.float32)
    values = empty if arrays.channel_values is None else arrays.channel_values
    measured = (
        empty.astype(bool)
        if arrays.channel_measured is None
        else arrays.channel_measured
    )
    ages = empty if arrays.channel_ages is None else arrays.channel_ages
    if schema.reward.get("kind") != "recorded":
        return values, measured, ages
    reward = np.zeros((rows, 1), np.float32)
    starts = dataset_lib.row_starts(arrays.lengths)
    following = np.ones(rows, bool)
    following[starts] = False
    reward[following, 0] = arrays.rewards
    return (
        np.concatenate([values, reward], axis=1),
        np.concatenate([measured, following[:, None]], axis=1),
        np.concatenate([ages, np.zeros_like(reward)], axis=1),
    )


def per_row(lengths: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Spreads [M, ...] values over the [R] rows; the last row of a stay gets zero."""
    rows = int(lengths.sum() + lengths.size)
    out = np.zeros((rows, *values.shape[1:]), values.dtype)
    last = dataset_lib.row_starts(lengths) + lengths
    keep = np.ones(rows, bool)
    keep[last] = False
    out[keep] = values
    return out

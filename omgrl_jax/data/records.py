"""Recorded stays as device arrays: standardised states, ready to be sampled.

Rows lie end to end as in the dataset format, so that a window of `H` steps is
`row .. row + H` and a transition is the pair `(row, row + 1)`.
"""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from omgrl_jax.data import dataset as dataset_lib
from omgrl_jax.data import rows as rows_lib
from omgrl_jax.data.scales import Scales
from omgrl_jax.data.schema import Schema
from omgrl_jax.data.space import Space
from omgrl_jax.ops import draws
from omgrl_jax.types import Array, Key, Transition


class Records(NamedTuple):
    """One split of a dataset on the device.

    Attributes:
      states: [R, S] standardised states.
      actions: [R] int32, or [R, P] choices between -1 and 1 where actions are
        continuous; the last row of a stay holds a filler.
      amounts: [R] raw dose of the step.
      outcome: [R, C] standardised channel values at the FOLLOWING row: the last
        measured ones, until a model replaces them by its own estimate.
      measured: [R, C] bool, whether a channel was measured in the step that follows.
      censored: [R, C] bool, whether that measurement is a lower bound.
      discount: [R] 0.0 where the episode ends with the step.
      stay: [R] int32 number of the stay within the split.
      transitions: [M] rows that have a following row.
      windows: [W] rows from which `horizon` whole steps follow.
    """

    states: Array
    actions: Array
    amounts: Array
    outcome: Array
    measured: Array
    censored: Array
    discount: Array
    stay: Array
    transitions: Array
    windows: Array


def make_records(
    schema: Schema,
    space: Space,
    scales: Scales,
    arrays: dataset_lib.Trajectories,
    split: str,
    horizon: int,
) -> Records:
    """Puts one split on the device.

    Args:
      schema: the dataset's schema.
      space: the state in use.
      scales: scales fitted on the training stays.
      arrays: the whole dataset.
      split: "train", "validation" or "test".
      horizon: length `H` of the windows that `windows` lists.

    Returns:
      The records of the split.

    Raises:
      ValueError: if the split has no stay.
    """
    chosen = np.flatnonzero(arrays.split == dataset_lib.SPLITS.index(split))
    if chosen.size == 0:
        raise ValueError(f"the dataset has no {split} stay (array 'split')")
    starts = dataset_lib.row_starts(arrays.lengths)
    lengths = arrays.lengths[chosen]
    rows = np.concatenate(
        [np.arange(starts[i], starts[i] + arrays.lengths[i] + 1) for i in chosen]
    )
    first = dataset_lib.row_starts(lengths)
    step = np.arange(rows.size) - np.repeat(first, lengths + 1)
    left = np.repeat(lengths, lengths + 1) - step
    following = np.where(left > 0, rows + 1, rows)
    values, measured, _ = rows_lib.channels_of(schema, arrays)
    ends = (left == 1) & np.repeat(arrays.terminals[chosen], lengths + 1)
    states = scales.state.apply(
        jnp.asarray(rows_lib.raw_states(schema, space, arrays)[rows])
    )
    return Records(
        states=states,
        actions=jnp.asarray(
            rows_lib.per_row(arrays.lengths, _choices(schema, arrays))[rows]
        ),
        amounts=jnp.asarray(
            rows_lib.per_row(arrays.lengths, rows_lib.amounts_of(schema, arrays))[rows],
            jnp.float32,
        ),
        outcome=scales.channel.apply(jnp.asarray(values[following])),
        measured=jnp.asarray(measured[following] & (left > 0)[:, None]),
        censored=jnp.asarray(_censored(space, arrays)[following]),
        discount=jnp.asarray(~ends, jnp.float32),
        stay=jnp.asarray(np.repeat(np.arange(chosen.size), lengths + 1), jnp.int32),
        transitions=jnp.asarray(np.flatnonzero(left > 0), jnp.int32),
        windows=jnp.asarray(np.flatnonzero(left >= horizon), jnp.int32),
    )


def transition_at(records: Records, rows: Array) -> Transition:
    """The transitions that start at `rows` [...]."""
    return Transition(
        state=records.states[rows],
        action=records.actions[rows],
        next_state=records.states[rows + 1],
        outcome=records.outcome[rows],
        discount=records.discount[rows],
        uncertainty=jnp.zeros(rows.shape, records.states.dtype),
    )


def sample_rows(records: Records, key: Key, size: int) -> Array:
    """Draws `size` rows at which a transition starts, with replacement: [size]."""
    index = draws.below(key, (size,), records.transitions.shape[0])
    return records.transitions[index]


def sample_admissions(records: Records, key: Key, size: int) -> Array:
    """Draws the first rows of `size` stays, with replacement: [size]."""
    drawn = draws.below(key, (size,), records.stay[-1] + 1)
    return jnp.searchsorted(records.stay, drawn)


def sample_transitions(records: Records, key: Key, size: int) -> Transition:
    """Draws `size` recorded transitions with replacement."""
    return transition_at(records, sample_rows(records, key, size))


def sample_windows(records: Records, key: Key, size: int, horizon: int) -> Transition:
    """Draws `size` windows of `horizon` steps, fields [size, horizon, ...].

    Args:
      records: made with the same horizon, or windows would run into other stays.
      key: consumed.
      size: number of windows, drawn with replacement.
      horizon: steps of a window.

    Returns:
      The windows.

    Raises:
      ValueError: if no stay is long enough.
    """
    if records.windows.shape[0] == 0:
        raise ValueError(
            f"no stay has {horizon} steps: choose a shorter horizon, or longer stays"
        )
    index = draws.below(key, (size,), records.windows.shape[0])
    steps = jnp.arange(horizon, dtype=jnp.int32)
    rows = records.windows[index][:, None] + steps[None, :]
    return transition_at(records, rows)


def _choices(schema: Schema, arrays: dataset_lib.Trajectories) -> np.ndarray:
    """Actions [M] int32, or [M, P] on the scale on which policies choose them."""
    if schema.actions.count:
        return np.asarray(arrays.actions, np.int32)
    return np.asarray(schema.actions.space().encode(jnp.asarray(arrays.actions)))


def _censored(space: Space, arrays: dataset_lib.Trajectories) -> np.ndarray:
    """Censored measurements [R, C]; without such an array there are none."""
    rows = int(arrays.lengths.sum() + arrays.lengths.size)
    out = np.zeros((rows, len(space.channels)), bool)
    if arrays.channel_censored is not None:
        out[:, : arrays.channel_censored.shape[1]] = arrays.channel_censored
    return out

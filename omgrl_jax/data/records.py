"""Recorded stays as device arrays: standardised states, ready to be sampled.

Rows lie end to end as in the dataset format, so that a window of `H` steps is
`row .. row + H` and a transition is the pair `(row, row + 1)`.
"""

import dataclasses
from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from omgrl_jax.data import dataset as dataset_lib
from omgrl_jax.data import tracking
from omgrl_jax.data.schema import Schema
from omgrl_jax.types import Array, Key, Transition


class Standardiser(NamedTuple):
    """Column-wise scale: `z = (f(x) - mean) / std`, `f` the logarithm where `log`.

    Attributes:
      mean: [K] mean of `f(x)` over training rows; 0 on the unit scale.
      std: [K] standard deviation; 1 where the training rows do not differ, and on the
        unit scale.
      log: [K] bool.
    """

    mean: Array
    std: Array
    log: Array

    def apply(self, raw: Array) -> Array:
        """Raw values [..., K] to standardised ones."""
        lifted = jnp.where(self.log, jnp.log(jnp.where(self.log, raw, 1.0)), raw)
        return (lifted - _like(self.mean, raw)) / _like(self.std, raw)

    def invert(self, z: Array) -> Array:
        """Standardised values [..., K] to raw ones."""
        lifted = z * _like(self.std, z) + _like(self.mean, z)
        return jnp.where(self.log, jnp.exp(jnp.where(self.log, lifted, 0.0)), lifted)


@dataclasses.dataclass(frozen=True)
class Space:
    """The static shape of a task: hashable, known when functions are traced.

    Attributes:
      names: the `S` state features: stored ones first, then tracked ones.
      stored: columns of the dataset's features that the state consists of.
      dynamic: state indices that a model predicts (stored and not static).
      tracked: rules of the remaining features.
      channels: names of the `C` auxiliary channels.
      num_actions: `A`.
      target: (channel index, low, high) of the clinical reward, or None.
      recorded_reward: index of the channel that carries a recorded reward, or None.
    """

    names: tuple[str, ...]
    stored: tuple[int, ...]
    dynamic: tuple[int, ...]
    tracked: tuple[tracking.Tracked, ...]
    channels: tuple[str, ...]
    num_actions: int
    target: tuple[int, float, float] | None = None
    recorded_reward: int | None = None

    @property
    def state_dim(self) -> int:
        """Number of state features `S`."""
        return len(self.names)

    @property
    def num_stored(self) -> int:
        """Number of stored (not tracked) state features."""
        return len(self.stored)


class Scales(NamedTuple):
    """Everything fitted on training stays that turns raw values into states.

    Attributes:
      state: scales of the `S` state features.
      channel: scales of the `C` channels.
      amounts: [A] representative dose of each action, raw units.
    """

    state: Standardiser
    channel: Standardiser
    amounts: Array


class Records(NamedTuple):
    """One split of a dataset on the device.

    Attributes:
      states: [R, S] standardised states.
      actions: [R] int32; the last row of a stay holds a filler.
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


def make_space(
    schema: Schema, state: str | None = None, continuous: bool = False
) -> Space:
    """The shape of the task that a schema and one of its states describe.

    Args:
      schema: the dataset's schema.
      state: name of the state; None for the default.
      continuous: whether actions may be continuous, for models that know them;
        algorithms choose among discrete ones.

    Returns:
      The space; where actions are continuous `num_actions` is 0.

    Raises:
      ValueError: if actions are continuous and must not be.
    """
    if not schema.actions.count and not continuous:
        raise ValueError(
            f"dataset '{schema.name}': its actions are continuous; this needs discrete "
            "ones (bins of doses, for example). Only experiments.persim takes others"
        )
    stored, tracked = schema.state(state)
    names = [schema.features[i].name for i in stored] + [t.name for t in tracked]
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
    )


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
    values, measured, ages = _channels(schema, arrays)
    amounts = _per_row(arrays.lengths, amounts_of(schema, arrays))
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
    """Doses of all actions, [M]: recorded ones, else each bin's representative."""
    if arrays.amounts is not None:
        return arrays.amounts
    table = np.asarray(schema.actions.amounts or np.zeros(schema.actions.count))
    return table[arrays.actions].astype(np.float32)


def raw_states(
    schema: Schema, space: Space, arrays: dataset_lib.Trajectories
) -> np.ndarray:
    """All states in raw units, [R, S]."""
    stored = arrays.observations[:, list(space.stored)]
    return np.concatenate([stored, track(schema, space, arrays)], axis=1)


def fit_scales(
    schema: Schema, space: Space, arrays: dataset_lib.Trajectories
) -> Scales:
    """Fits the scales on the training stays alone.

    Args:
      schema: the dataset's schema.
      space: the state in use.
      arrays: the whole dataset.

    Returns:
      The scales.
    """
    train = np.repeat(arrays.split == 0, arrays.lengths + 1)
    scale_of = {c.name: c.scale for c in schema.channels}
    kinds = [schema.features[i].scale for i in space.stored] + [
        scale_of[str(t.channel)] if t.rule in ("last", "previous") else "linear"
        for t in space.tracked
    ]
    state = _moments(raw_states(schema, space, arrays)[train], kinds)
    values, measured, _ = _channels(schema, arrays)
    channel_kinds = [scale_of.get(c, "linear") for c in space.channels]
    seen = [measured[train, c] for c in range(len(space.channels))]
    parts = [
        _moments(values[train][:, [c]][s if s.any() else ~s], channel_kinds[c : c + 1])
        for c, s in enumerate(seen)
    ]
    channel = (
        Standardiser(*(jnp.concatenate(x) for x in zip(*parts, strict=True)))
        if parts
        else Standardiser(jnp.zeros(0), jnp.ones(0), jnp.zeros(0, bool))
    )
    table = schema.actions.amounts or (0.0,) * schema.actions.count
    return Scales(state, channel, jnp.asarray(table, jnp.float32))


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
    values, measured, _ = _channels(schema, arrays)
    ends = (left == 1) & np.repeat(arrays.terminals[chosen], lengths + 1)
    states = scales.state.apply(jnp.asarray(raw_states(schema, space, arrays)[rows]))
    return Records(
        states=states,
        actions=jnp.asarray(_per_row(arrays.lengths, arrays.actions)[rows], jnp.int32),
        amounts=jnp.asarray(
            _per_row(arrays.lengths, amounts_of(schema, arrays))[rows], jnp.float32
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
    index = jax.random.randint(key, (size,), 0, records.transitions.shape[0])
    return records.transitions[index]


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
    index = jax.random.randint(key, (size,), 0, records.windows.shape[0])
    steps = jnp.arange(horizon, dtype=jnp.int32)
    rows = records.windows[index][:, None] + steps[None, :]
    return transition_at(records, rows)


def _channels(
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


def _censored(space: Space, arrays: dataset_lib.Trajectories) -> np.ndarray:
    """Censored measurements [R, C]; without such an array there are none."""
    rows = int(arrays.lengths.sum() + arrays.lengths.size)
    out = np.zeros((rows, len(space.channels)), bool)
    if arrays.channel_censored is not None:
        out[:, : arrays.channel_censored.shape[1]] = arrays.channel_censored
    return out


def _per_row(lengths: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Spreads [M] values over the [R] rows; the last row of a stay gets zero."""
    rows = int(lengths.sum() + lengths.size)
    out = np.zeros(rows, values.dtype)
    last = dataset_lib.row_starts(lengths) + lengths
    keep = np.ones(rows, bool)
    keep[last] = False
    out[keep] = values
    return out


def _moments(raw: np.ndarray, kinds: Sequence[str]) -> Standardiser:
    log = np.array([kind == "log" for kind in kinds], bool)
    unit = np.array([kind == "unit" for kind in kinds], bool)
    lifted = np.where(log, np.log(np.where(log, raw, 1.0)), raw).astype(np.float64)
    mean, std = lifted.mean(axis=0), lifted.std(axis=0)
    # A column that never moves keeps its unit: divided by a small number, the first
    # stay in which it does move would be thousands of deviations away.
    std = np.where((std <= 1e-6 * np.abs(mean)) | unit, 1.0, std)
    return Standardiser(
        jnp.asarray(np.where(unit, 0.0, mean), jnp.float32),
        jnp.asarray(std, jnp.float32),
        jnp.asarray(log),
    )


def _like(vector: Array, reference: Array) -> Array:
    """Adds leading axes so that no rank is promoted silently."""
    return jnp.reshape(vector, (1,) * (reference.ndim - 1) + vector.shape)

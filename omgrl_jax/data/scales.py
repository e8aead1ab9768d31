"""Scales fitted on training stays, between raw values and what networks see."""

from collections.abc import Sequence
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from omgrl_jax.data import dataset as dataset_lib
from omgrl_jax.data import rows as rows_lib
from omgrl_jax.data.schema import Schema
from omgrl_jax.data.space import Space
from omgrl_jax.types import Array


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
    state = _moments(rows_lib.raw_states(schema, space, arrays)[train], kinds)
    values, measured, _ = rows_lib.channels_of(schema, arrays)
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

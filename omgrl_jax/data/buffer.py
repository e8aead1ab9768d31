"""A ring buffer of transitions as pure functions."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from omgrl_jax.ops import draws
from omgrl_jax.types import Array, Key, Transition


class Buffer(NamedTuple):
    """A ring of fixed size.

    Attributes:
      rows: transitions, leaves [capacity, ...].
      added: [] int32 number of rows ever added.
    """

    rows: Transition
    added: Array


def empty(example: Transition, capacity: int) -> Buffer:
    """An empty ring.

    Args:
      example: one transition without batch axis, for shapes and types.
      capacity: number of rows kept.

    Returns:
      The buffer.
    """
    rows = jax.tree.map(lambda x: jnp.zeros((capacity, *x.shape), x.dtype), example)
    return Buffer(rows, jnp.int32(0))


def add(buffer: Buffer, rows: Transition) -> Buffer:
    """Adds rows [N, ...]; once the ring is full the oldest rows leave.

    Args:
      buffer: the ring, capacity at least N.
      rows: what to add.

    Returns:
      The ring with the rows in it.

    Raises:
      ValueError: if more rows come than the ring holds.
    """
    capacity = buffer.rows.action.shape[0]
    count = rows.action.shape[0]
    if count > capacity:
        raise ValueError(f"{count} rows do not fit a buffer of {capacity}")
    # The next row goes where the count of rows ever added points, modulo the capacity.
    slots = (buffer.added + jnp.arange(count, dtype=jnp.int32)) % capacity
    stored = jax.tree.map(lambda old, new: old.at[slots].set(new), buffer.rows, rows)
    return Buffer(stored, buffer.added + count)


def sample_rows(buffer: Buffer, key: Key, size: int) -> Array:
    """Draws `size` rows, with replacement, of those filled so far (at least one)."""
    capacity = buffer.rows.action.shape[0]
    filled = jnp.minimum(buffer.added, capacity)
    return draws.below(key, (size,), filled)


def at(buffer: Buffer, rows: Array) -> Transition:
    """The transitions in some rows [...], leaves [..., ...]."""
    return jax.tree.map(lambda x: x[rows], buffer.rows)


def sample(buffer: Buffer, key: Key, size: int) -> Transition:
    """Draws `size` transitions with replacement from those filled so far."""
    return at(buffer, sample_rows(buffer, key, size))

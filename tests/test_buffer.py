"""The ring: old rows leave, and only filled rows are drawn."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from omgrl_jax.data import buffer
from omgrl_jax.types import Transition


def rows(first, count):
    """Rows numbered from `first`; every field carries the number."""
    number = jnp.arange(first, first + count)
    wide = jnp.stack([number, -number], axis=1).astype(jnp.float32)
    return Transition(
        state=wide,
        action=number.astype(jnp.int32),
        next_state=wide + 0.5,
        outcome=wide[:, :1],
        discount=number.astype(jnp.float32),
        uncertainty=-number.astype(jnp.float32),
    )


def empty(capacity):
    return buffer.empty(jax.tree.map(lambda x: x[0], rows(0, 1)), capacity)


def held(ring):
    return sorted(np.asarray(ring.rows.action).tolist())


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5])
def test_the_newest_rows_remain(size):
    """A ring that kept its head would hold row 0 for ever."""
    ring, capacity = empty(5), 5
    for first in range(1, 30, size):
        ring = buffer.add(ring, rows(first, size))
        newest = first + size - 1
        if newest >= capacity:
            assert held(ring) == list(range(newest - capacity + 1, newest + 1))
    assert int(ring.added) == newest


def test_index_arithmetic():
    # Rows 1..3 fill slots 0..2; rows 4..6 go to slots 3, 4 and, wrapped, 0.
    ring = buffer.add(buffer.add(empty(5), rows(1, 3)), rows(4, 3))
    np.testing.assert_array_equal(ring.rows.action, [6, 2, 3, 4, 5])


def test_fields_of_a_row_stay_together():
    ring = buffer.add(buffer.add(empty(4), rows(1, 3)), rows(4, 3))
    wanted = rows(0, 7)
    for got, all_rows in zip(ring.rows, wanted, strict=True):
        np.testing.assert_array_equal(got, all_rows[ring.rows.action])


def test_only_filled_rows_are_drawn():
    ring = buffer.add(empty(100), rows(1, 3))
    drawn = buffer.sample(ring, jax.random.key(0), 300)
    # The zeros of empty slots would show as action 0. About 100 draws of each.
    counts = np.bincount(np.asarray(drawn.action))
    assert counts[0] == 0 and len(counts) == 4
    assert counts[1:].min() > 60


def test_a_full_ring_is_drawn_from_evenly():
    ring = empty(4)
    for first in (1, 4, 7):
        ring = buffer.add(ring, rows(first, 3))
    drawn = buffer.sample(ring, jax.random.key(1), 400)
    counts = np.bincount(np.asarray(drawn.action), minlength=10)
    assert counts[:6].sum() == 0
    assert counts[6:].min() > 60


def test_more_rows_than_the_ring_holds_are_refused():
    with pytest.raises(ValueError, match="6 rows do not fit a buffer of 5"):
        buffer.add(empty(5), rows(0, 6))

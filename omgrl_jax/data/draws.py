"""Measurements of one channel, stay by stay: what is known of a patient's response."""

from typing import NamedTuple

import numpy as np
from jax import numpy as jnp

from omgrl_jax.data.records import Records
from omgrl_jax.types import Array


class Draws(NamedTuple):
    """The steps at whose end a channel was measured; leaves [..., D], one stay each.

    Stays of fewer draws are filled up at the end.

    Attributes:
      state: [D, S] standardised state at the start of the step.
      action: [D] dose bin of the step.
      amount: [D] dose really given, raw.
      value: [D] standardised measurement.
      censored: [D] bool, it is a lower bound.
      there: [D] bool, false where only filled up.
    """

    state: Array
    action: Array
    amount: Array
    value: Array
    censored: Array
    there: Array


def of_records(records: Records, channel: int = 0) -> Draws:
    """All draws of a split, in the order of their stays.

    Args:
      records: the split.
      channel: index of the channel.

    Returns:
      Leaves [N, D, ...]; D is the largest number of draws of any stay, at least 1.
    """
    measured = np.asarray(records.measured[:, channel])
    stay = np.asarray(records.stay)
    rows = np.flatnonzero(measured)
    counts = np.bincount(stay[rows], minlength=int(stay[-1]) + 1)
    most = max(int(counts.max()), 1)
    order = np.arange(rows.size) - np.repeat(np.cumsum(counts) - counts, counts)
    index = np.zeros((counts.size, most), np.int64)
    index[stay[rows], order] = rows
    there = np.arange(most)[None] < counts[:, None]
    return Draws(
        state=records.states[index],
        action=records.actions[index],
        amount=records.amounts[index],
        value=records.outcome[index, channel],
        censored=records.censored[index, channel],
        there=jnp.asarray(there),
    )

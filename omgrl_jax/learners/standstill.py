"""Going back to the best epoch and standing still, inside a compiled loop."""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp

from omgrl_jax.types import Array, Params


class Best(NamedTuple):
    """The best epoch so far.

    Attributes:
      kept: what was learned by then.
      waited: [] int32 epochs since, `patience` at most: then nothing moves any more.
    """

    kept: Params
    waited: Array


def start(learned: Params) -> Best:
    """Before the first epoch."""
    return Best(jax.tree.map(jnp.copy, learned), jnp.int32(0))


def look(
    best: Best, learned: Params, loss: Array, loss_of_kept: Array, patience: int
) -> tuple[Params, Best]:
    """What goes on after an epoch: what was learned, or for good the best.

    Both losses are to be of the same held-out data, measured by the same yardstick: one
    that moves from epoch to epoch would make its luck the best.

    Args:
      best: the best epoch before.
      learned: what this epoch learned.
      loss: [] its held-out loss.
      loss_of_kept: [] that of what was kept.
      patience: epochs without a better one after which learning ends.

    Returns:
      What the next epoch starts from, and the best epoch now.
    """
    over = best.waited >= patience
    better = (loss < loss_of_kept) & ~over
    kept = jax.tree.map(functools.partial(jnp.where, better), learned, best.kept)
    waited = jnp.where(better, 0, jnp.minimum(best.waited + 1, patience))
    ended = waited >= patience
    going_on = jax.tree.map(functools.partial(jnp.where, ended), kept, learned)
    return going_on, Best(kept, waited)

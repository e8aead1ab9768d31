"""What an agent may do: one of a few actions, or any point in a box.

Tasks, logs and planners ask an `ActionSpace` for what depends on it, and leave open
which of the two it is.
"""

import functools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from omgrl_jax.types import Array, Key


class ActionSpace(NamedTuple):
    """One kind of actions; static. Made by `discrete` or `box`.

    Attributes:
      count: `A`; 0 where actions are continuous.
      low: `P` smallest values; none where actions are discrete.
      high: `P` largest ones.
      dtype: int32 or float32.
      draw: `(key, shape) -> [*shape]`, or `[*shape, P]`: uniform random actions.
      encode: `(actions) -> [..., K]`, the numbers by which networks know actions.
    """

    count: int
    low: tuple[float, ...]
    high: tuple[float, ...]
    dtype: Any
    draw: Callable[[Key, tuple[int, ...]], Array]
    encode: Callable[[Array], Array]

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one action: nothing, or [P]."""
        return (len(self.low),) if self.low else ()

    @property
    def width(self) -> int:
        """How many numbers `K` describe an encoded action."""
        return self.count or len(self.low)

    def zeros(self, *shape: int) -> Array:
        """The first action, or the origin, [*shape] or [*shape, P]."""
        return jnp.zeros((*shape, *self.shape), self.dtype)


# Cached, so that spaces of equal numbers are equal and nothing is compiled twice.
@functools.cache
def discrete(count: int) -> ActionSpace:
    """Actions 0..count-1, encoded one-hot."""

    def draw(key: Key, shape: tuple[int, ...]) -> Array:
        return jax.random.randint(key, shape, 0, count, jnp.int32)

    def encode(actions: Array) -> Array:
        return jax.nn.one_hot(actions, count)

    return ActionSpace(count, (), (), jnp.int32, draw, encode)


@functools.cache
def box(low: tuple[float, ...], high: tuple[float, ...]) -> ActionSpace:
    """Actions of as many numbers as there are bounds, encoded on a scale of -1 to 1.

    Raises:
      ValueError: unless each of the lower bounds lies below its upper one.
    """
    finite = all(map(math.isfinite, (*low, *high)))
    if len(low) != len(high) or not low or not finite:
        raise ValueError(f"low={low}, high={high}: as many finite numbers are needed")
    if any(a >= b for a, b in zip(low, high, strict=True)):
        raise ValueError(f"low={low}, high={high}: low must lie below high")

    def like(numbers: tuple[float, ...], actions: Array) -> Array:
        return jnp.reshape(jnp.array(numbers), (1,) * (actions.ndim - 1) + (-1,))

    def draw(key: Key, shape: tuple[int, ...]) -> Array:
        share = jax.random.uniform(key, (*shape, len(low)))
        return like(low, share) * (1.0 - share) + like(high, share) * share

    def encode(actions: Array) -> Array:
        bottom, top = like(low, actions), like(high, actions)
        return (2.0 * actions - top - bottom) / (top - bottom)

    return ActionSpace(0, low, high, jnp.float32, draw, encode)


def check_kind(num_actions: int, action_dim: int) -> None:
    """Checks that actions are of one kind.

    Args:
      num_actions: `A`, for discrete actions.
      action_dim: `P`, for continuous ones.

    Raises:
      ValueError: unless actions are either discrete or continuous.
    """
    if (num_actions > 0) == (action_dim > 0):
        raise ValueError(
            f"num_actions={num_actions}, action_dim={action_dim}: actions are either "
            "discrete or continuous, so that one must be 0 and the other above"
        )

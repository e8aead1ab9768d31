"""Random whole numbers in few operations."""

import jax
import jax.numpy as jnp

from omgrl_jax.types import Array, Key


def below(key: Key, shape: tuple[int, ...], count: int | Array) -> Array:
    """Whole numbers from 0 to `count - 1`, each made of one random word.

    `jax.random.randint` draws three times, which small loops feel on a CPU. No number
    is likelier than another by more than a share of `count / 2^32`.

    Args:
      key: consumed.
      shape: of the result.
      count: how many numbers there are, at least one.

    Returns:
      [shape] int32.
    """
    words = jax.random.bits(key, shape, jnp.uint32)
    return (words % jnp.asarray(count).astype(jnp.uint32)).astype(jnp.int32)

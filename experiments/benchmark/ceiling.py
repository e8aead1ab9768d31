"""What the machine could do: one large product of float32 matrices."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

SIDE = 2048


class Product(NamedTuple):
    """A product to be timed beside other work.

    Attributes:
      run: `() -> result`, when it is done.
      flops: of one call.
    """

    run: Callable[[], object]
    flops: float


def product(side: int = SIDE) -> Product:
    """`x @ y` of square matrices on the default device.

    In the precision that `jax.default_matmul_precision` asks for here.

    Args:
      side: rows and columns; a multiply and an add for each of `side`^3 terms.
    """
    keys = jax.random.split(jax.random.key(0))
    x, y = (jax.random.normal(key, (side, side)) for key in keys)
    # Compiled here, so that it keeps the precision of its maker.
    multiply = jax.jit(jnp.matmul).lower(x, y).compile()
    return Product(lambda: jax.block_until_ready(multiply(x, y)), 2.0 * side**3)

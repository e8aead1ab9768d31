"""All the noise that a step needs from one call of the generator.

In a simulator of small arithmetic the generator is most of the cost.
"""

import jax
import jax.numpy as jnp

from omgrl_jax.types import Array, Key


def draw(key: Key, uniforms: int, normals: int) -> tuple[Array, Array]:
    """Independent uniform and standard normal numbers; the key is consumed.

    Args:
      key: a random key.
      uniforms: how many uniform numbers.
      normals: how many normal numbers.

    Returns:
      [uniforms] in [0, 1) and [normals].
    """
    # The symmetric open interval keeps the inverse error function finite.
    low = jnp.nextafter(jnp.float32(-1.0), jnp.float32(0.0))
    symmetric = jax.random.uniform(key, (uniforms + normals,), minval=low, maxval=1.0)
    uniform = 0.5 * (symmetric[:uniforms] + 1.0)
    return uniform, 2.0**0.5 * jax.lax.erf_inv(symmetric[uniforms:])

"""Trees of arrays in the form that a checkpoint stores, and how two of them differ."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

_ABSENT = "absent"


def pack(tree: Any) -> Any:
    """Makes every leaf an array that can be stored; the structure stays.

    Typed keys become their raw numbers. Arrays without elements, which checkpoints
    refuse, become one zero.

    Args:
      tree: pytree of arrays and typed PRNG keys.
    """

    def pack_leaf(leaf: Any) -> Any:
        if _is_key(leaf):
            leaf = jax.random.key_data(leaf)
        return leaf if leaf.size else jnp.zeros(1, leaf.dtype)

    return jax.tree.map(pack_leaf, tree)


def unpack(tree: Any, template: Any) -> Any:
    """Reverses `pack`.

    Args:
      tree: packed leaves, numpy arrays.
      template: pytree like the original, of arrays or `jax.ShapeDtypeStruct`.

    Returns:
      The original on the default device.
    """

    def unpack_leaf(wanted: Any, leaf: np.ndarray) -> jax.Array:
        if not wanted.size:
            return jnp.zeros(wanted.shape, wanted.dtype)
        array = jnp.asarray(leaf, dtype=leaf.dtype)
        if not _is_key(wanted):
            return array
        return jax.random.wrap_key_data(array, impl=_implementation(wanted))

    return jax.tree.map(unpack_leaf, template, tree)


def describe(tree: Any) -> dict[str, str]:
    """Maps the path of every leaf to its type and shape, as `float32[2, 3]`.

    Args:
      tree: pytree of packed arrays, or of what stands for them.
    """
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return {
        jax.tree_util.keystr(path, simple=True, separator="/"): (
            f"{np.dtype(leaf.dtype).name}{list(leaf.shape)}"
        )
        for path, leaf in leaves
    }


def differences(
    saved: Mapping[str, Any], wanted: Mapping[str, Any], prefix: str = ""
) -> list[str]:
    """Says in words how two nested mappings differ.

    Args:
      saved: what was, first in order.
      wanted: what is.
      prefix: put before every name.

    Returns:
      One phrase for each value that differs; none if the mappings are equal.
    """
    found = []
    for name in [*saved, *(name for name in wanted if name not in saved)]:
        before, after = saved.get(name, _ABSENT), wanted.get(name, _ABSENT)
        if isinstance(before, Mapping) and isinstance(after, Mapping):
            found += differences(before, after, f"{prefix}{name}.")
        elif name not in saved or name not in wanted or before != after:
            found.append(f"{prefix}{name} was {before!r}, is now {after!r}")
    return found


def _is_key(leaf: Any) -> bool:
    return jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def _implementation(key: Any) -> Any:
    """Returns the generator of a key, also of an abstract one."""
    found = []
    jax.eval_shape(lambda traced: found.append(jax.random.key_impl(traced)), key)
    return found[0]

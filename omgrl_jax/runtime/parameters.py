"""Trained parameters as plain arrays: `.npz` files that hold no recorded row."""

import pathlib
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from omgrl_jax.runtime import storage


def save(path: storage.PathLike, tree: Any) -> pathlib.Path:
    """Writes the leaves of a pytree under their paths, atomically.

    Args:
      path: file to write, `.npz`.
      tree: pytree of arrays.

    Returns:
      The path.
    """
    named = {
        jax.tree_util.keystr(name, simple=True, separator="."): np.asarray(leaf)
        for name, leaf in jax.tree_util.tree_leaves_with_path(tree)
    }
    return storage.atomic_savez(path, **named)


def load(path: storage.PathLike, template: Any) -> Any:
    """Reads what `save` wrote.

    Args:
      path: the file.
      template: pytree of arrays or of `jax.ShapeDtypeStruct` of the same structure.

    Returns:
      The pytree.

    Raises:
      ValueError: naming the file and the first array that is missing or of another
        shape, so that another configuration's file is not taken for this one's.
    """
    with np.load(path, allow_pickle=False) as archive:
        saved = {name: archive[name] for name in archive.files}

    def leaf(name: Any, wanted: Any) -> jax.Array:
        text = jax.tree_util.keystr(name, simple=True, separator=".")
        if text not in saved or saved[text].shape != wanted.shape:
            raise ValueError(
                f"{path}: array '{text}' is missing or has another shape than this "
                "configuration asks for; remove the file or use another --out"
            )
        return jax.numpy.asarray(saved[text])

    return jax.tree_util.tree_map_with_path(leaf, template)


def kept(path: storage.PathLike, template: Any, make: Callable[[], Any]) -> Any:
    """What lies at a path, made and saved there where it is not there yet.

    Args:
      path: the file.
      template: see `load`.
      make: gives the pytree.

    Returns:
      The pytree.

    Raises:
      ValueError: if the file is not of the template's shapes, see `load`.
    """
    if pathlib.Path(path).is_file():
        return load(path, template)
    made = make()
    save(path, made)
    return made

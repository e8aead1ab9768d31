"""Parameters in files: read back as they were, made once, refused where they differ."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from omgrl_jax.runtime import parameters

TREE = {"layer": {"kernel": jnp.arange(6.0).reshape(2, 3)}, "log": jnp.array([True])}


def test_what_is_saved_is_read_back(tmp_path):
    path = parameters.save(tmp_path / "a.npz", TREE)
    shapes = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), TREE)
    found = parameters.load(path, shapes)
    assert jax.tree.structure(found) == jax.tree.structure(TREE)
    for ours, theirs in zip(*map(jax.tree.leaves, (found, TREE)), strict=True):
        np.testing.assert_array_equal(ours, theirs)
        assert ours.dtype == theirs.dtype
    for wrong in ({**TREE, "log": jnp.zeros(2, bool)}, {**TREE, "more": jnp.zeros(1)}):
        with pytest.raises(ValueError, match=r"a\.npz: array '(log|more)' is missing"):
            parameters.load(path, wrong)


def test_what_is_kept_is_made_once(tmp_path):
    path, made = tmp_path / "fits" / "a.npz", []

    def make():
        made.append(1)
        return TREE

    for _ in range(2):
        found = parameters.kept(path, TREE, make)
        np.testing.assert_array_equal(found["layer"]["kernel"], [[0, 1, 2], [3, 4, 5]])
    assert len(made) == 1
    with pytest.raises(ValueError, match="another shape"):
        parameters.kept(path, {**TREE, "log": jnp.zeros(2, bool)}, make)

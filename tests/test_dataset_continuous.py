"""Datasets of continuous actions: kept as they are, refused by who chooses actions."""

import dataclasses
import json

import numpy as np
import pytest
import tiny_dataset

from omgrl_jax.data import dataset
from omgrl_jax.data import space as space_lib

ACTIONS = dataset.Actions(0, low=(-1.0, 0.0), high=(1.0, 5.0))
SCHEMA = dataset.Schema("pushes", (dataset.Feature("x"),), ACTIONS)
ARRAYS = dataset.Trajectories(
    observations=np.linspace(0.0, 1.0, 7)[:, None],
    actions=np.array([[-1.0, 0.0], [0.5, 4.0], [1.0, 5.0], [0.1, 0.2], [0.0, 1.0]]),
    lengths=np.array([2, 3]),
    patients=np.array([0, 1]),
    split=np.array([0, 1]),
    terminals=np.array([True, False]),
)


def test_what_is_saved_is_loaded(tmp_path):
    fingerprint = dataset.save(tmp_path, SCHEMA, ARRAYS)
    loaded = dataset.load(tmp_path)
    assert loaded.schema == SCHEMA and loaded.hash == fingerprint
    assert loaded.trajectories.actions.dtype == np.float32
    np.testing.assert_allclose(loaded.trajectories.actions, ARRAYS.actions, rtol=1e-6)
    space = loaded.schema.actions.space()
    assert (space.low, space.high) == ((-1.0, 0.0), (1.0, 5.0))
    moved = ARRAYS._replace(actions=ARRAYS.actions * 0.5)
    assert dataset.content_hash(SCHEMA, moved) != fingerprint


def test_schemas_of_discrete_actions_are_as_they_always_were(tmp_path):
    dataset.save(tmp_path, tiny_dataset.schema(), tiny_dataset.trajectories())
    written = json.loads((tmp_path / "schema.json").read_text())["actions"]
    assert set(written) == {"count", "unit", "edges", "amounts", "labels"}


@pytest.mark.parametrize(
    ("actions", "message"),
    [
        (ARRAYS.actions * 2.0, r"actions: row 0 is outside the bounds of schema.json"),
        (ARRAYS.actions[:, :1], r"actions: has shape \[5, 1\], .* \[5, 2\]"),
        (np.zeros(5, int), r"actions: has shape \[5\]"),
        (
            np.where(ARRAYS.actions == 4.0, np.nan, ARRAYS.actions),
            "actions: row 1 .*NaN",
        ),
    ],
)
def test_actions_that_do_not_fit_are_named(tmp_path, actions, message):
    with pytest.raises(dataset.DatasetError, match=message):
        dataset.save(tmp_path, SCHEMA, ARRAYS._replace(actions=actions))


@pytest.mark.parametrize(
    ("actions", "message"),
    [
        (dataset.Actions(3, low=(0.0,), high=(1.0,)), "a count .* or bounds"),
        (dataset.Actions(0, low=(0.0,), high=()), "as many finite"),
        (dataset.Actions(0, low=(2.0,), high=(1.0,)), "below"),
        (dataset.Actions(0, low=("a",), high=(1.0,)), "actions: "),
        (dataset.Actions(0), "at least two actions"),
    ],
)
def test_actions_that_are_none_are_refused(actions, message):
    schema = dataclasses.replace(SCHEMA, actions=actions)
    with pytest.raises(dataset.DatasetError, match=message):
        dataset.validate(schema, ARRAYS)


def test_who_must_choose_among_actions_refuses_them():
    with pytest.raises(ValueError, match="'pushes': its actions are continuous"):
        space_lib.make_space(SCHEMA)
    assert space_lib.make_space(SCHEMA, continuous=True).num_actions == 0

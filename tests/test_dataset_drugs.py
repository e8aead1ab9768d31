"""Datasets whose actions dose several drugs together."""

import dataclasses

import numpy as np
import pytest
import tiny_dataset

from omgrl_jax.data import dataset

FLUID = dataset.Drug("fluid", "mL", edges=(0.0, 500.0), amounts=(0.0, 250.0, 900.0))
PRESSOR = dataset.Drug("pressor", "ug/kg/min", edges=(0.0,), amounts=(0.0, 0.2))
BOTH = dataset.Actions(6, drugs=(FLUID, PRESSOR))


def test_levels_of_the_last_drug_change_first(tmp_path):
    np.testing.assert_array_equal(
        BOTH.levels(np.arange(6)), [[0, 0], [0, 1], [1, 0], [1, 1], [2, 0], [2, 1]]
    )
    schema = dataclasses.replace(tiny_dataset.schema(), actions=BOTH)
    dataset.save(tmp_path, schema, tiny_dataset.trajectories())
    assert dataset.load(tmp_path).schema.actions == BOTH


@pytest.mark.parametrize(
    ("actions", "message"),
    [
        (dataclasses.replace(BOTH, count=4), "levels make 6 actions, count says 4"),
        (dataclasses.replace(BOTH, drugs=(FLUID, FLUID)), "a name appears twice"),
        (
            dataclasses.replace(
                BOTH, drugs=(FLUID, dataclasses.replace(PRESSOR, edges=()))
            ),
            "2 levels of pressor are separated by 1 edges, 0 given",
        ),
        (
            dataset.Actions(0, low=(0.0,), high=(1.0,), drugs=(FLUID, PRESSOR)),
            "2 for 1 doses of an action",
        ),
    ],
)
def test_drugs_that_do_not_fit_are_named(tmp_path, actions, message):
    schema = dataclasses.replace(tiny_dataset.schema(), actions=actions)
    with pytest.raises(dataset.DatasetError, match=f"schema.json: actions.*{message}"):
        dataset.save(tmp_path, schema, tiny_dataset.trajectories())

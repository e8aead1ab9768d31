"""What results.json says about the people behind a dataset."""

import dataclasses

import pytest
import tiny_dataset

from experiments import collect
from experiments import task as task_lib
from experiments.report import results, tables
from omgrl_jax.data import dataset


def sections(tmp_path, kind, stays):
    schema = dataclasses.replace(tiny_dataset.schema(), kind=kind)
    dataset.save(tmp_path / "data", schema, tiny_dataset.trajectories(stays))
    task = task_lib.load(str(tmp_path / "data"), "", 2)
    return collect.dataset_sections(task, tmp_path / "data")


@pytest.mark.parametrize("kind", ["records", "other"])
def test_few_people_are_not_counted_in_results_made_to_be_shared(tmp_path, kind):
    # 36 stays of 18 patients: 24 : 6 : 6; 12 stays of 6 patients: 8 : 2 : 2.
    found = sections(tmp_path, kind, 36)
    stays = found["dataset"]["stays"]
    assert stays == {"train": 24, "validation": "1–10", "test": "1–10"}
    assert found["dataset"]["patients"] == 18
    row = found["table1"][0]
    assert row["validation"] == row["test"] == "too few stays" != row["train"]
    # The report accepts and shows what was hidden.
    run = results.check({"title": "t", "kind": kind, **found})
    shown = dict(row[:2] for row in tables.dataset(run.get("dataset"), True).rows)
    assert shown["stays, test"] == "1–10" and shown["stays, train"] == "24"
    table = tables.table_one(run.get("table1"), stays, True)
    assert table.columns == ["Variable", "train"]


def test_few_patients_are_hidden_as_well(tmp_path):
    found = sections(tmp_path, "records", 12)["dataset"]
    assert found["patients"] == "1–10"
    assert set(found["stays"].values()) == {"1–10"}


def test_virtual_patients_are_counted(tmp_path):
    found = sections(tmp_path, "virtual", 36)["dataset"]
    assert found["stays"] == {"train": 24, "validation": 6, "test": 6}
    assert found["patients"] == 18

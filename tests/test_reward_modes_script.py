"""The table of reward modes as a user makes it, and what it refuses."""

import csv
import dataclasses
import math

import pandas as pd
import pytest
from test_omg_rl_script import Script

from data_prep import virtual
from experiments import reward_modes
from omgrl_jax.data import dataset

MODES = [
    (inputs, mode)
    for inputs in ("state_action", "outcome")
    for mode in ("paper", "gcl", "step")
]


@pytest.fixture(scope="module")
def script(tmp_path_factory):
    place = tmp_path_factory.mktemp("modes")
    virtual.write(virtual.Config(stays=40), place / "cohort")
    return Script(place / "cache", place / "cohort", "experiments.reward_modes")


@pytest.mark.slow
def test_every_input_and_mode_has_a_row_of_finite_numbers(script, tmp_path):
    out = tmp_path / "out"
    code, printed, errors = script.run(out, seeds=1, epochs=2)
    assert code == 0, errors
    with (out / "reward_modes.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["inputs"], row["mode"]) for row in rows] == MODES
    numbers = {*reward_modes.MEASURES, "clinicians_r_p", "behavioural_cloning_r_p"}
    for row in rows:
        assert row["seed"] == "0" and numbers <= set(row)
        assert all(math.isfinite(float(row[name])) for name in numbers)
        assert 0 < float(row["ess"]) <= 1
    # The same patients and clinicians beside every setting; the settings differ.
    assert len({row["clinicians_r_p"] for row in rows}) == 1
    assert len({row["recorded_pairs"] for row in rows}) > 3
    lines = printed.strip().splitlines()
    assert [tuple(line.split()[:2]) for line in lines[-6:]] == MODES
    assert "nan" not in printed
    said = script.refused(out, seeds=1, epochs=3)
    assert "epochs was 2, now 3" in said


def test_data_without_a_simulator_are_refused(script, tmp_path):
    data = dataset.load(script.dataset)
    schema = dataclasses.replace(data.schema, kind="other", simulator=None)
    dataset.save(tmp_path / "other", schema, data.trajectories)
    said = script.refused(tmp_path / "out", dataset=tmp_path / "other")
    assert "only virtual patients have a truth" in said
    assert not (tmp_path / "out").exists()


def test_the_table_shows_the_spread_over_seeds():
    one = dict.fromkeys(reward_modes.MEASURES, 0.5)
    frame = pd.DataFrame([{"inputs": "outcome", "mode": "gcl", "seed": 0, **one}])
    assert reward_modes.table(frame).splitlines()[1].split() == (
        ["outcome", "gcl", *["+0.500"] * len(one)]
    )
    two = pd.concat([frame, frame.assign(seed=1, r_p=0.7)])
    assert reward_modes.table(two).splitlines()[1].split()[2:5] == (
        ["+0.600", "±", "0.141"]
    )

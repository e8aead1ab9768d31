"""The virtual dataset: valid, deterministic, faithful to the simulator."""

import csv
import dataclasses
import json

import numpy as np
import pytest
from absl import flags

from data_prep import bins, virtual
from omgrl_jax.data import dataset
from omgrl_jax.envs import clinicians, heparin, population
from omgrl_jax.runtime import flags as config_flags

CONFIG = virtual.Config(stays=60, seed=3, max_hours=30, median_hours=20.0)


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    out = tmp_path_factory.mktemp("virtual")
    virtual.write(CONFIG, out)
    return out


def test_loads_as_a_valid_dataset(written):
    schema, stays, _ = dataset.load(written)
    assert schema.kind == "virtual" and schema.default_state == "history"
    assert [f.name for f in schema.features] == list(heparin.FEATURE_NAMES)
    assert stays.lengths.shape == (60,)
    assert stays.lengths.min() >= 7 and stays.lengths.max() <= 30
    assert not stays.terminals.any()
    assert [(stays.split == s).sum() for s in range(3)] == [42, 6, 12]


def test_same_seed_same_bytes_and_other_seed_others(written, tmp_path):
    virtual.write(CONFIG, tmp_path / "again")
    assert dataset.load(tmp_path / "again").hash == dataset.load(written).hash
    virtual.write(dataclasses.replace(CONFIG, seed=4), tmp_path / "other")
    assert dataset.load(tmp_path / "other").hash != dataset.load(written).hash


def test_rows_are_those_of_the_simulator(written):
    _, stored, _ = dataset.load(written)
    simulated = virtual.simulate(
        CONFIG, heparin.PatientDistribution(), clinicians.Practice()
    )
    rows, steps = dataset.row_starts(stored.lengths), np.cumsum(stored.lengths)
    for i in (0, 17, 59):
        t = stored.lengths[i]
        own = slice(rows[i], rows[i] + t + 1)
        seen = simulated.observations
        np.testing.assert_array_equal(
            stored.observations[own],
            seen.features[i][: t + 1, : len(heparin.FEATURE_NAMES)],
        )
        np.testing.assert_array_equal(
            stored.channel_values[own], seen.channel_value[i][: t + 1]
        )
        np.testing.assert_array_equal(
            stored.amounts[steps[i] - t : steps[i]], simulated.orders.total[i][:t]
        )


def test_bins_are_fitted_on_training_stays_alone(written):
    schema, stored, _ = dataset.load(written)
    training = np.repeat(stored.split == 0, stored.lengths)
    fitted = bins.fit_bins(stored.amounts[training], 6, virtual.Config().zero_share)
    assert schema.actions.edges == tuple(fitted.edges)
    assert schema.actions.amounts == tuple(fitted.amounts)
    np.testing.assert_array_equal(stored.actions, bins.assign(fitted, stored.amounts))
    everything = bins.fit_bins(stored.amounts, 6, virtual.Config().zero_share)
    assert schema.actions.edges != tuple(everything.edges)


def test_simulator_can_be_restored_from_the_schema(written):
    simulator = dataset.load(written).schema.simulator
    assert population.from_dict(simulator["population"]) == (
        heparin.PatientDistribution()
    )
    assert clinicians.from_dict(simulator["practice"]) == clinicians.Practice()
    with pytest.raises(ValueError, match="no field"):
        clinicians.from_dict({"nonsense": 1})


def read(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def test_tables(written):
    assert read(written / "cohort_flow.csv") == [
        {"rule": "virtual patients simulated", "removed": "0", "remaining": "60"}
    ]
    missing = {row["variable"]: row for row in read(written / "missingness.csv")}
    assert set(missing) == {*heparin.FEATURE_NAMES, "aptt"}
    measured = dataset.load(written).trajectories.channel_measured
    assert float(missing["aptt"]["before"]) == pytest.approx(
        1 - measured.mean(), abs=1e-4
    )
    assert missing["sbp"]["before"] == "0.0000"
    assert 0.7 < float(missing["creatinine"]["before"]) < 0.95
    assert {row["after"] for row in missing.values()} == {"0.0000"}


def test_indicators_say_where_laboratory_values_are_held(tmp_path):
    config = dataclasses.replace(CONFIG, stays=8, indicators=True)
    virtual.write(config, tmp_path)
    schema, stored, _ = dataset.load(tmp_path)
    assert schema.default_state == "history_missing"
    assert "panel_missing" not in schema.states["history"]
    held = stored.observations[:, -1].astype(bool)
    labs = [heparin.FEATURE_NAMES.index(name) for name in heparin.PANEL_NAMES]
    starts = dataset.row_starts(stored.lengths)
    for row in range(held.size):
        if row in starts:  # what is known at the start counts as measured
            assert not held[row]
        else:
            now, before = stored.observations[[row, row - 1]][:, labs]
            assert (now == before).all() == held[row]


def test_flags_make_the_configuration(tmp_path):
    values = flags.FlagValues()
    virtual.define_flags(values)
    given = ("--stays=12", "--max_hours=9", "--state=full", "--shifted")
    values(["virtual", f"--out={tmp_path}", *given])
    config = config_flags.read(virtual.Config, flag_values=values)
    assert config == virtual.Config(stays=12, max_hours=9, state="full", shifted=True)
    virtual.write(config, values.out)
    schema, stored, _ = dataset.load(tmp_path)
    assert schema.name == "virtual-shifted" and schema.default_state == "full"
    assert stored.lengths.size == 12 and stored.lengths.max() <= 9
    assert schema.simulator["population"] == jsonable(
        population.to_dict(heparin.shifted())
    )


def jsonable(fields):
    return json.loads(json.dumps(fields))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"stays": 2}, "--stays"),
        ({"min_hours": 80}, "--min_hours"),
        ({"test": 0.95}, "--validation, --test"),
        ({"state": "none"}, "--state=none"),
    ],
)
def test_impossible_settings_name_the_flag(change, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(CONFIG, **change)

"""The dataset of virtual patients with sepsis, and levels of several drugs."""

import dataclasses
import functools

import jax
import numpy as np
import pytest

from data_prep import levels, virtual_sepsis
from data_prep.virtual_sepsis import Config
from omgrl_jax.data import dataset
from omgrl_jax.envs.sepsis import chart, clinicians

CONFIG = Config(stays=60, seed=3)


@functools.cache
def simulated():
    return virtual_sepsis.simulate(CONFIG)


def test_levels_by_hand():
    doses = np.array([[0, 0], [100, 0.0], [300, 0.1], [500, 0.2], [900, 0.5], [0, 0.9]])
    actions = levels.fit((("fluid", "mL"), ("pressor", "u")), doses)
    fluid, pressor = actions.drugs
    assert fluid.edges == (0.0, 300.0) and fluid.amounts == (0.0, 200.0, 700.0)
    assert pressor.edges == (0.0, 0.2)
    np.testing.assert_allclose(pressor.amounts, (0.0, 0.15, 0.7))
    np.testing.assert_array_equal(levels.assign(actions, doses), [0, 3, 4, 7, 8, 2])
    assert actions.labels[5] == "fluid 0-300 mL, pressor > 0.2 u"
    with pytest.raises(ValueError, match="pressor: 3 levels, one of them no dose"):
        levels.fit((("fluid", "mL"), ("pressor", "u")), doses[1:] * [1, 0])


def test_what_is_written_is_what_happened(tmp_path):
    schema = virtual_sepsis.write(CONFIG, tmp_path)
    loaded = dataset.load(tmp_path)
    plain = dataclasses.replace(schema, simulator=None)
    assert dataclasses.replace(loaded.schema, simulator=None) == plain
    assert loaded.schema.simulator["run"]["stays"] == 60 and plain.step_hours == 4.0
    arrays, found = loaded.trajectories, simulated()
    np.testing.assert_array_equal(arrays.lengths, found.alive.sum(axis=1))
    first = dataset.row_starts(arrays.lengths)
    np.testing.assert_array_equal(arrays.observations[first], found.rows.features[:, 0])
    last = first + arrays.lengths
    ends = found.rows.features[np.arange(60), arrays.lengths]
    np.testing.assert_array_equal(arrays.observations[last], ends)
    names = list(chart.NAMES)
    # The dose of a step is what the next row knows as the last one.
    given = np.delete(arrays.observations, first, axis=0)
    doses = given[:, [names.index("fluid_last"), names.index("pressor_last")]]
    np.testing.assert_array_equal(arrays.actions, levels.assign(schema.actions, doses))
    sums = np.add.reduceat(arrays.rewards, np.cumsum(arrays.lengths) - arrays.lengths)
    np.testing.assert_allclose(sums, found.rewards.sum(axis=1), atol=1e-4)
    assert arrays.terminals.all() and set(arrays.split) == {0, 1, 2}


def test_levels_of_any_dose_come_from_training_stays_alone():
    config = dataclasses.replace(CONFIG, orders="exact")
    found = virtual_sepsis.simulate(config)
    usual, arrays = virtual_sepsis.to_dataset(config, found)
    for split, same in ((2, True), (0, False)):
        changed = np.asarray(arrays.split == split)[:, None]
        fluid = np.where(changed, 7.0 * found.doses.fluid, found.doses.fluid)
        other = found._replace(doses=found.doses._replace(fluid=fluid))
        schema, _ = virtual_sepsis.to_dataset(config, other)
        assert (schema.actions == usual.actions) == same


def test_who_orders_levels_orders_those_of_the_schema():
    """Edges that were fitted anew to rounded doses would round other doses."""
    schema, arrays = virtual_sepsis.to_dataset(CONFIG, simulated())
    doses = [np.asarray(x)[simulated().alive] for x in simulated().doses]
    table = schema.actions.levels(arrays.actions)
    for drug, level, given in zip(schema.actions.drugs, table.T, doses, strict=True):
        amounts = np.asarray(drug.amounts, np.float32)
        np.testing.assert_array_equal(given, amounts[level])
        assert drug.amounts[1] < drug.edges[1] < drug.amounts[2]


def test_doses_may_stay_continuous(tmp_path):
    config = Config(stays=60, seed=3, actions="doses")
    made = virtual_sepsis.simulate(config)
    schema, arrays = virtual_sepsis.to_dataset(config, made)
    assert np.unique(arrays.actions[:, 0]).size > 50
    dataset.save(tmp_path, schema, arrays)
    assert arrays.actions.shape == (int(arrays.lengths.sum()), 2)
    assert schema.actions.count == 0 and arrays.actions.max(axis=0)[0] > 300


def test_orders_may_be_of_any_dose():
    """Or of the usual doses of levels, which is the default: three of each drug."""
    alive = simulated().alive
    for doses in simulated().doses:
        assert np.unique(doses[alive]).size == 3
    exact = virtual_sepsis.simulate(Config(stays=60, seed=3, orders="exact"))
    assert np.unique(exact.doses.fluid[exact.alive]).size > 50
    # The same patients came.
    np.testing.assert_array_equal(exact.patients.age, simulated().patients.age)


def test_without_an_outcome_only_death_ends_a_stay():
    config = dataclasses.replace(CONFIG, reward="negative_sofa")
    _, arrays = virtual_sepsis.to_dataset(config, simulated())
    np.testing.assert_array_equal(arrays.terminals, simulated().ended)
    assert 0 < arrays.terminals.sum() < 60


def test_clinicians_may_differ():
    """With a style they aim at volumes of their own, in every order of a stay."""
    assert Config(style=1.0).practice == clinicians.Practice()

    def spread(style):
        config = dataclasses.replace(CONFIG, stays=200, orders="exact", style=style)
        found = virtual_sepsis.simulate(config)
        means = (found.doses.fluid * found.alive).sum(axis=1) / found.alive.sum(axis=1)
        return np.std(means)

    assert spread(3.0) > 1.5 * spread(0.0)


def test_the_same_seed_gives_the_same_stays():
    again = virtual_sepsis.simulate(CONFIG)
    jax.tree.map(np.testing.assert_array_equal, simulated(), again)
    other = virtual_sepsis.simulate(Config(stays=60, seed=4))
    assert not np.array_equal(other.rewards, again.rewards)


@pytest.mark.parametrize(
    ("settings", "flag"),
    [
        ({"validation": 0.6, "test": 0.4}, "--validation, --test"),
        ({"reward": "money"}, "--reward"),
        ({"actions": "words"}, "--actions"),
    ],
)
def test_settings_that_cannot_work_are_named(settings, flag):
    with pytest.raises(ValueError, match=flag):
        Config(**settings)

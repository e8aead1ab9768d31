"""Recorded stays on the device: rows, windows, scales that know training stays only."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny_dataset

from omgrl_jax.data import dataset, records
from omgrl_jax.data import rows as rows_lib
from omgrl_jax.data import scales as scales_lib
from omgrl_jax.data import space as space_lib

# Stays of 3, 1 and 2 actions: rows 0-3, 4-5, 6-8; the first ends for good.
SCHEMA = dataset.Schema(
    name="hand",
    features=(dataset.Feature("x"), dataset.Feature("fixed", static=True)),
    actions=dataset.Actions(3, amounts=(0.0, 10.0, 20.0)),
    channels=(dataset.Channel("c", scale="log", target=(2.0, 4.0)),),
    reward={"kind": "range", "channel": "c"},
)
ARRAYS = dataset.Trajectories(
    observations=np.stack([np.arange(9.0), [1, 1, 1, 1, 2, 2, 3, 3, 3]], axis=1),
    actions=np.array([0, 1, 2, 1, 2, 0]),
    lengths=np.array([3, 1, 2]),
    patients=np.array([0, 1, 2]),
    split=np.array([0, 1, 0]),
    terminals=np.array([True, True, False]),
    rewards=np.array([0.1, 0.2, 0.3, 0.4, 0.5, 0.6]),
    channel_values=np.arange(1.0, 10.0)[:, None],
    channel_measured=np.array([1, 0, 1, 0, 1, 1, 0, 0, 1], bool)[:, None],
    channel_ages=np.zeros((9, 1)),
)


def make(schema=SCHEMA, arrays=ARRAYS, split="train", horizon=2, state=None):
    space = space_lib.make_space(schema, state)
    scales = scales_lib.fit_scales(schema, space, arrays)
    return scales, records.make_records(schema, space, scales, arrays, split, horizon)


def test_rows_of_the_training_stays_by_hand():
    scales, train = make()
    raw = scales.state.invert(train.states)
    # Rows 0-3 and 6-8: the last state of each stay is kept.
    np.testing.assert_allclose(raw[:, 0], [0, 1, 2, 3, 6, 7, 8], atol=1e-5)
    np.testing.assert_array_equal(train.transitions, [0, 1, 2, 4, 5])
    np.testing.assert_array_equal(train.actions[train.transitions], [0, 1, 2, 2, 0])
    np.testing.assert_array_equal(train.amounts[train.transitions], [0, 10, 20, 20, 0])
    np.testing.assert_array_equal(train.stay, [0, 0, 0, 0, 1, 1, 1])
    # Only the first training stay ended for good, with its third action.
    np.testing.assert_array_equal(train.discount[train.transitions], [1, 1, 0, 1, 1])


def test_a_step_carries_what_was_measured_at_the_following_row():
    scales, train = make()
    found = scales.channel.invert(train.outcome)[train.transitions, 0]
    np.testing.assert_allclose(found, [2, 3, 4, 8, 9], rtol=1e-5)
    np.testing.assert_array_equal(
        train.measured[train.transitions, 0], [False, True, False, False, True]
    )
    # Nothing follows the last row of a stay.
    assert not train.measured[np.array([3, 6])].any()


@pytest.mark.parametrize(
    ("horizon", "rows"), [(1, [0, 1, 2, 4, 5]), (2, [0, 1, 4]), (3, [0]), (4, [])]
)
def test_windows_hold_whole_steps_of_one_stay(horizon, rows):
    _, train = make(horizon=horizon)
    np.testing.assert_array_equal(train.windows, rows)


def test_transitions_are_pairs_of_neighbouring_rows():
    scales, train = make()
    steps = records.transition_at(train, train.transitions)
    change = scales.state.invert(steps.next_state) - scales.state.invert(steps.state)
    np.testing.assert_allclose(change[:, 0], np.ones(5), atol=1e-5)
    np.testing.assert_allclose(change[:, 1], np.zeros(5), atol=1e-5)


def test_samples_come_from_the_transitions_alone():
    _, train = make()
    drawn = records.sample_transitions(train, jax.random.key(0), 200)
    known = np.asarray(train.states[train.transitions, 0])
    found = np.unique(np.asarray(drawn.state[:, 0]))
    np.testing.assert_array_equal(found, np.unique(known))


def test_sampled_windows_stay_within_a_stay():
    scales, train = make()
    windows = records.sample_windows(train, jax.random.key(0), 50, 2)
    raw = scales.state.invert(windows.state)
    assert windows.state.shape == (50, 2, 2)
    np.testing.assert_allclose(raw[:, 1, 0] - raw[:, 0, 0], np.ones(50), atol=1e-5)
    np.testing.assert_array_equal(windows.next_state[:, 0], windows.state[:, 1])
    assert set(np.round(np.asarray(raw[:, 0, 0])).tolist()) == {0, 1, 6}


def test_too_short_stays_are_named():
    _, train = make(horizon=4)
    with pytest.raises(ValueError, match=r"no stay has 4 steps.*horizon"):
        records.sample_windows(train, jax.random.key(0), 5, 4)


def test_an_empty_split_is_named():
    with pytest.raises(ValueError, match="no test stay"):
        make(split="test")


def test_scales_by_hand():
    scales, _ = make()
    # Training rows 0-3 and 6-8: mean 27 / 7; the channel where it was measured.
    x = np.array([0, 1, 2, 3, 6, 7, 8])
    np.testing.assert_allclose(scales.state.mean[0], x.mean(), rtol=1e-6)
    np.testing.assert_allclose(scales.state.std[0], x.std(), rtol=1e-6)
    seen = np.log([1.0, 3.0, 9.0])
    np.testing.assert_allclose(scales.channel.mean, [seen.mean()], rtol=1e-6)
    np.testing.assert_allclose(scales.channel.std, [seen.std()], rtol=1e-6)
    np.testing.assert_array_equal(scales.amounts, [0, 10, 20])


def test_scales_know_training_stays_only():
    """Other stays may hold anything: no scale and no training row moves."""
    schema, arrays = tiny_dataset.schema(), tiny_dataset.trajectories()
    held_out = np.repeat(arrays.split != 0, arrays.lengths + 1)
    assert held_out.any()
    observations = np.array(arrays.observations)
    observations[held_out] = 3.0 * observations[held_out] + 7.0
    values = np.array(arrays.channel_values)
    values[held_out] *= 9.0
    other = arrays._replace(observations=observations, channel_values=values)
    plain, moved = make(schema, arrays), make(schema, other)
    for a, b in zip(jax.tree.leaves(plain), jax.tree.leaves(moved), strict=True):
        np.testing.assert_array_equal(a, b)
    test = make(schema, other, "test")[1]
    assert not np.array_equal(test.states, make(schema, arrays, "test")[1].states)


def test_standardiser_inverts_itself_on_both_scales():
    scale = scales_lib.Standardiser(
        jnp.array([2.0, 0.5]), jnp.array([4.0, 0.1]), jnp.array([False, True])
    )
    raw = jnp.array([[-6.0, 2.0], [10.0, 0.1]])
    z = scale.apply(raw)
    np.testing.assert_allclose(z[:, 0], [-2.0, 2.0], rtol=1e-6)
    np.testing.assert_allclose(z[:, 1], (np.log([2, 0.1]) - 0.5) / 0.1, rtol=1e-5)
    np.testing.assert_allclose(scale.invert(z), raw, rtol=1e-5)


def test_log_scale_of_tracked_values_follows_the_channel():
    schema = tiny_dataset.schema()
    space = space_lib.make_space(schema)
    scales = scales_lib.fit_scales(schema, space, tiny_dataset.trajectories())
    logs = {n for n, log in zip(space.names, scales.state.log, strict=True) if log}
    assert logs == {"pulse", "aptt_last", "aptt_previous"}


def test_a_recorded_reward_becomes_a_channel_known_at_every_step():
    schema = dataclasses.replace(SCHEMA, reward={"kind": "recorded"})
    scales, train = make(schema)
    space = space_lib.make_space(schema)
    assert space.channels == ("c", "reward") and space.recorded_reward == 1
    found = scales.channel.invert(train.outcome)[train.transitions, 1]
    np.testing.assert_allclose(found, [0.1, 0.2, 0.3, 0.5, 0.6], rtol=1e-5)
    assert train.measured[train.transitions, 1].all()


def test_real_doses_replace_the_usual_ones():
    given = ARRAYS._replace(amounts=np.array([1.0, 2, 3, 4, 5, 6]))
    np.testing.assert_array_equal(rows_lib.amounts_of(SCHEMA, given), given.amounts)
    np.testing.assert_array_equal(
        rows_lib.amounts_of(SCHEMA, ARRAYS), [0, 10, 20, 10, 20, 0]
    )
    _, train = make(arrays=given)
    np.testing.assert_array_equal(train.amounts[train.transitions], [1, 2, 3, 5, 6])


def test_space_of_each_state():
    schema = tiny_dataset.schema()
    paper, full = (
        space_lib.make_space(schema, "paper"),
        space_lib.make_space(schema, "full"),
    )
    assert paper.names == ("weight", "pulse") and paper.tracked == ()
    assert full.names == ("weight", "pulse", "aptt_last", "aptt_age", "dose_last")
    # Static weight is carried, pulse predicted, the rest follows by rule.
    assert full.dynamic == (1,) and full.num_stored == 2 and full.state_dim == 5
    assert full.target == (0, 60.0, 100.0) and full.recorded_reward is None


def test_a_constant_feature_is_no_lever():
    """A column that never moved in training must not blow up when it moves later."""
    observations = np.array(ARRAYS.observations)
    observations[:, 1] = [5, 5, 5, 5, 6, 6, 5, 5, 5]
    scales, _ = make(arrays=ARRAYS._replace(observations=observations))
    assert scales.state.std[1] == 1.0
    small = observations * np.array([1e-6, 1.0])
    scales, _ = make(arrays=ARRAYS._replace(observations=small))
    np.testing.assert_allclose(
        scales.state.std[0], small[[0, 1, 2, 3, 6, 7, 8], 0].std()
    )


def test_columns_on_the_unit_scale_are_kept_as_they_are():
    schema = dataclasses.replace(
        SCHEMA,
        features=(dataset.Feature("x", scale="unit"), SCHEMA.features[1]),
        channels=(dataset.Channel("c", scale="unit", target=(2.0, 4.0)),),
        tracked=(dataset.Tracked("c_last", "last", "c"),),
    )
    scales, train = make(schema)
    np.testing.assert_array_equal(train.states[:, 0], [0, 1, 2, 3, 6, 7, 8])
    # The tracked copy of a channel has the channel's scale.
    assert scales.state.mean.tolist()[::2] == [0.0, 0.0]
    assert scales.state.std.tolist()[::2] == [1.0, 1.0]
    np.testing.assert_array_equal(train.outcome[train.transitions, 0], [2, 3, 4, 8, 9])
    # The others are standardised as before.
    raw = np.array([1, 1, 1, 1, 3, 3, 3])
    np.testing.assert_allclose(scales.state.mean[1], raw.mean(), rtol=1e-6)
    np.testing.assert_allclose(scales.state.std[1], raw.std(), rtol=1e-6)

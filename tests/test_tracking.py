"""Tracking rules on sequences worked out by hand, and records against a plain loop."""

import jax.numpy as jnp
import numpy as np
import pytest

from omgrl_jax.data import dataset, tracking
from omgrl_jax.data import rows as rows_lib
from omgrl_jax.data import space as space_lib
from omgrl_jax.data.tracking import Tracked

# Four steps: doses, and what is reported at the end of each.
DOSES = [8.0, 0.0, 4.0, 2.0]
MEASURED = [False, True, False, True]
VALUES = [111.0, 70.0, 222.0, 90.0]  # those of steps without a report must not show
FIRST_VALUE, FIRST_AGE = 40.0, 3.0
LAST = Tracked("last", "last", "x")
AVERAGE = Tracked("average", "average", None, 1.0)

# name -> (tracked features, index, the sequence by hand: start, then four steps)
CASES = {
    "last": ([LAST], 0, [40, 40, 70, 70, 90]),
    "age": ([Tracked("age", "age", "x")], 0, [3, 4, 0, 1, 0]),
    "age with delay": ([Tracked("age", "age", "x", delay=1)], 0, [3, 4, 1, 2, 1]),
    "previous": ([LAST, Tracked("p", "previous", "x")], 1, [40, 40, 40, 40, 70]),
    "amount": ([Tracked("u", "amount")], 0, [0, 8, 0, 4, 2]),
    # Half-life 1: x' = (x + u) / 2.
    "average": ([AVERAGE], 0, [0, 4, 2, 3, 2.5]),
    # Half-life 2: x' = x / sqrt 2 + (1 - 1 / sqrt 2) u.
    "slow average": (
        [Tracked("a", "average", None, 2.0)],
        0,
        [0, 2.343146, 1.656854, 2.343146, 2.242641],
    ),
    # The average after the step in which blood was drawn ...
    "average at measurement": (
        [AVERAGE, Tracked("d", "average_at_measurement", "x", 1.0)],
        1,
        [0, 0, 2, 2, 2.5],
    ),
    # ... or before it, where blood is drawn at the start of the step.
    "average at delayed measurement": (
        [AVERAGE, Tracked("d", "average_at_measurement", "x", 1.0, 1)],
        1,
        [0, 0, 4, 4, 3],
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_sequence_by_hand(case):
    tracked, index, wanted = CASES[case]
    features = tracking.start(
        tracked, ["x"], jnp.array([FIRST_VALUE]), jnp.array([FIRST_AGE])
    )
    sequence = [features[index]]
    for dose, value, seen in zip(DOSES, VALUES, MEASURED, strict=True):
        features = tracking.advance(
            tracked,
            ["x"],
            features,
            jnp.float32(dose),
            jnp.array([value]),
            jnp.array([seen]),
        )
        sequence.append(features[index])
    np.testing.assert_allclose(sequence, wanted, rtol=1e-5)


def test_order_of_features_does_not_matter():
    pair = [AVERAGE, Tracked("d", "average_at_measurement", "x", 1.0)]
    features = jnp.array([[4.0, 1.0], [2.0, 0.0]])
    rest = (jnp.array([6.0, 0.0]), jnp.zeros((2, 1)), jnp.array([[True], [False]]))
    plain = tracking.advance(pair, ["x"], features, *rest)
    turned = tracking.advance(pair[::-1], ["x"], features[:, ::-1], *rest)
    np.testing.assert_array_equal(plain, turned[:, ::-1])
    np.testing.assert_array_equal(plain, [[5.0, 5.0], [1.0, 0.0]])


def test_rules_read_their_own_channel():
    tracked = [Tracked("last", "last", "y"), Tracked("age", "age", "x")]
    values, ages = jnp.array([1.0, 2.0]), jnp.array([5.0, 7.0])
    start = tracking.start(tracked, ["x", "y"], values, ages)
    np.testing.assert_array_equal(start, [2.0, 5.0])
    seen = jnp.array([True, False])
    args = (jnp.float32(0.0), jnp.array([10.0, 20.0]), seen)
    after = tracking.advance(tracked, ["x", "y"], start, *args)
    np.testing.assert_array_equal(after, [2.0, 0.0])


def test_no_tracked_feature_is_fine():
    start = tracking.start([], ["x"], jnp.zeros((3, 1)), jnp.zeros((3, 1)))
    assert start.shape == (3, 0)
    args = (jnp.zeros(3), jnp.zeros((3, 1)), jnp.zeros((3, 1), bool))
    assert tracking.advance([], ["x"], start, *args).shape == (3, 0)


@pytest.mark.parametrize(
    ("item", "message"),
    [
        (Tracked("z", "median", "x"), "'z': unknown rule 'median'"),
        (Tracked("z", "average"), "'z' needs a half_life"),
        (Tracked("z", "average", None, 0.0), "'z' needs a half_life"),
        (Tracked("z", "last", "y"), r"'z' reads channel 'y'.*\['x'\]"),
        (Tracked("z", "age"), "'z' reads channel 'None'"),
        (Tracked("z", "age", "x", delay=2), "'z': delay must be 0 or 1"),
        (Tracked("z", "previous", "x"), "'z' .*needs a feature with rule 'last'"),
        (
            Tracked("z", "average_at_measurement", "x", 1.0),
            "'z' .*needs a feature with rule 'average'",
        ),
    ],
)
def test_faults_are_named(item, message):
    with pytest.raises(ValueError, match=message):
        tracking.check([item], ["x"])


def test_partner_must_share_the_half_life():
    other = Tracked("z", "average_at_measurement", "x", 3.0)
    with pytest.raises(ValueError, match="'z'"):
        tracking.check([AVERAGE, other], ["x"])


@pytest.mark.parametrize("delay", [0, 1])
@pytest.mark.parametrize("with_amounts", [True, False])
def test_recorded_stays_equal_a_plain_loop(delay, with_amounts):
    """Stays of 5, 1 and 3 steps, rules written out once more in plain Python."""
    rng = np.random.default_rng(0)
    tracked, states = dataset.heparin_states(["x"], half_life=2.0, delay=delay)
    schema = dataset.Schema(
        name="loop",
        features=(dataset.Feature("x"),),
        actions=dataset.Actions(3, amounts=(0.0, 5.0, 9.0)),
        channels=(dataset.APTT,),
        tracked=tracked,
        states=states,
        default_state="history",
    )
    lengths = np.array([5, 1, 3])
    rows, steps = 12, 9
    arrays = dataset.Trajectories(
        observations=rng.normal(size=(rows, 1)),
        actions=rng.integers(0, 3, steps),
        lengths=lengths,
        patients=np.arange(3),
        split=np.zeros(3, int),
        terminals=np.zeros(3, bool),
        amounts=rng.uniform(0, 10, steps) if with_amounts else None,
        channel_values=rng.uniform(40, 120, (rows, 1)),
        channel_measured=rng.random((rows, 1)) < 0.5,
        channel_ages=rng.integers(0, 9, (rows, 1)).astype(float),
    )
    space = space_lib.make_space(schema)
    found = rows_lib.track(schema, space, arrays)

    table = np.array([0.0, 5.0, 9.0])[arrays.actions]
    doses = arrays.amounts if with_amounts else table
    keep, wanted, row, step = 2.0**-0.5, [], 0, 0
    for length in lengths:
        last = previous = arrays.channel_values[row, 0]
        age = arrays.channel_ages[row, 0]
        dose = average = at_draw = 0.0
        wanted.append([last, age, dose, average, at_draw, previous])
        for _ in range(length):
            before, dose = average, doses[step]
            average = keep * average + (1 - keep) * dose
            row, step, age = row + 1, step + 1, age + 1
            if arrays.channel_measured[row, 0]:
                previous, last = last, arrays.channel_values[row, 0]
                age, at_draw = delay, before if delay else average
            wanted.append([last, age, dose, average, at_draw, previous])
        row += 1
    np.testing.assert_allclose(found, wanted, rtol=1e-5)

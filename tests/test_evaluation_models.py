"""Errors by horizon, calibration and courses in the model, with worlds made by hand."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny_dataset
from scipy import stats

from omgrl_jax.data import records as records_lib
from omgrl_jax.data import scales as scales_lib
from omgrl_jax.data import space as space_lib
from omgrl_jax.data import tracking
from omgrl_jax.evaluation import dynamics, in_model
from omgrl_jax.models import world as world_lib
from omgrl_jax.models.outcome import Outcome
from omgrl_jax.types import Dynamics, Policy, Step, Transition

# Weight is static, pulse is predicted, the last dose is tracked.
SPACE = space_lib.Space(
    names=("weight", "pulse", "dose_last"),
    stored=(0, 1),
    dynamic=(1,),
    tracked=(tracking.Tracked("dose_last", "amount"),),
    channels=("aptt",),
    num_actions=3,
    target=(0, 60.0, 100.0),
)
MEAN, STD = 4.0, 0.5


def scale(mean, std, log=False):
    full = [jnp.array(x, jnp.float32) for x in (mean, std)]
    return scales_lib.Standardiser(*full, jnp.full(len(mean), log))


SCALES = scales_lib.Scales(
    scale([0.0] * 3, [1.0] * 3),
    scale([MEAN], [STD], log=True),
    jnp.array([0.0, 500.0, 1000.0]),
)
PARAMS = world_lib.WorldParams(None, None, SCALES, None, None)


def raw(z):
    return np.exp(np.asarray(z) * STD + MEAN)


def true_step(params, states, actions, amounts=None):
    """Pulse rises by the dose in 1000 U; aPTT follows pulse and action."""
    del params
    given = SCALES.amounts[actions] if amounts is None else amounts
    pulse = states[:, 1] + given / 1000.0
    following = jnp.stack([states[:, 0], pulse, given], axis=1)
    return Step(following, (pulse + 0.1 * actions)[:, None])


def blind_step(params, states, actions, amounts=None):
    """A world in which nothing ever changes and aPTT is always as on average."""
    del params, actions, amounts
    return Step(states, jnp.zeros((states.shape[0], 1)))


@functools.cache
def given():
    """Four courses of three steps that `true_step` made, doses other than the bins'."""
    rng = np.random.default_rng(0)
    actions = jnp.asarray(rng.integers(0, 3, (4, 3)))
    amounts = SCALES.amounts[actions] + jnp.asarray(rng.uniform(1, 99, (4, 3)), "f4")
    states, values = [jnp.asarray(rng.normal(size=(4, 3)), "f4")], []
    for t in range(3):
        step = true_step(None, states[-1], actions[:, t], amounts[:, t])
        states.append(step.state)
        values.append(step.outcome[:, 0])
    return dynamics.Courses(
        states=jnp.stack(states, axis=1),
        actions=actions,
        amounts=amounts,
        value=jnp.stack(values, axis=1),
        known=jnp.ones((4, 3), bool),
        last=jnp.asarray(rng.normal(size=4), "f4"),
    )


def errors(step, courses, **settings):
    rows = dynamics.horizon_errors(
        SPACE, Dynamics(None, step), PARAMS, courses, horizons=(1, 3, 4), **settings
    )
    return {(row["quantity"], row["horizon"]): row for row in rows}


def test_a_perfect_model_has_no_error_and_persistence_has_its_own():
    courses = given()
    found = errors(true_step, courses)
    # Four steps are more than the courses have.
    assert set(found) == {("state", 1), ("state", 3), ("aptt", 1), ("aptt", 3)}
    for horizon in (1, 3):
        state, aptt = found["state", horizon], found["aptt", horizon]
        assert state["model"] == pytest.approx(0.0, abs=1e-6)
        assert aptt["model"] == pytest.approx(0.0, abs=1e-4)
        # The pulse moved by the doses; the tracked dose is no prediction.
        moved = np.asarray(courses.amounts)[:, :horizon].sum(axis=1) / 1000
        by_hand = np.sqrt(np.mean(moved**2))
        assert state["persistence"] == pytest.approx(by_hand, rel=1e-5)
        gap = np.abs(raw(courses.last) - raw(courses.value[:, horizon - 1]))
        assert aptt["persistence"] == pytest.approx(gap.mean(), rel=1e-5)


def test_a_model_that_never_moves_errs_like_persistence():
    courses = given()
    found = errors(blind_step, courses)
    for horizon in (1, 3):
        state = found["state", horizon]
        assert state["model"] == pytest.approx(state["persistence"]) != 0.0
        gap = np.abs(raw(0.0) - raw(courses.value[:, horizon - 1]))
        assert found["aptt", horizon]["model"] == pytest.approx(gap.mean(), rel=1e-5)


def test_only_measured_values_count():
    courses = given()
    known = jnp.array([[1, 0, 0], [0, 0, 0], [1, 1, 0], [0, 1, 0]], bool)
    masked = courses._replace(
        known=known, value=jnp.where(known, courses.value, 9.0), last=courses.last
    )
    found = errors(blind_step, masked)
    value = np.asarray(courses.value)[[0, 2], 0]
    by_hand = np.abs(raw(0.0) - raw(value)).mean()
    assert found["aptt", 1]["model"] == pytest.approx(by_hand, rel=1e-5)
    by_hand = np.abs(raw(np.asarray(courses.last)[[0, 2]]) - raw(value)).mean()
    assert found["aptt", 1]["persistence"] == pytest.approx(by_hand, rel=1e-5)
    # Nothing was measured three steps ahead; the features are known all the same.
    assert ("aptt", 3) not in found and ("state", 3) in found


def test_values_are_compared_up_to_the_ceiling():
    courses = given()
    ceiling = float(np.median(raw(courses.value[:, 2])))
    found = errors(blind_step, courses, ceiling=ceiling)["aptt", 3]
    truth = np.minimum(raw(courses.value[:, 2]), ceiling)
    by_hand = np.abs(min(raw(0.0), ceiling) - truth).mean()
    assert found["model"] == pytest.approx(by_hand, rel=1e-5)
    last = np.minimum(raw(courses.last), ceiling)
    by_hand = np.abs(last - truth).mean()
    assert found["persistence"] == pytest.approx(by_hand, rel=1e-5)
    assert found["persistence"] < errors(blind_step, courses)["aptt", 3]["persistence"]


@functools.cache
def recorded(horizon=4):
    schema, arrays = tiny_dataset.schema(), tiny_dataset.trajectories(18)
    space = space_lib.make_space(schema, "full")
    scales = scales_lib.fit_scales(schema, space, arrays)
    return records_lib.make_records(schema, space, scales, arrays, "train", horizon)


@pytest.mark.parametrize("limit", [2000, 5])
def test_courses_are_the_recorded_windows(limit):
    records = recorded()
    last = jnp.arange(records.states.shape[0], dtype=jnp.float32)
    courses = dynamics.courses(records, 0, last, limit)
    starts = np.asarray(records.windows)
    if limit == 5:
        starts = starts[np.linspace(0, starts.size - 1, 5).astype(int)]
    assert courses.actions.shape == (starts.size, 4)
    np.testing.assert_array_equal(courses.last, starts)
    for i in (0, starts.size - 1):
        rows = slice(starts[i], starts[i] + 4)
        whole = slice(starts[i], starts[i] + 5)
        np.testing.assert_array_equal(courses.states[i], records.states[whole])
        np.testing.assert_array_equal(courses.amounts[i], records.amounts[rows])
        np.testing.assert_array_equal(courses.value[i], records.outcome[rows, 0])
        np.testing.assert_array_equal(courses.known[i], records.measured[rows, 0])
        assert np.unique(np.asarray(records.stay)[whole]).size == 1


def test_windows_of_a_split_without_long_stays_are_refused():
    records = recorded()._replace(windows=jnp.zeros(0, jnp.int32))
    with pytest.raises(ValueError, match="as long as the rollout horizon"):
        dynamics.courses(records, 0, jnp.zeros(records.states.shape[0]))


MEMBERS = jnp.array([-1.0, 1.5])


def gaussian(width):
    """Members that say N(state + member, width^2)."""

    def outcome(scales, member, state, action, amount):
        del scales, action, amount
        mean = state[:1] + member
        return Outcome(mean, mean, jnp.full(1, 2 * np.log(width), jnp.float32), mean)

    return world_lib.World(*[None] * 9)._replace(outcome=outcome)


@functools.cache
def drawn(rows=4000):
    """Values that the mixture of both members made; only even rows are measured."""
    rng = np.random.default_rng(1)
    state = rng.normal(size=(rows, 1))
    value = state + rng.choice(np.asarray(MEMBERS), (rows, 1))
    value += 0.7 * rng.normal(size=(rows, 1))
    measured = np.arange(rows)[:, None] % 2 == 0
    fields = {
        "states": jnp.asarray(state, "f4"),
        "actions": jnp.zeros(rows, jnp.int32),
        "amounts": jnp.zeros(rows),
        "outcome": jnp.asarray(np.where(measured, value, 1e3), "f4"),
        "measured": jnp.asarray(measured),
    }
    nothing = jnp.zeros((rows, 1), bool)
    return records_lib.Records(
        **{name: fields.get(name, nothing) for name in records_lib.Records._fields}
    )


def shares(width, records):
    params = PARAMS._replace(outcomes=MEMBERS)
    rows = dynamics.calibration(gaussian(width), params, records)
    return (
        np.array([row["nominal"] for row in rows]),
        np.array([row["observed"] for row in rows]),
    )


def test_the_true_mixture_is_calibrated_and_narrow_or_wide_ones_are_not():
    nominal, observed = shares(0.7, drawn())
    # 2,000 measurements: a standard deviation of at most 0.011.
    np.testing.assert_allclose(observed, nominal, atol=0.04)
    # One value by hand, from the closed form of the mixture.
    records = drawn()
    value, state = np.asarray(records.outcome)[::2], np.asarray(records.states)[::2]
    means = state + np.asarray(MEMBERS)
    position = stats.norm.cdf((value - means) / 0.7).mean(axis=1)
    assert observed[0] == pytest.approx((position <= 0.05).mean(), abs=1e-3)
    nominal, narrow = shares(0.2, records)
    assert narrow[0] > 0.1 and narrow[-1] < 0.9
    _, wide = shares(3.0, records)
    assert wide[0] < 0.01 and wide[-1] > 0.99


def test_without_measurements_there_is_no_calibration():
    records = drawn()
    nothing = records._replace(measured=jnp.zeros_like(records.measured))
    assert shares(0.7, nothing)[0].size == 0


def test_stays_start_at_their_first_rows_when_they_last_long_enough():
    # Stays of 3, 5, 2 and 5 steps have one row more.
    lengths = np.array([3, 5, 2, 5])
    stay = jnp.asarray(np.repeat(np.arange(4), lengths + 1))
    records = recorded()._replace(stay=stay)
    assert in_model.stay_starts(records, 3).tolist() == [0, 4, 13]
    assert in_model.stay_starts(records, 4).tolist() == [4, 13]
    assert in_model.stay_starts(records, 2).tolist() == [0, 4, 10, 13]
    assert in_model.stay_starts(records, 6).size == 0


def test_recorded_courses_follow_their_stays():
    records = recorded()
    starts = in_model.stay_starts(records, 4)
    assert starts.size >= 3
    courses = in_model.recorded_courses(records, starts, 4)
    for i, start in enumerate(starts):
        rows = slice(start, start + 4)
        np.testing.assert_array_equal(courses.state[:, i], records.states[rows])
        np.testing.assert_array_equal(courses.action[:, i], records.actions[rows])
        np.testing.assert_array_equal(courses.outcome[:, i], records.outcome[rows])
        following = records.states[start + 1 : start + 5]
        np.testing.assert_array_equal(courses.next_state[:, i], following)


def transitions(aptt, action=0):
    """Courses [H, B] with these values of aPTT, s."""
    z = (np.log(np.asarray(aptt, float)) - MEAN) / STD
    steps, batch = z.shape
    states = jnp.zeros((steps, batch, 3))
    ones = jnp.ones((steps, batch))
    actions = jnp.full((steps, batch), action)
    return Transition(states, actions, states, jnp.asarray(z[..., None]), ones, ones)


def test_outcomes_of_courses_by_hand():
    # One course is in range for four hours running, the other above half of the time.
    aptt = np.array([[50, 70, 80, 90, 99, 50], [120, 110, 105, 80, 80, 80]]).T
    courses = transitions(aptt, action=2)
    reward = lambda params, t: params * t.action  # noqa: E731
    found = in_model.score(SPACE, PARAMS, courses, reward, jnp.float32(3.0))
    assert float(found["success"]) == pytest.approx(0.5)
    assert float(found["in_range"]) == pytest.approx((4 / 6 + 3 / 6) / 2)
    assert float(found["below"]) == pytest.approx(1 / 6)
    assert float(found["above"]) == pytest.approx(0.25)
    r_p = 2 / (1 + np.exp(60 - aptt)) - 2 / (1 + np.exp(100 - aptt)) - 1.0
    assert float(found["r_p"]) == pytest.approx(r_p.mean(), abs=1e-4)
    assert float(found["r_psi"]) == pytest.approx(6.0)
    assert "r_psi" not in in_model.score(SPACE, PARAMS, courses, None, None)


def test_a_recorded_reward_is_the_mean_of_its_channel():
    task = space_lib.Space(
        ("x",), (0,), (0,), (), ("reward",), 3, target=None, recorded_reward=0
    )
    plain = SCALES._replace(channel=scale([2.0], [1.0]))
    courses = transitions(np.array([[60.0, 80.0]]))
    params = PARAMS._replace(scales=plain)
    found = in_model.score(task, params, courses, None, None)
    assert set(found) == {"r_p"}
    expected = np.mean(np.asarray(courses.outcome)) + 2.0
    assert float(found["r_p"]) == pytest.approx(expected, rel=1e-5)


def logits(params, states):
    return jax.nn.log_softmax(params + 0.0 * states[..., :1])


def test_greedy_courses_take_the_likeliest_action_and_others_all():
    def draw(params, key, states, actions):
        noise = 0.0 * jax.random.normal(key, (states.shape[0],))
        step = true_step(params, states, actions)
        return step._replace(state=step.state + noise[:, None])

    world = world_lib.World(*[None] * 9)._replace(dynamics=Dynamics(draw, true_step))
    starts = jnp.zeros((50, 3))
    prefers = jnp.array([[0.0, 0.4, 0.0]])
    run = functools.partial(
        in_model.policy_courses, world, PARAMS, Policy(logits), prefers
    )
    greedy = run(jax.random.key(0), starts, 8, True)
    assert greedy.action.shape == (8, 50)
    assert np.all(np.asarray(greedy.action) == 1)
    # The world moved as it does: 500 U, so 0.5 a step.
    np.testing.assert_allclose(greedy.next_state[-1, :, 1], 4.0, rtol=1e-5)
    sampled = np.asarray(run(jax.random.key(1), starts, 8).action)
    found = np.bincount(sampled.ravel(), minlength=3) / sampled.size
    expected = np.exp([0.0, 0.4, 0.0]) / np.exp([0.0, 0.4, 0.0]).sum()
    # 400 draws: a standard deviation of 0.025.
    np.testing.assert_allclose(found, expected, atol=0.1)


def test_a_task_without_channels_has_errors_of_its_features_alone():
    records = recorded()
    windows = dynamics.courses(records, None, jnp.zeros(records.states.shape[0]))
    assert windows.value.shape == windows.known.shape == windows.actions.shape
    assert not np.any(windows.known)
    assert set(errors(true_step, given(), channel=None)) == {("state", 1), ("state", 3)}
    assert dynamics.calibration(gaussian(0.7), PARAMS, drawn(), channel=None) == []


def test_errors_over_too_few_measurements_are_left_out():
    courses = given()
    known = jnp.ones((4, 3), bool).at[0, 2].set(False)
    found = errors(blind_step, courses._replace(known=known), least=4)
    assert ("aptt", 1) in found and ("aptt", 3) not in found

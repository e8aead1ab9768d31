"""The clinical reward and the outcomes of hand-made stays."""

import jax.numpy as jnp
import numpy as np
import pytest

from omgrl_jax.ops import clinical


@pytest.mark.parametrize(
    ("aptt", "reward"),
    [
        # 2 sigmoid(0) - 2 sigmoid(-40) - 1 = 0, and the same at the other end.
        (60.0, 0.0),
        (100.0, 0.0),
        # 2 sigmoid(20) - 2 sigmoid(-20) - 1 = 1 - 4 / (1 + e^20)
        (80.0, 1.0 - 4.0 / (1.0 + np.exp(20.0))),
        # 2 sigmoid(1) - 2 sigmoid(-39) - 1 = tanh(1/2)
        (61.0, np.tanh(0.5)),
        (99.0, np.tanh(0.5)),
        # Far off: -1, where exp(60 - 5) would overflow nothing but exp(95) does.
        (5.0, -1.0),
        (11.0, -1.0),
        (500.0, -1.0),
    ],
)
def test_range_reward(aptt, reward):
    value = clinical.range_reward(jnp.float32(aptt), 60.0, 100.0)
    assert value.dtype == jnp.float32
    np.testing.assert_allclose(value, reward, atol=1e-6)


@pytest.mark.parametrize(
    ("inside", "longest"),
    [
        ([0, 0, 0], 0),
        ([1, 1, 0, 1], 2),
        ([1, 0, 1, 1, 1], 3),
        ([1, 1, 1, 1], 4),
        ([0, 1, 1, 0, 1, 1, 0], 2),
    ],
)
def test_longest_run(inside, longest):
    assert clinical.longest_run(jnp.array(inside, bool)) == longest


def test_outcomes_of_a_hand_made_stay():
    value = jnp.array([50.0, 60.0, 100.0, 101.0, 80.0, 59.0, 120.0, 80.0])
    found = clinical.treatment_outcomes(value, 60.0, 100.0)
    # Ends count as inside; runs are 2, 1, 1.
    assert found["success"] == 0.0
    assert found["in_range"] == 4 / 8
    assert found["below"] == 2 / 8
    assert found["above"] == 2 / 8
    each = [clinical.range_reward(v, 60.0, 100.0) for v in value]
    np.testing.assert_allclose(found["r_p"], np.mean(each), rtol=1e-5)


@pytest.mark.parametrize(
    ("start", "length", "success"),
    [(0, 4, 1.0), (0, 3, 0.0), (20, 4, 1.0), (21, 8, 0.0), (24, 8, 0.0)],
)
def test_success_is_four_hours_running_within_the_first_day(start, length, success):
    value = np.full(40, 50.0, np.float32)
    value[start : start + length] = 80.0
    found = clinical.treatment_outcomes(jnp.asarray(value), 60.0, 100.0)
    assert found["success"] == success
    np.testing.assert_allclose(found["in_range"], length / 40, rtol=1e-6)


def test_the_window_and_the_run_are_settings():
    value = jnp.array([80.0, 80.0, 50.0, 80.0, 80.0, 80.0])
    found = clinical.treatment_outcomes(value, 60.0, 100.0, 3, 2)
    assert found["success"] == 1.0
    found = clinical.treatment_outcomes(value, 60.0, 100.0, 5, 3)
    assert found["success"] == 0.0


@pytest.mark.parametrize(
    ("best", "strict", "loose"),
    # r_p is tanh(d / 2) at d seconds inside the range: .9 at 2.94 s, .2 at .405 s.
    [(62.95, 1.0, 1.0), (62.93, 0.0, 1.0), (60.41, 0.0, 1.0), (60.40, 0.0, 0.0)],
)
def test_the_authors_successes_need_one_step_at_any_time(best, strict, loose):
    value = np.full(40, 50.0, np.float32)
    value[30] = best
    found = clinical.treatment_outcomes(jnp.asarray(value), 60.0, 100.0)
    assert found["success_any_0.9"] == strict
    assert found["success_any_0.2"] == loose
    assert found["success"] == 0.0

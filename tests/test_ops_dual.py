"""Multipliers by hand, and at the limit of a problem whose solution is known."""

import jax.numpy as jnp
import numpy as np

from omgrl_jax.ops import dual

GAINS = dual.Gains(proportional=0.5, integral=0.1, derivative=2.0)


def test_two_steps_by_hand():
    first = dual.follow(GAINS, dual.start(1), jnp.array([1.0]))
    # .5 * 1 + .1 * 1 + 2 * 1;  then .5 * .5 + .1 * 1.5 and nothing for a fall.
    np.testing.assert_allclose(first.value, [2.6], rtol=1e-6)
    second = dual.follow(GAINS, first, jnp.array([0.5]))
    np.testing.assert_allclose(second.value, [0.4], rtol=1e-6)


def test_a_violated_limit_raises_and_a_slack_one_forgets():
    now, seen = dual.start(2), []
    for _ in range(5):
        now = dual.follow(GAINS, now, jnp.array([0.2, -0.2]))
        seen.append(np.asarray(now.value))
    rising = np.array(seen)[1:, 0]
    assert (np.diff(rising) > 0).all() and (np.array(seen)[:, 1] == 0).all()
    for _ in range(20):
        now = dual.follow(GAINS, now, jnp.array([-0.2, -0.2]))
    np.testing.assert_array_equal(now.value, [0.0, 0.0])
    # What was slack for long is not remembered: .5 * .1 + .1 * .1 + 2 * (.1 + .2).
    now = dual.follow(GAINS, now, jnp.array([0.1, 0.1]))
    np.testing.assert_allclose(now.value, [0.66, 0.66], rtol=1e-5)


def test_the_limit_is_met_where_the_solution_is_known():
    """Dose x in [0, 1] maximises x - value * x^2: best is 1 / (2 value); cost is x^2.

    With a limit of .25 the best dose is .5, and the multiplier 1.
    """
    gains = dual.Gains(proportional=1.0, integral=0.2, derivative=0.0)
    now = dual.start(1)
    for _ in range(400):
        dose = jnp.clip(1.0 / (2.0 * jnp.maximum(now.value, 1e-6)), 0.0, 1.0)
        now = dual.follow(gains, now, jnp.square(dose) - 0.25)
    np.testing.assert_allclose(now.value, [1.0], atol=0.02)
    np.testing.assert_allclose(dose, [0.5], atol=0.01)

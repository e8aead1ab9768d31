"""Value losses against tabular soft value iteration."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny_mdp

from omgrl_jax.ops import value


def test_soft_value_by_hand():
    # pi = (.25, .75), q = (1, 3), temperature .5: 2.5 + .5 H(pi).
    log_probs = jnp.log(jnp.array([0.25, 0.75]))
    entropy = -(0.25 * np.log(0.25) + 0.75 * np.log(0.75))
    v = value.soft_value(jnp.array([1.0, 3.0]), log_probs, 0.5)
    np.testing.assert_allclose(v, 2.5 + 0.5 * entropy, rtol=1e-6)


def test_td_error_by_hand_and_its_gradient():
    # 1.5 + .9 * 2 - 3 = .3; only q_tm1[a_tm1] is differentiated.
    q = jnp.array([7.0, 3.0])

    def error(q, v):
        return value.td_error(q, jnp.int32(1), 1.5, jnp.float32(0.9), v)

    np.testing.assert_allclose(error(q, 2.0), 0.3, rtol=1e-6)
    np.testing.assert_array_equal(jax.grad(error)(q, 2.0), [0.0, -1.0])
    assert jax.grad(error, argnums=1)(q, 2.0) == 0.0


def test_nothing_follows_a_terminal_step():
    q = jnp.array([1.0, 0.0])
    assert value.td_error(q, jnp.int32(0), 4.0, jnp.float32(0.0), 1e6) == 3.0


@pytest.mark.parametrize("temperature", [0.3, 1.0])
def test_repeated_updates_reach_the_soft_bellman_fixed_point(temperature):
    """Soft policy iteration by these losses ends where soft value iteration does."""
    reward, following = jnp.asarray(tiny_mdp.REWARD), tiny_mdp.NEXT
    discount = jnp.float32(tiny_mdp.DISCOUNT)

    def sweep(q, _):
        log_probs = jax.nn.log_softmax(q / temperature, axis=-1)
        v = jax.vmap(value.soft_value, in_axes=(0, 0, None))(q, log_probs, temperature)

        def error(s, a):
            return value.td_error(q[s], a, reward[s, a], discount, v[following[s, a]])

        s, a = jnp.divmod(jnp.arange(6), 2)
        following_q = q + jax.vmap(error)(s, a).reshape(3, 2)
        return following_q, None

    following = jnp.asarray(following)
    q, _ = jax.lax.scan(sweep, jnp.zeros((3, 2)), None, length=150)
    wanted, _ = tiny_mdp.soft_optimum(temperature)
    np.testing.assert_allclose(q, wanted, rtol=1e-5)


@pytest.mark.parametrize("form", ["logsumexp", "policy"])
def test_push_down_gradient(form):
    q = jnp.array([0.3, -1.2, 2.0])
    log_probs = jax.nn.log_softmax(jnp.array([1.0, 0.0, -0.5]))
    down = value.PUSH_DOWN[form]
    wanted = {"logsumexp": jax.nn.softmax(q), "policy": jnp.exp(log_probs)}[form]
    np.testing.assert_allclose(jax.grad(down)(q, log_probs), wanted, rtol=1e-6)
    # The penalty trains the critic alone.
    np.testing.assert_array_equal(jax.grad(down, argnums=1)(q, log_probs), np.zeros(3))


def test_push_down_values_by_hand():
    q = jnp.array([0.0, np.log(3.0)])
    log_probs = jnp.log(jnp.array([0.5, 0.5]))
    np.testing.assert_allclose(
        value.push_down_logsumexp(q, log_probs), np.log(4.0), rtol=1e-6
    )
    np.testing.assert_allclose(
        value.push_down_policy(q, log_probs), 0.5 * np.log(3.0), rtol=1e-6
    )


def test_batches_are_refused():
    with pytest.raises(AssertionError):
        value.soft_value(jnp.zeros((2, 3)), jnp.zeros((2, 3)), 1.0)
    with pytest.raises(AssertionError):
        value.td_error(jnp.zeros((2, 3)), jnp.zeros(2, int), 0.0, 1.0, 0.0)


def test_dueling_values_by_hand_and_that_the_mean_belongs_to_the_state():
    # Advantages 1, 2, 6 have the mean 3.
    found = value.dueling(jnp.float32(10.0), jnp.array([1.0, 2.0, 6.0]))
    np.testing.assert_allclose(found, [8.0, 9.0, 13.0])
    slope = jax.jacobian(value.dueling, argnums=1)(jnp.float32(0.0), jnp.ones(3))
    np.testing.assert_allclose(slope, np.eye(3) - 1 / 3, rtol=1e-6)

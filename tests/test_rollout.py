"""A scanned rollout against the same loop unrolled by hand."""

import jax
import jax.numpy as jnp
import numpy as np

from omgrl_jax.models.rollout import rollout
from omgrl_jax.types import Dynamics, Policy, Step

HORIZON, BATCH = 4, 5


def make_dynamics():
    def sample(params, key, states, actions):
        noise = params * jax.random.normal(key, states.shape)
        following = 0.5 * states + actions[:, None].astype(jnp.float32) + noise
        return Step(following, following[:, :1] ** 2)

    return Dynamics(sample, lambda *args: None)


def make_policy():
    def log_probs(params, states):
        return jax.nn.log_softmax(states @ params, axis=-1)

    return Policy(log_probs)


def run(noise, key):
    starts = jnp.arange(10.0).reshape(BATCH, 2) / 10
    weights = jnp.array([[1.0, 0.0, -2.0], [0.5, 0.3, 1.0]])
    arguments = (make_dynamics(), jnp.float32(noise), make_policy(), weights)
    return arguments, starts, rollout(*arguments, key, starts, HORIZON)


def test_equal_to_the_unrolled_loop_with_the_same_keys():
    (dynamics, noise, policy, weights), states, steps = run(0.3, jax.random.key(7))
    own = (jax.random.split(k, HORIZON) for k in jax.random.split(jax.random.key(7)))
    for t, (action_key, world_key) in enumerate(zip(*own, strict=True)):
        log_probs = policy.log_probs(weights, states)
        actions = jax.random.categorical(action_key, log_probs)
        following = dynamics.sample(noise, world_key, states, actions)
        np.testing.assert_allclose(steps.state[t], states, rtol=1e-5, atol=1e-6)
        np.testing.assert_array_equal(steps.action[t], actions)
        np.testing.assert_allclose(
            steps.next_state[t], following.state, rtol=1e-5, atol=1e-6
        )
        np.testing.assert_allclose(
            steps.outcome[t], following.outcome, rtol=1e-5, atol=1e-6
        )
        states = following.state


def test_steps_are_chained_and_never_end():
    _, starts, steps = run(1.0, jax.random.key(0))
    np.testing.assert_array_equal(steps.state[0], starts)
    np.testing.assert_array_equal(steps.state[1:], steps.next_state[:-1])
    np.testing.assert_array_equal(steps.discount, np.ones((HORIZON, BATCH)))
    assert steps.action.dtype == jnp.int32


def test_every_step_draws_anew():
    _, _, steps = run(1.0, jax.random.key(0))
    noise = steps.next_state - 0.5 * steps.state - steps.action[..., None]
    rows = np.asarray(noise).reshape(-1, 2)
    apart = np.abs(rows[:, None] - rows[None]).max(axis=-1)
    # Two numbers may be alike by chance, both numbers of two draws are not.
    assert apart[~np.eye(len(rows), dtype=bool)].min() > 1e-3


def test_rollouts_side_by_side_are_those_one_by_one():
    # Worlds that draw as they go are given keys whose axes move where they are batched.
    def one(key):
        return run(0.3, key)[2]

    def keys():
        return jax.random.split(jax.random.key(3), 2)

    together = jax.jit(jax.vmap(one))(keys())
    apart = [jax.jit(one)(key) for key in keys()]
    for n, alone in enumerate(apart):
        np.testing.assert_allclose(together.state[n], alone.state, rtol=1e-5, atol=1e-6)
        np.testing.assert_array_equal(together.action[n], alone.action)

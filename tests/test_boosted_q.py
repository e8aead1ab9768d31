"""Fitted Q iteration with boosted trees, against value iteration by hand."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import threadpoolctl
import tiny_mdp
from tiny_records import COUNTS, data, optimum

from omgrl_jax.data.records import transition_at
from omgrl_jax.learners import boosted_q

CONFIG = boosted_q.Config(iterations=25, trees=3, learning_rate=0.9, rows_per_leaf=1)


@pytest.fixture(autouse=True)
def one_thread():
    """Trees this small wait for their threads longer than they grow."""
    with threadpoolctl.threadpool_limits(1, "openmp"):
        yield


@functools.cache
def fitted(iterations):
    """Each pair twenty times as often as it counts, for trees need rows."""
    train = data(20 * COUNTS).train
    steps = transition_at(train, train.transitions)
    config = dataclasses.replace(CONFIG, iterations=iterations)
    return boosted_q.fit(config, steps, steps.outcome[:, 0], 2, tiny_mdp.DISCOUNT)


def test_values_reach_the_optimum_and_the_policy_takes_it():
    q, _ = optimum(lambda q: q.max(axis=1))
    boosted = fitted(25)
    np.testing.assert_allclose(boosted.values(np.eye(3)), q, atol=0.05)
    log_probs = jax.jit(boosted.policy.log_probs)((), jnp.eye(3))
    np.testing.assert_array_equal(np.exp(log_probs), np.eye(2)[q.argmax(axis=1)])


def test_each_iteration_looks_one_step_further():
    one, two = (fitted(number).values(np.eye(3)) for number in (1, 2))
    np.testing.assert_allclose(one, tiny_mdp.REWARD, atol=0.01)
    ends = np.array([[1, 1], [1, 0], [1, 1]])
    following = ends * tiny_mdp.REWARD.max(axis=1)[tiny_mdp.NEXT]
    wanted = tiny_mdp.REWARD + tiny_mdp.DISCOUNT * following
    np.testing.assert_allclose(two, wanted, atol=0.02)


def test_the_policy_acts_inside_compiled_maps_and_loops():
    """One state, a batch, a map of batches and a rollout agree."""
    policy = fitted(25).policy
    best = optimum(lambda q: q.max(axis=1))[0].argmax(axis=1)
    moves = jnp.asarray(tiny_mdp.NEXT)

    @jax.jit
    def run(states):
        mapped = jax.vmap(functools.partial(policy.log_probs, ()))(states)

        def step(s, _):
            a = jnp.argmax(policy.log_probs((), jnp.eye(3)[s]))
            return moves[s, a], a

        return mapped, jax.lax.scan(step, 0, None, length=4)[1]

    mapped, taken = run(jnp.stack([jnp.eye(3), jnp.eye(3)[::-1]]))
    assert mapped.shape == (2, 3, 2)
    np.testing.assert_array_equal(mapped.argmax(axis=-1), [best, best[::-1]])
    s, wanted = 0, []
    for _ in range(4):
        wanted.append(best[s])
        s = tiny_mdp.NEXT[s, best[s]]
    np.testing.assert_array_equal(taken, wanted)


def test_too_many_actions_are_named():
    steps = transition_at(data().train, jnp.arange(2))
    with pytest.raises(ValueError, match="255 actions at most, not 256"):
        boosted_q.fit(CONFIG, steps, jnp.zeros(2), 256, 0.9)

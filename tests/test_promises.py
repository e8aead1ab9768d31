"""What critics promise, by hand: whose doses, in which unit, for which seed."""

import jax.numpy as jnp
import numpy as np
import pytest

from experiments import promises
from experiments.training import Trained
from omgrl_jax.types import Algorithm, Policy

# Two states, three actions.
Q = np.array([[1.0, 2.0, 4.0], [0.0, -1.0, 3.0]], np.float32)
PI = np.array([[0.5, 0.25, 0.25], [0.2, 0.7, 0.1]], np.float32)


def algorithm(values=True, reward=None):
    def log_probs(params, states):
        del params
        return jnp.log(states @ jnp.asarray(PI))

    def action_values(state, states):
        return state * (states @ jnp.asarray(Q))

    return Algorithm(
        init=None,
        update=None,
        policy=Policy(log_probs),
        policy_params=lambda state: state,
        reward=reward,
        action_values=action_values if values else None,
    )


def promised(made, index=0):
    # The second seed's critic promises ten times as much.
    one = Trained(made, jnp.array([1.0, 10.0]), None)
    return promises.promised(one, index, jnp.eye(2))


def test_promises_are_means_over_the_policys_own_doses():
    # .5 * 1 + .25 * 2 + .25 * 4 = 2; .2 * 0 - .7 * 1 + .1 * 3 = -.4; mean .8.
    # The likeliest actions are 0 and 1: (1 - 1) / 2 = 0.
    found = promised(algorithm())
    assert found["stochastic"]["promised"] == pytest.approx(0.8)
    assert found["greedy"]["promised"] == pytest.approx(0.0)
    assert promised(algorithm(), 1)["stochastic"]["promised"] == pytest.approx(8.0)


def test_a_learned_reward_gives_the_promise_another_name():
    found = promised(algorithm(reward=lambda state, transitions: 0.0))
    assert {name for row in found.values() for name in row} == {"promised_psi"}


def test_a_method_without_values_promises_nothing():
    assert promised(algorithm(values=False)) == {}

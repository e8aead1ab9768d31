"""Policy gradients in a simulator: the gain of a linear task, known by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from omgrl_jax import actions
from omgrl_jax.envs.control import Control
from omgrl_jax.learners import online_td3

COST = 0.5


def point():
    """A point moved by its action times `physics`, at a cost of way and action."""

    def reward(state, action, following):
        del state
        return -jnp.square(following[0]) - COST * jnp.square(action[0])

    return Control(
        name="point",
        features=(("x", "-"),),
        low=(-1.0,),
        high=(1.0,),
        actions=actions.box((-1.0,), (1.5,)),  # its middle is not to stay
        limit=20,
        reset=lambda key: jax.random.uniform(key, (1,), minval=-1.0, maxval=1.0),
        step=lambda size, state, action: state + size * action,
        reward=reward,
        done=lambda state: jnp.zeros((), bool),
    )


CONFIG = online_td3.Config(
    hidden=(32, 32),
    copies=8,
    steps=1500,
    batch_size=128,
    capacity=8000,
    warmup=300,
    discount=0.8,
    target_rate=0.05,
    restart=0.2,
)


def gain(size):
    """k of the best action -k x: discounted Riccati equation, iterated."""
    p = 0.0
    for _ in range(200):
        k = size * (1 + 0.8 * p) / (size**2 * (1 + 0.8 * p) + COST)
        p = (1 + 0.8 * p) * (1 - size * k) ** 2 + COST * k**2
    return k


def test_actions_are_those_of_the_best_linear_policy():
    behaviour = online_td3.behaviour(point(), CONFIG)
    sizes = jnp.array([0.5, -1.0])
    train = jax.jit(jax.vmap(behaviour.train))
    params = train(jax.random.split(jax.random.key(0), 2), sizes)
    x = np.linspace(-0.8, 0.8, 9)
    act = jax.vmap(jax.vmap(behaviour.act, (None, 0)), (0, None))
    found = np.asarray(act(params, jnp.asarray(x[:, None], jnp.float32)))[..., 0]
    for actions_of, size in zip(found, (0.5, -1.0), strict=True):
        best = -gain(size) * x
        assert np.polyfit(x, actions_of, 1)[0] == pytest.approx(-gain(size), abs=0.15)
        assert np.abs(actions_of - best).mean() < 0.12

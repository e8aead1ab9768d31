"""Deep Q-learning in a simulator: the values of a walk, known by hand."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from omgrl_jax import actions
from omgrl_jax.envs.control import Control
from omgrl_jax.learners import online_q


def walk():
    """Steps of `physics` to either side; -1 a step until x reaches 1, then 0."""

    def done(state):
        return state[0] > 0.99

    return Control(
        name="walk",
        features=(("x", "-"),),
        low=(-1.0,),
        high=(1.0,),
        actions=actions.discrete(2),
        limit=20,
        reset=lambda key: jnp.zeros(1),
        step=lambda size, state, action: jnp.clip(
            state + size * (2.0 * action - 1.0), -1.0, 1.0
        ),
        reward=lambda state, action, following: jnp.where(done(following), 0.0, -1.0),
        done=done,
    )


TASK = walk()
CONFIG = online_q.Config(
    hidden=(32, 32), copies=16, steps=3000, batch_size=128, capacity=5000, discount=0.8
)


def test_values_are_those_of_the_shortest_way():
    train = jax.jit(functools.partial(online_q.train, task=TASK, config=CONFIG))
    params = train(jax.random.key(0), physics=0.25)
    x = np.array([-0.9, -0.4, 0.1, 0.6, 0.8])
    found = online_q.values(TASK, CONFIG, params, jnp.asarray(x[:, None], jnp.float32))
    # n steps to the right end, all but the last at -1 (times 1 - .8): -(1 - .8^(n-1)).
    steps = np.ceil((0.99 - x) / 0.25)
    np.testing.assert_allclose(found[:, 1], -(1 - 0.8 ** (steps - 1)), atol=0.06)
    # To the left first: one step more, and the way back.
    back = np.ceil((0.99 - np.maximum(x - 0.25, -1.0)) / 0.25)
    np.testing.assert_allclose(found[:, 0], -(1 - 0.8**back), atol=0.06)


def test_physics_decide_what_is_learned():
    train = jax.jit(functools.partial(online_q.train, task=TASK, config=CONFIG))
    params = train(jax.random.key(0), physics=-0.25)  # the other way round
    found = online_q.values(TASK, CONFIG, params, jnp.zeros((1, 1)))
    assert found[0, 0] > found[0, 1] + 0.05

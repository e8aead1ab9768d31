"""The enumerated decision process of `tiny_mdp` as records, a world and a task.

States are one-hot, so that networks without hidden layers are tables; the channel is
the reward `tiny_mdp.REWARD`, recorded at every step.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import tiny_mdp
from tiny_mdp import ACTIONS, NEXT, REWARD, STATES

from omgrl_jax.data import records
from omgrl_jax.data import scales as scales_lib
from omgrl_jax.data import space as space_lib
from omgrl_jax.types import Dynamics, Spread, Step

NAMES = tuple("abc")
SPACE = space_lib.Space(
    NAMES, (0, 1, 2), (0, 1, 2), (), ("reward",), ACTIONS, recorded_reward=0
)


class World(NamedTuple):
    """Parameters of the world.

    Attributes:
      scales: identities.
      ignorance: [S, A] both kinds of spread.
    """

    scales: Any
    ignorance: Any


def world(ignorance=None):
    one = scales_lib.Standardiser(jnp.zeros(1), jnp.ones(1), jnp.zeros(1, bool))
    three = scales_lib.Standardiser(jnp.zeros(3), jnp.ones(3), jnp.zeros(3, bool))
    scales = scales_lib.Scales(three, one, jnp.zeros(ACTIONS))
    nowhere = np.zeros((STATES, ACTIONS))
    table = nowhere if ignorance is None else ignorance
    return World(scales, jnp.asarray(table, jnp.float32))


def sample(params, key, states, actions):
    """The true step; the key is consumed for nothing."""
    nothing = 0.0 * jax.random.normal(key, states.shape)
    rows = jnp.argmax(states, axis=-1), actions
    following = jnp.eye(STATES)[jnp.asarray(NEXT)[rows]]
    reward = jnp.asarray(REWARD, jnp.float32)[rows]
    return Step(following + nothing, reward[:, None])


def spread(params, states, actions):
    found = params.ignorance[jnp.argmax(states, axis=-1), actions]
    return Spread(found, found)


DYNAMICS = Dynamics(sample, sample, spread)


def recorded(states, actions):
    """Records of stays of one length.

    Args:
      states: [N, H] numbers of states.
      actions: [N, H] actions.
    """
    states, actions = np.asarray(states), np.asarray(actions)
    stays, horizon = states.shape
    last = NEXT[states[:, -1], actions[:, -1]]
    rows = np.concatenate([states, last[:, None]], axis=1).ravel()
    taken = np.pad(actions, ((0, 0), (0, 1))).ravel()
    size = rows.size
    steps = np.arange(size).reshape(stays, horizon + 1)
    return records.Records(
        states=jnp.eye(STATES)[rows],
        actions=jnp.asarray(taken, jnp.int32),
        amounts=jnp.zeros(size),
        outcome=jnp.asarray(REWARD[rows, taken], jnp.float32)[:, None],
        measured=jnp.ones((size, 1), bool),
        censored=jnp.zeros((size, 1), bool),
        discount=jnp.ones(size),
        stay=jnp.repeat(jnp.arange(stays, dtype=jnp.int32), horizon + 1),
        transitions=jnp.asarray(steps[:, :-1].ravel(), jnp.int32),
        windows=jnp.asarray(steps[:, 0], jnp.int32),
    )


def experts(action_counts):
    """Records of `tiny_mdp.pool`."""
    return recorded(*tiny_mdp.pool(action_counts))

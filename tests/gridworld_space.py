"""The gridworld in the package's words: its space, and its moves as a `Dynamics`."""

import gridworld as grid
import jax.numpy as jnp
import numpy as np
from gridworld import ACTIONS, CELLS

from omgrl_jax.data.space import Space
from omgrl_jax.types import Dynamics, Step

MOVES = grid.moves()
TRUTH = grid.REWARD - grid.REWARD.mean()


def space(features):
    names = tuple(f"s{i}" for i in range(features))
    channels = tuple(f"c{i}" for i in range(CELLS))
    every = tuple(range(features))
    return Space(names, every, every, (), channels, ACTIONS)


def world(times):
    """The true world without slips as a `Dynamics`, without parameters."""
    following = jnp.asarray(MOVES.argmax(axis=-1))

    def sample(params, key, states, actions):
        del params, key
        time, cell = jnp.divmod(jnp.argmax(states, axis=-1), CELLS)
        entered = following[cell, actions]
        at = jnp.minimum(time + 1, times - 1) * CELLS + entered
        return Step(jnp.eye(times * CELLS)[at], jnp.eye(CELLS)[entered])

    return Dynamics(sample, sample)


def of_cells(rewards):
    """Rewards [S, A] of pairs as centred rewards [S] of the cells that moves enter."""
    found = np.zeros(CELLS)
    found[MOVES.argmax(axis=-1)] = rewards
    return found - found.mean()

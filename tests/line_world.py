"""A task of two agents whom pushes move by their own gain, and those who know it."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from experiments.persim import judging
from omgrl_jax import actions
from omgrl_jax.data.scales import Standardiser
from omgrl_jax.envs import control
from omgrl_jax.models import personal


class Gain(NamedTuple):
    """Physics of the line."""

    gain: jax.Array


def line():
    """A point that is pushed by its gain; each step costs its distance."""

    def step(physics, state, action):
        beyond = jnp.where(jnp.abs(state[0]) > 3.0, 100.0, 0.0)
        return beyond + state + physics.gain * (action - 1.0) * jnp.array([1.0, 0.5])

    return control.Control(
        name="line",
        features=(("x", "m"), ("y", "m")),
        low=(-1.0, -1.0),
        high=(1.0, 1.0),
        actions=actions.discrete(3),
        limit=12,
        reset=lambda key: jax.random.uniform(key, (2,), minval=0.5),
        step=step,
        reward=lambda state, action, following: -jnp.abs(following[0]),
        done=lambda state: jnp.abs(state[0]) > 3.0,
    )


TASK = line()
SCALES = judging.Scales(
    Standardiser(jnp.array([0.2, -1.0]), jnp.array([2.0, 0.5]), jnp.zeros(2, bool)),
    personal.Changes(jnp.array([0.3, 0.0]), jnp.array([0.5, 4.0])),
)


def knowing(gains):
    """Simulators, leaves [N, ...], of agents of known gains: nothing but biases."""

    def one(gain):
        moved = gain * jnp.array([-1.0, 0.0, 1.0])[:, None] * jnp.array([[1.0, 0.5]])
        z = moved / SCALES.state.std[None]
        bias = (z - SCALES.changes.mean[None]) / SCALES.changes.deviation[None]
        layer = {"Dense_0": {"kernel": jnp.zeros((2, 1)), "bias": jnp.zeros(1)}}
        member = personal.Personal({"params": layer}, jnp.zeros((3, 1, 2)), bias)
        members = jax.tree.map(lambda x: jnp.stack([x, x]), member)
        return personal.Simulator(members, SCALES.changes)

    return jax.vmap(one)(gains)

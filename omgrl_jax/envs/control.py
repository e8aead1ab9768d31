"""Control tasks in pure JAX whose physics may differ between agents (PerSim's).

Equations and ends are Gymnasium's (MountainCar-v0, CartPole-v1), which the default
physics repeat step for step. Episodes run on after their end: `done` says that it came,
and whoever sums rewards stops there (`episode_return`).
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from omgrl_jax import actions as actions_lib
from omgrl_jax.actions import ActionSpace
from omgrl_jax.envs import cartpole
from omgrl_jax.types import Array, Key

Physics = Any  # a NamedTuple of numbers: one agent's, or arrays [N] of many


class Control(NamedTuple):
    """One task. Functions take ONE agent's physics and one state.

    Attributes:
      name: Gymnasium's name.
      features: name and unit of each of the `S` state features.
      low: [S] where states usually lie, lower ends.
      high: [S] upper ends.
      actions: what an agent may do, discrete or continuous.
      limit: steps of an episode, in PerSim's protocol.
      reset: `(key) -> state [S]`, raw units; alike for all agents.
      step: `(physics, state [S], action [] or [P]) -> state [S]`.
      reward: `(state [S], action, next state [S]) -> []`.
      done: `(state [S]) -> [] bool`, whether an episode that reaches it is over.
    """

    name: str
    features: tuple[tuple[str, str], ...]
    low: tuple[float, ...]
    high: tuple[float, ...]
    actions: ActionSpace
    limit: int
    reset: Callable[[Key], Array]
    step: Callable[[Physics, Array, Array], Array]
    reward: Callable[[Array, Array, Array], Array]
    done: Callable[[Array], Array]

    @property
    def num_actions(self) -> int:
        """`A`; 0 where actions are continuous."""
        return self.actions.count


class MountainCar(NamedTuple):
    """Physics of MountainCar.

    Attributes:
      gravity: pull along the slope at its steepest, per step.
    """

    gravity: Array | float = 0.0025


class CartPole(NamedTuple):
    """Physics of CartPole.

    Attributes:
      force: of a push, N.
      length: half the pole's length, m.
    """

    force: Array | float = 10.0
    length: Array | float = 0.5


def mountain_car() -> Control:
    """A car that must swing up a hill: 0 for the step to the top, else -1."""
    push, top_speed = 0.001, 0.07
    left, right, goal = -1.2, 0.6, 0.5

    def reset(key: Key) -> Array:
        position = jax.random.uniform(key, minval=-0.6, maxval=-0.4)
        return jnp.stack([position, jnp.zeros(())])

    def step(physics: MountainCar, state: Array, action: Array) -> Array:
        position, speed = state
        speed += (action - 1) * push - physics.gravity * jnp.cos(3.0 * position)
        speed = jnp.clip(speed, -top_speed, top_speed)
        position = jnp.clip(position + speed, left, right)
        stopped = (position == left) & (speed < 0.0)
        return jnp.stack([position, jnp.where(stopped, 0.0, speed)])

    def done(state: Array) -> Array:
        return (state[0] >= goal) & (state[1] >= 0.0)

    def reward(state: Array, action: Array, following: Array) -> Array:
        del state, action
        return jnp.where(done(following), 0.0, -1.0)

    return Control(
        name="MountainCar-v0",
        features=(("position", "-"), ("speed", "1/step")),
        low=(left, -top_speed),
        high=(goal, top_speed),
        actions=actions_lib.discrete(3),
        limit=500,
        reset=reset,
        step=step,
        reward=reward,
        done=done,
    )


def cart_pole() -> Control:
    """A pole on a cart: 1 for every step."""
    gravity, cart, pole, tau = 9.8, 1.0, 0.1, 0.02
    total = cart + pole
    widest, steepest = 2.4, 12.0 * 2.0 * np.pi / 360.0

    def reset(key: Key) -> Array:
        return jax.random.uniform(key, (4,), minval=-0.05, maxval=0.05)

    def step(physics: CartPole, state: Array, action: Array) -> Array:
        _, x_speed, theta, theta_speed = state
        force = jnp.where(action == 1, physics.force, -physics.force)
        cosine, sine = jnp.cos(theta), jnp.sin(theta)
        # The product of the pole's mass and length follows its length.
        swing = pole * physics.length
        pushed = (force + swing * theta_speed**2 * sine) / total
        turn = (gravity * sine - cosine * pushed) / (
            physics.length * (4.0 / 3.0 - pole * cosine**2 / total)
        )
        speed_up = pushed - swing * turn * cosine / total
        change = jnp.stack([x_speed, speed_up, theta_speed, turn])
        return state + tau * change

    def reward(state: Array, action: Array, following: Array) -> Array:
        del state, action, following
        return jnp.ones(())

    def done(state: Array) -> Array:
        return (jnp.abs(state[0]) > widest) | (jnp.abs(state[2]) > steepest)

    return Control(
        name=cartpole.NAME,
        features=cartpole.FEATURES,
        low=(-widest, -2.0, -steepest, -2.0),
        high=(widest, 2.0, steepest, 2.0),
        actions=actions_lib.discrete(2),
        limit=200,
        reset=reset,
        step=step,
        reward=reward,
        done=done,
    )


def episode_return(rewards: Array, over: Array) -> Array:
    """Sum of rewards up to the step that ends an episode, that one included.

    Args:
      rewards: [..., H].
      over: [..., H] whether the state after each step ends the episode.

    Returns:
      [...].
    """
    ended = jnp.cumsum(over, axis=-1) - over > 0
    return jnp.sum(jnp.where(ended, 0.0, rewards), axis=-1)

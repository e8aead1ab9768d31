"""Double deep Q-learning in a simulator (van Hasselt et al. 2016, arXiv 1509.06461).

Copies of the environment start anywhere between the task's bounds, so that rare states
are met without a schedule of exploration.
"""

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from omgrl_jax import optimize
from omgrl_jax.data import buffer as buffer_lib
from omgrl_jax.data.buffer import Buffer
from omgrl_jax.envs.control import Control, Physics
from omgrl_jax.learners import critic as critic_lib
from omgrl_jax.learners import online
from omgrl_jax.ops import value
from omgrl_jax.types import Array, Key, Params


@dataclasses.dataclass(frozen=True)
class Config:
    """How a policy is learned.

    Attributes:
      hidden: widths of the layers.
      copies: environments that run side by side.
      steps: updates, with one step of every copy before each.
      batch_size: transitions of an update.
      capacity: transitions kept.
      learning_rate: Adam's step size.
      discount: discount factor.
      target_rate: share by which the target follows.
      epsilon: share of random actions.
      restart: probability of a copy to start anew after a step.
    """

    hidden: tuple[int, ...] = (64, 64)
    copies: int = dataclasses.field(default=32, metadata={"min": 1})
    steps: int = dataclasses.field(default=10_000, metadata={"min": 1})
    batch_size: int = dataclasses.field(default=256, metadata={"min": 1})
    capacity: int = dataclasses.field(default=50_000, metadata={"min": 1})
    learning_rate: float = dataclasses.field(default=1e-3, metadata={"above": 0})
    discount: float = dataclasses.field(default=0.99, metadata={"min": 0, "below": 1})
    target_rate: float = dataclasses.field(default=0.05, metadata={"above": 0})
    epsilon: float = dataclasses.field(default=0.2, metadata={"min": 0, "max": 1})
    restart: float = dataclasses.field(default=0.01, metadata={"min": 0, "max": 1})


class _State(NamedTuple):
    critic: optimize.Learner
    target: Params


def values(task: Control, config: Config, params: Params, states: Array) -> Array:
    """Action values [..., A] of raw states [..., S]; the policy is their argmax."""
    critic = _critic(task, config)
    return critic.values(params, online.scaled(task, states))[0]


def behaviour(task: Control, config: Config) -> online.Behaviour:
    """Behaviour policies of discrete actions."""

    def act(params: Params, state: Array) -> Array:
        return jnp.argmax(values(task, config, params, state)).astype(jnp.int32)

    return online.Behaviour(
        train=lambda key, physics: train(key, task, physics, config), act=act
    )


def train(key: Key, task: Control, physics: Physics, config: Config) -> Params:
    """Learns a policy for one agent. Jit with `task` and `config` static.

    Args:
      key: consumed.
      task: the task.
      physics: the agent's.
      config: settings.

    Returns:
      Parameters of `values`.
    """
    loop = online.Loop(config.copies, config.steps, config.capacity, config.restart)
    last = online.run(key, task, physics, _learner(task, config), loop)
    return last.critic.params


def _learner(task: Control, config: Config) -> online.Learner:
    critic = _critic(task, config)
    optimizer = optimize.adam(config.learning_rate, 10.0)
    loss = critic_lib.make_td_loss(critic, config.discount)
    critic_step = optimize.gradient_step(loss, optimizer)
    every = jnp.ones(task.num_actions, bool)

    def init(key: Key) -> _State:
        params = critic.init(key)
        return _State(optimize.start(optimizer, params), params)

    def explore(state: _State, key: Key, states: Array) -> Array:
        greedy_key, random_key = jax.random.split(key)
        q = critic.values(state.critic.params, online.scaled(task, states))[0]
        random = task.actions.draw(random_key, (config.copies,))
        tried = jax.random.bernoulli(greedy_key, config.epsilon, (config.copies,))
        return jnp.where(tried, random, jnp.argmax(q, axis=-1).astype(jnp.int32))

    def anywhere(key: Key) -> Array:
        low, high = (jnp.array(x)[None] for x in (task.low, task.high))
        shape = (config.copies, len(task.low))
        return low + (high - low) * jax.random.uniform(key, shape)

    def learn(state: _State, key: Key, buffer: Buffer) -> _State:
        batch = buffer_lib.sample(buffer, key, config.batch_size)
        v_t = jax.vmap(value.double_q_value, in_axes=(0, 0, None))(
            critic.values(state.target, batch.next_state)[0],
            critic.values(state.critic.params, batch.next_state)[0],
            every,
        )
        rewards = (1.0 - config.discount) * batch.outcome[:, 0]  # values of order one
        learner, _ = critic_step(state.critic, batch, rewards, v_t)
        target = optax.incremental_update(
            learner.params, state.target, config.target_rate
        )
        return _State(learner, target)

    return online.Learner(init, explore, learn, anywhere)


def _critic(task: Control, config: Config) -> critic_lib.Critic:
    return critic_lib.make(config.hidden, len(task.low), task.num_actions, copies=1)

"""Double deep Q-learning in a simulator (van Hasselt et al. 2016, arXiv 1509.06461).

The only learner here that may try what it likes: it makes the behaviour policies whose
logs the offline methods get. Many copies of the environment run side by side, start
anywhere between the task's bounds, and now and then start anew, so that rare states are
met without a schedule of exploration.
"""

import dataclasses
import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from omgrl_jax import optimize
from omgrl_jax.data import buffer as buffer_lib
from omgrl_jax.envs.control import Control, Physics
from omgrl_jax.learners import critic as critic_lib
from omgrl_jax.ops import value
from omgrl_jax.types import Array, Key, Params, Transition


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
    buffer: buffer_lib.Buffer
    states: Array


def values(task: Control, config: Config, params: Params, states: Array) -> Array:
    """Action values [..., A] of raw states [..., S]; the policy is their argmax."""
    critic = _critic(task, config)
    return critic.values(params, _scaled(task, states))[0]


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
    critic = _critic(task, config)
    optimizer = optimize.adam(config.learning_rate, 10.0)
    loss = critic_lib.make_td_loss(critic, config.discount)
    critic_step = optimize.gradient_step(loss, optimizer)
    take = jax.vmap(functools.partial(task.step, physics))
    every = jnp.ones(task.num_actions, bool)

    def explore(key: Key, params: Params, states: Array) -> Array:
        greedy_key, random_key = jax.random.split(key)
        q = critic.values(params, _scaled(task, states))[0]
        shape = (config.copies,)
        random = jax.random.randint(random_key, shape, 0, task.num_actions, jnp.int32)
        tried = jax.random.bernoulli(greedy_key, config.epsilon, shape)
        return jnp.where(tried, random, jnp.argmax(q, axis=-1).astype(jnp.int32))

    def anywhere(key: Key) -> Array:
        low, high = (jnp.array(x)[None] for x in (task.low, task.high))
        shape = (config.copies, len(task.low))
        return low + (high - low) * jax.random.uniform(key, shape)

    def learn(state: _State, batch: Transition) -> _State:
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
        return state._replace(critic=learner, target=target)

    def update(carry: tuple[_State, Key], _: None) -> tuple[tuple[_State, Key], None]:
        state, key = carry
        key, act_key, restart_key, start_key, batch_key = jax.random.split(key, 5)
        actions = explore(act_key, state.critic.params, state.states)
        following = take(state.states, actions)
        rewards = jax.vmap(task.reward)(state.states, actions, following)
        done = jax.vmap(task.done)(following)
        rows = _transition(task, state.states, actions, following, rewards, done)
        again = jax.random.bernoulli(restart_key, config.restart, done.shape) | done
        states = jnp.where(again[:, None], anywhere(start_key), following)
        state = state._replace(buffer=buffer_lib.add(state.buffer, rows), states=states)
        batch = buffer_lib.sample(state.buffer, batch_key, config.batch_size)
        return (learn(state, batch), key), None

    init_key, start_key, run_key = jax.random.split(key, 3)
    params = critic.init(init_key)
    states = anywhere(start_key)
    nothing = jnp.zeros(config.copies)
    rows = _transition(
        task, states, nothing.astype(jnp.int32), states, nothing, nothing > 0
    )
    example = jax.tree.map(lambda x: x[0], rows)
    first = _State(
        critic=optimize.start(optimizer, params),
        target=params,
        buffer=buffer_lib.empty(example, config.capacity),
        states=states,
    )
    (last, _), _ = jax.lax.scan(update, (first, run_key), None, length=config.steps)
    return last.critic.params


def _critic(task: Control, config: Config) -> critic_lib.Critic:
    return critic_lib.make(config.hidden, len(task.low), task.num_actions, copies=1)


def _scaled(task: Control, states: Array) -> Array:
    low, high = jnp.array(task.low), jnp.array(task.high)
    middle, width = 0.5 * (high + low), 0.5 * (high - low)
    shape = (1,) * (states.ndim - 1) + (-1,)
    return (states - middle.reshape(shape)) / width.reshape(shape)


def _transition(
    task: Control,
    states: Array,
    actions: Array,
    following: Array,
    rewards: Array,
    done: Array,
) -> Transition:
    return Transition(
        state=_scaled(task, states),
        action=actions,
        next_state=_scaled(task, following),
        outcome=rewards[:, None],
        discount=1.0 - done.astype(jnp.float32),
        uncertainty=jnp.zeros(actions.shape),
    )

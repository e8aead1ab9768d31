"""What learners in a simulator share: the loop that tries, remembers and learns.

The only learners here that may try what they like: they make the behaviour policies
whose logs the offline methods get. Many copies of the environment run side by side and
now and then start anew.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from omgrl_jax.data import buffer as buffer_lib
from omgrl_jax.data.buffer import Buffer
from omgrl_jax.envs.control import Control, Physics
from omgrl_jax.types import Array, Key, Params, Transition


class Loop(NamedTuple):
    """Sizes of the loop; static.

    Attributes:
      copies: environments that run side by side.
      steps: rounds of a step of every copy and an update.
      capacity: transitions kept.
      restart: probability of a copy to start anew after a step.
    """

    copies: int
    steps: int
    capacity: int
    restart: float


class Learner(NamedTuple):
    """One method as pure functions; states are raw unless they come from the buffer.

    Attributes:
      init: `(key) -> state`.
      explore: `(state, key, states [N, S]) -> actions [N, ...]`.
      learn: `(state, key, buffer) -> state`.
      start: `(key) -> states [N, S]`, where copies begin.
    """

    init: Callable[[Key], Any]
    explore: Callable[[Any, Key, Array], Array]
    learn: Callable[[Any, Key, Buffer], Any]
    start: Callable[[Key], Array]


class Behaviour(NamedTuple):
    """How behaviour is learned, and what it does then.

    Attributes:
      train: `(key, physics) -> params`, for one agent; jit it.
      act: `(params, state [S]) -> action`, without exploring.
    """

    train: Callable[[Key, Physics], Params]
    act: Callable[[Params, Array], Array]


class _State(NamedTuple):
    learner: Any
    buffer: Buffer
    states: Array


def run(key: Key, task: Control, physics: Physics, learner: Learner, loop: Loop) -> Any:
    """Learns in the environment of one agent.

    Args:
      key: consumed.
      task: the task.
      physics: the agent's.
      learner: the method.
      loop: sizes.

    Returns:
      The last state of the learner.
    """
    take = jax.vmap(task.step, in_axes=(None, 0, 0))

    def update(carry: tuple[_State, Key], _: None) -> tuple[tuple[_State, Key], None]:
        state, key = carry
        key, act_key, restart_key, start_key, learn_key = jax.random.split(key, 5)
        actions = learner.explore(state.learner, act_key, state.states)
        following = take(physics, state.states, actions)
        rewards = jax.vmap(task.reward)(state.states, actions, following)
        done = jax.vmap(task.done)(following)
        rows = _transition(task, state.states, actions, following, rewards, done)
        again = jax.random.bernoulli(restart_key, loop.restart, done.shape) | done
        states = jnp.where(again[:, None], learner.start(start_key), following)
        buffer = buffer_lib.add(state.buffer, rows)
        learned = learner.learn(state.learner, learn_key, buffer)
        return (_State(learned, buffer, states), key), None

    init_key, start_key, run_key = jax.random.split(key, 3)
    first = learner.init(init_key)
    states = learner.start(start_key)
    nothing = jnp.zeros(loop.copies)
    none = task.actions.zeros(loop.copies)
    rows = _transition(task, states, none, states, nothing, nothing > 0)
    example = jax.tree.map(lambda x: x[0], rows)
    begun = _State(first, buffer_lib.empty(example, loop.capacity), states)
    (last, _), _ = jax.lax.scan(update, (begun, run_key), None, length=loop.steps)
    return last.learner


def scaled(task: Control, states: Array) -> Array:
    """States [..., S] on the scale that networks see: the task's bounds at -1 and 1."""
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
        state=scaled(task, states),
        action=actions,
        next_state=scaled(task, following),
        outcome=rewards[:, None],
        discount=1.0 - done.astype(jnp.float32),
        uncertainty=jnp.zeros(rewards.shape),
    )

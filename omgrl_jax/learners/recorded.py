"""An epoch of a method that learns from recorded transitions alone."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from omgrl_jax.data import records as records_lib
from omgrl_jax.data.space import Space
from omgrl_jax.learners import dyna, known_reward
from omgrl_jax.learners.soft_actor_critic import AgentConfig, RewardFunction
from omgrl_jax.types import Key, Metrics, Transition

Step = Callable[[Any, RewardFunction, Transition], tuple[Any, Metrics]]
DrawingStep = Callable[[Any, RewardFunction, dyna.Data, Key], tuple[Any, Metrics]]
Update = Callable[[Any, Key, dyna.Data], tuple[Any, Metrics]]


def make_update(config: AgentConfig, space: Space, step: Step) -> Update:
    """Turns one gradient step into an epoch under the reward that the schema defines.

    Args:
      config: `updates` steps on batches of `batch_size` transitions each.
      space: the task.
      step: `(state, reward, batch) -> (state, metrics)`, one gradient step of each
        part; `reward` maps transitions [B] to rewards [B].

    Returns:
      `update(state, key, data) -> (state, metrics)`, an algorithm's epoch, with metrics
      averaged over its steps.

    Raises:
      ValueError: if the schema defines no reward.
    """

    def draw(
        state: Any, reward: RewardFunction, data: dyna.Data, key: Key
    ) -> tuple[Any, Metrics]:
        batch = records_lib.sample_transitions(data.train, key, config.batch_size)
        return step(state, reward, batch)

    return make_epoch(config.updates, space, draw)


def make_epoch(updates: int, space: Space, step: DrawingStep) -> Update:
    """Turns one gradient step that draws its batch itself into an epoch.

    Args:
      updates: number of steps.
      space: the task.
      step: `(state, reward, data, key) -> (state, metrics)`; for methods that need more
        of the records than transitions, or randomness beside the batch.

    Returns:
      The epoch, as `make_update` gives it.

    Raises:
      ValueError: if the schema defines no reward.
    """
    known_reward.require(space)

    def update(state: Any, key: Key, data: dyna.Data) -> tuple[Any, Metrics]:
        reward = known_reward.make(space, data.world.scales)

        def one(carry: tuple[Any, Key], _: None) -> tuple[tuple[Any, Key], Metrics]:
            state, key = carry
            key, step_key = jax.random.split(key)
            state, metrics = step(state, reward, data, step_key)
            return (state, key), metrics

        (state, _), metrics = jax.lax.scan(one, (state, key), None, length=updates)
        return state, jax.tree.map(jnp.mean, metrics)

    return update

"""An epoch of a method that learns from recorded transitions alone."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from omgrl_jax.data import records as records_lib
from omgrl_jax.data.records import Space
from omgrl_jax.learners import dyna, known_reward
from omgrl_jax.learners.soft_actor_critic import AgentConfig, RewardFunction
from omgrl_jax.types import Key, Metrics, Transition

Step = Callable[[Any, RewardFunction, Transition], tuple[Any, Metrics]]


def make_update(
    config: AgentConfig, space: Space, step: Step
) -> Callable[[Any, Key, dyna.Data], tuple[Any, Metrics]]:
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
    known_reward.require(space)

    def update(state: Any, key: Key, data: dyna.Data) -> tuple[Any, Metrics]:
        reward = known_reward.make(space, data.world.scales)

        def one(carry: tuple[Any, Key], _: None) -> tuple[tuple[Any, Key], Metrics]:
            state, key = carry
            key, batch_key = jax.random.split(key)
            batch = records_lib.sample_transitions(
                data.train, batch_key, config.batch_size
            )
            state, metrics = step(state, reward, batch)
            return (state, key), metrics

        (state, _), metrics = jax.lax.scan(
            one, (state, key), None, length=config.updates
        )
        return state, jax.tree.map(jnp.mean, metrics)

    return update

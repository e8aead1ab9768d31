"""Prediction many steps ahead: simulators without a look at the true world between."""

import functools
from typing import Any

import jax
import jax.numpy as jnp

from experiments.persim import judging
from experiments.persim.judging import JudgeConfig, Personalise, Scales, World
from omgrl_jax.evaluation import open_loop
from omgrl_jax.runtime import sweep
from omgrl_jax.types import Array, Key


@functools.partial(jax.jit, static_argnums=(0, 1, 2))
def predict(
    world: World,
    personalise: Personalise,
    config: JudgeConfig,
    key: Key,
    physics: Any,
    given: Any,
    scales: Scales,
) -> open_loop.Accuracy:
    """Accuracy of open-loop predictions of agents under random actions.

    States count up to the end of their episode.

    Args:
      world: what they live in.
      personalise: makes simulators.
      config: settings.
      key: consumed.
      physics: of the agents, leaves [N].
      given: what is known of each, leaves [N, ...].
      scales: scales.

    Returns:
      Accuracies [N].
    """
    task = world.task

    def episode(key: Key, physics: Any, given: Any) -> tuple[Array, Array, Array]:
        first_key, action_key = jax.random.split(key)
        steps = config.start + config.ahead
        actions = task.actions.draw(action_key, (steps,))

        def step(carry: tuple, action: Array) -> tuple[tuple, tuple]:
            state, past, over = carry
            following = task.step(physics, state, action)
            past = judging.remember(past, scales, state, action, following)
            return (following, past, over | task.done(following)), (following, ~over)

        begun = (task.reset(first_key), judging.no_past(world), jnp.zeros((), bool))
        begun, _ = jax.lax.scan(step, begun, actions[: config.start])
        _, (true, counted) = jax.lax.scan(step, begun, actions[config.start :])
        simulator = personalise(given, judging.encoded(world, begun[1]))

        def imagined(state: Array, action: Array) -> tuple[Array, Array]:
            # Side by side with itself: one episode is one column.
            column = judging.advance(
                scales.state, simulator, state[:, None], action[..., None]
            )
            return column[:, 0], column[:, 0]

        _, predicted = jax.lax.scan(imagined, begun[0], actions[config.start :])
        return predicted, true, counted

    def agent(given: Any, data: Any) -> open_loop.Accuracy:
        key, physics, own = given
        keys = jax.random.split(key, config.predictions)
        found = jax.vmap(episode, in_axes=(0, None, None))(keys, physics, own)
        return open_loop.accuracy(*found)

    count = sweep.size(physics)
    return sweep.sweep(agent, (jax.random.split(key, count), physics, given), ())

"""Episodes in the true world: agents who plan with a simulator, or have a policy."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from experiments.persim import judging
from experiments.persim.judging import JudgeConfig, Past, Personalise, Scales, World
from omgrl_jax.models import planner
from omgrl_jax.models.planner import Planner
from omgrl_jax.runtime import sweep
from omgrl_jax.types import Array, Key, Policy


@functools.partial(jax.jit, static_argnums=(0, 1, 2, 3))
def control(
    world: World,
    personalise: Personalise,
    config: JudgeConfig,
    plans: Planner,
    key: Key,
    physics: Any,
    given: Any,
    scales: Scales,
) -> Array:
    """Returns of agents who act on the best plan that their simulators know.

    Args:
      world: what they live in.
      personalise: makes simulators.
      config: settings.
      plans: how they plan.
      key: consumed.
      physics: of the agents, leaves [N].
      given: what is known of each, leaves [N, ...].
      scales: scales.

    Returns:
      [N, episodes] sums of rewards.
    """

    def imagine(given: Any, past: Array) -> Callable:
        return functools.partial(
            judging.advance, scales.state, personalise(given, past)
        )

    planning = _planner(world, imagine, plans, scales)
    return _episodes(world, planning, config, key, physics, given)


@functools.partial(jax.jit, static_argnums=(0, 1, 2))
def control_in_truth(
    world: World,
    config: JudgeConfig,
    plans: Planner,
    key: Key,
    physics: Any,
    scales: Scales,
) -> Array:
    """Returns of agents who plan in the true world: what `control` is measured by.

    Args:
      world: what they live in.
      config: settings.
      plans: how they plan.
      key: consumed; the same first states as in `control`.
      physics: of the agents, leaves [N].
      scales: scales.

    Returns:
      [N, episodes] sums of rewards.
    """
    step = jax.vmap(world.task.step, in_axes=(None, -1, -1), out_axes=-1)

    def imagine(given: Any, past: Array) -> Callable:
        del past
        return functools.partial(step, given)

    planning = _planner(world, imagine, plans, scales)
    return _episodes(world, planning, config, key, physics, physics)


@functools.partial(jax.jit, static_argnums=(0, 1, 2))
def play(
    world: World,
    policy: Policy,
    config: JudgeConfig,
    key: Key,
    physics: Any,
    params: Any,
    scales: Scales,
) -> Array:
    """Returns of agents who take the most likely action of a learned policy.

    Args:
      world: what they live in.
      policy: the policy, of standardised states.
      config: settings.
      key: consumed; the same first states as in `control`.
      physics: of the agents, leaves [N].
      params: the policy's parameters for each, leaves [N, ...].
      scales: scales.

    Returns:
      [N, episodes] sums of rewards.
    """

    def act(params: Any, memory: tuple, key: Key, state: Array) -> tuple[Array, tuple]:
        del key
        log_probs = policy.log_probs(params, scales.state.apply(state))
        return jnp.argmax(log_probs).astype(jnp.int32), memory

    greedy = _Player((), act, lambda memory, state, action, following: memory)
    return _episodes(world, greedy, config, key, physics, params)


class _Player(NamedTuple):
    """Who acts, in one episode.

    Attributes:
      start: memory before the first step.
      act: `(what is known of the agent, memory, key, raw state [S]) -> (action [],
        memory)`.
      see: `(memory, state, action, next state) -> memory`, raw states.
    """

    start: Any
    act: Callable[[Any, Any, Key, Array], tuple[Array, Any]]
    see: Callable[[Any, Array, Array, Array], Any]


def _planner(
    world: World,
    imagine: Callable[[Any, Array], Callable],
    plans: Planner,
    scales: Scales,
) -> _Player:
    """Acts on the best plan; remembers the past and the rest of the last plan."""
    task = world.task

    def act(
        given: Any, memory: tuple, key: Key, state: Array
    ) -> tuple[Array, tuple[Past, Array]]:
        past, last = memory
        foresee = imagine(given, judging.encoded(world, past))
        score = planner.imagined_return(foresee, task.reward, task.done, state)
        plan = plans.plan(key, score, last)
        return plan.actions[0], (past, planner.shifted(plan.actions))

    def see(memory: tuple, state: Array, action: Array, following: Array) -> tuple:
        past, rest = memory
        return judging.remember(past, scales, state, action, following), rest

    return _Player((judging.no_past(world), plans.first()), act, see)


def _episodes(
    world: World,
    player: _Player,
    config: JudgeConfig,
    key: Key,
    physics: Any,
    given: Any,
) -> Array:
    task = world.task
    limit = config.limit or task.limit

    def episode(one: tuple[Key, Any, Any], shared: tuple) -> Array:
        del shared
        key, physics, given = one
        first_key, run_key = jax.random.split(key)

        def going_on(carry: tuple) -> Array:
            return (carry[-2] < limit) & ~carry[-1]

        def act(carry: tuple) -> tuple:
            state, memory, earned, t, _ = carry
            now = jax.random.fold_in(run_key, t)
            action, memory = player.act(given, memory, now, state)
            following = task.step(physics, state, action)
            memory = player.see(memory, state, action, following)
            earned += task.reward(state, action, following)
            return following, memory, earned, t + 1, task.done(following)

        first = (
            task.reset(first_key),
            player.start,
            jnp.zeros(()),
            jnp.int32(0),
            jnp.zeros((), bool),
        )
        return jax.lax.while_loop(going_on, act, first)[2]

    agents = sweep.size(physics)
    keys = jax.random.split(key, (agents, config.episodes))

    def repeated(tree: Any) -> Any:
        return jax.tree.map(lambda x: jnp.repeat(x, config.episodes, axis=0), tree)

    members = (keys.reshape(-1), repeated(physics), repeated(given))
    found = sweep.sweep(episode, members, ())
    return found.reshape(agents, config.episodes)

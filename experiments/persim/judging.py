"""Judges of simulators, in the true world: prediction many steps ahead, planning."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from experiments.persim import logs as logs_lib
from omgrl_jax.data.records import Standardiser
from omgrl_jax.envs.control import Control
from omgrl_jax.evaluation import open_loop
from omgrl_jax.models import personal, planner
from omgrl_jax.models.personal import Changes, Simulator
from omgrl_jax.models.planner import Planner
from omgrl_jax.runtime import sweep
from omgrl_jax.types import Array, Key, Policy

# (what is known of the agent, its past [Q]) -> its simulator
Personalise = Callable[[Any, Array], Simulator]


@dataclasses.dataclass(frozen=True)
class JudgeConfig:
    """How simulators are judged.

    Attributes:
      predictions: episodes of random actions predicted for each agent.
      start: step at which a prediction begins.
      ahead: steps that it goes on, or up to the episode's end.
      episodes: episodes of planning for each agent.
      limit: steps of an episode of planning; 0 for the task's.
    """

    predictions: int = dataclasses.field(default=200, metadata={"min": 2})
    start: int = dataclasses.field(default=10, metadata={"min": 1})
    ahead: int = dataclasses.field(default=50, metadata={"min": 1})
    episodes: int = dataclasses.field(default=20, metadata={"min": 1})
    limit: int = dataclasses.field(default=0, metadata={"min": 0})


class World(NamedTuple):
    """What simulators are judged in; static.

    Attributes:
      task: the task.
      past_steps: steps of the past that a simulator may be told.
    """

    task: Control
    past_steps: int


class Scales(NamedTuple):
    """Between raw states and what networks see.

    Attributes:
      state: of states.
      changes: of standardised changes.
    """

    state: Standardiser
    changes: Changes


def known(simulator: Simulator, past: Array) -> Simulator:
    """The simulator that was there before the episode."""
    del past
    return simulator


class _Past(NamedTuple):
    state: Array  # [K, S] standardised, latest last
    action: Array  # [K], or [K, P]
    change: Array  # [K, S] standardised
    there: Array  # [K] bool, whether there was such a step


def _no_past(world: World) -> _Past:
    steps, size = world.past_steps, len(world.task.low)
    nothing = jnp.zeros((steps, size))
    none = jnp.zeros(steps, bool)
    return _Past(nothing, world.task.actions.zeros(steps), nothing, none)


def _remember(
    past: _Past, scales: Scales, state: Array, action: Array, following: Array
) -> _Past:
    """The past after one more step between raw states."""
    before, after = scales.state.apply(state), scales.state.apply(following)
    change = (after - before - scales.changes.mean) / scales.changes.deviation
    step = _Past(before, action, change, jnp.ones((), bool))
    return jax.tree.map(lambda old, x: jnp.concatenate([old[1:], x[None]]), past, step)


def _encoded(world: World, past: _Past) -> Array:
    return logs_lib.encode(*past, world.task.actions)


def advance(
    scale: Standardiser, simulator: Simulator, states: Array, actions: Array
) -> Array:
    """Raw states [S, B] one step later, as a simulator says: actions [B] or [P, B]."""
    mean, deviation = scale.mean[:, None], scale.std[:, None]
    following = personal.advance(simulator, (states - mean) / deviation, actions)
    return following * deviation + mean


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
            past = _remember(past, scales, state, action, following)
            return (following, past, over | task.done(following)), (following, ~over)

        begun = (task.reset(first_key), _no_past(world), jnp.zeros((), bool))
        begun, _ = jax.lax.scan(step, begun, actions[: config.start])
        _, (true, counted) = jax.lax.scan(step, begun, actions[config.start :])
        simulator = personalise(given, _encoded(world, begun[1]))

        def imagined(state: Array, action: Array) -> tuple[Array, Array]:
            # Side by side with itself: one episode is one column.
            column = advance(scales.state, simulator, state[:, None], action[..., None])
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
        return functools.partial(advance, scales.state, personalise(given, past))

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
    ) -> tuple[Array, tuple[_Past, Array]]:
        past, last = memory
        foresee = imagine(given, _encoded(world, past))
        score = planner.imagined_return(foresee, task.reward, task.done, state)
        plan = plans.plan(key, score, last)
        return plan.actions[0], (past, planner.shifted(plan.actions))

    def see(memory: tuple, state: Array, action: Array, following: Array) -> tuple:
        past, rest = memory
        return _remember(past, scales, state, action, following), rest

    return _Player((_no_past(world), plans.first()), act, see)


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

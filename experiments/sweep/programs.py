"""From settings to compiled programs: what can be a number of a member, and is."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax

from experiments import training
from experiments.config import ALGORITHMS, Problem, RunConfig
from experiments.sweep.grid import Setting
from experiments.task import Task
from omgrl_jax.learners import behaviour as behaviour_lib
from omgrl_jax.models import world_fit
from omgrl_jax.models.world import World
from omgrl_jax.runtime import traced
from omgrl_jax.types import Algorithm, Array, Key, Metrics, Transition


class Program(NamedTuple):
    """Settings that one compiled program serves.

    Attributes:
      config: the configuration of the first of them.
      batched: names of the settings in which they differ: numbers of each member.
      settings: the settings.
    """

    config: RunConfig
    batched: tuple[str, ...]
    settings: list[Setting]


class Member(NamedTuple):
    """What a member does not share with the others, leaves [N, ...].

    Attributes:
      own: its seed's models.
      values: setting -> value.
    """

    own: training.Own
    values: dict[str, Array]


class Held(NamedTuple):
    """The state of a member with its settings, so that one function serves them all.

    Attributes:
      state: the method's own state.
      values: setting -> value.
    """

    state: Any
    values: dict[str, Array]


def plan(
    method: str, settings: Sequence[Setting], problem: Problem, data: Any
) -> list[Program]:
    """As few programs as the settings need.

    Args:
      method: the method.
      settings: settings of a grid that share their models.
      problem: what the method is built for.
      data: shapes of the pair (shared data, models of ONE seed) that it is given.

    Returns:
      The programs, in the order of their first settings.

    Raises:
      ValueError: if a setting changes nothing.
    """
    for name in _differing(settings):
        if not _matters(name, method, settings, problem, data):
            raise ValueError(f"--grid: {method} makes no use of {name}")
    numbers = {n for n in settings[0].values if type(settings[0].values[n]) is float}

    def allowed(program: Program, names: Sequence[str]) -> bool:
        def run(values: dict[str, Any]) -> Any:
            config = traced.put(program.config, values)
            return jax.eval_shape(
                _epoch(method, config, problem), jax.random.key(0), data
            )

        return traced.take_arrays(run, names)

    found = []
    for program in group(settings, numbers):
        if allowed(program, program.batched):
            found.append(program)
            continue
        alone = {name for name in program.batched if allowed(program, [name])}
        for part in group(program.settings, alone):
            fits = allowed(part, part.batched)
            found += [part] if fits else group(part.settings, set())
    return found


def group(settings: Sequence[Setting], batched: set[str]) -> list[Program]:
    """Settings that differ in batched values alone share a program.

    Args:
      settings: the settings.
      batched: names of those that a program takes as numbers.

    Returns:
      The programs, in the order of their first settings.
    """
    groups: dict[Any, list[Setting]] = {}
    for one in settings:
        fixed = {n: v for n, v in one.values.items() if n not in batched}
        groups.setdefault(tuple(fixed.items()), []).append(one)
    return [
        Program(ones[0].config, tuple(_differing(ones)), ones)
        for ones in groups.values()
    ]


def shapes(config: RunConfig, task: Task, world: World) -> Any:
    """Shapes of what the method is given of one seed, before anything is fitted.

    Args:
      config: the setting.
      task: the task.
      world: functions of the world model.
    """
    params = world_fit.shapes(world, config.fit.elites, task.scales)
    asked = config.behaviour_hidden, task.space, config.behaviour_members
    outcome = jax.eval_shape(
        lambda given: world_fit.relabel(world, given, task.train).outcome, params
    )
    own = training.Own(params, behaviour_lib.shapes(*asked), outcome)
    return (task.train, task.validation), own


def _differing(settings: Sequence[Setting]) -> list[str]:
    first = settings[0].values
    return [n for n in first if any(o.values[n] != first[n] for o in settings)]


def _epoch(method: str, config: RunConfig, problem: Problem) -> Callable[..., Any]:
    """`(key, data) -> (state, metrics)`, a start and one epoch."""
    algorithm = training.with_own_models(ALGORITHMS[method](config, problem))

    def epoch(key: Key, given: Any) -> Any:
        init_key, update_key = jax.random.split(key)
        return algorithm.update(algorithm.init(init_key, given), update_key, given)

    return epoch


def _matters(
    name: str, method: str, settings: Sequence[Setting], problem: Problem, data: Any
) -> bool:
    """Whether values of a setting make programs differ, by those of the others."""
    if name == "epochs":
        return True
    values = {one.values[name] for one in settings}
    for base in (settings[0], settings[-1]):
        texts = set()
        for value in values:
            epoch = _epoch(method, traced.put(base.config, {name: value}), problem)
            texts.add(str(jax.make_jaxpr(epoch)(jax.random.key(0), data)))
        if len(texts) == len(values):
            return True
    return False


def make(method: str, program: Program, problem: Problem) -> Algorithm:
    """The method as a program of members whose settings differ.

    Args:
      method: the method.
      program: the program.
      problem: what it is built for.

    Returns:
      The algorithm on pairs (training and validation records, `Member` of one seed
      and setting); its state is `Held`.
    """
    usual = ALGORITHMS[method](program.config, problem)

    def built(values: dict[str, Array]) -> Algorithm:
        return ALGORITHMS[method](traced.put(program.config, values), problem)

    def own(values: dict[str, Array]) -> Algorithm:
        return training.with_own_models(built(values))

    def init(key: Key, pair: tuple[Any, Member]) -> Held:
        shared, (models, values) = pair
        return Held(own(values).init(key, (shared, models)), values)

    def update(held: Held, key: Key, pair: tuple[Any, Member]) -> tuple[Held, Metrics]:
        shared, (models, values) = pair
        state, metrics = own(values).update(held.state, key, (shared, models))
        return Held(state, values), metrics

    def reward(held: Held, transitions: Transition) -> Array:
        asked: Any = built(held.values).reward
        return asked(held.state, transitions)

    def action_values(held: Held, observations: Array) -> Array:
        asked: Any = built(held.values).action_values
        return asked(held.state, observations)

    return usual._replace(
        init=init,
        update=update,
        policy_params=lambda held: usual.policy_params(held.state),
        reward=None if usual.reward is None else reward,
        action_values=None if usual.action_values is None else action_values,
    )

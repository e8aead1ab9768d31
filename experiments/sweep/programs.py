"""From settings to compiled programs: what can be a number of a member, and is."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax

from experiments import training
from experiments.config import ALGORITHMS, Problem, RunConfig
from experiments.sweep.grid import Setting
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


def group(settings: Sequence[Setting], batched: set[str]) -> list[Program]:
    """Settings that differ in batched values alone share a program.

    Args:
      settings: the settings of a grid.
      batched: names of those that a program takes as numbers.

    Returns:
      The programs, in the order of their first settings.
    """
    groups: dict[Any, list[Setting]] = {}
    for one in settings:
        fixed = {n: v for n, v in one.values.items() if n not in batched}
        groups.setdefault(tuple(fixed.items()), []).append(one)
    found = []
    for ones in groups.values():
        differ = [n for n in ones[0].values if len({o.values[n] for o in ones}) > 1]
        found.append(Program(ones[0].config, tuple(differ), ones))
    return found


def batchable(
    method: str, settings: Sequence[Setting], problem: Problem, data: Any
) -> set[str]:
    """Names of the grid's settings that a program can take as numbers.

    Args:
      method: the method.
      settings: the settings of a grid.
      problem: what it is built for.
      data: shapes of the pair (shared data, models of ONE seed) that it is given.
    """
    first = settings[0]
    varied = [n for n in first.values if len({o.values[n] for o in settings}) > 1]
    numbers = [n for n in varied if all(type(o.values[n]) is float for o in settings)]

    def run(values: dict[str, Any]) -> Any:
        built = ALGORITHMS[method](traced.put(first.config, values), problem)
        algorithm = training.with_own_models(built)

        def epoch(key: Key, given: Any) -> Any:
            init_key, update_key = jax.random.split(key)
            return algorithm.update(algorithm.init(init_key, given), update_key, given)

        return jax.eval_shape(epoch, jax.random.key(0), data)

    return {name for name in numbers if traced.takes_arrays(run, name)}


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

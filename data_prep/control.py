"""One trajectory of each of many agents whose physics differ, as PerSim was studied.

    python -m data_prep.control --env=cart_pole --data=pure --out=DIR

N agents have physics drawn from the ranges of the paper (NeurIPS 2021, Section 5). Five
behaviour policies are learned in five other settings (`learners/online_q.py`, or where
actions are continuous `learners/online_td3.py`), and each agent is recorded for one
episode under one of them: `pure`; `pure_eps_20`, ...: the same with a share of random
actions; `random`: random actions alone, for which nothing is learned. The dataset holds
what was seen and done; the physics, which no method may see, stand in `schema.json`
under `simulator`, for whoever judges.
"""

import dataclasses
import functools
import pathlib
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from absl import flags, logging

from omgrl_jax.data import dataset
from omgrl_jax.envs import control
from omgrl_jax.envs.half_cheetah import HalfCheetah, half_cheetah
from omgrl_jax.learners import online, online_q, online_td3
from omgrl_jax.runtime import devices, script
from omgrl_jax.runtime import flags as config_flags
from omgrl_jax.types import Array, Key, Params


class Setting(NamedTuple):
    """One environment of the study.

    Attributes:
      task: makes the task.
      behaviour: `(task, config of the logs) ->` how behaviour policies are learned.
      ranges: lower and upper ends of the physics from which agents are drawn.
      trained: physics of the five settings in which behaviour policies learn.
      judged: those of the five agents on which methods are judged.
    """

    task: Callable[[], control.Control]
    behaviour: Callable[[control.Control, "Config"], online.Behaviour]
    ranges: tuple[Any, Any]
    trained: Any
    judged: Any


def _by_values(task: control.Control, config: "Config") -> online.Behaviour:
    return online_q.behaviour(task, config.q)


def _by_gradients(task: control.Control, config: "Config") -> online.Behaviour:
    return online_td3.behaviour(task, config.td3)


SETTINGS = {
    "mountain_car": Setting(
        task=control.mountain_car,
        behaviour=_by_values,
        ranges=(control.MountainCar(1e-4), control.MountainCar(3.5e-3)),
        trained=control.MountainCar(
            np.array([0.0003, 0.00075, 0.00175, 0.0025, 0.003])
        ),
        judged=control.MountainCar(np.array([0.0001, 0.0005, 0.001, 0.0025, 0.0035])),
    ),
    "cart_pole": Setting(
        task=control.cart_pole,
        behaviour=_by_values,
        ranges=(control.CartPole(2.0, 0.15), control.CartPole(18.0, 0.85)),
        trained=control.CartPole(
            np.array([6.0, 14.0, 10.0, 10.0, 10.0]),
            np.array([0.5, 0.5, 0.5, 0.675, 0.325]),
        ),
        judged=control.CartPole(
            np.array([2.0, 10.0, 18.0, 10.0, 10.0]),
            np.array([0.5, 0.5, 0.5, 0.85, 0.15]),
        ),
    ),
    # The paper names no settings for behaviour; these lie between the judged ones.
    "half_cheetah": Setting(
        task=half_cheetah,
        behaviour=_by_gradients,
        ranges=(HalfCheetah(0.2, 0.2), HalfCheetah(1.8, 1.8)),
        trained=HalfCheetah(
            np.array([1.0, 0.6, 1.4, 1.0, 1.0]),
            np.array([1.0, 1.0, 1.0, 0.6, 1.4]),
        ),
        judged=HalfCheetah(
            np.array([0.3, 1.7, 0.3, 1.7, 1.0]),
            np.array([1.7, 0.3, 0.3, 1.7, 1.0]),
        ),
    ),
}
# Share of random actions by kind of data.
DATA = {"pure": 0.0, "pure_eps_20": 0.2, "pure_eps_40": 0.4, "random": 1.0}


@dataclasses.dataclass(frozen=True)
class Config:
    """What to record; every field is a flag of the same name.

    Attributes:
      env: which environment.
      data: which behaviour.
      agents: how many agents, the judged five among them.
      seed: seed of everything that is drawn.
      q: how behaviour policies are learned, where actions are discrete.
      td3: how they are learned, where actions are continuous.
    """

    env: str = dataclasses.field(
        default="mountain_car", metadata={"choices": tuple(SETTINGS)}
    )
    data: str = dataclasses.field(default="pure", metadata={"choices": tuple(DATA)})
    agents: int = dataclasses.field(default=500, metadata={"min": 10})
    seed: int = 0
    q: online_q.Config = dataclasses.field(default_factory=online_q.Config)
    td3: online_td3.Config = dataclasses.field(default_factory=online_td3.Config)


class Recorded(NamedTuple):
    """One episode of each of `N` agents.

    Attributes:
      states: [N, H + 1, S] raw.
      actions: [N, H] int32, or [N, H, P].
      rewards: [N, H].
      done: [N, H] whether the state after the step ends the episode.
    """

    states: Array
    actions: Array
    rewards: Array
    done: Array


def agents_of(config: Config) -> Any:
    """Physics of all agents, leaves [N]: the judged ones first, the others drawn."""
    setting = SETTINGS[config.env]
    rng = np.random.default_rng([config.seed, 0])
    low, high = setting.ranges
    count = config.agents - len(setting.judged[0])
    return type(low)(
        *(
            np.concatenate([first, rng.uniform(a, b, count)]).astype(np.float32)
            for first, a, b in zip(setting.judged, low, high, strict=True)
        )
    )


@functools.partial(jax.jit, static_argnums=0)
def learn(behaviour: online.Behaviour, key: Key, physics: Any) -> Params:
    """Behaviour policies of the five settings, leaves [5, ...]."""
    keys = jax.random.split(key, physics[0].shape[0])
    return jax.vmap(behaviour.train)(keys, physics)


def by_chance(task: control.Control) -> online.Behaviour:
    """No behaviour at all, for logs of random actions alone."""
    return online.Behaviour(
        train=lambda key, physics: (), act=lambda params, state: task.actions.zeros()
    )


@functools.partial(jax.jit, static_argnums=(0, 1))
def play(
    task: control.Control,
    behaviour: online.Behaviour,
    key: Key,
    params: Params,
    physics: Any,
    epsilon: Array | float,
) -> Recorded:
    """One episode of each agent under its own behaviour policy.

    Args:
      task: the task.
      behaviour: how policies act.
      key: consumed.
      params: the policy of each agent, leaves [N, ...].
      physics: of each agent, leaves [N].
      epsilon: share of random actions.

    Returns:
      The episodes, which run on after their end.
    """

    def episode(key: Key, params: Params, physics: Any) -> Recorded:
        def step(carry: tuple[Array, Key], _: None) -> tuple[tuple[Array, Key], tuple]:
            state, key = carry
            key, random_key, mix_key = jax.random.split(key, 3)
            random = task.actions.draw(random_key, ())
            mixed = jax.random.bernoulli(mix_key, epsilon)
            action = jnp.where(mixed, random, behaviour.act(params, state))
            following = task.step(physics, state, action)
            reward = task.reward(state, action, following)
            seen = (following, action, reward, task.done(following))
            return (following, key), seen

        first_key, run_key = jax.random.split(key)
        first = task.reset(first_key)
        _, (states, *rest) = jax.lax.scan(
            step, (first, run_key), None, length=task.limit
        )
        return Recorded(jnp.concatenate([first[None], states]), *rest)

    keys = jax.random.split(key, physics[0].shape[0])
    return jax.vmap(episode)(keys, params, physics)


def to_trajectories(recorded: Recorded) -> dataset.Trajectories:
    """Episodes up to their end as stays; every agent is a training one."""
    done = np.asarray(recorded.done)
    ended = done.any(axis=1)
    lengths = np.where(ended, done.argmax(axis=1) + 1, done.shape[1])

    def joined(table: Array, more: int = 0) -> np.ndarray:
        rows = np.asarray(table)
        return np.concatenate([rows[i, : t + more] for i, t in enumerate(lengths)])

    return dataset.Trajectories(
        observations=joined(recorded.states, 1),
        actions=joined(recorded.actions),
        lengths=lengths,
        patients=np.arange(lengths.size),
        split=np.zeros(lengths.size, int),
        terminals=ended,
        rewards=joined(recorded.rewards),
    )


def to_schema(config: Config, physics: Any) -> dataset.Schema:
    """The schema, with the settings and the agents' physics in it."""
    task = SETTINGS[config.env].task()
    hidden = {k: [float(x) for x in v] for k, v in physics._asdict().items()}
    return dataset.Schema(
        name=f"{config.env}_{config.data}",
        features=tuple(dataset.Feature(*feature) for feature in task.features),
        actions=dataset.Actions(
            task.actions.count, low=task.actions.low, high=task.actions.high
        ),
        step_hours=1.0,
        reward={"kind": "recorded"},
        simulator={
            "environment": task.name,
            "run": dataclasses.asdict(config),
            "physics": hidden,
        },
    )


def write(config: Config, out: str | pathlib.Path) -> dataset.Trajectories:
    """Learns the behaviour, records the agents and writes the dataset.

    Args:
      config: what to record.
      out: directory, made when missing.

    Returns:
      The arrays written.
    """
    setting = SETTINGS[config.env]
    task, physics, epsilon = setting.task(), agents_of(config), DATA[config.data]
    made = by_chance(task) if epsilon == 1.0 else setting.behaviour(task, config)
    learn_key, play_key = jax.random.split(jax.random.key(config.seed))
    policies = learn(made, learn_key, jax.tree.map(jnp.asarray, setting.trained))
    rng = np.random.default_rng([config.seed, 1])
    chosen = rng.integers(len(setting.trained[0]), size=config.agents)
    params = jax.tree.map(lambda x: x[chosen], policies)
    recorded = play(
        task,
        made,
        play_key,
        params,
        jax.tree.map(jnp.asarray, physics),
        epsilon,
    )
    arrays = to_trajectories(jax.device_get(recorded))
    dataset.save(out, to_schema(config, physics), arrays)
    return arrays


def define_flags(values: flags.FlagValues = flags.FLAGS) -> None:
    """One flag for each field of `Config`, and --out."""
    config_flags.define_dataset_script(Config, values)


def main() -> None:
    """Writes the dataset named by the flags."""
    config, out = config_flags.read(Config), flags.FLAGS.out
    devices.enable_compilation_cache()
    devices.choose_kernels()
    arrays = write(config, out)
    logging.info(
        "%d agents, %d steps, mean return %.1f in %s",
        arrays.lengths.size,
        arrays.actions.size,
        arrays.rewards.sum() / arrays.lengths.size,
        out,
    )


if __name__ == "__main__":
    script.run(main, define_flags)

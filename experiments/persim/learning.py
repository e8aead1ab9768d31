"""Policies learned from logs of agents, by the methods that learn from patients'.

Records come as `learners.dyna.Data`, of everyone (one policy for all) or of single
agents (a policy for each, all trained in one program).
"""

import dataclasses
import functools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from experiments.config import ALGORITHMS, Problem, RunConfig
from experiments.training import at_home
from omgrl_jax.algorithms import mopo
from omgrl_jax.data.records import Records
from omgrl_jax.data.space import Space
from omgrl_jax.learners import dyna
from omgrl_jax.learners.dyna import RolloutConfig
from omgrl_jax.learners.reward_network import RewardConfig
from omgrl_jax.learners.soft_actor_critic import AgentConfig
from omgrl_jax.models.world import WorldConfig
from omgrl_jax.runtime import train as train_lib
from omgrl_jax.types import Algorithm, Array, Dynamics, Key, Params, Policy


@dataclasses.dataclass(frozen=True)
class LearnConfig:
    """How policies are learned from logs.

    Attributes:
      epochs: training epochs.
      behaviour_hidden: widths of the behaviour policy's layers.
      episodes: imagined episodes of each judged agent that join its log, for personal
        learners that cannot roll a simulator out by themselves.
      explore: share of random actions in them; the others are the behaviour policy's.
      world: the model of all agents that is rolled out where none is personal.
      agent: actor and critic.
      rollout: use of a simulator.
      reward: the learned reward, for methods that learn one.
    """

    epochs: int = dataclasses.field(default=100, metadata={"min": 1})
    behaviour_hidden: tuple[int, ...] = (64, 64)
    episodes: int = dataclasses.field(default=100, metadata={"min": 1})
    explore: float = dataclasses.field(default=0.2, metadata={"min": 0, "max": 1})
    world: WorldConfig = dataclasses.field(
        default_factory=lambda: WorldConfig(hidden=(64, 64))
    )
    agent: AgentConfig = dataclasses.field(
        default_factory=lambda: AgentConfig(
            actor_hidden=(64, 64),
            critic_hidden=(64, 64),
            entropy_coefficient=0.05,
            updates=100,
        )
    )
    rollout: RolloutConfig = dataclasses.field(
        default_factory=lambda: RolloutConfig(horizon=10)
    )
    reward: RewardConfig = dataclasses.field(
        default_factory=lambda: RewardConfig(mode="step", normalise=True, average=0.9)
    )

    def run(self, personal: bool = False) -> RunConfig:
        """The same as the methods' own configuration.

        Args:
          personal: for worlds of single agents, whose members predict no noise.
        """
        uncertainty = "disagreement" if personal else "noise"
        return RunConfig(
            behaviour_hidden=self.behaviour_hidden,
            world=self.world,
            agent=self.agent,
            mopo=mopo.Config(uncertainty=uncertainty),
            rollout=self.rollout,
            reward=self.reward,
        )


@functools.cache
def make(
    name: str, config: RunConfig, space: Space, dynamics: Dynamics, behaviour: Policy
) -> Algorithm:
    """A method by its name; the same object for the same arguments."""
    return ALGORITHMS[name](config, Problem(space, dynamics, behaviour))


def train(algorithm: Algorithm, key: Key, data: dyna.Data, epochs: int) -> Params:
    """Learns one policy.

    Args:
      algorithm: the method.
      key: consumed.
      data: what it learns from.
      epochs: how long.

    Returns:
      The policy's parameters.
    """
    return _learned(algorithm, key, epochs, data)


def train_each(algorithm: Algorithm, key: Key, data: dyna.Data, epochs: int) -> Params:
    """Learns a policy of each of N agents, one beside the other.

    Args:
      algorithm: the method.
      key: consumed.
      data: what each learns from, leaves [N, ...].
      epochs: how long.

    Returns:
      The policies' parameters, leaves [N, ...].
    """
    keys = jax.random.split(key, data.train.states.shape[0])
    return _learned(_on_its_own(algorithm), keys, epochs, (), data)


def _learned(
    algorithm: Algorithm, key: Array, epochs: int, shared: Any, own: Any = None
) -> Params:
    done = train_lib.train(
        algorithm,
        key,
        shared,
        num_updates=epochs,
        interval=epochs,
        member_data=own,
        progress=False,
    )
    return algorithm.policy_params(at_home(done.state))


@functools.cache
def _on_its_own(algorithm: Algorithm) -> Algorithm:
    """The method where members share no data: on pairs (nothing, a member's own)."""
    return algorithm._replace(
        init=lambda key, pair: algorithm.init(key, pair[1]),
        update=lambda state, key, pair: algorithm.update(state, key, pair[1]),
    )


def stacked(parts: Sequence[Records]) -> Records:
    """Records of several agents as members of one sweep, leaves [N, ...].

    Shorter ones are filled up: rows by zeros, which nothing points to, and the lists of
    transitions and windows by themselves, over and over, so that each row of an agent
    is drawn about as often as its others. Where one agent has no window, none has.

    Args:
      parts: the records of each.
    """
    windows = all(part.windows.shape[0] for part in parts)
    found = {}
    for name in Records._fields:
        values = [np.asarray(getattr(part, name)) for part in parts]
        size = max(value.shape[0] for value in values)
        if name == "windows" and not windows:
            values, size = [value[:0] for value in values], 0
        filled = _repeated if name in ("transitions", "windows") else _padded
        found[name] = jnp.stack([filled(value, size) for value in values])
    return Records(**found)


def for_each(tree: Any, count: int) -> Any:
    """The same for each of N agents, leaves [N, ...]."""
    return jax.tree.map(lambda x: jnp.broadcast_to(x, (count, *x.shape)), tree)


def _repeated(index: np.ndarray, size: int) -> Array:
    return jnp.asarray(np.resize(index, size))


def _padded(rows: np.ndarray, size: int) -> Array:
    more = [(0, size - rows.shape[0])] + [(0, 0)] * (rows.ndim - 1)
    return jnp.asarray(np.pad(rows, more))


@functools.cache
def exploring(policy: Policy, share: float) -> Policy:
    """The policy that takes a random action in a share of its decisions."""

    def log_probs(params: Params, states: Array) -> Array:
        chances = jnp.exp(policy.log_probs(params, states))
        return jnp.log((1.0 - share) * chances + share / chances.shape[-1])

    return Policy(log_probs)

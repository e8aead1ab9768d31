"""Planning in a learned world under a reward that is learned along the way.

    init ->  repeat: rollouts -> reward steps -> buffer -> soft actor-critic

Methods that keep no more than a reward network beside their agent share all of it: they
differ in what the reward is fitted to, and in how rollouts are made pessimistic.
"""

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import optax

from omgrl_jax import optimize
from omgrl_jax.data import buffer as buffer_lib
from omgrl_jax.data import records as records_lib
from omgrl_jax.data.records import Space
from omgrl_jax.learners import dyna, known_reward
from omgrl_jax.learners import soft_actor_critic as sac
from omgrl_jax.learners.pessimism import Pessimism
from omgrl_jax.learners.reward_network import Network, RewardConfig
from omgrl_jax.types import Algorithm, Array, Dynamics, Key, Metrics, Params, Transition


class Parts(Protocol):
    """The parts that the configurations of such methods have in common."""

    @property
    def agent(self) -> sac.AgentConfig:
        """Actor and critic."""
        ...

    @property
    def rollout(self) -> dyna.RolloutConfig:
        """Use of the world model."""
        ...

    @property
    def reward(self) -> RewardConfig:
        """The learned reward."""
        ...


class Evidence(NamedTuple):
    """What a reward is fitted to in an epoch.

    Attributes:
      rollouts: leaves [H, B, ...], by the current policy.
      windows: leaves [N, H, ...], of the experts.
      data: records and models.
    """

    rollouts: Transition
    windows: Transition
    data: dyna.Data


Fit = Callable[[optimize.Learner, Key, Evidence], tuple[optimize.Learner, Metrics]]


class State(NamedTuple):
    """What is kept between epochs.

    Attributes:
      agent: actor and critics.
      buffer: rollouts kept.
      measured: what the pessimism measured on the records; None where nothing.
      reward: the reward network and its optimiser.
      average: running average of its parameters, by which the agent is rewarded.
    """

    agent: sac.AgentState
    buffer: buffer_lib.Buffer
    measured: Any
    reward: optimize.Learner
    average: Params


def make(
    parts: Parts,
    space: Space,
    dynamics: Dynamics,
    network: Network,
    fit: Fit,
    pessimism: Pessimism,
    conservatism: float = 0.0,
    push_down: str = "policy",
) -> Algorithm:
    """Builds the method.

    Args:
      parts: settings of the parts.
      space: the task.
      dynamics: the fitted world; its parameters come with the data.
      network: the reward network.
      fit: `(learner, key, evidence) -> (learner, metrics)`, the reward steps of an
        epoch.
      pessimism: how the method distrusts the world.
      conservatism: weight of the critics' conservative term (arXiv 2409.13299, Eq. 5).
      push_down: form of that term, a key of `ops.value.PUSH_DOWN`.

    Returns:
      The algorithm; `data` is `dyna.Data` whose windows have the rollouts' length. It
      logs the returns of the rollouts as the world made them, before any pessimism.

    Raises:
      ValueError: on an unknown push-down.
    """
    agent = sac.make(parts.agent, space, conservatism, push_down)

    def init(key: Key, data: dyna.Data) -> State:
        agent_key, reward_key = jax.random.split(key)
        learner = network.init(reward_key)
        return State(
            agent=agent.init(agent_key),
            buffer=dyna.empty_buffer(parts.rollout, space),
            measured=pessimism.measure(data),
            reward=learner,
            average=jax.tree.map(jnp.copy, learner.params),
        )

    def gather(state: State, key: Key, data: dyna.Data) -> Evidence:
        rollout_key, window_key = jax.random.split(key)
        actor_params = state.agent.actor.params
        # From where experts' windows start: a reward that compares both must not learn
        # to tell the hour of the stay instead.
        rows = data.train.windows
        rollouts = dyna.collect(
            parts.rollout, dynamics, agent, actor_params, rollout_key, data, rows
        )
        windows = records_lib.sample_windows(
            data.train, window_key, parts.reward.expert_windows, parts.rollout.horizon
        )
        return Evidence(rollouts, windows, data)

    def update(state: State, key: Key, data: dyna.Data) -> tuple[State, Metrics]:
        gather_key, reward_key, improve_key = jax.random.split(key, 3)
        evidence = gather(state, gather_key, data)
        learner, reward_metrics = fit(state.reward, reward_key, evidence)
        average = optax.incremental_update(
            learner.params, state.average, 1.0 - parts.reward.average
        )
        learned = network.for_agent(average, evidence.rollouts, evidence.windows)
        marked, marks = pessimism.mark(state.measured, data, evidence.rollouts)
        buffer = dyna.keep(state.buffer, marked)
        agent_state, metrics = dyna.improve(
            parts.agent,
            agent,
            state.agent,
            buffer,
            pessimism.given(learned),
            improve_key,
            data.train,
        )
        returns = _returns(space, network, average, evidence)
        metrics = {**metrics, **reward_metrics, **marks, **returns}
        return State(agent_state, buffer, state.measured, learner, average), metrics

    def reward_of(state: State, transitions: Transition) -> Array:
        return network.value(state.average, transitions)

    return Algorithm(init, update, *dyna.acting(agent), reward_of)


def _returns(
    space: Space, network: Network, params: Params, evidence: Evidence
) -> Metrics:
    """Mean returns of the rollouts under r_psi, and r_p where the schema defines it."""
    rollouts = evidence.rollouts
    r_psi = network.value(params, rollouts)
    metrics = {"return/r_psi": jnp.mean(jnp.sum(r_psi, axis=0))}
    if known_reward.defined(space):
        r_p = known_reward.make(space, evidence.data.world.scales)(rollouts)
        metrics["return/r_p"] = jnp.mean(jnp.sum(r_p, axis=0))
    return metrics

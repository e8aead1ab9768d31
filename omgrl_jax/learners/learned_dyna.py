"""Planning in a learned world under a reward that is learned along the way.

    init ->  repeat: rollouts -> reward steps -> buffer -> soft actor-critic

OMG-RL, AIRL, ML-IRL and reward regression share all of it: they differ in what the
reward is fitted to, in what they keep for that, and in how they distrust the world.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import optax

from omgrl_jax import optimize
from omgrl_jax.data import buffer as buffer_lib
from omgrl_jax.data import records as records_lib
from omgrl_jax.data.space import Space
from omgrl_jax.learners import dyna, known_reward
from omgrl_jax.learners import restraint as restraint_lib
from omgrl_jax.learners import soft_actor_critic as sac
from omgrl_jax.learners.pessimism import Pessimism
from omgrl_jax.learners.reward_network import RewardConfig
from omgrl_jax.models.rollout import alive_in
from omgrl_jax.types import (
    Algorithm,
    Array,
    Dynamics,
    Key,
    Metrics,
    Params,
    Policy,
    Transition,
)


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
      actor_params: parameters of the current policy.
      data: records and models.
    """

    rollouts: Transition
    windows: Transition
    actor_params: Params
    data: dyna.Data


class RewardLearner(NamedTuple):
    """What a method learns of the reward, as pure functions.

    Attributes:
      init: `(key, collect, actor_params) -> state`; `collect(key)` rolls the first
        policy out, leaves [H, B, ...].
      update: `(state, key, evidence) -> (state, metrics)`, an epoch of reward steps.
      for_agent: `(state, evidence) -> reward function` of transitions [B], by which the
        agent is rewarded in this epoch.
      value: `(state, transitions [...]) -> [...]`, the learned reward.
    """

    init: Callable[[Key, Callable[[Key], Transition], Params], Any]
    update: Callable[[Any, Key, Evidence], tuple[Any, Metrics]]
    for_agent: Callable[[Any, Evidence], sac.RewardFunction]
    value: Callable[[Any, Transition], Array]


class Averaged(NamedTuple):
    """Networks in training and what the agent sees of them.

    Attributes:
      learner: the networks and their optimiser.
      average: running average of their parameters, by which the agent is rewarded.
    """

    learner: optimize.Learner
    average: Params


Fit = Callable[[optimize.Learner, Key, Evidence], tuple[optimize.Learner, Metrics]]


def averaged(
    init: Callable[[Key], optimize.Learner],
    fit: Fit,
    for_agent: Callable[[Params, Transition, Transition], sac.RewardFunction],
    value: Callable[[Params, Transition], Array],
    keep: float,
) -> RewardLearner:
    """A reward learner that keeps networks and their running average.

    Args:
      init: `(key) -> learner`.
      fit: `(learner, key, evidence) -> (learner, metrics)`.
      for_agent: `(params, rollouts, windows) -> reward function`.
      value: `(params, transitions [...]) -> [...]`.
      keep: share of the average that an epoch leaves.

    Returns:
      The reward learner, its state `Averaged`.
    """

    def start(
        key: Key, collect: Callable[[Key], Transition], actor_params: Params
    ) -> Averaged:
        del collect, actor_params
        learner = init(key)
        return Averaged(learner, jax.tree.map(jnp.copy, learner.params))

    def update(
        state: Averaged, key: Key, evidence: Evidence
    ) -> tuple[Averaged, Metrics]:
        learner, metrics = fit(state.learner, key, evidence)
        return moved(state, learner, keep), metrics

    return RewardLearner(
        init=start,
        update=update,
        for_agent=lambda state, evidence: for_agent(
            state.average, evidence.rollouts, evidence.windows
        ),
        value=lambda state, transitions: value(state.average, transitions),
    )


def moved(state: Averaged, learner: optimize.Learner, keep: float) -> Averaged:
    """The networks after an epoch, and their average a step towards them."""
    average = optax.incremental_update(learner.params, state.average, 1.0 - keep)
    return Averaged(learner, average)


class State(NamedTuple):
    """What is kept between epochs.

    Attributes:
      agent: actor and critics.
      buffer: rollouts kept.
      measured: what the pessimism measured on the records; None where nothing.
      reward: state of the reward learner.
      restraint: multipliers and values of costs; None where nothing is limited.
    """

    agent: sac.AgentState
    buffer: buffer_lib.Buffer
    measured: Any
    reward: Any
    restraint: Any


def make(
    parts: Parts,
    space: Space,
    dynamics: Dynamics,
    agent: sac.Agent,
    learner: RewardLearner,
    pessimism: Pessimism,
    restraint: restraint_lib.Restraint | None = None,
) -> Algorithm:
    """Builds the method.

    Args:
      parts: settings of the parts.
      space: the task.
      dynamics: the fitted world; its parameters come with the data.
      agent: actor and critics.
      learner: the reward learner.
      pessimism: how the method distrusts the world.
      restraint: limits that hold the agent; None for none.

    Returns:
      The algorithm; `data` is `dyna.Data` whose windows have the rollouts' length. It
      logs the returns of the rollouts as the world made them, before any pessimism.
    """
    limits = restraint or restraint_lib.none(agent)
    collect = _make_collect(parts, dynamics, agent.policy)

    def init(key: Key, data: dyna.Data) -> State:
        held = limits.init(jax.random.fold_in(key, restraint_lib.PURPOSE), data)
        agent_key, reward_key = jax.random.split(key)
        state = agent.init(agent_key)
        first = functools.partial(collect, state.actor.params, data)
        return State(
            agent=state,
            buffer=dyna.empty_buffer(parts.rollout, space),
            measured=pessimism.measure(data),
            reward=learner.init(reward_key, first, state.actor.params),
            restraint=held,
        )

    def update(state: State, key: Key, data: dyna.Data) -> tuple[State, Metrics]:
        gather_key, reward_key, improve_key = jax.random.split(key, 3)
        evidence = _gathered(parts, collect, state.agent.actor.params, gather_key, data)
        reward, reward_metrics = learner.update(state.reward, reward_key, evidence)
        marked, marks = pessimism.mark(state.measured, data, evidence.rollouts)
        buffer = dyna.keep(state.buffer, marked, alive_in(evidence.rollouts))
        held, shares = limits.follow(state.restraint, data, evidence.rollouts)
        (agent_state, held), metrics = dyna.improve(
            parts.agent,
            limits.improve(data),
            (state.agent, held),
            buffer,
            pessimism.given(learner.for_agent(reward, evidence)),
            improve_key,
            data.train,
        )
        r_psi = learner.value(reward, evidence.rollouts)
        metrics = {**metrics, **reward_metrics, **marks, **shares}
        metrics |= _returns(space, r_psi, evidence)
        return State(agent_state, buffer, state.measured, reward, held), metrics

    def reward_of(state: State, transitions: Transition) -> Array:
        return learner.value(state.reward, transitions)

    return Algorithm(
        init,
        update,
        agent.policy,
        dyna.actor_params,
        reward_of,
        dyna.action_values(parts.agent, space),
    )


def _make_collect(
    parts: Parts, dynamics: Dynamics, policy: Policy
) -> Callable[[Params, dyna.Data, Key], Transition]:
    """`(actor's parameters, data, key) -> rollouts`, leaves [H, B, ...]."""

    def collect(actor_params: Params, data: dyna.Data, key: Key) -> Transition:
        # From where experts' windows start: a reward that compares both must not learn
        # to tell the hour of the stay instead.
        rows = data.train.windows
        return dyna.collect(
            parts.rollout, dynamics, policy, actor_params, key, data, rows
        )

    return collect


def _gathered(
    parts: Parts,
    collect: Callable[[Params, dyna.Data, Key], Transition],
    actor_params: Params,
    key: Key,
    data: dyna.Data,
) -> Evidence:
    """An epoch's rollouts of the policy, and experts' windows beside them."""
    rollout_key, window_key = jax.random.split(key)
    rollouts = collect(actor_params, data, rollout_key)
    windows = records_lib.sample_windows(
        data.train, window_key, parts.reward.expert_windows, parts.rollout.horizon
    )
    return Evidence(rollouts, windows, actor_params, data)


def _returns(space: Space, r_psi: Array, evidence: Evidence) -> Metrics:
    """Mean returns of the rollouts under r_psi, and r_p where the schema defines it."""
    alive = alive_in(evidence.rollouts)
    metrics = {"return/r_psi": jnp.mean(jnp.sum(alive * r_psi, axis=0))}
    if known_reward.defined(space):
        # Fig. 3 of the paper: logged beside r_psi, never learned from.
        known = known_reward.make(space, evidence.data.world.scales)
        r_p = alive * known(evidence.rollouts)
        metrics["return/r_p"] = jnp.mean(jnp.sum(r_p, axis=0))
    return metrics

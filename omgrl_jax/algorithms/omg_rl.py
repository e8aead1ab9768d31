"""OMG-RL: offline model-based guided reward learning (arXiv 2409.13299, Algorithm 2).

Every epoch:

    rollouts -> reward steps on experts' windows and rollouts
             -> conservative soft actor-critic under r_psi
"""

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp

from omgrl_jax import optimize
from omgrl_jax.data import buffer as buffer_lib
from omgrl_jax.data import records as records_lib
from omgrl_jax.data.records import Space
from omgrl_jax.learners import dyna, known_reward
from omgrl_jax.learners import reward as reward_lib
from omgrl_jax.learners import soft_actor_critic as sac
from omgrl_jax.ops import value
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


@dataclasses.dataclass(frozen=True)
class Config:
    """OMG-RL's settings.

    Attributes:
      conservatism: weight alpha of the conservative term (Eq. 5); 0 switches it off.
      push_down: form of that term: "policy" (Eq. 5) or "logsumexp" (CQL).
      reward_epochs: epochs after which r_psi stands still and only the policy goes on
        learning, for a reward that it can catch up with; 0 for never.
      agent: actor and critic.
      rollout: use of the world model.
      reward: the guided reward.
    """

    conservatism: float = 0.25
    push_down: str = dataclasses.field(
        default="policy", metadata={"choices": tuple(value.PUSH_DOWN)}
    )
    reward_epochs: int = dataclasses.field(default=0, metadata={"min": 0})
    agent: sac.AgentConfig = dataclasses.field(default_factory=sac.AgentConfig)
    rollout: dyna.RolloutConfig = dataclasses.field(default_factory=dyna.RolloutConfig)
    reward: reward_lib.RewardConfig = dataclasses.field(
        default_factory=reward_lib.RewardConfig
    )


class State(NamedTuple):
    """OMG-RL's state: COMBO's, the reward and the pool that estimates Z.

    Attributes:
      agent: actor and critics.
      buffer: rollouts kept.
      reward: the reward network and its optimiser.
      average: running average of its parameters, by which the agent is rewarded.
      pool: trajectories and samplers for the partition function.
      epoch: [] epochs done.
    """

    agent: sac.AgentState
    buffer: buffer_lib.Buffer
    reward: optimize.Learner
    average: Params
    pool: reward_lib.Pool
    epoch: Array


def make(
    config: Config, space: Space, dynamics: Dynamics, behaviour: Policy
) -> Algorithm:
    """Builds OMG-RL.

    Args:
      config: settings.
      space: the task.
      dynamics: the fitted world; its parameters come with the data.
      behaviour: the fitted behaviour policy; likewise.

    Returns:
      The algorithm; `data` is `dyna.Data` whose windows have the rollouts' length.
    """
    agent = sac.make(config.agent, space, config.conservatism, config.push_down)
    reward = reward_lib.make(config.reward, space, agent.policy, behaviour)

    def init(key: Key, data: dyna.Data) -> State:
        agent_key, reward_key, pool_key = jax.random.split(key, 3)
        agent_state = agent.init(agent_key)
        actor_params = agent_state.actor.params
        epochs = config.reward.pool_epochs
        first = jax.vmap(collect, in_axes=(None, 0, None))(
            actor_params, jax.random.split(pool_key, epochs), data
        )
        size = min(config.reward.pool_rollouts, config.rollout.rollouts)
        trajectories = jax.tree.map(lambda x: jnp.swapaxes(x[:, :, :size], 1, 2), first)
        samplers = jax.tree.map(lambda x: jnp.stack([x] * epochs), actor_params)
        learner = reward.init(reward_key)
        return State(
            agent=agent_state,
            buffer=dyna.empty_buffer(config.rollout, space),
            reward=learner,
            average=jax.tree.map(jnp.copy, learner.params),
            pool=reward_lib.Pool(trajectories, samplers),
            epoch=jnp.int32(0),
        )

    def collect(actor_params: dict, key: Key, data: dyna.Data) -> Transition:
        # From where experts' windows start: a reward that compares both must not learn
        # to tell the hour of the stay instead.
        rows = data.train.windows
        return dyna.collect(
            config.rollout, dynamics, agent, actor_params, key, data, rows
        )

    def update(state: State, key: Key, data: dyna.Data) -> tuple[State, Metrics]:
        rollout_key, window_key, reward_key, improve_key = jax.random.split(key, 4)
        actor_params = state.agent.actor.params
        rollouts = collect(actor_params, rollout_key, data)
        buffer = dyna.keep(state.buffer, rollouts)
        pool = reward_lib.push(state.pool, state.epoch, rollouts, actor_params)
        windows = records_lib.sample_windows(
            data.train, window_key, config.reward.expert_windows, config.rollout.horizon
        )
        densities = reward.densities(pool, actor_params, data.behaviour, windows)
        learner, reward_metrics = reward.update(
            state.reward, reward_key, pool, densities, windows
        )
        keep = config.reward.average
        average = jax.tree.map(
            lambda old, new: keep * old + (1.0 - keep) * new,
            state.average,
            learner.params,
        )
        if config.reward_epochs > 0:
            done = state.epoch >= config.reward_epochs
            learner, average = jax.tree.map(
                lambda old, new: jnp.where(done, old, new),
                (state.reward, state.average),
                (learner, average),
            )
        learned = reward.for_agent(average, rollouts, windows)
        agent_state, metrics = dyna.improve(
            config.agent, agent, state.agent, buffer, learned, improve_key, data.train
        )
        metrics = {**metrics, **reward_metrics}
        r_psi = reward.value(average, rollouts)
        metrics["return/r_psi"] = jnp.mean(jnp.sum(r_psi, axis=0))
        if known_reward.defined(space):
            # Fig. 3 of the paper: logged beside r_psi, never learned from.
            r_p = known_reward.make(space, data.world.scales)(rollouts)
            metrics["return/r_p"] = jnp.mean(jnp.sum(r_p, axis=0))
        following = State(agent_state, buffer, learner, average, pool, state.epoch + 1)
        return following, metrics

    def log_probs(state: State, observations: Array) -> Array:
        return agent.policy.log_probs(state.agent.actor.params, observations)

    def act(state: State, key: Key, observation: Array) -> Array:
        return jax.random.categorical(key, log_probs(state, observation))

    def reward_of(state: State, transitions: Transition) -> Array:
        return reward.value(state.average, transitions)

    return Algorithm(init, update, act, log_probs, reward_of)

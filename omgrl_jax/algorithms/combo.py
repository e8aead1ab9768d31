"""COMBO for discrete actions (arXiv 2102.08363) on the clinical reward r_p.

    init ->  repeat: rollouts -> buffer -> conservative soft actor-critic

The reward of a transition comes from the channel that the schema names: r_p of the
predicted aPTT, or the recorded reward.
"""

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp

from omgrl_jax.data import buffer as buffer_lib
from omgrl_jax.data.records import Space
from omgrl_jax.learners import dyna, known_reward
from omgrl_jax.learners import soft_actor_critic as sac
from omgrl_jax.ops import value
from omgrl_jax.types import Algorithm, Array, Dynamics, Key, Metrics


@dataclasses.dataclass(frozen=True)
class Config:
    """COMBO's settings.

    Attributes:
      conservatism: weight of the conservative term; the reward is known and stands
        still, so that it needs less than a reward that is being learned.
      push_down: form of that term: "policy" (Eq. 5) or "logsumexp" (CQL).
      agent: actor and critic.
      rollout: use of the world model.
    """

    conservatism: float = 0.1
    push_down: str = dataclasses.field(
        default="policy", metadata={"choices": tuple(value.PUSH_DOWN)}
    )
    agent: sac.AgentConfig = dataclasses.field(default_factory=sac.AgentConfig)
    rollout: dyna.RolloutConfig = dataclasses.field(default_factory=dyna.RolloutConfig)


class State(NamedTuple):
    """COMBO's state: the agent and the rollouts kept."""

    agent: sac.AgentState
    buffer: buffer_lib.Buffer


def make(config: Config, space: Space, dynamics: Dynamics) -> Algorithm:
    """Builds COMBO.

    Args:
      config: settings.
      space: the task.
      dynamics: the fitted world; its parameters come with the data.

    Returns:
      The algorithm; `data` is `dyna.Data`.

    Raises:
      ValueError: if the schema defines no reward.
    """
    known_reward.require(space)
    agent = sac.make(config.agent, space, config.conservatism, config.push_down)

    def init(key: Key, data: dyna.Data) -> State:
        del data
        return State(agent.init(key), dyna.empty_buffer(config.rollout, space))

    def update(state: State, key: Key, data: dyna.Data) -> tuple[State, Metrics]:
        rollout_key, improve_key = jax.random.split(key)
        reward = known_reward.make(space, data.world.scales)
        rollouts = dyna.collect(
            config.rollout,
            dynamics,
            agent,
            state.agent.actor.params,
            rollout_key,
            data,
            data.train.transitions,
        )
        buffer = dyna.keep(state.buffer, rollouts)
        agent_state, metrics = dyna.improve(
            config.agent, agent, state.agent, buffer, reward, improve_key, data.train
        )
        metrics["return/r_p"] = jnp.mean(jnp.sum(reward(rollouts), axis=0))
        return State(agent_state, buffer), metrics

    def log_probs(state: State, observations: Array) -> Array:
        return agent.policy.log_probs(state.agent.actor.params, observations)

    def act(state: State, key: Key, observation: Array) -> Array:
        return jax.random.categorical(key, log_probs(state, observation))

    return Algorithm(init, update, act, log_probs)

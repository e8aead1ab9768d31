"""Planning in a learned world under the reward that a schema defines.

    init ->  repeat: rollouts, marked -> buffer -> (conservative) soft actor-critic

COMBO, MOPO and MOReL share all of it: they differ in the conservatism of their critics
and in how rollouts are made pessimistic, which are arguments here.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from omgrl_jax.data import buffer as buffer_lib
from omgrl_jax.data.space import Space
from omgrl_jax.learners import dyna, known_reward
from omgrl_jax.learners import soft_actor_critic as sac
from omgrl_jax.learners.pessimism import Pessimism
from omgrl_jax.types import Algorithm, Dynamics, Key, Metrics


class State(NamedTuple):
    """What is kept between epochs.

    Attributes:
      agent: actor and critics.
      buffer: rollouts kept.
      measured: what the pessimism measured on the records; None where nothing.
    """

    agent: sac.AgentState
    buffer: buffer_lib.Buffer
    measured: Any


def make(
    agent_config: sac.AgentConfig,
    config: dyna.RolloutConfig,
    space: Space,
    dynamics: Dynamics,
    pessimism: Pessimism,
    conservatism: float = 0.0,
    push_down: str = "policy",
) -> Algorithm:
    """Builds the method.

    Args:
      agent_config: the agent's settings.
      config: use of the world model.
      space: the task.
      dynamics: the fitted world; its parameters come with the data.
      pessimism: how the method distrusts the world.
      conservatism: weight of the critics' conservative term (arXiv 2409.13299, Eq. 5).
      push_down: form of that term, a key of `ops.value.PUSH_DOWN`.

    Returns:
      The algorithm; `data` is `dyna.Data`. It logs `return/r_p`, the known reward of
      the rollouts as the world made them, before any pessimism.

    Raises:
      ValueError: if the schema defines no reward, or on an unknown push-down.
    """
    known_reward.require(space)
    agent = sac.make(agent_config, space, conservatism, push_down)

    def init(key: Key, data: dyna.Data) -> State:
        buffer = dyna.empty_buffer(config, space)
        return State(agent.init(key), buffer, pessimism.measure(data))

    def update(state: State, key: Key, data: dyna.Data) -> tuple[State, Metrics]:
        rollout_key, improve_key = jax.random.split(key)
        reward = known_reward.make(space, data.world.scales)
        rollouts = dyna.collect(
            config,
            dynamics,
            agent.policy,
            state.agent.actor.params,
            rollout_key,
            data,
            data.train.transitions,
        )
        marked, marks = pessimism.mark(state.measured, data, rollouts)
        buffer = dyna.keep(state.buffer, marked)
        agent_state, metrics = dyna.improve(
            agent_config,
            agent,
            state.agent,
            buffer,
            pessimism.given(reward),
            improve_key,
            data.train,
        )
        metrics = {**metrics, **marks}
        metrics["return/r_p"] = jnp.mean(jnp.sum(reward(rollouts), axis=0))
        return State(agent_state, buffer, state.measured), metrics

    return Algorithm(
        init,
        update,
        agent.policy,
        dyna.actor_params,
        action_values=dyna.action_values(agent_config, space),
    )

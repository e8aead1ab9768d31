"""Planning in a learned world under the reward that a schema defines.

    init ->  repeat: rollouts, marked -> buffer -> (conservative) soft actor-critic

COMBO, MOPO and MOReL share all of it: they differ in the conservatism of their critics,
in how rollouts are made pessimistic and in what is limited, which are arguments here.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from omgrl_jax.data import buffer as buffer_lib
from omgrl_jax.data.space import Space
from omgrl_jax.learners import dyna, known_reward
from omgrl_jax.learners import restraint as restraint_lib
from omgrl_jax.learners import soft_actor_critic as sac
from omgrl_jax.learners.pessimism import Pessimism
from omgrl_jax.models.rollout import alive_in
from omgrl_jax.types import Algorithm, Dynamics, Key, Metrics


class State(NamedTuple):
    """What is kept between epochs.

    Attributes:
      agent: actor and critics.
      buffer: rollouts kept.
      measured: what the pessimism measured on the records; None where nothing.
      restraint: multipliers and values of costs; None where nothing is limited.
    """

    agent: sac.AgentState
    buffer: buffer_lib.Buffer
    measured: Any
    restraint: Any


def make(
    agent_config: sac.AgentConfig,
    config: dyna.RolloutConfig,
    space: Space,
    dynamics: Dynamics,
    agent: sac.Agent,
    pessimism: Pessimism,
    restraint: restraint_lib.Restraint | None = None,
) -> Algorithm:
    """Builds the method.

    Args:
      agent_config: the agent's settings.
      config: use of the world model.
      space: the task.
      dynamics: the fitted world; its parameters come with the data.
      agent: actor and critics.
      pessimism: how the method distrusts the world.
      restraint: limits that hold the agent; None for none.

    Returns:
      The algorithm; `data` is `dyna.Data`. It logs `return/r_p`, the known reward of
      the rollouts as the world made them, before any pessimism.

    Raises:
      ValueError: if the schema defines no reward.
    """
    known_reward.require(space)
    limits = restraint or restraint_lib.none(agent)

    def init(key: Key, data: dyna.Data) -> State:
        held = limits.init(jax.random.fold_in(key, restraint_lib.PURPOSE), data)
        buffer = dyna.empty_buffer(config, space)
        return State(agent.init(key), buffer, pessimism.measure(data), held)

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
        alive = alive_in(rollouts)
        marked, marks = pessimism.mark(state.measured, data, rollouts)
        buffer = dyna.keep(state.buffer, marked, alive)
        held, shares = limits.follow(state.restraint, data, rollouts)
        (agent_state, held), metrics = dyna.improve(
            agent_config,
            limits.improve(data),
            (state.agent, held),
            buffer,
            pessimism.given(reward),
            improve_key,
            data.train,
        )
        metrics = {**metrics, **marks, **shares}
        metrics["return/r_p"] = jnp.mean(jnp.sum(alive * reward(rollouts), axis=0))
        return State(agent_state, buffer, state.measured, held), metrics

    return Algorithm(
        init,
        update,
        agent.policy,
        dyna.actor_params,
        action_values=dyna.action_values(agent_config, space),
    )

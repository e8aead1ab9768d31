"""Implicit Q-learning (arXiv 2110.06169) for discrete actions.

    recorded transitions -> V: upper expectile of Q over recorded actions (Eq. 5)
                         -> policy: cloning weighted by exp(beta (Q - V)) (Eq. 7)
                         -> Q: r + discount V(s') (Eq. 6)

No value of an action that was not recorded is ever asked for.
"""

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from omgrl_jax import optimize
from omgrl_jax.data.space import Space
from omgrl_jax.learners import actor as actor_lib
from omgrl_jax.learners import critic as critic_lib
from omgrl_jax.learners import dyna, implicit, recorded
from omgrl_jax.learners import soft_actor_critic as sac
from omgrl_jax.types import Algorithm, Array, Key, Metrics, Params, Transition


@dataclasses.dataclass(frozen=True)
class Config:
    """IQL's settings (defaults: the paper's for locomotion).

    Attributes:
      expectile: tau; at .5 the value of the experts themselves, towards 1 that of the
        best actions they took.
      temperature: beta, an inverse temperature: 0 clones, the larger, the greedier.
      max_weight: limit of a transition's weight in the policy's loss.
      agent: networks (V has the critics' widths and step size) and training; there is
        no entropy term.
    """

    expectile: float = 0.7
    temperature: float = 3.0
    max_weight: float = 100.0
    agent: sac.AgentConfig = dataclasses.field(default_factory=sac.AgentConfig)

    def __post_init__(self) -> None:
        """Rejects settings that cannot work, naming the field."""
        if not 0.0 < self.expectile < 1.0:
            raise ValueError("expectile must lie strictly between 0 and 1")
        if self.temperature < 0.0 or self.max_weight <= 0.0:
            raise ValueError("temperature must be at least 0 and max_weight above it")


class State(NamedTuple):
    """IQL's state: policy, twin action values with their targets, state values."""

    actor: optimize.Learner
    critic: optimize.Learner
    target: Params
    value: optimize.Learner


def make(config: Config, space: Space) -> Algorithm:
    """Builds IQL.

    Args:
      config: settings.
      space: the task.

    Returns:
      The algorithm; `data` is `dyna.Data`.

    Raises:
      ValueError: if the schema defines no reward.
    """
    agent, dim = config.agent, space.state_dim
    actor = actor_lib.make(agent.actor_hidden, dim, space.num_actions)
    critic = critic_lib.make(agent.critic_hidden, dim, space.num_actions)
    value = implicit.make(agent.critic_hidden, dim)
    actor_optimizer = optimize.adam(agent.actor_learning_rate, agent.max_gradient_norm)
    critic_optimizer = optimize.adam(
        agent.critic_learning_rate, agent.max_gradient_norm
    )
    actor_step = optimize.gradient_step(
        implicit.make_policy_loss(actor.policy, config.temperature, config.max_weight),
        actor_optimizer,
    )
    critic_step = optimize.gradient_step(
        critic_lib.make_td_loss(critic, agent.discount), critic_optimizer
    )
    value_step = optimize.gradient_step(
        implicit.make_value_loss(value.values, config.expectile), critic_optimizer
    )

    def init(key: Key, data: dyna.Data) -> State:
        del data
        actor_key, critic_key, value_key = jax.random.split(key, 3)
        params = critic.init(critic_key)
        return State(
            actor=optimize.start(actor_optimizer, actor.init(actor_key)),
            critic=optimize.start(critic_optimizer, params),
            target=params,
            value=optimize.start(critic_optimizer, value.init(value_key)),
        )

    def step(
        state: State, reward: sac.RewardFunction, batch: Transition
    ) -> tuple[State, Metrics]:
        q = critic.values(state.target, batch.state)
        q_taken = jnp.min(critic_lib.taken(q, batch.action), axis=0)
        new_value, metrics = value_step(state.value, batch.state, q_taken)
        v_tm1 = value.values(new_value.params, batch.state)
        v_t = value.values(new_value.params, batch.next_state)
        new_actor, actor_metrics = actor_step(
            state.actor, batch.state, batch.action, q_taken - v_tm1
        )
        new_critic, critic_metrics = critic_step(
            state.critic, batch, reward(batch), v_t
        )
        target = optax.incremental_update(
            new_critic.params, state.target, agent.target_rate
        )
        metrics = {**metrics, **actor_metrics, **critic_metrics}
        return State(new_actor, new_critic, target, new_value), metrics

    def policy_params(state: State) -> Params:
        return state.actor.params

    def action_values(state: State, observations: Array) -> Array:
        return jnp.min(critic.values(state.critic.params, observations), axis=0)

    update = recorded.make_update(agent, space, step)
    return Algorithm(
        init, update, actor.policy, policy_params, action_values=action_values
    )

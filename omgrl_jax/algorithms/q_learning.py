"""Discrete BCQ (arXiv 1910.01708) and, as its special case, double DQN (1509.06461).

    recorded transitions -> values of the actions that experts might have taken

The policy takes the action of largest value among those with `mu(a | s) / max mu` above
a threshold; mu is the cloned behaviour policy. At threshold 0 nothing is ruled out,
which is double DQN on recorded data. Two parts can be added: values as a dueling
network has them, and the conservative term of CQL(H) (arXiv 2006.04779, Eq. 4).
"""

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from omgrl_jax import optimize
from omgrl_jax.data.space import Space
from omgrl_jax.learners import critic as critic_lib
from omgrl_jax.learners import dyna, recorded
from omgrl_jax.learners import soft_actor_critic as sac
from omgrl_jax.ops import policy as policy_ops
from omgrl_jax.ops import value
from omgrl_jax.types import Algorithm, Array, Key, Metrics, Params, Policy, Transition


@dataclasses.dataclass(frozen=True)
class Config:
    """BCQ's settings.

    Attributes:
      threshold: actions this much rarer than the likeliest one, or more, are never
        taken; 0 allows all of them (double DQN).
      dueling: whether the network gives a state value and advantages, of which action
        values are made (Wang et al. 2016).
      conservatism: weight alpha of the term that pushes values down at recorded states
        and up at recorded actions; 0 switches it off.
      agent: the critic and how it is trained; there is no actor.
    """

    threshold: float = 0.3
    dueling: bool = False
    conservatism: float = 0.0
    agent: sac.AgentConfig = dataclasses.field(default_factory=sac.AgentConfig)

    def __post_init__(self) -> None:
        """Rejects settings that cannot work, naming the field."""
        if not 0.0 <= self.threshold < 1.0:
            raise ValueError("threshold must be at least 0 and below 1")
        if self.conservatism < 0.0:
            raise ValueError("conservatism must be at least 0")


class State(NamedTuple):
    """BCQ's state.

    Attributes:
      critic: the action values and their optimiser.
      target: their slowly moving parameters.
      behaviour: parameters of mu, a part of the policy; they stand still.
    """

    critic: optimize.Learner
    target: Params
    behaviour: Params


def make(config: Config, space: Space, behaviour: Policy) -> Algorithm:
    """Builds BCQ.

    Args:
      config: settings.
      space: the task.
      behaviour: the fitted behaviour policy; its parameters come with the data.

    Returns:
      The algorithm; `data` is `dyna.Data`.

    Raises:
      ValueError: if the schema defines no reward.
    """
    agent, count = config.agent, space.num_actions
    critic = critic_lib.make(
        agent.critic_hidden, space.state_dim, count, copies=1, dueling=config.dueling
    )
    optimizer = optimize.adam(agent.critic_learning_rate, agent.max_gradient_norm)
    critic_step = optimize.gradient_step(
        critic_lib.make_td_loss(critic, agent.discount, config.conservatism), optimizer
    )
    plausible = jnp.vectorize(policy_ops.plausible, signature="(a),()->(a)")
    best_action = jnp.vectorize(value.best_action, signature="(a),(a)->()")

    def init(key: Key, data: dyna.Data) -> State:
        params = critic.init(key)
        return State(optimize.start(optimizer, params), params, data.behaviour)

    def allowed(mu: Params, observations: Array) -> Array:
        log_mu = behaviour.log_probs(mu, observations)
        return plausible(log_mu, config.threshold)

    def step(
        state: State, reward: sac.RewardFunction, batch: Transition
    ) -> tuple[State, Metrics]:
        allowed_t = allowed(state.behaviour, batch.next_state)
        v_t = jax.vmap(value.double_q_value)(
            critic.values(state.target, batch.next_state)[0],
            critic.values(state.critic.params, batch.next_state)[0],
            allowed_t,
        )
        learner, metrics = critic_step(state.critic, batch, reward(batch), v_t)
        metrics["actor/allowed"] = jnp.mean(jnp.sum(allowed_t, axis=-1))
        target = optax.incremental_update(
            learner.params, state.target, agent.target_rate
        )
        return State(learner, target, state.behaviour), metrics

    def log_probs(params: tuple[Params, Params], observations: Array) -> Array:
        q = critic.values(params[0], observations)[0]
        actions = best_action(q, allowed(params[1], observations))
        always = jnp.vectorize(
            policy_ops.deterministic, excluded=[1], signature="()->(a)"
        )
        return always(actions, count)

    def policy_params(state: State) -> tuple[Params, Params]:
        return state.critic.params, state.behaviour

    def action_values(state: State, observations: Array) -> Array:
        return critic.values(state.critic.params, observations)[0]

    update = recorded.make_update(agent, space, step)
    return Algorithm(
        init,
        update,
        Policy(log_probs),
        policy_params,
        action_values=action_values,
    )

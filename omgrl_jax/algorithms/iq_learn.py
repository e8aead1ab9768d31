"""IQ-Learn, offline, for discrete actions (Garg et al. 2021, arXiv 2106.12142).

    recorded transitions -> one network of action values
                            that is the policy, softmax(Q / alpha),
                            and the reward, Q(s, a) - discount V(s')

Neither a world model nor rollouts nor an adversary. Over the experts' own steps the
"value" form of the objective is the likelihood of their actions, `alpha log pi(a | s)`,
less `r^2 / (4 regulariser)`: cloning by a policy whose implied rewards are kept small.
Hence the ratio of temperature and regulariser decides how closely experts are followed.
The reward is identified up to a potential: another state value with the same policy
implies a reward that differs by `h(s) - discount h(s')`, and the regulariser picks the
smallest.
"""

import dataclasses
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from omgrl_jax import networks, optimize
from omgrl_jax.data import records as records_lib
from omgrl_jax.data.records import Records
from omgrl_jax.data.space import Space
from omgrl_jax.learners import dyna
from omgrl_jax.learners import soft_actor_critic as sac
from omgrl_jax.ops import inverse_q
from omgrl_jax.ops import policy as policy_ops
from omgrl_jax.types import Algorithm, Array, Key, Metrics, Params, Policy, Transition

LOSSES = ("value", "v0")
Values = Callable[[Params, Array], Array]


@dataclasses.dataclass(frozen=True)
class Config:
    """IQ-Learn's settings.

    Attributes:
      temperature: entropy coefficient alpha.
      regulariser: strength of the chi^2 regulariser; the larger, the closer the experts
        are matched and the larger implied rewards may grow.
      loss: second term of the objective over the experts' steps: "value" (V(s) -
        discount V(s')) or "v0" ((1 - discount) V(s), every recorded state taken for the
        first of a course, as in the authors' code).
      target: take the value of the state entered from slowly moving parameters and
        send no gradient through it; a variant for the "value" form alone.
      agent: the network (widths and step size of the critics) and its training.
    """

    temperature: float = dataclasses.field(default=0.1, metadata={"above": 0})
    regulariser: float = dataclasses.field(default=0.5, metadata={"above": 0})
    loss: str = dataclasses.field(default="value", metadata={"choices": LOSSES})
    target: bool = False
    agent: sac.AgentConfig = dataclasses.field(default_factory=sac.AgentConfig)

    def __post_init__(self) -> None:
        """Rejects settings that cannot work, naming the field."""
        if self.temperature <= 0.0 or self.regulariser <= 0.0:
            raise ValueError("temperature and regulariser must be above 0")
        if self.loss not in LOSSES:
            raise ValueError(f"loss='{self.loss}': use one of {LOSSES}")
        if self.target and self.loss == "v0":
            raise ValueError(
                "target: loss='v0' is the objective only with the gradient of V(s')"
            )


class State(NamedTuple):
    """IQ-Learn's state.

    Attributes:
      critic: the action values and their optimiser.
      target: their slowly moving parameters; None where there are none.
    """

    critic: optimize.Learner
    target: Params


def make(config: Config, space: Space) -> Algorithm:
    """Builds IQ-Learn.

    Args:
      config: settings.
      space: the task.

    Returns:
      The algorithm; of `data`, a `dyna.Data`, it takes the records alone, so that they
      may hold stays of one step. Its reward is the implied one.
    """
    agent = config.agent
    network = networks.MLP(agent.critic_hidden, space.num_actions)
    optimizer = optimize.adam(agent.critic_learning_rate, agent.max_gradient_norm)

    def values(params: Params, states: Array) -> Array:
        return networks.apply(network, params, states)

    critic_step = optimize.gradient_step(make_loss(config, values), optimizer)

    def init(key: Key, data: dyna.Data) -> State:
        del data
        params = network.init(key, jnp.zeros(space.state_dim))
        target = jax.tree.map(jnp.copy, params) if config.target else None
        return State(optimize.start(optimizer, params), target)

    def step(state: State, key: Key, train: Records) -> tuple[State, Metrics]:
        batch = records_lib.sample_transitions(train, key, agent.batch_size)
        learner, metrics = critic_step(state.critic, state.target, batch)
        target = state.target
        if config.target:
            target = optax.incremental_update(learner.params, target, agent.target_rate)
        return State(learner, target), metrics

    def update(state: State, key: Key, data: dyna.Data) -> tuple[State, Metrics]:
        def one(carry: tuple[State, Key], _: None) -> tuple[tuple[State, Key], Metrics]:
            state, key = carry
            key, step_key = jax.random.split(key)
            state, metrics = step(state, step_key, data.train)
            return (state, key), metrics

        (state, _), metrics = jax.lax.scan(
            one, (state, key), None, length=agent.updates
        )
        return state, jax.tree.map(jnp.mean, metrics)

    def log_probs(params: Params, observations: Array) -> Array:
        q = values(params, observations)
        return jax.nn.log_softmax(q / config.temperature, axis=-1)

    def reward_of(state: State, transitions: Transition) -> Array:
        params = state.critic.params
        return implied_rewards(config, values, params, params, transitions)[0]

    def policy_params(state: State) -> Params:
        return state.critic.params

    def action_values(state: State, observations: Array) -> Array:
        return values(state.critic.params, observations)

    return Algorithm(
        init, update, Policy(log_probs), policy_params, reward_of, action_values
    )


def make_loss(config: Config, values: Values) -> Callable[..., tuple[Array, Metrics]]:
    """The objective, sign reversed.

    Args:
      config: settings.
      values: `(params, states [..., S]) -> [..., A]`.

    Returns:
      `loss(params, target_params, batch [B]) -> (loss, metrics)`; without
      `config.target` the states entered are valued by `params` too.
    """

    def loss(
        params: Params, target_params: Params, batch: Transition
    ) -> tuple[Array, Metrics]:
        entered = jax.lax.stop_gradient(target_params) if config.target else params
        rewards, q_tm1, v_t = implied_rewards(config, values, params, entered, batch)
        v_tm1 = jax.vmap(inverse_q.soft_maximum, in_axes=(0, None))(
            q_tm1, config.temperature
        )
        if config.loss == "value":
            spent = v_tm1 - config.agent.discount * batch.discount * v_t
        else:
            spent = (1.0 - config.agent.discount) * v_tm1
        earned = jax.vmap(inverse_q.regularised, in_axes=(0, None))(
            rewards, config.regulariser
        )
        out = jnp.mean(spent - earned)
        log_probs = jax.nn.log_softmax(q_tm1 / config.temperature)
        return out, {
            "critic/loss": out,
            "critic/value": jnp.mean(v_t),
            "actor/entropy": jnp.mean(jax.vmap(policy_ops.entropy)(log_probs)),
            "reward/expert": jnp.mean(rewards),
            "reward/size": jnp.sqrt(jnp.mean(jnp.square(rewards))),
        }

    return loss


def implied_rewards(
    config: Config,
    values: Values,
    params: Params,
    entered_params: Params,
    transitions: Transition,
) -> tuple[Array, Array, Array]:
    """Rewards [...], values [..., A] of the states left and [...] of those entered."""
    q_tm1 = values(params, transitions.state)
    soft_maximum = jnp.vectorize(inverse_q.soft_maximum, signature="(a),()->()")
    q_t = values(entered_params, transitions.next_state)
    v_t = soft_maximum(q_t, config.temperature)
    implied = jnp.vectorize(inverse_q.implied_reward, signature="(a),(),(),()->()")
    discount_t = config.agent.discount * transitions.discount
    return implied(q_tm1, transitions.action, discount_t, v_t), q_tm1, v_t

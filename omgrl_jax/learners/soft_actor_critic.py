"""Conservative soft actor-critic on recorded and rolled-out data.

The part that OMG-RL, COMBO and their kin share: they differ in where the reward of a
transition comes from, which is an argument here.
"""

import dataclasses
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from omgrl_jax import optimize
from omgrl_jax.data.space import Space
from omgrl_jax.learners import actor as actor_lib
from omgrl_jax.learners import critic as critic_lib
from omgrl_jax.ops import policy as policy_ops
from omgrl_jax.types import Array, Key, Metrics, Params, Policy, Transition

RewardFunction = Callable[[Transition], Array]


@dataclasses.dataclass(frozen=True)
class AgentConfig:
    """Actor, critic and how they are trained (defaults: Table I of the paper).

    Attributes:
      actor_hidden: widths of the actor's layers.
      critic_hidden: widths of the critics' layers.
      actor_learning_rate: Adam's step size for the actor.
      critic_learning_rate: Adam's step size for the critics.
      discount: discount factor.
      target_rate: share by which the target critics move each update.
      entropy_coefficient: entropy coefficient, fixed unless entropy_target is set.
      entropy_target: wanted entropy as a share of log A (0.98 and lower); 0 keeps the
        coefficient fixed.
      recorded_share: share f of recorded transitions in a batch; with 1 nothing is
        learned from rollouts, and values are pushed down at recorded states.
      batch_size: transitions per update.
      updates: updates per epoch.
      max_gradient_norm: gradients are clipped to this global norm; 0 for no clipping.
    """

    actor_hidden: tuple[int, ...] = (256, 256, 256)
    critic_hidden: tuple[int, ...] = (256, 256, 256)
    actor_learning_rate: float = 5e-4
    critic_learning_rate: float = 5e-4
    discount: float = 0.99
    target_rate: float = 0.005
    entropy_coefficient: float = 1.0
    entropy_target: float = 0.0
    recorded_share: float = 0.5
    batch_size: int = 256
    updates: int = 20
    max_gradient_norm: float = 10.0

    def __post_init__(self) -> None:
        """Rejects settings that cannot work, naming the field."""
        if not 0.0 < self.recorded_share <= 1.0:
            raise ValueError("recorded_share must lie above 0 and be at most 1")
        if not 0.0 <= self.entropy_target < 1.0:
            raise ValueError(
                "entropy_target is a share of log A, the largest entropy there is: "
                "give 0 (fixed coefficient) or a value below 1"
            )


class AgentState(NamedTuple):
    """Actor, twin critics, their targets and the entropy coefficient."""

    actor: optimize.Learner
    critic: optimize.Learner
    target: Params
    temperature: optimize.Learner


class Lowered(NamedTuple):
    """By how much less actions count than the critics say, for B transitions.

    Attributes:
      here: [B, A] to the actor in the states.
      following: [B, A] to the critics' targets in the next states.
    """

    here: Array
    following: Array


class Agent(NamedTuple):
    """The learner as pure functions.

    Attributes:
      init: `(key) -> AgentState`.
      update: `(state, reward, recorded, sampled, lowered=None) -> (state, metrics)`,
        one gradient step of each part; `reward` maps transitions [B] to rewards [B];
        `sampled` may have no rows, then the conservative term looks at recorded states
        alone; `lowered` is of all rows, recorded ones first.
      policy: the actor's policy.
    """

    init: Callable[[Key], AgentState]
    update: Callable[..., tuple[AgentState, Metrics]]
    policy: Policy


def make(
    config: AgentConfig,
    space: Space,
    conservatism: float = 0.0,
    push_down: str = "policy",
) -> Agent:
    """Builds the learner.

    Args:
      config: settings.
      space: the task.
      conservatism: weight alpha of the conservative term (Eq. 5); 0 switches it off.
      push_down: form of that term, a key of `ops.value.PUSH_DOWN`.

    Returns:
      The agent.

    Raises:
      ValueError: on an unknown push-down.
    """
    actor = actor_lib.make(config.actor_hidden, space.state_dim, space.num_actions)
    critic = critic_lib.make(config.critic_hidden, space.state_dim, space.num_actions)
    rate, norm = config.actor_learning_rate, config.max_gradient_norm
    actor_optimizer = optimize.adam(rate, norm)
    critic_optimizer = optimize.adam(config.critic_learning_rate, norm)
    temperature_optimizer = optimize.adam(rate)
    update = _make_update(
        config,
        actor,
        critic,
        actor_optimizer,
        optimize.gradient_step(
            critic_lib.make_loss(critic, push_down, conservatism), critic_optimizer
        ),
        _make_tempered(config, space, temperature_optimizer),
    )

    def init(key: Key) -> AgentState:
        actor_key, critic_key = jax.random.split(key)
        params = critic.init(critic_key)
        log_temperature = jnp.log(jnp.float32(config.entropy_coefficient))
        return AgentState(
            actor=optimize.start(actor_optimizer, actor.init(actor_key)),
            critic=optimize.start(critic_optimizer, params),
            target=jax.tree.map(jnp.copy, params),
            temperature=optimize.start(temperature_optimizer, log_temperature),
        )

    return Agent(init, update, actor.policy)


def make_values(
    config: AgentConfig, space: Space
) -> Callable[[AgentState, Array], Array]:
    """What the critics of a trained agent promise.

    Args:
      config: the settings given to `make`.
      space: the task.

    Returns:
      `(state, states [..., S]) -> [..., A]`, the smaller of the twins. They are soft
      values: the entropy bonus of later steps is in them.
    """
    critic = critic_lib.make(config.critic_hidden, space.state_dim, space.num_actions)

    def values(state: AgentState, states: Array) -> Array:
        return jnp.min(critic.values(state.critic.params, states), axis=0)

    return values


def _make_update(
    config: AgentConfig,
    actor: actor_lib.Actor,
    critic: critic_lib.Critic,
    actor_optimizer: optax.GradientTransformation,
    critic_step: Callable[..., tuple[optimize.Learner, Metrics]],
    tempered: Callable[[optimize.Learner, Array], optimize.Learner],
) -> Callable[..., tuple[AgentState, Metrics]]:
    """One gradient step of each part; see `Agent`."""
    policy_slope = jax.grad(actor_lib.soft_loss, has_aux=True)

    def update(
        state: AgentState,
        reward: RewardFunction,
        recorded: Transition,
        sampled: Transition,
        lowered: Lowered | None = None,
    ) -> tuple[AgentState, Metrics]:
        temperature = jnp.exp(state.temperature.params)
        both = jax.tree.map(lambda a, b: jnp.concatenate([a, b]), recorded, sampled)
        split = recorded.action.shape[0]
        # Asked once, where values are pushed down and for the policy's own step.
        log_probs, pulled_back = jax.vjp(
            lambda params: actor.policy.log_probs(params, both.state),
            state.actor.params,
        )
        next_log_probs = actor.policy.log_probs(state.actor.params, both.next_state)
        pushed_down = log_probs[split:] if sampled.action.shape[0] else log_probs
        targets = critic_lib.soft_targets(
            critic,
            state.target,
            next_log_probs,
            both,
            reward(both),
            config.discount,
            temperature,
            None if lowered is None else lowered.following,
        )
        new_critic, metrics = critic_step(
            state.critic,
            recorded,
            targets[:split],
            sampled,
            targets[split:],
            pushed_down,
        )
        q = jnp.min(critic.values(new_critic.params, both.state), axis=0)
        if lowered is not None:
            q = q - lowered.here
        slope, actor_metrics = policy_slope(log_probs, q, temperature)
        (gradient,) = pulled_back(slope)
        new_actor = optimize.descend(actor_optimizer, state.actor, gradient)
        new_temperature = tempered(state.temperature, actor_metrics["actor/entropy"])
        target = _followed(state.target, new_critic.params, config.target_rate)
        metrics = {**metrics, **actor_metrics, "actor/temperature": temperature}
        return AgentState(new_actor, new_critic, target, new_temperature), metrics

    return update


def _make_tempered(
    config: AgentConfig, space: Space, optimizer: optax.GradientTransformation
) -> Callable[[optimize.Learner, Array], optimize.Learner]:
    """`(coefficient, the policy's mean entropy) -> coefficient`; it may be fixed."""
    if not config.entropy_target:
        return lambda coefficient, entropy: coefficient
    wanted = config.entropy_target * float(np.log(space.num_actions))

    def loss(log_temperature: Array, entropy: Array) -> tuple[Array, Metrics]:
        return policy_ops.temperature_loss(log_temperature, entropy, wanted), {}

    step = optimize.gradient_step(loss, optimizer)
    return lambda coefficient, entropy: step(coefficient, entropy)[0]


def _followed(target: Params, params: Params, rate: float) -> Params:
    """The target after a step of some share of the way to the parameters."""
    return jax.tree.map(lambda old, new: old + rate * (new - old), target, params)

"""The loss of implicit Q-learning on heads that share a trunk, and when to stop."""

import dataclasses
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from omgrl_jax.learners import critic as critic_lib
from omgrl_jax.learners import following, implicit
from omgrl_jax.learners.actor import log_prob_of
from omgrl_jax.learners.multitask import Heads, Network
from omgrl_jax.ops import policy as policy_ops
from omgrl_jax.types import Array, Key, Metrics, Params, Policy, Transition


@dataclasses.dataclass(frozen=True)
class Objective:
    """What the heads are asked for.

    Attributes:
      expectile: tau; at .5 the value of the experts themselves, towards 1 that of the
        best actions they took.
      temperature: the advantage that makes an action e times as heavy in the policy's
        loss, in the unit of the rewards; larger is closer to cloning. (IQL's own
        setting of this name is its inverse.)
      max_weight: limit of a transition's weight in the policy's loss.
      entropy_weight: weight of the policy's entropy over actions, at each state. It is
        weighed against actions' weights as they are, not normalised: how much it counts
        depends on temperature and advantages.
      auxiliary_weight: weight of the squared error of each auxiliary channel.
    """

    expectile: float = 0.7
    temperature: float = 3.0
    max_weight: float = 100.0
    entropy_weight: float = 0.3
    auxiliary_weight: float = 0.1

    def __post_init__(self) -> None:
        """Rejects settings that cannot work, naming the field."""
        if not 0.0 < self.expectile < 1.0:
            raise ValueError("expectile must lie strictly between 0 and 1")
        if self.temperature <= 0.0 or self.max_weight <= 0.0:
            raise ValueError("temperature and max_weight must be above 0")
        if self.entropy_weight < 0.0 or self.auxiliary_weight < 0.0:
            raise ValueError("entropy_weight and auxiliary_weight must be at least 0")


class Batch(NamedTuple):
    """What the loss is taken over.

    Attributes:
      steps: transitions [B].
      rewards: [B] raw.
      found: what became known of the auxiliary channels, fields [B, K].
      scale: [] unit of the values.
    """

    steps: Transition
    rewards: Array
    found: following.Found
    scale: Array


def make_loss(
    config: Objective, network: Network, discount: float
) -> Callable[..., tuple[Array, Metrics]]:
    """The loss of all heads, from the parts of implicit Q-learning.

    Args:
      config: settings.
      network: trunk and heads.
      discount: discount factor.

    Returns:
      `loss(params, target, batch: Batch, key) -> (loss, metrics)`; values and their
      errors are reported in the unit of the rewards, or its square.
    """
    # The parts are given heads in the place of parameters: one pass serves them all.
    value_loss = implicit.make_value_loss(lambda heads, _: heads.v, config.expectile)
    policy_loss = implicit.make_policy_loss(
        Policy(lambda heads, _: heads.log_probs),
        1.0 / config.temperature,
        config.max_weight,
    )
    td_loss = critic_lib.make_td_loss(
        critic_lib.Critic(network.init, lambda heads, _: heads.q), discount
    )

    def loss(
        params: Params, target: Params, batch: Batch, key: Key
    ) -> tuple[Array, Metrics]:
        steps = batch.steps
        heads = network.heads(params, steps.state, batch.scale, key)
        q_taken = _q_taken(network.heads(target, steps.state, batch.scale), steps)
        both = jnp.stack([steps.state, steps.next_state])
        # Without dropout; the parts hold both constant.
        v_tm1, v_t = network.heads(params, both, batch.scale).v
        value, metrics = value_loss(heads, steps.state, q_taken)
        bellman, critic_metrics = td_loss(heads, steps, batch.rewards, v_t)
        policy, actor_metrics = policy_loss(
            heads, steps.state, steps.action, q_taken - v_tm1
        )
        entropy = jnp.mean(jax.vmap(policy_ops.entropy)(heads.log_probs))
        errors = following.squared_errors(heads.following, steps.action, batch.found)
        auxiliary = jnp.sum(errors)
        metrics |= {**critic_metrics, **actor_metrics, "auxiliary/loss": auxiliary}
        total = (value + bellman) / jnp.square(batch.scale) + policy
        total += config.auxiliary_weight * auxiliary - config.entropy_weight * entropy
        return total, metrics

    return loss


def make_judge(config: Objective, network: Network) -> Callable[..., Array]:
    """The validation loss, by which parameters of different epochs are compared.

    It is the mean of `-log pi(a | s)`, weighted by `exp(advantage / temperature)` with
    weights that add up to 1, and the auxiliary errors. The weights are an argument, so
    that two sets of parameters are judged alike: values travel back for many epochs and
    move the weights, and a loss under other weights is another yardstick.

    Args:
      config: settings.
      network: trunk and heads.

    Returns:
      `judge(params, weights [B], steps [B], found) -> []`.
    """

    def judge(
        params: Params, weights: Array, steps: Transition, found: following.Found
    ) -> Array:
        heads = network.heads(params, steps.state, jnp.float32(1.0))
        likely = jnp.sum(weights * log_prob_of(heads.log_probs, steps.action))
        errors = following.squared_errors(heads.following, steps.action, found)
        return config.auxiliary_weight * jnp.sum(errors) - likely

    return judge


def make_weigh(config: Objective, network: Network) -> Callable[..., Array]:
    """The weights of the policy's loss, scaled to add up to 1.

    Args:
      config: settings.
      network: trunk and heads.

    Returns:
      `weigh(params, target, steps [B], scale []) -> [B]`.
    """

    def weigh(params: Params, target: Params, steps: Transition, scale: Array) -> Array:
        v = network.heads(params, steps.state, scale).v
        q_taken = _q_taken(network.heads(target, steps.state, scale), steps)
        logits = (q_taken - v) / config.temperature
        return jax.nn.softmax(jnp.minimum(logits, jnp.log(config.max_weight)))

    return weigh


def _q_taken(heads: Heads, steps: Transition) -> Array:
    """Values of the actions taken, the smaller of the copies: [B]."""
    return jnp.min(critic_lib.taken(heads.q, steps.action), axis=0)

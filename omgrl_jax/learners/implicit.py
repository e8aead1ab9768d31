"""Values and policies that never ask for an unseen action (IQL, arXiv 2110.06169)."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp

from omgrl_jax import networks
from omgrl_jax.learners.actor import log_prob_of
from omgrl_jax.ops import policy as policy_ops
from omgrl_jax.ops import value as value_ops
from omgrl_jax.types import Array, Key, Metrics, Params, Policy


class StateValue(NamedTuple):
    """Values of states.

    Attributes:
      init: `(key) -> params`.
      values: `(params, states [..., S]) -> [...]`.
    """

    init: Callable[[Key], Params]
    values: Callable[[Params, Array], Array]


def make(hidden: Sequence[int], state_dim: int) -> StateValue:
    """A perceptron with one output.

    Args:
      hidden: widths of the hidden layers.
      state_dim: `S`.

    Returns:
      The values.
    """
    network = networks.MLP(tuple(hidden), 1)

    def init(key: Key) -> Params:
        return network.init(key, jnp.zeros(state_dim))

    def values(params: Params, states: Array) -> Array:
        return networks.apply(network, params, states)[..., 0]

    return StateValue(init, values)


def make_value_loss(
    values: Callable[[Params, Array], Array], expectile: float
) -> Callable[..., tuple[Array, Metrics]]:
    """Regression on an upper expectile of the values of recorded actions (Eq. 5).

    Args:
      values: `(params, states [B, S]) -> [B]`.
      expectile: tau; towards 1 the best recorded action counts.

    Returns:
      `loss(params, states [B, S], q_taken [B]) -> (loss, metrics)`, `q_taken` the
      slowly moving values of the recorded actions, held constant.
    """

    def loss(params: Params, states: Array, q_taken: Array) -> tuple[Array, Metrics]:
        v = values(params, states)
        error = jax.lax.stop_gradient(q_taken) - v
        each = jax.vmap(value_ops.expectile_loss, in_axes=(0, None))(error, expectile)
        return jnp.mean(each), {"value/loss": jnp.mean(each), "value/v": jnp.mean(v)}

    return loss


def make_policy_loss(
    policy: Policy, inverse_temperature: float, max_weight: float
) -> Callable[..., tuple[Array, Metrics]]:
    """Cloning weighted by advantage: the policy that the values imply (Eq. 7).

    Args:
      policy: the policy.
      inverse_temperature: beta; 0 clones, the larger, the greedier.
      max_weight: limit of a transition's weight.

    Returns:
      `loss(params, states [B, S], actions [B], advantages [B]) -> (loss, metrics)`.
    """
    each_loss = jax.vmap(
        policy_ops.advantage_weighted_loss, in_axes=(0, 0, 0, None, None)
    )

    def loss(
        params: Params, states: Array, actions: Array, advantages: Array
    ) -> tuple[Array, Metrics]:
        log_probs = policy.log_probs(params, states)
        each = each_loss(
            log_probs, actions, advantages, inverse_temperature, max_weight
        )
        metrics = {
            "actor/entropy": jnp.mean(jax.vmap(policy_ops.entropy)(log_probs)),
            "actor/log_prob_recorded": jnp.mean(log_prob_of(log_probs, actions)),
            "actor/loss": jnp.mean(each),
        }
        return jnp.mean(each), metrics

    return loss

"""A categorical actor improved in closed form (arXiv 2409.13299, Eq. 6)."""

import functools
from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp

from omgrl_jax import networks
from omgrl_jax.ops import policy as policy_ops
from omgrl_jax.types import Array, Key, Metrics, Params, Policy


class Actor(NamedTuple):
    """A policy network.

    Attributes:
      init: `(key) -> params`.
      policy: the policy that it parameterises.
    """

    init: Callable[[Key], Params]
    policy: Policy


def make(hidden: Sequence[int], state_dim: int, num_actions: int) -> Actor:
    """A perceptron with a softmax over actions.

    Args:
      hidden: widths of the hidden layers.
      state_dim: `S`.
      num_actions: `A`.

    Returns:
      The actor.
    """
    network = networks.MLP(tuple(hidden), num_actions)

    def init(key: Key) -> Params:
        return network.init(key, jnp.zeros(state_dim))

    return Actor(init, _softmax(tuple(hidden), num_actions))


@functools.cache
def _softmax(hidden: tuple[int, ...], num_actions: int) -> Policy:
    """The same object for equal networks: functions of it are compiled once."""
    network = networks.MLP(hidden, num_actions)

    def log_probs(params: Params, states: Array) -> Array:
        return jax.nn.log_softmax(networks.apply(network, params, states), axis=-1)

    return Policy(log_probs)


def soft_loss(log_probs: Array, q: Array, temperature: Array) -> tuple[Array, Metrics]:
    """The soft policy loss over a batch of states (Eq. 6).

    Args:
      log_probs: [B, A] of the policy; the gradient is taken through them.
      q: [B, A] action values.
      temperature: [] entropy coefficient.

    Returns:
      The loss [] and metrics.
    """
    each = jax.vmap(policy_ops.soft_policy_loss, in_axes=(0, 0, None))(
        log_probs, q, temperature
    )
    entropy = jnp.mean(jax.vmap(policy_ops.entropy)(log_probs))
    return jnp.mean(each), {"actor/entropy": entropy, "actor/loss": jnp.mean(each)}


def log_prob_of(log_probs: Array, actions: Array) -> Array:
    """Picks the log-probability of the actions taken: [..., A], [...] -> [...]."""
    return jnp.take_along_axis(log_probs, actions[..., None], axis=-1)[..., 0]

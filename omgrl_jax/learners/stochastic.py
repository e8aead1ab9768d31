"""A policy network for any kind of actions, and how it acts."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax.numpy as jnp

from omgrl_jax import networks
from omgrl_jax.distributions import Distribution
from omgrl_jax.types import Array, Key, Params


class Stochastic(NamedTuple):
    """A stochastic policy as pure functions.

    Attributes:
      init: `(key) -> params`.
      numbers: `(params, states [..., S]) -> [..., W + F]`, what its distribution takes.
      distribution: how it draws.
    """

    init: Callable[[Key], Params]
    numbers: Callable[[Params, Array], Array]
    distribution: Distribution

    def draw(self, params: Params, key: Key, states: Array) -> Array:
        """Choices for states [..., S]."""
        return self.distribution.draw(key, self.numbers(params, states))


def make(
    hidden: Sequence[int], state_dim: int, distribution: Distribution
) -> Stochastic:
    """A perceptron, and numbers of its own that are the same in all states.

    Args:
      hidden: widths of the hidden layers.
      state_dim: `S`.
      distribution: of its choices.

    Returns:
      The policy.
    """
    network = networks.MLP(tuple(hidden), distribution.width)

    def init(key: Key) -> Params:
        net = network.init(key, jnp.zeros(state_dim))
        return {"net": net, "free": jnp.array(distribution.free, jnp.float32)}

    def numbers(params: Params, states: Array) -> Array:
        own = networks.apply(network, params["net"], states)
        free = params["free"]
        same = jnp.broadcast_to(free, (*own.shape[:-1], free.shape[0]))
        return jnp.concatenate([own, same], axis=-1)

    return Stochastic(init, numbers, distribution)

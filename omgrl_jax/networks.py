"""All networks: multilayer perceptrons, and copies of them stacked on an axis."""

import functools
from collections.abc import Sequence

import flax.linen as nn
import jax

from omgrl_jax.types import Array, Key, Params


class MLP(nn.Module):
    """A perceptron with ReLU between layers and none at the end.

    Attributes:
      hidden: widths of the hidden layers.
      outputs: width of the output.
    """

    hidden: Sequence[int]
    outputs: int

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """Maps [..., inputs] to [..., outputs]."""
        for width in self.hidden:
            x = nn.relu(nn.Dense(width)(x))
        return nn.Dense(self.outputs)(x)


def apply(network: nn.Module, params: Params, inputs: Array) -> Array:
    """Applies a module that keeps no state: [..., D] to [..., outputs]."""
    # Flax answers with a pair only where a collection is mutable; none is here.
    return network.apply(params, inputs)  # pyright: ignore[reportReturnType]


def stacked_init(network: nn.Module, key: Key, count: int, example: Array) -> Params:
    """Initialises `count` independent copies; every leaf gets a leading axis.

    Args:
      network: the module.
      key: consumed.
      count: number of copies.
      example: one input, without batch axis.

    Returns:
      Parameters with leaves [count, ...].
    """
    return jax.vmap(network.init, in_axes=(0, None))(
        jax.random.split(key, count), example
    )


def stacked_apply(network: nn.Module, params: Params, inputs: Array) -> Array:
    """Applies stacked copies to the SAME inputs [..., D]: [count, ..., outputs]."""
    return jax.vmap(functools.partial(apply, network), in_axes=(0, None))(
        params, inputs
    )

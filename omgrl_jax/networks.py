"""All networks: perceptrons, a trunk for several heads, and stacked copies."""

import functools
from collections.abc import Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp

from omgrl_jax.types import Array, Key, Params

# Up to here a sum of outer products beats a product of matrices (measured on CPUs).
_FEW = 8


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


class Trunk(nn.Module):
    """Hidden layers that several heads share: each Dense, LayerNorm, GELU, dropout.

    Attributes:
      hidden: widths of the layers; none passes the inputs on.
      dropout: share of units that are silenced while it learns.
    """

    hidden: Sequence[int]
    dropout: float

    @nn.compact
    def __call__(self, x: Array, deterministic: bool) -> Array:
        """Maps [..., inputs] to [..., hidden[-1]]; random unless `deterministic`."""
        for width in self.hidden:
            x = nn.gelu(nn.LayerNorm()(nn.Dense(width)(x)))
            x = nn.Dropout(self.dropout)(x, deterministic=deterministic)
        return x


def apply(network: nn.Module, params: Params, inputs: Array) -> Array:
    """Applies a module that keeps no state: [..., D] to [..., outputs]."""
    # Flax answers with a pair only where a collection is mutable; none is here.
    return network.apply(params, inputs)  # pyright: ignore[reportReturnType]


def apply_columns(params: Params, columns: Array) -> Array:
    """A perceptron on examples that stand side by side: [D, B] to [outputs, B].

    What a planner asks thousands of times: with features first every operation runs
    along the examples, which is twice as fast on a CPU for a handful of features.

    Args:
      params: of an `MLP`, whose layers they name.
      columns: [D, B].

    Returns:
      What `MLP` says of the transpose, transposed.
    """
    layers = params["params"]
    for number in range(len(layers)):
        layer = layers[f"Dense_{number}"]
        if number:
            columns = jax.nn.relu(columns)
        columns = _product(layer["kernel"], columns) + layer["bias"][:, None]
    return columns


def _product(kernel: Array, columns: Array) -> Array:
    """`kernel.T @ columns`; of few features as a sum that fuses with what follows."""
    if kernel.shape[0] > _FEW:
        return kernel.T @ columns
    terms = (kernel[d][:, None] * columns[d][None] for d in range(kernel.shape[0]))
    return functools.reduce(jnp.add, terms)


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

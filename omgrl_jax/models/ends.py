"""The networks of ends: whether an episode ends with a step, as by death."""

from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp

from omgrl_jax import networks
from omgrl_jax.data import space as space_lib
from omgrl_jax.data.scales import Scales
from omgrl_jax.data.space import Space
from omgrl_jax.models.example import Example
from omgrl_jax.ops import likelihood
from omgrl_jax.types import Array, Key, Params


class Ends(NamedTuple):
    """One member as pure functions.

    Attributes:
      init: `(key) -> params`.
      logit: `(params, state [S], action) -> []` log-odds of an end.
      loss: `(scales, params, example) -> []`.
    """

    init: Callable[[Key], Params]
    logit: Callable[[Params, Array, Array], Array]
    loss: Callable[[Scales, Params, Example], Array]


def make(hidden: tuple[int, ...], space: Space) -> Ends:
    """Builds the networks.

    Args:
      hidden: widths of the hidden layers.
      space: the task.

    Returns:
      The functions.
    """
    network = networks.MLP(hidden, 1)
    told = space_lib.action_inputs(space)

    def init(key: Key) -> Params:
        return network.init(key, jnp.zeros(space.state_dim + space.action_width))

    def logit(params: Params, state: Array, action: Array) -> Array:
        inputs = jnp.concatenate([state, told(action)])
        return networks.apply(network, params, inputs)[0]

    def loss(scales: Scales, params: Params, example: Example) -> Array:
        del scales  # states are standardised already
        said = logit(params, example.state, example.action)
        return likelihood.bernoulli_nll(1.0 - example.discount, said)

    return Ends(init, logit, loss)

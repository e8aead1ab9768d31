"""The feature networks: how the dynamic features change (arXiv 2409.13299, Eq. 4)."""

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


class Features(NamedTuple):
    """One member as pure functions; `D` dynamic features.

    Attributes:
      init: `(key) -> params`.
      moments: `(params, state [S], action) -> (mean [D], log variance [D])` of the
        standardised change.
      loss: `(scales, params, example) -> []`.
    """

    init: Callable[[Key], Params]
    moments: Callable[[Params, Array, Array], tuple[Array, Array]]
    loss: Callable[[Scales, Params, Example], Array]


def make(hidden: tuple[int, ...], space: Space) -> Features:
    """Builds the networks.

    Args:
      hidden: widths of the hidden layers.
      space: the task.

    Returns:
      The functions.
    """
    dynamic = jnp.array(space.dynamic, int)
    num_dynamic = len(space.dynamic)
    network = networks.MLP(hidden, 2 * num_dynamic)
    told = space_lib.action_inputs(space)

    def init(key: Key) -> Params:
        example = jnp.zeros(space.state_dim + space.action_width)
        return {
            "net": network.init(key, example),
            "low": jnp.full(num_dynamic, -10.0),
            "high": jnp.full(num_dynamic, 1.0),
        }

    def moments(params: Params, state: Array, action: Array) -> tuple[Array, Array]:
        inputs = jnp.concatenate([state, told(action)])
        mean, raw = jnp.split(networks.apply(network, params["net"], inputs), 2)
        return mean, likelihood.soft_clamp(raw, params["low"], params["high"])

    def loss(scales: Scales, params: Params, example: Example) -> Array:
        del scales  # states and changes are standardised already
        mean, log_var = moments(params, example.state, example.action)
        change = (example.next_state - example.state)[dynamic]
        bounds = jnp.sum(params["high"] - params["low"])
        nll = likelihood.gaussian_nll(change, mean, log_var)
        return jnp.mean(nll) + 1e-3 * bounds / num_dynamic

    return Features(init, moments, loss)

"""The networks of recorded rewards: what a step earned, by where it led.

Told by state and action alone, a reward is what clinicians' patients earned on average;
a policy that leaves their doses finds where that number errs upwards, though no patient
gets better. Told by the state that was reached and by whether the episode ended there,
it is raised by reaching better states, and by what the networks of ends say of a dose.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp

from omgrl_jax import networks
from omgrl_jax.data.scales import Scales
from omgrl_jax.data.space import Space
from omgrl_jax.models.example import Example
from omgrl_jax.types import Array, Key, Params


class Rewards(NamedTuple):
    """One member as pure functions.

    Attributes:
      init: `(key) -> params`.
      value: `(params, state [S], next_state [S], discount []) -> []` standardised
        reward of a step; `discount` is 0.0 where the episode ended with it.
      loss: `(scales, params, example) -> []`.
    """

    init: Callable[[Key], Params]
    value: Callable[[Params, Array, Array, Array], Array]
    loss: Callable[[Scales, Params, Example], Array]


def make(hidden: tuple[int, ...], space: Space) -> Rewards:
    """Builds the networks.

    Args:
      hidden: widths of the hidden layers.
      space: the task.

    Returns:
      The functions.

    Raises:
      ValueError: if no reward is recorded.
    """
    channel = space.recorded_reward
    if channel is None:
        raise ValueError("this dataset records no reward that a world could tell")
    network = networks.MLP(hidden, 1)

    def init(key: Key) -> Params:
        return network.init(key, jnp.zeros(2 * space.state_dim + 1))

    def value(
        params: Params, state: Array, next_state: Array, discount: Array
    ) -> Array:
        inputs = jnp.concatenate([state, next_state, discount[None]])
        return networks.apply(network, params, inputs)[0]

    def loss(scales: Scales, params: Params, example: Example) -> Array:
        del scales  # rewards are standardised already
        said = value(params, example.state, example.next_state, example.discount)
        return 0.5 * jnp.square(said - example.outcome[channel])

    return Rewards(init, value, loss)

"""What a world model needs to run."""

from typing import NamedTuple

from omgrl_jax.data.scales import Scales
from omgrl_jax.types import Array, Params


class WorldParams(NamedTuple):
    """Everything a world model needs to run: shareable, no recorded rows.

    Attributes:
      features: feature networks, leaves [E, ...].
      outcomes: outcome networks, leaves [E, ...].
      scales: the standardisation.
      low: [S] lower limits of states in rollouts, -inf where nothing is predicted.
      high: [S] upper limits, likewise.
      ends: networks of ends, leaves [E, ...]; none where nothing ends.
      rewards: networks of rewards, leaves [E, ...]; none where they are channels.
    """

    features: Params
    outcomes: Params
    scales: Scales
    low: Array
    high: Array
    ends: Params = ()
    rewards: Params = ()

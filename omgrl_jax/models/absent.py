"""Stands where a world model would, for methods that learn from records alone.

Such methods read nothing but the standardisation from a world's parameters. Those that
roll a world out are stopped.
"""

from typing import Any, NoReturn

import jax.numpy as jnp

from omgrl_jax.data.scales import Scales
from omgrl_jax.models.world import World, WorldParams
from omgrl_jax.types import Dynamics


def make() -> World:
    """A world without networks, whose functions raise ValueError when they are used."""
    return World(
        init_features=_nothing,
        init_outcomes=_nothing,
        feature_loss=_refuse,
        outcome_loss=_refuse,
        outcome=_refuse,
        noise=_refuse,
        step=_refuse,
        dynamics=Dynamics(_refuse, _refuse, _refuse),
        predicted=(),
    )


def params(scales: Scales) -> WorldParams:
    """Its parameters: the standardisation and no limits.

    Args:
      scales: scales of the task.

    Returns:
      Parameters without networks.
    """
    infinite = jnp.full(scales.state.mean.shape, jnp.inf)
    return WorldParams((), (), scales, -infinite, infinite)


def _nothing(key: Any) -> tuple:
    del key
    return ()


def _refuse(*args: Any, **kwargs: Any) -> NoReturn:
    del args, kwargs
    raise ValueError("this method rolls out a world model, but none was fitted")

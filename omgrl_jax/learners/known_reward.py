"""The reward that a schema defines: some methods learn from it, others only log it."""

from collections.abc import Callable

from omgrl_jax.data.scales import Scales
from omgrl_jax.data.space import Space
from omgrl_jax.ops import clinical
from omgrl_jax.types import Array, Transition


def defined(space: Space) -> bool:
    """Whether the schema defines a reward."""
    return space.target is not None or space.recorded_reward is not None


def require(space: Space) -> None:
    """Stops where there is none.

    Args:
      space: the task.

    Raises:
      ValueError: if the schema defines no reward.
    """
    if not defined(space):
        raise ValueError(
            "this dataset defines no reward to learn from (schema.json: reward.kind = "
            "none): use 'range' or 'recorded'"
        )


def make(space: Space, scales: Scales) -> Callable[[Transition], Array]:
    """The reward as a function of transitions.

    Args:
      space: the task.
      scales: its standardisation.

    Returns:
      `reward(transitions [...]) -> [...]`: r_p of the predicted channel where the
      schema names a target range, else the recorded reward.

    Raises:
      ValueError: if the schema defines none.
    """
    require(space)

    def reward(transitions: Transition) -> Array:
        values = scales.channel.invert(transitions.outcome)
        if space.target is not None:
            channel, low, high = space.target
            return clinical.range_reward(values[..., channel], low, high)
        return values[..., space.recorded_reward]

    return reward

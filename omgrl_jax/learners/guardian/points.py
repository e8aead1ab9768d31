"""State-action pairs, with what went before them, as points in a box of -1 to 1."""

import dataclasses
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from omgrl_jax.data.records import Records
from omgrl_jax.data.space import Space
from omgrl_jax.ops import history
from omgrl_jax.types import Array, Transition

HISTORIES = ("none", "steps", "summary")


@dataclasses.dataclass(frozen=True)
class PointConfig:
    """What a guardian sees of a step.

    Attributes:
      features: state features; empty for all.
      history: what it sees of the steps before: "none", the last "steps" one by one, or
        a "summary", means of states and doses since the sequence began.
      history_steps: how many of the last steps.
    """

    features: tuple[str, ...] = ()
    history: str = dataclasses.field(default="none", metadata={"choices": HISTORIES})
    history_steps: int = dataclasses.field(default=2, metadata={"min": 1})

    def __post_init__(self) -> None:
        """Rejects an unknown history, naming the field."""
        if self.history not in HISTORIES:
            raise ValueError(
                f"history='{self.history}': use one of {', '.join(HISTORIES)}"
            )


class Box(NamedTuple):
    """Where training points lie, which is scaled to -1..1; quantiles of each column.

    Attributes:
      low: [D].
      high: [D], above `low`.
    """

    low: Array
    high: Array

    def apply(self, points: Array) -> Array:
        """Points [N, D] on the scale of the box."""
        low, high = self.low[None], self.high[None]
        return (2.0 * points - high - low) / (high - low)


# Like the limits of world models: an extreme is one patient's, a quantile nobody's.
_QUANTILES = (0.005, 0.995)


def fit_box(points: Array) -> Box:
    """The box of training points [N, D]; a column that never moves keeps its unit."""
    low, high = jnp.quantile(points, jnp.array(_QUANTILES), axis=0)
    still = high - low <= 1e-6 * (1.0 + jnp.abs(low))
    return Box(jnp.where(still, low - 1.0, low), jnp.where(still, low + 1.0, high))


def make(
    config: PointConfig, space: Space, encode: Callable[[Array], Array]
) -> Callable[[Array, Array, Array], Array]:
    """How rows become points, before they are scaled.

    Args:
      config: what is seen.
      space: the task.
      encode: actions [...] as numbers [..., K] on a scale of order one.

    Returns:
      `(states [R, S], actions [R], first [R]) -> [R, D]` of sequences that lie end to
      end, the sequence of row r beginning at row `first[r]`.

    Raises:
      ValueError: naming a feature that the state does not have.
    """
    missing = [name for name in config.features if name not in space.names]
    if missing:
        raise ValueError(
            f"features: the state has no {', '.join(missing)}; it has "
            f"{', '.join(space.names)}"
        )
    chosen = config.features or space.names
    columns = jnp.array([space.names.index(name) for name in chosen])

    def points(states: Array, actions: Array, first: Array) -> Array:
        now = jnp.concatenate([states[:, columns], encode(actions)], axis=1)
        if config.history == "none":
            return now
        if config.history == "summary":
            before = history.mean_so_far(now, first)
        else:
            before = history.last(now, first, config.history_steps)
        return jnp.concatenate([now, before.reshape(now.shape[0], -1)], axis=1)

    return points


def of_records(
    points: Callable[[Array, Array, Array], Array], records: Records, cut: int = 0
) -> Array:
    """The points [M, D] of all recorded transitions.

    Args:
      points: of `make`.
      records: one split.
      cut: steps after which history begins anew; 0 for whole stays.
    """
    first = jnp.searchsorted(records.stay, records.stay)
    if cut:
        since = jnp.arange(first.shape[0]) - first
        first = first + since // cut * cut
    every = points(records.states, records.actions, first)
    return every[records.transitions]


def of_rollouts(
    points: Callable[[Array, Array, Array], Array], rollouts: Transition
) -> Array:
    """The points [H, B, D] of rollouts [H, B, ...], whose history begins with them."""
    begin = jnp.zeros(rollouts.state.shape[0], jnp.int32)
    each = jax.vmap(points, in_axes=(1, 1, None), out_axes=1)
    return each(rollouts.state, rollouts.action, begin)

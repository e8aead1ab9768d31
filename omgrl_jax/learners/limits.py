"""What a policy may do how often: steps outside of the known, and unsafe ones.

Both kinds are constraints of one form (arXiv 2505.16242, Eq. 3): a number between 0 and
1 at every step, and the largest share of steps that it may reach.
"""

import dataclasses
from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp

from omgrl_jax.data import space as space_lib
from omgrl_jax.data.space import Space
from omgrl_jax.learners import dyna, safety
from omgrl_jax.learners.guardian import guardian as guardian_lib
from omgrl_jax.ops.safety import COSTS
from omgrl_jax.types import Array, Dynamics, Metrics, Transition


@dataclasses.dataclass(frozen=True)
class LimitsConfig:
    """Which limits there are.

    Attributes:
      costs: safety costs that are limited.
      most: for each of them the largest share of steps that may be unsafe.
      guarded: whether a guardian limits how often records' support is left.
      outside: largest share of steps outside of its region.
    """

    costs: tuple[str, ...] = dataclasses.field(
        default=(), metadata={"choices": tuple(COSTS)}
    )
    most: tuple[float, ...] = dataclasses.field(
        default=(), metadata={"min": 0, "max": 1}
    )
    guarded: bool = True
    outside: float = dataclasses.field(default=0.05, metadata={"min": 0, "max": 1})

    def __post_init__(self) -> None:
        """Rejects costs without a limit, naming the fields."""
        if len(self.costs) != len(self.most):
            raise ValueError(
                f"costs={','.join(self.costs)} and most={self.most}: give one limit "
                "for each cost, a share of steps"
            )


class Limits(NamedTuple):
    """What is limited; J constraints.

    Attributes:
      names: of each: costs', then "outside" where a guardian guards.
      most: largest share of steps of each.
      guardian: the guardian; None where none guards.
      fit: `(data) -> ` the fitted guardian; None where none guards.
      measure: `(fitted guardian, data, rollouts [H, B, ...]) -> [J, H, B]`, 0 or 1; of
        costs alone where no guardian is given.
    """

    names: tuple[str, ...]
    most: tuple[float, ...]
    guardian: guardian_lib.Guardian | None
    fit: Callable[[dyna.Data], guardian_lib.Fitted | None]
    measure: Callable[..., Array]


def make(
    config: LimitsConfig,
    guardian: guardian_lib.GuardianConfig,
    space: Space,
    dynamics: Dynamics | None,
    cut: int,
) -> Limits:
    """Builds the limits.

    Args:
      config: which.
      guardian: settings of the guardian.
      space: the task.
      dynamics: the world model, for a guardian that asks it.
      cut: see `guardian.make`.

    Returns:
      The limits.

    Raises:
      ValueError: on a cost that the task tells nothing of; when a guardian is fitted
        without validation records.
    """
    cost_of = safety.make(space, config.costs)
    encode = space_lib.action_numbers(space)
    guard = None
    if config.guarded:
        guard = guardian_lib.make(guardian, space, encode, dynamics, cut)

    def fit(data: dyna.Data) -> guardian_lib.Fitted | None:
        if guard is None:
            return None
        if data.validation is None:
            raise ValueError(
                "the guardian's threshold is set on validation records, of which there "
                "are none: give some, or --limits_guarded=false"
            )
        return guard.fit(data.world, data.train, data.validation)

    def measure(
        fitted: guardian_lib.Fitted | None, data: dyna.Data, rollouts: Transition
    ) -> Array:
        found = cost_of(data.world.scales, rollouts)
        if guard is None or fitted is None:
            return found
        scores = guard.of_rollouts(fitted, data.world, rollouts)
        outside = guardian_lib.outside(fitted, scores).astype(jnp.float32)
        return jnp.concatenate([found, outside[None]])

    names, most = config.costs, config.most
    if config.guarded:
        names, most = (*names, "outside"), (*most, config.outside)
    return Limits(names, most, guard, fit, measure)


def shares(
    names: tuple[str, ...], unsafe: Array, alive: Array
) -> tuple[Array, Metrics]:
    """Shares of the steps that happened.

    Args:
      names: of the constraints.
      unsafe: [J, H, B] 0 or 1.
      alive: [H, B] 1.0, or 0.0 after an end.

    Returns:
      [J], and the same as `safety/NAME`.
    """
    found = jnp.sum(unsafe * alive[None], axis=(1, 2)) / jnp.sum(alive)
    return found, {f"safety/{n}": x for n, x in zip(names, found, strict=True)}


def named(metrics: Metrics, names: tuple[str, ...]) -> Metrics:
    """Metrics `safety/WHAT_j` of constraints called by their names.

    Args:
      metrics: of a learner that knows constraints by number.
      names: of the constraints.

    Returns:
      `safety/WHAT_NAME` for each; `safety/excess_NAME` for `safety/cost_j`, what a
      discounted sum lies above its limit.
    """
    found = {k: x for k, x in metrics.items() if not k.startswith("safety/")}
    for j, name in enumerate(names):
        found[f"safety/excess_{name}"] = metrics[f"safety/cost_{j}"]
        found[f"safety/dual_{name}"] = metrics[f"safety/dual_{j}"]
    return found

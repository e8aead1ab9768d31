"""A region of supported steps with a threshold that covers a known share of records.

    recorded steps -> points -> region -> score;  outside: score above the threshold

The threshold is the quantile of the score on validation patients, on whom the region
was not fitted, so that its coverage is not flattered; on test patients it is measured.
"""

import dataclasses
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax.numpy as jnp

from omgrl_jax.data.records import Records
from omgrl_jax.data.space import Space
from omgrl_jax.learners.guardian import points as points_lib
from omgrl_jax.learners.guardian import regions
from omgrl_jax.types import Array, Dynamics, Params, Transition

KINDS = (*regions.REGIONS, "disagreement")


@dataclasses.dataclass(frozen=True)
class GuardianConfig:
    """Which region, and how much of the records lies in it.

    Attributes:
      kind: "kernel" (density of Gaussian kernels), "nearest" (distance to recorded
        steps), "polynomial" (a sublevel set of least volume, which holds no record) or
        "disagreement" (of the world model's members).
      coverage: share of held-out recorded steps inside.
      seen: what the guardian sees of a step; without effect on "disagreement".
      region: settings of regions made of recorded steps.
    """

    kind: str = dataclasses.field(default="kernel", metadata={"choices": KINDS})
    coverage: float = dataclasses.field(default=0.95, metadata={"above": 0, "below": 1})
    seen: points_lib.PointConfig = dataclasses.field(
        default_factory=points_lib.PointConfig
    )
    region: regions.RegionConfig = dataclasses.field(
        default_factory=regions.RegionConfig
    )

    def __post_init__(self) -> None:
        """Rejects what cannot work, naming the field."""
        if self.kind not in KINDS:
            raise ValueError(f"kind='{self.kind}': use one of {', '.join(KINDS)}")
        if not 0.0 < self.coverage < 1.0:
            raise ValueError(
                f"coverage={self.coverage}: no step lies in an empty region, and all "
                "in one without an end; give a share between 0 and 1"
            )


class Fitted(NamedTuple):
    """A fitted guardian; what its region keeps may be as confidential as records.

    Attributes:
      box: scale of the points.
      region: what the kind of region fitted.
      threshold: [] largest score inside.
    """

    box: points_lib.Box
    region: Any
    threshold: Array


class Guardian(NamedTuple):
    """A guardian as pure functions.

    Attributes:
      fit: `(world, train, held) -> Fitted`, from records of training patients and of
        others; `world` are the parameters of the world model.
      of_records: `(fitted, world, records) -> [M]` scores of recorded transitions.
      of_rollouts: `(fitted, world, rollouts [H, B, ...]) -> [H, B]` scores.
    """

    fit: Callable[[Params, Records, Records], Fitted]
    of_records: Callable[[Fitted, Params, Records], Array]
    of_rollouts: Callable[[Fitted, Params, Transition], Array]


def make(
    config: GuardianConfig,
    space: Space,
    encode: Callable[[Array], Array],
    dynamics: Dynamics | None = None,
    cut: int = 0,
) -> Guardian:
    """Builds a guardian.

    Args:
      config: which.
      space: the task.
      encode: actions [...] as numbers [..., K] on a scale of order one.
      dynamics: the world model, for "disagreement".
      cut: steps after which the history of records begins anew, as that of rollouts
        does which start anywhere; 0 for whole stays.

    Returns:
      The guardian.

    Raises:
      ValueError: if the state lacks a feature, or the world model cannot say how its
        members disagree.
    """
    if config.kind == "disagreement":
        return _of_members(config, dynamics)
    points = points_lib.make(config.seen, space, encode)
    region = regions.REGIONS[config.kind](config.region)

    def fit(world: Params, train: Records, held: Records) -> Fitted:
        raw = points_lib.of_records(points, train, cut)
        box = points_lib.fit_box(raw)
        fitted = Fitted(box, region.fit(box.apply(raw)), jnp.float32(0.0))
        return calibrated(fitted, of_records(fitted, world, held), config.coverage)

    def of_records(fitted: Fitted, world: Params, records: Records) -> Array:
        del world
        found = fitted.box.apply(points_lib.of_records(points, records, cut))
        return region.score(fitted.region, found)

    def of_rollouts(fitted: Fitted, world: Params, rollouts: Transition) -> Array:
        del world
        found = points_lib.of_rollouts(points, rollouts)
        flat = fitted.box.apply(found.reshape(-1, found.shape[-1]))
        return region.score(fitted.region, flat).reshape(found.shape[:-1])

    return Guardian(fit, of_records, of_rollouts)


def _of_members(config: GuardianConfig, dynamics: Dynamics | None) -> Guardian:
    """The guardian that asks the members of the world model."""
    if dynamics is None or dynamics.spread is None:
        raise ValueError(
            "kind='disagreement' needs a world model that gives its spread "
            "(Dynamics.spread), such as the ensemble of models/world.py"
        )
    spread = dynamics.spread

    def fit(world: Params, train: Records, held: Records) -> Fitted:
        del train
        nothing = points_lib.Box(jnp.zeros(0), jnp.zeros(0))
        fitted = Fitted(nothing, None, jnp.float32(0.0))
        return calibrated(fitted, of_records(fitted, world, held), config.coverage)

    def of_records(fitted: Fitted, world: Params, records: Records) -> Array:
        del fitted
        rows = records.transitions
        return spread(world, records.states[rows], records.actions[rows]).disagreement

    def of_rollouts(fitted: Fitted, world: Params, rollouts: Transition) -> Array:
        del fitted
        count = rollouts.action.shape[0] * rollouts.action.shape[1]
        states = rollouts.state.reshape(count, -1)
        actions = rollouts.action.reshape(count, *rollouts.action.shape[2:])
        found = spread(world, states, actions).disagreement
        return found.reshape(rollouts.action.shape[:2])

    return Guardian(fit, of_records, of_rollouts)


def calibrated(fitted: Fitted, scores: Array, coverage: float) -> Fitted:
    """The guardian with the threshold that keeps a share of held-out scores inside.

    It lies between two of them: the score of a single step would be somebody's.

    Args:
      fitted: the guardian.
      scores: [M] of steps of patients on whom its region was not fitted.
      coverage: share of them that shall lie inside, at least.
    """
    ordered, count = jnp.sort(scores), scores.shape[0]
    last = math.ceil(coverage * count) - 1
    between = 0.5 * (ordered[last] + ordered[min(last + 1, count - 1)])
    return fitted._replace(threshold=between)


def outside(fitted: Fitted, scores: Array) -> Array:
    """Whether scores [...] lie outside, bool: g(s, a) of arXiv 2505.16242."""
    return scores > fitted.threshold

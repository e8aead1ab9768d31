"""Nearest-neighbour dynamics: what came of recorded steps that were alike.

No network is fitted: a step takes the change, the channels and the end of one of the
recorded steps nearest to it (arXiv 2505.16242, Section 5). Models of different patients
are independent, so that a policy learned in one can be judged in another.
"""

import dataclasses
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from omgrl_jax.data import records as records_lib
from omgrl_jax.data.records import Records
from omgrl_jax.data.scales import Scales
from omgrl_jax.data.space import Space
from omgrl_jax.ops import neighbours, thinning
from omgrl_jax.types import Array, Dynamics, Key, Params, Spread, Step


@dataclasses.dataclass(frozen=True)
class NearestConfig:
    """What counts as alike.

    Attributes:
      neighbours: recorded steps that are asked.
      points: recorded steps that are kept, drawn at random; 0 for all.
      action_weight: weight of an action's numbers in the distance, where a standardised
        feature has 1: the larger, the surer that neighbours were treated alike.
    """

    neighbours: int = dataclasses.field(default=5, metadata={"min": 1})
    points: int = dataclasses.field(default=20_000, metadata={"min": 0})
    action_weight: float = dataclasses.field(default=2.0, metadata={"above": 0})


class Rows(NamedTuple):
    """Recorded steps, as confidential as records.

    Attributes:
      keys: [N, D] where they lie.
      change: [N, S] of the standardised state.
      outcome: [N, C] standardised channels at their ends.
      discount: [N] 0.0 where the episode ended.
    """

    keys: Array
    change: Array
    outcome: Array
    discount: Array


class Neighbours(NamedTuple):
    """The parameters of the dynamics.

    Attributes:
      rows: recorded steps.
      scales: the standardisation.
      outcomes: networks that estimate channels: none, neighbours tell them.
    """

    rows: Rows
    scales: Scales
    outcomes: Params = ()


class Nearest(NamedTuple):
    """The model as pure functions.

    Attributes:
      fit: `(scales, records) -> Neighbours`.
      dynamics: the `Dynamics` of these parameters. `spread` is how far the neighbours'
        changes scatter (noise) and how far away the nearest is (disagreement).
    """

    fit: Callable[[Scales, Records], Neighbours]
    dynamics: Dynamics


def make(
    config: NearestConfig, space: Space, encode: Callable[[Array], Array]
) -> Nearest:
    """Builds the model.

    Args:
      config: what counts as alike.
      space: the task.
      encode: actions [...] as numbers [..., K] on a scale of order one; the same for
        what is kept and what is asked.

    Returns:
      The functions.

    Raises:
      ValueError: if the state has features that follow from doses and measurements by
        rule: a neighbour's change is not theirs.
    """
    if space.tracked:
        names = ", ".join(one.name for one in space.tracked)
        raise ValueError(
            f"nearest-neighbour dynamics cannot carry {names} on, which follow from "
            "doses and measurements by rule: use a state without them"
        )

    def keys_of(states: Array, actions: Array) -> Array:
        weighted = config.action_weight * encode(actions)
        return jnp.concatenate([states, weighted], axis=1)

    def fit(scales: Scales, records: Records) -> Neighbours:
        count = records.transitions.shape[0]
        chosen = thinning.few(count, config.points, config.neighbours)
        kept = records_lib.transition_at(records, records.transitions[chosen])
        rows = Rows(
            keys_of(kept.state, kept.action),
            kept.next_state - kept.state,
            kept.outcome,
            kept.discount,
        )
        return Neighbours(rows, scales)

    def nearest(params: Neighbours, states: Array, actions: Array) -> tuple:
        """Indices [B, K] of the neighbours and their distances, the nearest first."""
        asked = keys_of(states, actions)
        return neighbours.nearest(params.rows.keys, asked, config.neighbours)

    def sample(params: Neighbours, key: Key, states: Array, actions: Array) -> Step:
        where, _ = nearest(params, states, actions)
        pick = jax.random.randint(key, (states.shape[0],), 0, config.neighbours)
        row = jnp.take_along_axis(where, pick[:, None], axis=1)[:, 0]
        rows = params.rows
        return Step(states + rows.change[row], rows.outcome[row], rows.discount[row])

    def mean(
        params: Neighbours, states: Array, actions: Array, amounts: Array | None = None
    ) -> Step:
        del amounts
        where, _ = nearest(params, states, actions)
        rows = jax.tree.map(lambda x: jnp.mean(x[where], axis=1), params.rows)
        return Step(states + rows.change, rows.outcome, rows.discount)

    def spread(params: Neighbours, states: Array, actions: Array) -> Spread:
        where, distance = nearest(params, states, actions)
        scatter = jnp.std(params.rows.change[where], axis=1)
        return Spread(jnp.linalg.norm(scatter, axis=-1), distance[:, 0])

    return Nearest(fit, Dynamics(sample, mean, spread))

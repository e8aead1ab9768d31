"""Tracked features: state features whose next value is known, not learned.

The last measured aPTT, its age or a running dose average follow exactly from the
doses given and the measurements reported. One rule serves recorded data, model
rollouts and simulators, so that the three cannot drift apart.

Rules (`v` the new measurement, `m` whether there is one, `u` the dose of the step):

  last      x' = v if m else x                       the last measured value
  age       x' = delay if m else x + 1               steps since that measurement
  previous  x' = last if m else x                    the value measured before the last
  amount    x' = u                                   the last dose
  average   x' = d x + (1 - d) u, d = 2^(-1/half_life)   running dose average
  average_at_measurement   x' = average' if m else x    that average at the last draw
                           (`average`, the one before the step's dose, with delay 1)
"""

import dataclasses
from collections.abc import Sequence

import jax.numpy as jnp

from omgrl_jax.types import Array

RULES = ("last", "age", "previous", "amount", "average", "average_at_measurement")
_NEEDS = {"previous": "last", "average_at_measurement": "average"}


@dataclasses.dataclass(frozen=True)
class Tracked:
    """One tracked feature.

    Attributes:
      name: column name in the state.
      rule: one of `RULES`.
      channel: the auxiliary channel the rule reads; None for dose rules.
      half_life: steps after which a dose counts half, for the average rules.
      delay: steps between a draw and the row at which its result becomes known: 0
        (drawn within the step) or 1 (drawn at its start, reported at its end).
    """

    name: str
    rule: str
    channel: str | None = None
    half_life: float | None = None
    delay: int = 0


def check(tracked: Sequence[Tracked], channels: Sequence[str]) -> None:
    """Checks that rules are known and that what each needs is tracked too.

    Args:
      tracked: the features of one state.
      channels: names of the auxiliary channels.

    Raises:
      ValueError: naming the feature and the remedy.
    """
    for item in tracked:
        if item.rule not in RULES:
            raise ValueError(
                f"tracked feature '{item.name}': unknown rule '{item.rule}'; "
                f"use one of {', '.join(RULES)}"
            )
        if item.rule.startswith("average") and not (item.half_life or 0) > 0:
            raise ValueError(f"tracked feature '{item.name}' needs a half_life above 0")
        if item.rule not in ("amount", "average") and item.channel not in channels:
            raise ValueError(
                f"tracked feature '{item.name}' reads channel '{item.channel}', "
                f"which is not among the channels {list(channels)}"
            )
        if item.delay not in (0, 1):
            raise ValueError(f"tracked feature '{item.name}': delay must be 0 or 1")
        if item.rule in _NEEDS and _partner(tracked, item) is None:
            raise ValueError(
                f"tracked feature '{item.name}' ({item.rule}) needs a feature with "
                f"rule '{_NEEDS[item.rule]}' in the same state"
            )


def _partner(tracked: Sequence[Tracked], item: Tracked) -> int | None:
    """Index of the feature from which `item` copies its value at a measurement."""
    for index, other in enumerate(tracked):
        same = (
            other.channel == item.channel
            if item.rule == "previous"
            else other.half_life == item.half_life
        )
        if other.rule == _NEEDS[item.rule] and same:
            return index
    return None


def start(
    tracked: Sequence[Tracked], channels: Sequence[str], values: Array, ages: Array
) -> Array:
    """Tracked features before the first dose.

    Args:
      tracked: the features of the state, `K` of them.
      channels: names of the `C` channels.
      values: [..., C] last measured raw value of each channel.
      ages: [..., C] steps since.

    Returns:
      [..., K] raw features; doses count as zero before the start.
    """
    columns = []
    for item in tracked:
        if item.rule in ("last", "previous"):
            columns.append(values[..., channels.index(item.channel)])
        elif item.rule == "age":
            columns.append(ages[..., channels.index(item.channel)])
        else:
            columns.append(jnp.zeros(values.shape[:-1], values.dtype))
    if not columns:
        return jnp.zeros((*values.shape[:-1], 0), values.dtype)
    return jnp.stack(columns, axis=-1)


def advance(
    tracked: Sequence[Tracked],
    channels: Sequence[str],
    features: Array,
    amount: Array,
    values: Array,
    measured: Array,
) -> Array:
    """Tracked features one step later.

    Args:
      tracked: the features of the state, `K` of them.
      channels: names of the `C` channels.
      features: [..., K] raw features now.
      amount: [...] dose of the step.
      values: [..., C] raw value that each channel has if it was measured.
      measured: [..., C] bool, whether it was.

    Returns:
      [..., K] raw features after the step.
    """
    following: list[Array] = []
    for k, item in enumerate(tracked):
        now = features[..., k]
        if item.rule == "amount":
            following.append(jnp.broadcast_to(amount, now.shape).astype(now.dtype))
            continue
        if item.rule.startswith("average"):
            keep = 2.0 ** (-1.0 / float(item.half_life or 1.0))
        if item.rule == "average":
            following.append(keep * now + (1.0 - keep) * amount)
            continue
        if item.rule == "average_at_measurement":
            average = features[..., _index(tracked, item)]
            # Blood drawn before the step's dose cannot show what that dose did.
            fresh = average if item.delay else keep * average + (1.0 - keep) * amount
            seen = measured[..., channels.index(item.channel)]
            following.append(jnp.where(seen, fresh, now))
            continue
        c = channels.index(item.channel)
        seen = measured[..., c]
        if item.rule == "last":
            following.append(jnp.where(seen, values[..., c], now))
        elif item.rule == "age":
            following.append(jnp.where(seen, jnp.full_like(now, item.delay), now + 1.0))
        else:
            last = features[..., _index(tracked, item)]
            following.append(jnp.where(seen, last, now))
    if not following:
        return features
    return jnp.stack(following, axis=-1)


def _index(tracked: Sequence[Tracked], item: Tracked) -> int:
    index = _partner(tracked, item)
    if index is None:
        raise ValueError(f"tracked feature '{item.name}' lacks its partner")
    return index

"""Multipliers that follow how far costs lie above their limits.

A plain multiplier integrates the excess and swings around the limit; proportional and
derivative parts damp it (Stooke et al. 2020, arXiv 2007.03964, Algorithm 2).
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from omgrl_jax.types import Array


class Gains(NamedTuple):
    """How strongly a multiplier answers.

    Attributes:
      proportional: to the excess itself.
      integral: to its sum over steps.
      derivative: to its rise in the last step.
    """

    proportional: float
    integral: float
    derivative: float


class Dual(NamedTuple):
    """The multipliers of J costs.

    Attributes:
      value: [J] at least 0.
      summed: [J] sum of the excess, at least 0.
      excess: [J] of the last step.
    """

    value: Array
    summed: Array
    excess: Array


def start(count: int) -> Dual:
    """Multipliers of `count` costs before anything was measured."""
    return Dual(jnp.zeros(count), jnp.zeros(count), jnp.zeros(count))


def follow(gains: Gains, dual: Dual, excess: Array) -> Dual:
    """The multipliers after a measurement.

    They rise while costs lie above their limits, and fall to zero while these are
    slack: the sum never goes below zero, so that a long slack is not remembered.

    Args:
      gains: how strongly they answer.
      dual: before.
      excess: [J] what each cost lies above its limit; negative below.
    """
    summed = jax.nn.relu(dual.summed + excess)
    rise = jax.nn.relu(excess - dual.excess)
    value = (
        gains.proportional * excess + gains.integral * summed + gains.derivative * rise
    )
    return Dual(jax.nn.relu(value), summed, excess)

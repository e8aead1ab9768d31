"""Safety costs: 1 where a step ends in a state that medicine calls unsafe, else 0.

Costs are positive, so that limits on their sums bind from above (arXiv 2505.16242; in
its public code they are at most zero, and no limit ever binds).
"""

from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp

from omgrl_jax.types import Array


class Cost(NamedTuple):
    """One safety cost.

    Attributes:
      measured: what it looks at: a channel or a state feature, by name.
      unit: its unit.
      unsafe: `(before [...], after [...]) -> [...]` bool, of raw values at the start
        and the end of a step.
      meaning: what it says, for reports.
      both_ends: whether the value at the step's start counts too.
      answers: doses with which medicine answers the unsafe state: a drug, by the name
        that schemas give it, and 1 for more of it than before or -1 for less; any of
        them is one. Where a single unnamed drug is given, the name says nothing.
    """

    measured: str
    unit: str
    unsafe: Callable[[Array, Array], Array]
    meaning: str
    both_ends: bool = False
    answers: tuple[tuple[str, int], ...] = ()


def below(limit: float) -> Callable[[Array, Array], Array]:
    """Unsafe below a limit at the end of the step."""
    return lambda before, after: after < limit


def above(limit: float) -> Callable[[Array, Array], Array]:
    """Unsafe above a limit at the end of the step."""
    return lambda before, after: after > limit


def falling_below(limit: float) -> Callable[[Array, Array], Array]:
    """Unsafe below a limit and lower than at the start of the step."""
    return lambda before, after: (after < limit) & (after < before)


COSTS = {
    "desaturation": Cost(
        "spo2",
        "%",
        below(92.0),
        "oxygen saturation below 92 %",
        answers=(("fluid", -1),),
    ),
    "oliguria": Cost(
        "urine",
        "mL/kg/h",
        below(0.5),
        "urine below .5 mL/kg/h",
        answers=(("fluid", 1), ("pressor", 1)),
    ),
    "hypotension": Cost(
        "mbp",
        "mmHg",
        below(65.0),
        "mean pressure below 65 mmHg",
        answers=(("pressor", 1), ("fluid", 1)),
    ),
    "high_aptt": Cost(
        "aptt", "s", above(100.0), "aPTT above 100 s", answers=(("heparin", -1),)
    ),
    "very_high_aptt": Cost(
        "aptt", "s", above(150.0), "aPTT above 150 s", answers=(("heparin", -1),)
    ),
    "platelet_fall": Cost(
        "platelets",
        "K/uL",
        falling_below(100.0),
        "platelets below 100 K/uL and falling, as in heparin-induced thrombocytopenia",
        both_ends=True,
        answers=(("heparin", -1),),
    ),
}


def cost_of(name: str, before: Array, after: Array) -> Array:
    """The cost [...] of steps: 0 or 1.

    Args:
      name: a key of `COSTS`.
      before: [...] raw values at the steps' starts.
      after: [...] raw values at their ends.

    Raises:
      ValueError: on an unknown name.
    """
    if name not in COSTS:
        raise ValueError(f"cost '{name}': use one of {', '.join(COSTS)}")
    return jnp.asarray(COSTS[name].unsafe(before, after), jnp.float32)

"""Fluid and vasopressor of each step as one of nine actions, or as two doses.

What is fitted (level edges, bounds) is fitted on training steps.
"""

from typing import NamedTuple

import numpy as np

from data_prep import bins as bins_lib
from data_prep.measurements import Repairs
from omgrl_jax.data import dataset

NAMES = ("fluid", "vasopressor")
LEVELS = ("none", "low", "high")


class Chosen(NamedTuple):
    """Actions as the dataset holds them.

    Attributes:
      description: the schema's part.
      actions: [M] int32, or [M, 2] float32.
    """

    description: dataset.Actions
    actions: np.ndarray


def units(step_hours: int) -> tuple[str, str]:
    """Units of the two doses."""
    return f"mL in {step_hours} h", "ug/kg/min"


def levels(doses: np.ndarray, training: np.ndarray, step_hours: int) -> Chosen:
    """Three levels of each: none, the lower and the upper half of non-zero doses.

    Args:
      doses: [M, 2] fluid and vasopressor.
      training: [M] bool.
      step_hours: for the unit.

    Returns:
      Action = 3 * level of the fluid + level of the vasopressor.

    Raises:
      ValueError: if training stays have fewer than two distinct doses of one.
    """
    drugs, own = [], []
    for column, (name, unit) in enumerate(zip(NAMES, units(step_hours), strict=True)):
        given = doses[training, column]
        given = given[given > 0]
        if np.unique(given).size < 2:
            raise ValueError(
                f"--actions=levels: the training stays have fewer than two doses of "
                f"{name}, so that nothing can be a lower and an upper half; take more "
                "stays, or --actions=doses"
            )
        # With a zero among them the first level is exactly none.
        fitted = bins_lib.fit_bins(np.append(given, 0.0), 3, zero_share=0.0)
        edges, amounts = fitted.edges.tolist(), fitted.amounts.tolist()
        drugs.append(dataset.Drug(name, unit, tuple(edges), tuple(amounts)))
        own.append(bins_lib.assign(fitted, doses[:, column]))
    labels = [f"fluid {f}, vasopressor {v}" for f in LEVELS for v in LEVELS]
    description = dataset.Actions(9, labels=tuple(labels), drugs=tuple(drugs))
    return Chosen(description, (3 * own[0] + own[1]).astype(np.int32))


def bounded(
    doses: np.ndarray,
    training: np.ndarray,
    step_hours: int,
    quantile: float,
    repairs: Repairs,
) -> Chosen:
    """Both doses as numbers, between zero and a quantile of non-zero training doses.

    Args:
      doses: [M, 2] fluid and vasopressor.
      training: [M] bool.
      step_hours: for the unit.
      quantile: larger doses are cut there.
      repairs: counts the cut ones, added to in place.

    Raises:
      ValueError: if training stays have no dose of one.
    """
    high = []
    for column, name in enumerate(NAMES):
        given = doses[training, column]
        if not (given > 0).any():
            raise ValueError(f"--actions=doses: no training stay was given {name}")
        high.append(float(np.float32(np.quantile(given[given > 0], quantile))))
        repairs[name, "dose above its bound: cut (steps)"] += int(
            (doses[:, column] > high[-1]).sum()
        )
    both = zip(NAMES, units(step_hours), strict=True)
    description = dataset.Actions(
        0,
        low=(0.0, 0.0),
        high=tuple(high),
        drugs=tuple(dataset.Drug(name, unit) for name, unit in both),
    )
    return Chosen(description, np.minimum(doses, high).astype(np.float32))

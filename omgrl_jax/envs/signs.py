"""Vital signs and laboratory values of virtual patients as drifting processes.

Each is an hourly autoregression around a set point of the patient's own, on the
natural-log scale where values are skewed. Medians are those of adults in intensive
care; they also define the reference patient from whom covariate effects are counted.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from omgrl_jax.types import Array


class Sign(NamedTuple):
    """One vital sign or laboratory value as a slowly drifting process.

    Attributes:
      name: feature name, or "dbp_ratio" for diastolic over systolic pressure.
      median: over patients, in the feature's unit.
      between: standard deviation of the patients' own set points.
      within: stationary standard deviation around the set point.
      persistence: hourly autocorrelation of the deviation.
      log: whether both deviations live on the natural-log scale.
    """

    name: str
    median: float
    between: float
    within: float
    persistence: float
    log: bool


SIGNS = (
    Sign("gcs", 13.5, 2.5, 0.8, 0.90, False),
    Sign("sbp", 120.0, 14.0, 10.0, 0.80, False),
    Sign("dbp_ratio", 0.52, 0.10, 0.07, 0.80, True),
    Sign("rr", 19.0, 3.0, 2.5, 0.70, False),
    Sign("temperature", 37.0, 0.35, 0.35, 0.90, False),
    Sign("hemoglobin", 10.2, 1.5, 0.4, 0.98, False),
    Sign("wbc", 10.5, 0.40, 0.15, 0.98, True),
    Sign("platelets", 210.0, 0.45, 0.10, 0.98, True),
    Sign("pt", 14.0, 0.12, 0.04, 0.98, True),
    Sign("paco2", 40.0, 6.0, 2.5, 0.95, False),
    Sign("creatinine", 1.1, 0.50, 0.12, 0.98, True),
    Sign("bilirubin", 0.7, 0.70, 0.12, 0.98, True),
)
NAMES = tuple(sign.name for sign in SIGNS)


def index(name: str) -> int:
    """Position of a sign in vectors of length S."""
    return NAMES.index(name)


def column(signs: Sequence[Sign], field: str) -> np.ndarray:
    """One field of every sign, [S] float32."""
    return np.asarray([getattr(sign, field) for sign in signs], np.float32)


def medians(signs: Sequence[Sign]) -> np.ndarray:
    """Medians [S] on the scale of the process: logs where `Sign.log`."""
    values = column(signs, "median")
    return np.where(column(signs, "log") > 0, np.log(values), values)


def advance(
    signs: Sequence[Sign],
    values: Array,
    set_points: Array,
    noise: Array,
) -> Array:
    """The processes one hour later.

    Args:
      signs: the S processes.
      values: [S] now, on the scale of the process.
      set_points: [S] the patient's own.
      noise: [S] standard normal.

    Returns:
      [S] values; their stationary deviation from the set points is `within`.
    """
    persistence = column(signs, "persistence")
    innovation = column(signs, "within") * (1.0 - persistence**2) ** 0.5
    return set_points + persistence * (values - set_points) + innovation * noise

"""The sixteen features and the aPTT of the heparin cohort, hour by hour."""

import dataclasses
from typing import NamedTuple

import numpy as np
import pandas as pd

from data_prep import hold
from data_prep import states as states_lib
from data_prep.clock import Clock
from data_prep.items import HEPARIN
from data_prep.measurements import Measurements, Repairs
from omgrl_jax.data import dataset


class Grid(NamedTuple):
    """What is known in each of R rows.

    Attributes:
      states: the features before imputation.
      aptt: the aPTT, held without limit: its age says how old it is.
      intubated: [R] bool.
    """

    states: states_lib.States
    aptt: hold.Held
    intubated: np.ndarray


def make(
    cohort: pd.DataFrame,
    found: Measurements,
    weight: np.ndarray,
    gas: str,
    intubated: str,
    repairs: Repairs,
) -> Grid:
    """Samples and holds every variable.

    Args:
      cohort: columns of `cohort.select`, N stays.
      found: sorted measurements of these stays.
      weight: [N] kg at the first dose, or NaN.
      gas: the variable used as arterial carbon dioxide.
      intubated: see `hold.coma_score`.
      repairs: counts, added to in place.

    Returns:
      The grid; stays lie end to end, T_i + 1 rows each.
    """
    clock = Clock(cohort["hours"].to_numpy(np.int64))
    stay, _ = clock.rows()
    static = {
        "age": cohort["age"].to_numpy(np.float64)[stay],
        "gender": cohort["female"].to_numpy(np.float64)[stay],
        "weight": weight[stay],
    }
    score, tube = hold.coma_score(found, HEPARIN, clock, intubated)
    columns = {"gcs": score}
    for name in ("sbp", "dbp", "rr", "temperature", "hemoglobin", "wbc", "platelets"):
        columns[name] = hold.hold(found, HEPARIN, clock, name)
    for name in ("pt", "creatinine", "bilirubin", "inr", gas):
        columns[name] = hold.hold(found, HEPARIN, clock, name)
    hold.require_pulse(columns, repairs)
    features = tuple(_feature(feature, gas) for feature in dataset.HEPARIN_FEATURES)
    return Grid(
        states_lib.make(features, static, columns),
        hold.hold(found, HEPARIN, clock, "aptt", limit_hours=np.inf),
        tube,
    )


def with_indicators(
    grid: Grid, filled: np.ndarray
) -> tuple[tuple[dataset.Feature, ...], np.ndarray]:
    """Adds a column for each feature that can be missing, and one for a tube.

    Args:
      grid: the grid before imputation.
      filled: [R, F] features after it.

    Returns:
      The features and [R, F'] values; an indicator is 1 where the value was imputed.
    """
    features, values = states_lib.with_indicators(
        grid.states, filled, ("age", "gender")
    )
    tube = dataset.Feature("intubated", "1 = yes", scale="unit")
    return (*features, tube), np.column_stack([values, grid.intubated])


def _feature(feature: dataset.Feature, gas: str) -> dataset.Feature:
    if feature.name == "paco2" and gas != "paco2":
        return dataclasses.replace(feature, name=gas, unit="mEq/L")
    return feature

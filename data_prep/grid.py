"""The sixteen features and the aPTT on the hourly grid, and their imputation."""

import dataclasses
from typing import NamedTuple

import numpy as np
import pandas as pd

from data_prep import hold, impute, items
from data_prep.measurements import Measurements, Repairs
from omgrl_jax.data import dataset


class Grid(NamedTuple):
    """Features on the hourly grid, R rows, before imputation.

    Attributes:
      features: the `F` features.
      values: [R, F], NaN where unknown.
      fresh: [R, F] bool, a new value became known in the hour that ends at the row.
      aptt: the aPTT, held without limit: its age says how old it is.
      intubated: [R] bool.
    """

    features: tuple[dataset.Feature, ...]
    values: np.ndarray
    fresh: np.ndarray
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
    hours = cohort["hours"].to_numpy(np.int64)
    stay, _ = hold.grid(hours)
    static = {
        "age": cohort["age"].to_numpy(np.float64)[stay],
        "gender": cohort["female"].to_numpy(np.float64)[stay],
        "weight": weight[stay],
    }
    score, tube = hold.coma_score(found, hours, intubated)
    columns = {"gcs": score}
    for name in ("sbp", "dbp", "rr", "temperature", "hemoglobin", "wbc", "platelets"):
        columns[name] = hold.hold(found, hours, name)
    for name in ("pt", "creatinine", "bilirubin", "inr", gas):
        columns[name] = hold.hold(found, hours, name)
    hold.require_pulse(columns, repairs)
    features = tuple(_feature(feature, gas) for feature in dataset.HEPARIN_FEATURES)
    return Grid(
        features,
        np.column_stack(
            [static[f.name] if f.static else columns[f.name].value for f in features]
        ),
        np.column_stack(
            [
                ~np.isnan(static[f.name]) if f.static else columns[f.name].fresh
                for f in features
            ]
        ),
        hold.hold(found, hours, "aptt", limit_hours=np.inf),
        tube,
    )


def fill(
    grid: Grid,
    cohort: pd.DataFrame,
    training: np.ndarray,
    *,
    donors: int,
    seed: int,
    progress: impute.Progress,
) -> np.ndarray:
    """Imputes what is unknown.

    A missing weight becomes the median of the training stays, so that it stays one
    number within a stay; everything else comes from nearest neighbours.

    Args:
      grid: the grid.
      cohort: the columns hours and patient, N stays.
      training: [N] bool.
      donors: see `impute.impute`.
      seed: see `impute.impute`.
      progress: see `impute.impute`.

    Returns:
      [R, F] features without NaN.

    Raises:
      ValueError: if no training patient has a variable.
    """
    names = [feature.name for feature in grid.features]
    stay, hour = hold.grid(cohort["hours"].to_numpy(np.int64))
    values = grid.values.copy()
    column = names.index("weight")
    weights = values[training[stay] & (hour == 0), column]
    if np.isfinite(weights).any():
        missing = np.isnan(values[:, column])
        values[missing, column] = np.nanmedian(weights)
    return impute.impute(
        values,
        np.array([feature.scale == "log" for feature in grid.features]),
        cohort["patient"].to_numpy()[stay],
        training[stay],
        names,
        donors=donors,
        seed=seed,
        progress=progress,
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
    features, columns = list(grid.features), [filled]
    for index, feature in enumerate(grid.features):
        if feature.name in ("age", "gender"):
            continue
        features.append(
            dataset.Feature(
                f"{feature.name}_missing", "1 = imputed", feature.static, "unit"
            )
        )
        columns.append(np.isnan(grid.values[:, index]))
    features.append(dataset.Feature("intubated", "1 = yes", scale="unit"))
    return tuple(features), np.column_stack([*columns, grid.intubated])


def aptt_channel(grid: Grid, hours: np.ndarray, training: np.ndarray) -> hold.Held:
    """The aPTT as a channel: no gaps, whole hours of age.

    Before the first draw a stay has the median of the training rows, as old as the
    longest look-back and marked as not measured.

    Args:
      grid: the grid.
      hours: [N] number of steps.
      training: [N] bool.

    Returns:
      The channel without NaN. Ages count rows since the value became known, as the
      rule of the tracked feature does.

    Raises:
      ValueError: if no training stay has an aPTT.
    """
    stay, hour = hold.grid(hours)
    known = ~np.isnan(grid.aptt.value)
    if not (known & training[stay]).any():
        raise ValueError("aptt: no training stay has one; no reward can be computed")
    typical = float(np.median(grid.aptt.value[known & training[stay]]))
    before = items.VARIABLES["aptt"].hold_hours + hour
    return grid.aptt._replace(
        value=np.where(known, grid.aptt.value, typical),
        age=np.where(known, np.floor(grid.aptt.age), before),
    )


def _feature(feature: dataset.Feature, gas: str) -> dataset.Feature:
    if feature.name == "paco2" and gas != "paco2":
        return dataclasses.replace(feature, name=gas, unit="mEq/L")
    return feature

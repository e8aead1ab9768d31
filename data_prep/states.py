"""States on the rows of a clock: what is known, what is imputed, and the channels."""

from collections.abc import Collection
from typing import NamedTuple

import numpy as np

from data_prep import hold, impute
from data_prep.clock import Clock
from omgrl_jax.data import dataset


class States(NamedTuple):
    """Features on R rows, before imputation.

    Attributes:
      features: the `F` features.
      values: [R, F], NaN where unknown.
      fresh: [R, F] bool, a new value became known in the step that ends at the row.
    """

    features: tuple[dataset.Feature, ...]
    values: np.ndarray
    fresh: np.ndarray

    @property
    def names(self) -> list[str]:
        """Names of the features."""
        return [feature.name for feature in self.features]


def make(
    features: tuple[dataset.Feature, ...],
    static: dict[str, np.ndarray],
    columns: dict[str, hold.Held],
) -> States:
    """Puts columns side by side.

    Args:
      features: the features, in column order.
      static: [R] values of those that never change.
      columns: all others.

    Returns:
      The states; a static value that is known counts as new in every row.
    """
    return States(
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
    )


def fill(
    states: States,
    clock: Clock,
    patients: np.ndarray,
    training: np.ndarray,
    *,
    donors: int,
    seed: int,
    progress: impute.Progress,
) -> np.ndarray:
    """Imputes what is unknown.

    A missing weight becomes the median of the training stays, so that it is one number
    until it is known; everything else comes from nearest neighbours.

    Args:
      states: the states, "weight" among their features.
      clock: their rows.
      patients: [N] patient of each stay.
      training: [N] bool.
      donors: see `impute.impute`.
      seed: see `impute.impute`.
      progress: see `impute.impute`.

    Returns:
      [R, F] features without NaN.

    Raises:
      ValueError: if no training patient has a variable.
    """
    stay, _ = clock.rows()
    values = states.values.copy()
    weight = values[:, states.names.index("weight")]
    weight[np.isnan(weight)] = typical_weight(weight, clock, training)
    return impute.impute(
        values,
        np.array([feature.scale == "log" for feature in states.features]),
        patients[stay],
        training[stay],
        states.names,
        donors=donors,
        seed=seed,
        progress=progress,
    )


def typical_weight(weight: np.ndarray, clock: Clock, training: np.ndarray) -> float:
    """Median of the first weights known of the training stays, NaN if there is none.

    Args:
      weight: [R] kg or NaN.
      clock: the rows.
      training: [N] bool.
    """
    stay, _ = clock.rows()
    known = np.flatnonzero(~np.isnan(weight) & training[stay])
    _, first = np.unique(stay[known], return_index=True)
    return float(np.median(weight[known[first]])) if known.size else float("nan")


def with_indicators(
    states: States, filled: np.ndarray, always_known: Collection[str]
) -> tuple[tuple[dataset.Feature, ...], np.ndarray]:
    """Adds a column for each feature that can be missing.

    Args:
      states: the states before imputation.
      filled: [R, F] features after it.
      always_known: features that need no such column.

    Returns:
      The features and [R, F'] values; an indicator is 1 where the value was imputed.
    """
    features, columns = list(states.features), [filled]
    for index, feature in enumerate(states.features):
        if feature.name in always_known:
            continue
        features.append(
            dataset.Feature(
                f"{feature.name}_missing", "1 = imputed", feature.static, "unit"
            )
        )
        columns.append(np.isnan(states.values[:, index]))
    return tuple(features), np.column_stack(columns)


def channel(
    name: str,
    held: hold.Held,
    clock: Clock,
    training: np.ndarray,
    before_hours: float,
) -> hold.Held:
    """A variable as a channel: no gaps, ages in whole steps.

    Before the first measurement a stay has the median of the training rows, as old as
    the longest look-back and marked as not measured.

    Args:
      name: the channel, for messages.
      held: the variable, held without limit: its age says how old it is.
      clock: its rows.
      training: [N] bool.
      before_hours: how old a value is taken to be at a stay's start where none is.

    Returns:
      The channel without NaN. Ages count rows since the value became known, as the
      rule of the tracked feature does.

    Raises:
      ValueError: if no training stay has a value.
    """
    stay, step = clock.rows()
    known = ~np.isnan(held.value)
    if not (known & training[stay]).any():
        raise ValueError(
            f"{name}: no training stay has one; give the whole tables, or another "
            "--seed where the cohort is very small"
        )
    typical = float(np.median(held.value[known & training[stay]]))
    before = np.floor(before_hours / clock.hours) + step
    return held._replace(
        value=np.where(known, held.value, typical),
        age=np.where(known, np.floor(held.age / clock.hours), before),
    )

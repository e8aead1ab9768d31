"""Fills what sample-and-hold left open, from training patients alone.

Nearest neighbours (`sklearn.impute.KNNImputer`) on standardised features. Three things
keep the future and the test set out:

* scales and donors come from training patients;
* a row never borrows from its own patient, whose later hours would tell its future:
  training patients are imputed in two halves, each from the other half's rows;
* donors are capped, as the cost is the number of rows times the number of donors.

The fitted imputer holds training rows, so it is restricted data: it is not saved.
"""

from collections.abc import Callable, Iterable, Sequence

import numpy as np
import sklearn
from sklearn.impute import KNNImputer

Progress = Callable[[range], Iterable[int]]

NEIGHBOURS = 5
_CHUNK = 1024
_WORKING_MIB = 128


def impute(
    rows: np.ndarray,
    log: np.ndarray,
    patients: np.ndarray,
    training: np.ndarray,
    names: Sequence[str],
    *,
    donors: int = 5000,
    seed: int = 0,
    progress: Progress = iter,
) -> np.ndarray:
    """Imputes missing values.

    Args:
      rows: [R, F] features, NaN where missing.
      log: [F] bool, features that are compared on a log scale.
      patients: [R] patient of each row.
      training: [R] bool, rows of training patients.
      names: the F features, for messages.
      donors: largest number of donor rows of each fit.
      seed: chooses halves and donors.
      progress: wraps the chunks of work, for a progress bar.

    Returns:
      [R, F] without NaN; values that were there are unchanged.

    Raises:
      ValueError: if there is no training row, or a feature no training patient has.
    """
    if not training.any():
        raise ValueError("no training stay: nothing can be imputed")
    lifted = np.where(log, np.log(np.where(log, rows, 1.0)), rows)
    known = ~np.isnan(lifted[training])
    if (~known.any(axis=0)).any():
        absent = [
            n for n, seen in zip(names, known.any(axis=0), strict=True) if not seen
        ]
        raise ValueError(
            f"{', '.join(absent)}: no training stay has a credible value; give the "
            "whole tables, or another --seed where the cohort is very small"
        )
    mean = np.nanmean(lifted[training], axis=0)
    spread = np.nanstd(lifted[training], axis=0)
    spread = np.where(spread > 1e-6, spread, 1.0)
    scaled = (lifted - mean) / spread

    rng = np.random.default_rng(seed)
    half = _halves(patients, training, rng)
    filled = scaled.copy()
    for part in (0, 1, 2):
        lender = training & (half != part)
        # With a single training patient nobody can lend: the mean (zero) stands in.
        model = _fit(scaled[lender], donors, rng)
        wanting = np.flatnonzero((half == part) & np.isnan(scaled).any(axis=1))
        for begin in progress(range(0, wanting.size, _CHUNK)):
            chunk = wanting[begin : begin + _CHUNK]
            filled[chunk] = _transform(model, scaled[chunk])
    filled = filled * spread + mean
    filled = np.where(log, np.exp(np.where(log, filled, 0.0)), filled)
    return np.where(np.isnan(rows), filled, rows)


def _halves(
    patients: np.ndarray, training: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """[R] 0 or 1 for the halves of the training patients, 2 for everybody else."""
    half = np.full(patients.size, 2)
    own = np.unique(patients[training])
    side = np.arange(own.size) % 2
    rng.shuffle(side)
    half[training] = side[np.searchsorted(own, patients[training])]
    return half


def _fit(rows: np.ndarray, donors: int, rng: np.random.Generator) -> KNNImputer | None:
    if not rows.shape[0]:
        return None
    if rows.shape[0] > donors:
        rows = rows[np.sort(rng.choice(rows.shape[0], donors, replace=False))]
    # A column that no donor knows becomes zero, the training mean.
    return KNNImputer(n_neighbors=NEIGHBOURS, keep_empty_features=True).fit(rows)


def _transform(model: KNNImputer | None, rows: np.ndarray) -> np.ndarray:
    if model is None:
        return np.nan_to_num(rows, nan=0.0)
    with sklearn.config_context(working_memory=_WORKING_MIB):
        return np.asarray(model.transform(rows))

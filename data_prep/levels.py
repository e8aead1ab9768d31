"""Doses of several drugs as discrete actions, or as continuous ones.

Each drug has a level for no dose, and the others share the doses that were given by
quantiles of training stays: with three levels none, the lower and the upper half.
"""

from collections.abc import Sequence

import numpy as np

from data_prep import bins
from omgrl_jax.data import dataset

LEVELS = 3


def fit(
    names: Sequence[tuple[str, str]], doses: np.ndarray, count: int = LEVELS
) -> dataset.Actions:
    """Discrete actions: every combination of the drugs' levels.

    Args:
      names: name and unit of each of the D drugs.
      doses: [M, D] training doses, at least zero.
      count: levels of each drug.

    Returns:
      The actions; the last drug's levels change first.

    Raises:
      ValueError: naming the drug whose doses make no such levels.
    """
    drugs, texts = [], []
    for (name, unit), given in zip(names, np.asarray(doses).T, strict=True):
        if not ((given == 0).any() and np.unique(given).size >= count):
            raise ValueError(
                f"{name}: {count} levels, one of them no dose, need a zero and "
                f"{count - 1} other doses among the stays that they are fitted to"
            )
        found = bins.fit_bins(given, count, zero_share=0.0)
        edges, amounts = found.edges.tolist(), found.amounts.tolist()
        drugs.append(dataset.Drug(name, unit, tuple(edges), tuple(amounts)))
        texts.append([f"{name} {label} {unit}" for label in found.labels])
    shape = tuple(drug.levels for drug in drugs)
    labels = [
        ", ".join(texts[d][level] for d, level in enumerate(levels))
        for levels in np.ndindex(*shape)
    ]
    return dataset.Actions(len(labels), labels=tuple(labels), drugs=tuple(drugs))


def assign(actions: dataset.Actions, doses: np.ndarray) -> np.ndarray:
    """The action [M] of each pair of doses [M, D]."""
    columns = zip(actions.drugs, np.asarray(doses).T, strict=True)
    levels = [np.searchsorted(drug.edges, given) for drug, given in columns]
    shape = tuple(drug.levels for drug in actions.drugs)
    return np.asarray(np.ravel_multi_index(tuple(levels), shape), np.int32)


def continuous(
    names: Sequence[tuple[str, str]], doses: np.ndarray, quantile: float = 0.99
) -> dataset.Actions:
    """Continuous actions: the doses themselves, from nothing to a training quantile.

    Args:
      names: name and unit of each of the D drugs.
      doses: [M, D] training doses.
      quantile: of the doses that are not zero, where actions end.

    Raises:
      ValueError: naming the drug that no training stay was given.
    """
    high = []
    for (name, _), given in zip(names, np.asarray(doses).T, strict=True):
        if not (given > 0).any():
            raise ValueError(f"{name}: no training stay was given any")
        high.append(float(np.quantile(given[given > 0], quantile)))
    drugs = tuple(dataset.Drug(*name) for name in names)
    return dataset.Actions(0, low=(0.0,) * len(high), high=tuple(high), drugs=drugs)

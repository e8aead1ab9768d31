"""Dose bins: the discrete actions, fitted on training doses alone.

Bin a holds the doses with edges[a - 1] < dose <= edges[a]; the first bin has no lower
and the last no upper edge. Edges are doses that occur, so a dose ordered by half of
the clinicians falls as a whole into one bin.
"""

import itertools
import warnings
from typing import NamedTuple

import numpy as np


class DoseBins(NamedTuple):
    """A partition of doses into A bins.

    Attributes:
      edges: [A - 1] upper edges, strictly increasing, in the unit of the doses.
      amounts: [A] median training dose of each bin.
      labels: A texts such as "0", "1150-1400" (above 1150, up to 1400) or "> 2250".
    """

    edges: np.ndarray
    amounts: np.ndarray
    labels: tuple[str, ...]


def fit_bins(doses: np.ndarray, count: int = 6, zero_share: float = 0.05) -> DoseBins:
    """Bins of about equal frequency, with a bin of its own for a frequent zero dose.

    Equal doses cannot be split: where a quantile repeats, the edge moves to the next
    dose that occurs. With fewer distinct doses than bins there are fewer bins.

    Args:
      doses: [M] training doses, at least zero.
      count: number of bins wanted, at least 2.
      zero_share: from this share of zero doses on, bin 0 is exactly the zero dose and
        the quantiles are those of the positive doses.

    Returns:
      The bins; each holds at least one training dose.

    Raises:
      ValueError: if doses are empty, negative, not finite or all equal, or if count
        is below 2.
    """
    doses = np.asarray(doses, np.float64).ravel()
    if count < 2:
        raise ValueError(f"count = {count}: at least two dose bins are needed.")
    if doses.size == 0:
        raise ValueError("No training doses: dose bins cannot be fitted.")
    if not np.isfinite(doses).all() or doses.min() < 0:
        raise ValueError("Doses must be finite and not negative; clean them first.")
    distinct = np.unique(doses)
    if distinct.size < 2:
        raise ValueError("All training doses are equal: there is nothing to choose.")
    if distinct.size < count:
        warnings.warn(
            f"Only {distinct.size} distinct training doses: {distinct.size} dose bins "
            f"instead of {count}.",
            stacklevel=2,
        )
        count = distinct.size
    # One bin for zero leaves at least one for the positive doses, as count >= 2.
    if (doses == 0).mean() >= max(zero_share, 1 / doses.size):
        positive = doses[doses > 0]
        edges = np.concatenate([[0.0], _quantile_edges(positive, count - 1)])
    else:
        edges = _quantile_edges(doses, count)
    index = np.searchsorted(edges, doses, side="left")
    amounts = np.asarray([np.median(doses[index == a]) for a in range(count)])
    return DoseBins(edges=edges, amounts=amounts, labels=_labels(edges))


def assign(bins: DoseBins, doses: np.ndarray) -> np.ndarray:
    """Bin of each dose, int32 of the same shape.

    Args:
      bins: the partition.
      doses: any shape, in the unit of the training doses.

    Returns:
      Indices in 0..A-1.

    Raises:
      ValueError: if a dose is negative or not finite.
    """
    doses = np.asarray(doses, np.float64)
    if not np.isfinite(doses).all() or (doses < 0).any():
        raise ValueError("Doses must be finite and not negative; clean them first.")
    return np.searchsorted(bins.edges, doses, side="left").astype(np.int32)


def _quantile_edges(doses: np.ndarray, count: int) -> np.ndarray:
    """The [count - 1] edges of `count` non-empty bins of about equal frequency."""
    distinct, frequency = np.unique(doses, return_counts=True)
    share = np.cumsum(frequency) / doses.size
    edges, last = [], -1
    for i in range(1, count):
        # Smallest dose with at least i / count of all doses at or below it...
        wanted = int(np.searchsorted(share, i / count - 1e-9))
        # ...above the edge before, leaving a distinct dose for each bin above.
        last = min(max(wanted, last + 1), distinct.size - 1 - (count - i))
        edges.append(distinct[last])
    return np.asarray(edges)


def _labels(edges: np.ndarray) -> tuple[str, ...]:
    texts = [f"{edge:g}" for edge in edges]
    first = "0" if edges[0] == 0 else f"<= {texts[0]}"
    inner = [f"{low}-{high}" for low, high in itertools.pairwise(texts)]
    return (first, *inner, f"> {texts[-1]}")

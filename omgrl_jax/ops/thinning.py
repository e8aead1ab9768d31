"""Which of many recorded rows are kept."""

import numpy as np


def few(count: int, most: int, least: int) -> np.ndarray:
    """Indices of rows drawn at random, the same ones for equal numbers, in order.

    Not evenly spaced: steps of stays are, and whole hours of them, or all their ends,
    would be left out.

    Args:
      count: rows that there are.
      most: rows to keep at most; 0 for all.
      least: rows that are needed.

    Returns:
      [K] int, rising.

    Raises:
      ValueError: if fewer than are needed would be kept.
    """
    kept = min(count, most) if most else count
    if kept < least:
        raise ValueError(
            f"neighbours={least}: {kept} of {count} recorded steps are kept (points="
            f"{most}); ask fewer neighbours or keep more"
        )
    return np.sort(np.random.default_rng(0).permutation(count)[:kept])

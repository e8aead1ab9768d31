"""Rates over time: segments and point samples of any drug, and what they come to."""

import numpy as np
import pandas as pd

from data_prep.clock import HOUR

CARRY_SECONDS = 4 * HOUR
"""How long a CareVue rate stands without a further sample."""


def between(
    begin: np.ndarray, end: np.ndarray, rate: np.ndarray, points: np.ndarray
) -> np.ndarray:
    """The rate between consecutive points; where segments overlap the last one counts.

    Args:
      begin: [S] times at which segments begin, in ascending order.
      end: [S] times at which they end.
      rate: [S] their rates.
      points: [P + 1] ascending times, all `begin` and `end` in their span among them.

    Returns:
      [P] rates, zero where no segment runs.
    """
    middle = (points[1:] + points[:-1]) / 2
    if not begin.size:
        return np.zeros(middle.size)
    active = (begin <= middle[:, None]) & (middle[:, None] < end)
    last = begin.size - 1 - np.argmax(active[:, ::-1], axis=1)
    return np.where(active.any(axis=1), rate[last], 0.0)


def point_samples(rows: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """CareVue's rates of one stay: distinct times and the rate from then on.

    Args:
      rows: columns time (seconds), rate (may be missing) and stopped.

    Returns:
      Times [S] in ascending order and rates [S].
    """
    ended = rows["stopped"].isin(["Stopped", "D/C'd"])
    running = rows[rows["rate"].notna() & ~ended].groupby("time")["rate"].max()
    # A stop counts unless a running drip is charted at the same time (a new bag).
    stops = pd.Series(0.0, index=rows.loc[ended, "time"].unique())
    samples = running.combine_first(stops).sort_index()
    return samples.index.to_numpy(np.int64), samples.to_numpy(np.float64)


def carried(
    times: np.ndarray, rates: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Point samples as segments: each rate stands until the next, for 4 h at most.

    Args:
      times: [S] ascending times in seconds.
      rates: [S] the rates from then on.

    Returns:
      Where running segments end [S], which samples run at all [S] and which of them
      were cut after 4 h [S].
    """
    following = np.append(times[1:], np.iinfo(np.int64).max)
    end = np.minimum(following, times + CARRY_SECONDS)
    return end, rates > 0, (end < following) & (rates > 0)

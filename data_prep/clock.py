"""The rows of all stays: times on which states stand and between which doses fall.

Stays lie end to end. A stay of T steps has T + 1 rows; row t stands t steps after its
start and knows what was charted at or before that time.
"""

from typing import NamedTuple

import numpy as np
import pandas as pd

HOUR = 3600
"""Seconds."""


class Clock(NamedTuple):
    """How many rows each stay has, and how far they lie apart.

    Attributes:
      steps: [N] number of steps T of each stay.
      seconds: length of a step.
    """

    steps: np.ndarray
    seconds: int = HOUR

    @property
    def hours(self) -> float:
        """Length of a step in hours."""
        return self.seconds / HOUR

    def rows(self) -> tuple[np.ndarray, np.ndarray]:
        """Stay [R] and step [R] of every row."""
        stay = np.repeat(np.arange(self.steps.size), self.steps + 1)
        return stay, np.arange(stay.size) - self.first_rows()[stay]

    def first_rows(self) -> np.ndarray:
        """Row 0 of every stay, [N]."""
        return np.concatenate([[0], np.cumsum(self.steps + 1)[:-1]])

    def row_that_knows(self, stay: np.ndarray, seconds: np.ndarray) -> np.ndarray:
        """The first row that knows of each record.

        Args:
          stay: [E] stay of each record.
          seconds: [E] its time, from the stay's start.

        Returns:
          [E] rows, -1 for what was known a whole step before the start, and for what
          no row knows.
        """
        step = -(-seconds // self.seconds)
        inside = (step >= 0) & (step <= self.steps[stay])
        return np.where(inside, self.first_rows()[stay] + step, -1)


def seconds(times: pd.Series) -> np.ndarray:
    """Seconds since 1970, int64; a missing time gives the smallest number."""
    return times.to_numpy("datetime64[s]").astype(np.int64)


def times(since_1970: np.ndarray) -> np.ndarray:
    """The inverse of `seconds`, as engines take it."""
    return since_1970.astype("datetime64[s]").astype("datetime64[us]")

"""The heparin really given in each hour, from infusions and pushes."""

from collections import Counter
from typing import NamedTuple

import numpy as np
import pandas as pd

from data_prep import infusions as infusions_lib
from data_prep.clock import HOUR

ROUND_TO = 50.0
"""U/h; MetaVision's rates carry the jitter of the pump (1300.95)."""

PUSH_REACH = HOUR
"""A push belongs to treatment if an infusion runs within this many seconds of it.

Pushes far from any infusion (5000 U three times a day) are prophylaxis under the skin.
"""

# Columns of `Doses`, so that an empty frame has them too.
INFUSION = {"icustay_id": "int64", "start": "int64", "end": "int64", "rate": "float64"}
PUSH = {"icustay_id": "int64", "time": "int64", "amount": "float64"}


class Doses(NamedTuple):
    """Heparin of all stays.

    Attributes:
      infusions: columns icustay_id, start, end (seconds since 1970), rate (U/h).
      pushes: columns icustay_id, time (seconds since 1970), amount (U).
      doubtful: icustay_id of stays with a rate whose unit cannot be decided.
      charted: icustay_id of all stays with intravenous heparin of any kind.
    """

    infusions: pd.DataFrame
    pushes: pd.DataFrame
    doubtful: frozenset[int]
    charted: frozenset[int]


def combine(first: Doses, second: Doses) -> Doses:
    """The doses of both charting systems."""
    return Doses(
        typed(INFUSION, first.infusions, second.infusions),
        typed(PUSH, first.pushes, second.pushes),
        first.doubtful | second.doubtful,
        first.charted | second.charted,
    )


def attach_pushes(doses: Doses, repairs: Counter) -> Doses:
    """Keeps the pushes that an infusion accompanies.

    Args:
      doses: all doses.
      repairs: counts under (variable, rule), added to in place.

    Returns:
      The doses without pushes taken for prophylaxis.
    """
    keep = []
    drips = {k: v for k, v in doses.infusions.groupby("icustay_id")}
    for row in doses.pushes.itertuples():
        near = drips.get(row.icustay_id)
        keep.append(
            near is not None
            and bool(
                (
                    (near["start"] - PUSH_REACH <= row.time)
                    & (row.time <= near["end"] + PUSH_REACH)
                ).any()
            )
        )
    kept = np.asarray(keep, bool)
    repairs["heparin", "push far from any infusion: taken for prophylaxis"] += int(
        (~kept).sum()
    )
    return doses._replace(pushes=doses.pushes[kept])


def hourly(
    infusions: pd.DataFrame, pushes: pd.DataFrame, start: int, hours: int
) -> np.ndarray:
    """Units given in each hour after `start`, rounded to `ROUND_TO`.

    Hour t is [start + t h, start + (t + 1) h): what is given at the very time of an
    observation follows it. Where segments overlap the one that began last counts.

    Args:
      infusions: segments of one stay.
      pushes: pushes of one stay.
      start: seconds since 1970.
      hours: T.

    Returns:
      [T] U/h.
    """
    infusions = infusions.sort_values(["start", "end", "rate"])
    begin = infusions["start"].to_numpy(np.int64) - start
    end = infusions["end"].to_numpy(np.int64) - start
    grid = np.arange(hours + 1) * HOUR
    points = np.unique(np.concatenate([grid, begin, end]).clip(0, hours * HOUR))
    middle = (points[1:] + points[:-1]) / 2
    rate = infusions_lib.between(
        begin, end, infusions["rate"].to_numpy(np.float64), points
    )
    doses = np.bincount(
        (middle // HOUR).astype(np.int64),
        weights=rate * np.diff(points) / HOUR,
        minlength=hours,
    )
    hour = (pushes["time"].to_numpy(np.int64) - start) // HOUR
    inside = (hour >= 0) & (hour < hours)
    amount = pushes["amount"].to_numpy(np.float64)
    np.add.at(doses, hour[inside], amount[inside])
    return np.round(doses / ROUND_TO) * ROUND_TO


def typed(columns: dict[str, str], *frames: pd.DataFrame) -> pd.DataFrame:
    """One frame with exactly these columns and types from any number of frames.

    Args:
      columns: name -> type, `INFUSION` or `PUSH`.
      *frames: frames that have these columns.

    Returns:
      Their rows, one frame after the other.
    """
    return pd.DataFrame(
        {
            name: np.concatenate(
                [np.zeros(0, kind), *(f[name].to_numpy(kind) for f in frames)]
            )
            for name, kind in columns.items()
        }
    )

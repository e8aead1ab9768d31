"""Volumes that flow in and out, step by step: intravenous fluids and urine.

**Fluids** in mL of isotonic crystalloid by the AI Clinician's factors (Komorowski et
al., Nat Med 2018;24:1716-1720), which follow tonicity and oncotic pressure: .5 for
half-isotonic saline, 3 for saline 3 %, 5 for albumin 25 %, 6.66 for sodium bicarbonate
8.4 %, and so on; blood and isotonic colloids count as given; dextrose in water is a
carrier and does not count. What operating theatres and wards gave before the ICU is
left out.

**Rounding.** Pumps jitter by parts of a millilitre about what was ordered, so what
flowed in a step is rounded to 1 mL; equal doses are then equal.

**Steps.** The row at time t knows what flowed in the step that ended at t; the action
of that row is what the row after it knows. MetaVision writes from when to when a drip
ran, so its volume is shared over the steps that it ran in. CareVue writes at the end of
an hour what flowed in it, so a volume belongs to the step in which, or at whose end, it
was charted; so does urine.
"""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import pandas as pd

from data_prep.clock import Clock, seconds
from data_prep.measurements import Repairs
from data_prep.sepsis import items


class Volumes(NamedTuple):
    """What flowed, V records.

    Attributes:
      stay: [V] number of the stay.
      begin: [V] seconds since 1970; equal to `end` where a single time is charted.
      end: [V] seconds since 1970.
      amount: [V] mL; of fluids, mL of crystalloid.
    """

    stay: np.ndarray
    begin: np.ndarray
    end: np.ndarray
    amount: np.ndarray


class Flowed(NamedTuple):
    """Volumes on the rows of a clock.

    Attributes:
      step: [R] mL in the step that ended at each row.
      total: [R] mL of all records until then.
      charted: [R] bool, whether any record reaches into the step.
    """

    step: np.ndarray
    total: np.ndarray
    charted: np.ndarray


def fluids(
    metavision: Iterable[pd.DataFrame],
    carevue: Iterable[pd.DataFrame],
    repairs: Repairs,
) -> Volumes:
    """Intravenous fluids of both charting systems.

    Args:
      metavision: frames of `selections.fluids_metavision`.
      carevue: frames of `selections.fluids_carevue`.
      repairs: counts, added to in place.
    """

    def read(frame: pd.DataFrame, begin: str, end: str) -> Volumes:
        amount = frame["volume"].to_numpy(np.float64)
        credible = (amount > 0) & (amount <= items.FLUID_LIMIT)
        _count_dropped(repairs, "fluid", (amount > 0) & ~credible)
        equivalent = amount * frame["factor"].to_numpy(np.float64)
        return _volumes(frame, begin, end, equivalent, credible)

    return _joined(
        [
            *(read(frame, "start", "end") for frame in metavision),
            *(read(frame, "time", "time") for frame in carevue),
        ]
    )


def urine(frames: Iterable[pd.DataFrame], repairs: Repairs) -> Volumes:
    """Urine output, less what was flushed in until it has come out again.

    What was flushed in is a debt: what comes out pays it first, however much later,
    and only what is left over is urine.

    Args:
      frames: columns of `selections.urine`.
      repairs: counts, added to in place.
    """
    parts = []
    for frame in frames:
        amount = frame["volume"].to_numpy(np.float64)
        flushed = frame["flushed"].to_numpy(bool)
        credible = (amount >= 0) & ((amount <= items.URINE_LIMIT) | flushed)
        _count_dropped(repairs, "urine", ~credible)
        signed = np.where(frame["irrigant"].to_numpy(bool), -amount, amount)
        parts.append(_volumes(frame, "time", "time", signed, credible))
    return _without_debt(_joined(parts))


def flowed(volumes: Volumes, clock: Clock, start: np.ndarray) -> Flowed:
    """Volumes step by step; the step that ends at row 0 counts as well.

    Args:
      volumes: volumes of these stays.
      clock: the rows.
      start: [N] seconds since 1970 of row 0.

    Returns:
      What flowed, rounded to 1 mL in each step.
    """
    begin, end = volumes.begin - start[volumes.stay], volumes.end - start[volumes.stay]
    drip = begin < end
    dripped, before = shared(
        volumes.stay[drip], begin[drip], end[drip], volumes.amount[drip], clock
    )
    counted, earlier = charted(
        volumes.stay[~drip], end[~drip], volumes.amount[~drip], clock
    )
    rows = clock.row_that_knows(volumes.stay, end)
    known = np.zeros(dripped.size, bool)
    known[rows[rows >= 0]] = True
    step = (dripped + counted).round()
    stay, _ = clock.rows()
    total = np.concatenate([[0.0], np.cumsum(step)])
    since_first = total[1:] - total[clock.first_rows()][stay]
    return Flowed(step, since_first + (before + earlier)[stay], known | (dripped > 0))


def chosen(volumes: Volumes, stays: np.ndarray, count: int) -> Volumes:
    """The volumes of the stays [N'] alone, which become the stays 0..N'-1.

    Args:
      volumes: volumes of `count` stays.
      stays: [N'] those wanted.
      count: number of stays before.
    """
    place = np.full(count, -1)
    place[stays] = np.arange(stays.size)
    kept = Volumes(*(field[place[volumes.stay] >= 0] for field in volumes))
    return kept._replace(stay=place[kept.stay])


def shared(
    stay: np.ndarray,
    begin: np.ndarray,
    end: np.ndarray,
    volume: np.ndarray,
    clock: Clock,
) -> tuple[np.ndarray, np.ndarray]:
    """Volumes that flowed evenly from one time to another.

    Args:
      stay: [S] stay of each volume.
      begin: [S] seconds from the stay's start.
      end: [S] the same, after `begin`.
      volume: [S] mL.
      clock: the rows.

    Returns:
      [R] what flowed in the step that ended at each row, and [N] what had flowed
      before the first of these steps.
    """
    from_first = begin + clock.seconds
    until = end + clock.seconds
    rate = volume / (end - begin)
    before = np.bincount(
        stay,
        rate * (np.minimum(until, 0) - np.minimum(from_first, 0)),
        minlength=clock.steps.size,
    )
    first = np.maximum(from_first // clock.seconds, 0)
    last = np.minimum(-(-until // clock.seconds) - 1, clock.steps[stay])
    pieces = np.maximum(last - first + 1, 0)
    source = np.repeat(np.arange(stay.size), pieces)
    step = np.arange(source.size) - np.repeat(np.cumsum(pieces) - pieces, pieces)
    step += first[source]
    left = np.maximum(from_first[source], step * clock.seconds)
    right = np.minimum(until[source], (step + 1) * clock.seconds)
    row = clock.first_rows()[stay[source]] + step
    amount = rate[source] * (right - left)
    return np.bincount(row, amount, minlength=clock.rows()[0].size), before


def charted(
    stay: np.ndarray, time: np.ndarray, volume: np.ndarray, clock: Clock
) -> tuple[np.ndarray, np.ndarray]:
    """Volumes that stand at the time at which they were charted.

    Args:
      stay: [S] stay of each volume.
      time: [S] seconds from the stay's start.
      volume: [S] mL.
      clock: the rows.

    Returns:
      As `shared`.
    """
    row = clock.row_that_knows(stay, time)
    inside, early = row >= 0, time <= -clock.seconds
    total = np.bincount(row[inside], volume[inside], minlength=clock.rows()[0].size)
    return total, np.bincount(stay[early], volume[early], minlength=clock.steps.size)


def _volumes(
    frame: pd.DataFrame, begin: str, end: str, amount: np.ndarray, kept: np.ndarray
) -> Volumes:
    found = Volumes(
        frame["stay"].to_numpy(np.int64),
        seconds(frame[begin]),
        seconds(frame[end]),
        amount,
    )
    return Volumes(*(field[kept] for field in found))


def _without_debt(signed: Volumes) -> Volumes:
    """Volumes of which those below zero are paid by the later ones of their stay."""
    # What is flushed in at the very time of an output was in before it.
    order = np.lexsort((signed.amount, signed.end, signed.stay))
    ordered = Volumes(*(field[order] for field in signed))
    balance = pd.Series(ordered.amount).groupby(ordered.stay).cumsum()
    highest = balance.clip(lower=0.0).groupby(ordered.stay).cummax()
    before = highest.groupby(ordered.stay).shift(fill_value=0.0)
    return ordered._replace(amount=(highest - before).to_numpy(np.float64))


def _joined(parts: list[Volumes]) -> Volumes:
    return Volumes(*(np.concatenate(field) for field in zip(*parts, strict=True)))


def _count_dropped(repairs: Repairs, variable: str, wrong: np.ndarray) -> None:
    repairs[variable, "outside the limits: dropped"] += int(wrong.sum())

"""The heparin really given in each hour, from two charting systems.

MetaVision writes segments with a rate and pushes; CareVue writes point samples of the
rate. Both become segments (start, end, rate); pushes stay pushes. CareVue's
"Intravenous Push" rows are no boluses: each repeats what a drip delivered since the
row before, so they are read only to decide the unit of a doubtful rate.
"""

from collections import Counter
from typing import NamedTuple

import numpy as np
import pandas as pd

from data_prep import items

HOUR = 3600
CARRY_SECONDS = 4 * HOUR
"""How long a CareVue rate stands without a further sample."""

ROUND_TO = 50.0
"""U/h; MetaVision's rates carry the jitter of the pump (1300.95)."""

PUSH_REACH = HOUR
"""A push belongs to treatment if an infusion runs within this many seconds of it.

Pushes far from any infusion (5000 U three times a day) are prophylaxis under the skin.
"""

_DOUBTFUL_RATE = 50.0
_BAGS = (25.0, 40.0, 50.0, 100.0)  # U/mL


_INFUSION = {"icustay_id": "int64", "start": "int64", "end": "int64", "rate": "float64"}
_PUSH = {"icustay_id": "int64", "time": "int64", "amount": "float64"}


class Doses(NamedTuple):
    """Heparin of all stays.

    Attributes:
      infusions: columns icustay_id, start, end (seconds since 1970), rate (U/h).
      pushes: columns icustay_id, time (seconds since 1970), amount (U).
      doubtful: icustay_id of stays with a rate whose unit cannot be decided.
    """

    infusions: pd.DataFrame
    pushes: pd.DataFrame
    doubtful: frozenset[int]


def metavision(frame: pd.DataFrame, repairs: Counter) -> Doses:
    """Reads MetaVision's rows.

    Args:
      frame: columns of `selections.heparin_metavision`.
      repairs: counts under (variable, rule), added to in place.

    Returns:
      The doses; gaps between segments are true zeros.
    """
    rewritten = frame["statusdescription"].fillna("") == "Rewritten"
    repairs["heparin", "rewritten order: dropped"] += int(rewritten.sum())
    frame = frame[~rewritten].drop_duplicates()
    category = frame["ordercategorydescription"].fillna("")
    drip = frame[category == "Continuous Med"]
    start, end = _seconds(drip["starttime"]), _seconds(drip["endtime"])
    infusions = pd.DataFrame(
        {"icustay_id": drip["icustay_id"].to_numpy(), "start": start, "end": end}
    )
    infusions["rate"] = _metavision_rate(drip, (end - start) / HOUR, repairs)
    valid = (infusions["rate"] <= items.RATE_LIMIT) & (infusions["start"] < end)
    repairs["heparin", "infusion without credible rate: dropped"] += int((~valid).sum())
    push = frame[category == "Drug Push"]
    pushes = pd.DataFrame(
        {
            "icustay_id": push["icustay_id"].to_numpy(),
            "time": _seconds(push["starttime"]),
            "amount": push["amount"].to_numpy(np.float64),
        }
    )
    credible = (pushes["amount"] > 0) & (pushes["amount"] <= items.BOLUS_LIMIT)
    repairs["heparin", "push without credible amount: dropped"] += int(
        (~credible).sum()
    )
    return Doses(infusions[valid], pushes[credible], frozenset())


def carevue(frame: pd.DataFrame, repairs: Counter) -> Doses:
    """Reads CareVue's rows.

    Args:
      frame: columns of `selections.heparin_carevue`.
      repairs: counts under (variable, rule), added to in place.

    Returns:
      The doses, without pushes: CareVue's boluses cannot be told from its drips.
    """
    frame = frame.assign(time=_seconds(frame["charttime"]))
    frame, doubtful = _carevue_units(frame, repairs)
    segments = []
    for icustay, rows in frame.groupby("icustay_id", sort=True):
        times, rates = _carevue_samples(rows)
        following = np.append(times[1:], np.iinfo(np.int64).max)
        end = np.minimum(following, times + CARRY_SECONDS)
        cut = (end < following) & (rates > 0)
        repairs["heparin", "rate carried forward for at most 4 h"] += int(cut.sum())
        segments.append(
            pd.DataFrame(
                {"icustay_id": icustay, "start": times, "end": end, "rate": rates}
            )[rates > 0]
        )
    infusions = pd.concat(segments) if segments else _typed(_INFUSION)
    return Doses(infusions, _typed(_PUSH), doubtful)


def combine(first: Doses, second: Doses) -> Doses:
    """The doses of both charting systems."""
    return Doses(
        _typed(_INFUSION, first.infusions, second.infusions),
        _typed(_PUSH, first.pushes, second.pushes),
        first.doubtful | second.doubtful,
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
    active = (begin <= middle[:, None]) & (middle[:, None] < end)
    rate = np.zeros(middle.size)
    if begin.size:
        last = begin.size - 1 - np.argmax(active[:, ::-1], axis=1)
        rate = np.where(
            active.any(axis=1), infusions["rate"].to_numpy(np.float64)[last], 0.0
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


def _typed(columns: dict[str, str], *frames: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame(
        {
            name: np.concatenate(
                [np.zeros(0, kind), *(f[name].to_numpy(kind) for f in frames)]
            )
            for name, kind in columns.items()
        }
    )


def _seconds(times: pd.Series) -> np.ndarray:
    return times.to_numpy("datetime64[s]").astype(np.int64)


def _metavision_rate(
    drip: pd.DataFrame, hours: np.ndarray, repairs: Counter
) -> np.ndarray:
    """U/h of each segment; the amount decides where rate and amount disagree."""
    unit = drip["rateuom"].fillna("").str.lower().str.replace(" ", "")
    scale = np.select(
        [unit == "units/hour", unit == "units/min", unit == "units/kg/hour"],
        [1.0, 60.0, drip["patientweight"].to_numpy(np.float64)],
        np.nan,
    )
    rate = drip["rate"].to_numpy(np.float64) * scale
    delivered = drip["amount"].to_numpy(np.float64) / np.maximum(hours, 1 / HOUR)
    # One part in ten: charting to the minute blurs short segments.
    differs = ~(np.abs(rate - delivered) <= 0.1 * np.abs(delivered))
    differs &= np.isfinite(delivered)
    repairs["heparin", "rate disagrees with amount: amount taken"] += int(differs.sum())
    rate = np.where(differs, delivered, rate)
    return np.where(np.isfinite(rate) & (rate >= 0), rate, np.inf)


def _carevue_samples(rows: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Distinct times [S] and the rate from then on [S] of one stay."""
    ended = rows["stopped"].isin(["Stopped", "D/C'd"])
    running = rows[rows["rate"].notna() & ~ended].groupby("time")["rate"].max()
    # A stop counts unless a running drip is charted at the same time (a new bag).
    stops = pd.Series(0.0, index=rows.loc[ended, "time"].unique())
    samples = running.combine_first(stops).sort_index()
    return samples.index.to_numpy(np.int64), samples.to_numpy(np.float64)


def _carevue_units(
    frame: pd.DataFrame, repairs: Counter
) -> tuple[pd.DataFrame, frozenset[int]]:
    """Turns mL/h charted as U/h into U/h, order by order, by the amounts."""
    unit = frame["rateuom"].fillna("Uhr").str.lower().str.replace("/", "")
    slip = (frame["rate"] > 0) & ((frame["rate"] < _DOUBTFUL_RATE) | (unit != "uhr"))
    doubtful = set(frame.loc[slip & frame["linkorderid"].isna(), "icustay_id"])
    rate = frame["rate"].to_numpy(np.float64, copy=True)
    for order in frame.loc[slip, "linkorderid"].dropna().unique():
        own = frame["linkorderid"] == order
        bag = _bag(frame[own])
        if bag is None:
            doubtful |= set(frame.loc[own & slip, "icustay_id"])
            continue
        rate[(own & slip).to_numpy()] *= bag
        repairs["heparin", "mL/h charted as U/h: times the bag's U/mL"] += (
            int((own & slip).sum()) if bag != 1 else 0
        )
    wild = rate > items.RATE_LIMIT
    repairs["heparin", "rate above 5000 U/h: dropped"] += int(wild.sum())
    rate[wild] = np.nan
    return frame.assign(rate=rate), frozenset(int(stay) for stay in doubtful)


def _bag(order: pd.DataFrame) -> float | None:
    """U per charted rate unit of an order: 1, a bag's strength, or None if unclear."""
    rates = order[order["rate"].notna()].groupby("time")["rate"].max()
    amounts = order[order["amount"].notna()].groupby("time")["amount"].sum()
    ratios = []
    for before, now in zip(amounts.index[:-1], amounts.index[1:], strict=True):
        inside = rates[(rates.index >= before) & (rates.index < now)]
        if inside.size and amounts[now] > 0:
            ratios.append(amounts[now] / (inside.mean() * (now - before) / HOUR))
    if not ratios:
        return None
    ratio = float(np.median(ratios))
    return next((b for b in (1.0, *_BAGS) if abs(ratio / b - 1) <= 0.2), None)

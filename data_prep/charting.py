"""Heparin as two charting systems write it, turned into infusions and pushes.

MetaVision writes segments with a rate, and pushes; CareVue writes point samples of the
rate. CareVue's "Intravenous Push" rows are no boluses: each repeats what a drip
delivered since the row before, so they are read only to decide the unit of a rate.
"""

from collections import Counter

import numpy as np
import pandas as pd

from data_prep import clock as clock_lib
from data_prep import infusions as infusions_lib
from data_prep import items
from data_prep.clock import HOUR
from data_prep.heparin_doses import INFUSION, PUSH, Doses, typed

_CATEGORIES = ("Continuous Med", "Drug Push")
_DOUBTFUL_RATE = 50.0
_BAGS = (25.0, 40.0, 50.0, 100.0)  # U/mL


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
    drip = frame[category == _CATEGORIES[0]]
    start, end = (
        clock_lib.seconds(drip["starttime"]),
        clock_lib.seconds(drip["endtime"]),
    )
    infusions = pd.DataFrame(
        {"icustay_id": drip["icustay_id"].to_numpy(), "start": start, "end": end}
    )
    infusions["rate"] = _metavision_rate(drip, (end - start) / HOUR, repairs)
    valid = (infusions["rate"] <= items.RATE_LIMIT) & (infusions["start"] < end)
    repairs["heparin", "infusion without credible rate: dropped"] += int((~valid).sum())
    push = frame[category == _CATEGORIES[1]]
    pushes = pd.DataFrame(
        {
            "icustay_id": push["icustay_id"].to_numpy(),
            "time": clock_lib.seconds(push["starttime"]),
            "amount": push["amount"].to_numpy(np.float64),
        }
    )
    credible = (pushes["amount"] > 0) & (pushes["amount"] <= items.BOLUS_LIMIT)
    repairs["heparin", "push without credible amount: dropped"] += int(
        (~credible).sum()
    )
    charted = frozenset(frame[category.isin(_CATEGORIES)]["icustay_id"])
    return Doses(infusions[valid], pushes[credible], frozenset(), charted)


def carevue(frame: pd.DataFrame, repairs: Counter) -> Doses:
    """Reads CareVue's rows.

    Args:
      frame: columns of `selections.heparin_carevue`.
      repairs: counts under (variable, rule), added to in place.

    Returns:
      The doses, without pushes: CareVue's boluses cannot be told from its drips.
    """
    frame = frame.assign(time=clock_lib.seconds(frame["charttime"]))
    frame, doubtful = _carevue_units(frame, repairs)
    segments = []
    for icustay, rows in frame.groupby("icustay_id", sort=True):
        times, rates = infusions_lib.point_samples(rows)
        end, runs, cut = infusions_lib.carried(times, rates)
        repairs["heparin", "rate carried forward for at most 4 h"] += int(cut.sum())
        segments.append(
            pd.DataFrame(
                {"icustay_id": icustay, "start": times, "end": end, "rate": rates}
            )[runs]
        )
    infusions = pd.concat(segments) if segments else typed(INFUSION)
    return Doses(infusions, typed(PUSH), doubtful, frozenset(frame["icustay_id"]))


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

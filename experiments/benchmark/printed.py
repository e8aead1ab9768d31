"""The table as text."""

from collections.abc import Sequence

from experiments.benchmark.row import Row
from experiments.benchmark.timing import Spread

_MET = {True: "yes", False: "NO", None: ""}


def number(value: float) -> str:
    """Three digits, or whole ones of a large number."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def spread(value: Spread | None) -> str:
    """The median, with least and most where they differ."""
    if value is None:
        return "not measured"
    middle = number(value.median)
    if value.least == value.most:
        return middle
    return f"{middle} ({number(value.least)}..{number(value.most)})"


def line(row: Row) -> str:
    """One row: value, share of the ceiling, target, whether it is met, what it was."""
    share = target = ""
    if row.share is not None and row.ceiling is not None:
        low, middle, high = (100 * part for part in row.share)
        reached = f"{middle:.0f} % ({low:.0f}..{high:.0f})"
        share = f"{reached} of {row.ceiling.median / 1e9:.0f} GFLOP/s"
    if row.share_target is not None:
        target = f">= {100 * row.share_target:.0f} %"
    if row.target is not None:
        sign = "<=" if row.at_most else ">="
        target = f"{sign} {number(row.target)}  {target}".strip()
    value = f"{spread(row.value)} {row.unit}".strip()
    what = row.what
    if row.against:
        at = "" if row.at is None else f" {row.at:,.0f}"
        what = f"{what}, {row.against}{at}"
    if row.flops is not None:
        what = f"{what} [{row.flops / 1e6:,.4g} MFLOP]"
    note = f"  ({row.note})" if row.note else ""
    return (
        f"{row.piece:<12}{value:<44}{share:<34}{target:<18}{_MET[row.met]:<4}"
        f"{what}{note}"
    )


def heading(machine: dict) -> str:
    """On what was measured."""
    versions = ", ".join(f"{k} {v}" for k, v in machine["versions"].items())
    devices = f"{machine['devices']} {machine['device']} devices"
    return (
        f"{machine['cpu']}, {machine['cores']} cores, {devices} ({machine['backend']})"
        f"\n{versions}\n\n"
        f"{'piece':<12}{'median (least..most)':<44}{'share of the ceiling':<34}"
        f"{'target':<18}{'met':<4}what"
    )


def summary(rows: Sequence[Row]) -> str:
    """How many rows meet their targets."""
    judged = [row for row in rows if row.met is not None]
    return f"{sum(bool(row.met) for row in judged)} of {len(judged)} targets met"

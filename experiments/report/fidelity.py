"""How true the learned model is, in numbers that several sentences of the page use."""

from typing import NamedTuple

from experiments.report import estimates
from experiments.report.estimates import Estimate
from experiments.report.results import Results


class Ratio(NamedTuple):
    """How two quantities relate at the furthest hour that was looked at.

    Attributes:
      horizon: hours ahead.
      value: the one divided by the other.
    """

    horizon: float
    value: float


def aptt_error(run: Results) -> Ratio | None:
    """Returns the model's aPTT error over that of assuming that nothing changes."""
    rows = [row for row in run.get("dynamics") or [] if row["quantity"] == "aptt"]
    return _furthest(rows, "model", "persistence")


def beside_persistence(error: Ratio) -> str:
    """Returns `aptt_error` in words that follow "the error lies"."""
    change = 100 * (error.value - 1)
    side = "below" if change < 0 else "above"
    return f"{abs(change):.0f} % {side} that of assuming that nothing changes"


def drift(run: Results) -> Ratio | None:
    """Returns how far imagined states lie from the data, recorded ones being 1."""
    return _furthest(run.get("drift") or [], "model", "recorded")


def dose_effect(run: Results) -> Estimate | None:
    """Returns the model's effect of a dose on aPTT over the true one, over seeds."""
    rows = (run.get("intervention") or {}).get("rows") or []
    return estimates.over_seeds(rows, "ratio")


def _furthest(rows: list, above: str, below: str) -> Ratio | None:
    known = [row for row in rows if row["horizon"] is not None]
    if not known:
        return None
    horizon = max(row["horizon"] for row in known)
    last = [row for row in known if row["horizon"] == horizon]
    first, second = (estimates.over_seeds(last, name) for name in (above, below))
    if not first or not second or not second.mean:
        return None
    return Ratio(horizon, first.mean / second.mean)

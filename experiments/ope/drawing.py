"""The figure of a coverage study: errors above, coverage below."""

import io

import numpy as np
import pandas as pd

from experiments.report import drawing

_MARKS = ("o", "s", "^", "D", "v", "P")
_COLOURS = (
    *(drawing.BLUE, drawing.ORANGE, drawing.GREEN),
    *(drawing.RED, drawing.PURPLE, drawing.BLACK),
)


def coverage_error(share: float, count: int) -> float:
    """Standard error of a share of `count` replicates."""
    return float(np.sqrt(share * (1 - share) / count))


def write(summary: pd.DataFrame, level: float, kind: str) -> bytes:
    """Draws bias with spread, and coverage, by estimator and shift.

    Args:
      summary: rows of `ope_coverage.summarise`.
      level: confidence level of the intervals.
      kind: "svg" or "png".

    Returns:
      The picture's bytes, the same for the same summary.
    """
    names = list(dict.fromkeys(summary["estimator"]))
    shifts = list(dict.fromkeys(summary["shift"]))
    with drawing.canvas(5.2, rows=2) as (figure, (errors, coverage)):
        for k, shift in enumerate(shifts):
            part = summary[summary["shift"] == shift].set_index("estimator").loc[names]
            at = np.arange(len(names)) + 0.6 * ((k + 0.5) / len(shifts) - 0.5)
            style = {
                "fmt": _MARKS[k % len(_MARKS)],
                "color": _COLOURS[k % len(_COLOURS)],
                "markersize": 4.5,
                "linewidth": 1.1,
            }
            errors.errorbar(at, part["bias"], part["spread"], **style)
            share, count = part["coverage"], part["replicates"]
            bars = [coverage_error(*x) for x in zip(share, count, strict=True)]
            coverage.errorbar(at, share, bars, label=f"shift {shift:g}", **style)
        errors.axhline(0.0, color=drawing.GREY, linewidth=0.9)
        errors.set_yscale("symlog", linthresh=_core(summary))
        errors.set_ylabel("estimate - truth")
        errors.set_title("Error: mean and standard deviation")
        coverage.axhline(level, color=drawing.GREY, linewidth=0.9, linestyle="--")
        coverage.set_ylim(-0.03, 1.03)
        coverage.set_ylabel("share of intervals")
        coverage.set_title(f"Intervals of {100 * level:g} % that hold the truth")
        coverage.set_xticks(np.arange(len(names)), [n.upper() for n in names])
        drawing.legend_below(figure, coverage, columns=min(3, len(shifts)))
        stream = io.BytesIO()
        unsigned = {"Date": None, "Creator": None} if kind == "svg" else {}
        figure.savefig(stream, format=kind, dpi=160, metadata=unsigned)
    return stream.getvalue()


def _core(summary: pd.DataFrame) -> float:
    """A power of ten below which errors are drawn on a linear scale: most are."""
    size = np.abs(summary["bias"]) + summary["spread"]
    middle = float(size[np.isfinite(size)].median())
    return 10.0 ** np.ceil(np.log10(middle)) if middle > 0 else 1.0

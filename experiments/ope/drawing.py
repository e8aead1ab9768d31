"""The figures of a coverage study: errors and coverage, and what they rest on."""

import io
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.ope.summary import coverage_error, weighted
from experiments.report import drawing
from experiments.report.drawing import Picture
from omgrl_jax.evaluation import off_policy

_MARKS = ("o", "s", "^", "D", "v", "P")
_COLOURS = (
    *(drawing.BLUE, drawing.ORANGE, drawing.GREEN),
    *(drawing.RED, drawing.PURPLE, drawing.BLACK),
)
_HEIGHT = 5.2


def write(summary: pd.DataFrame, level: float, kind: str) -> bytes:
    """Draws bias with spread, and coverage, by estimator and shift.

    Args:
      summary: rows of `summary.summarise`.
      level: confidence level of the intervals.
      kind: "svg" or "png".

    Returns:
      The picture's bytes, the same for the same summary.
    """
    with drawing.canvas(_HEIGHT, rows=2) as (figure, axes):
        _draw_coverage(figure, axes, summary, level)
        stream = io.BytesIO()
        unsigned = {"Date": None, "Creator": None} if kind == "svg" else {}
        figure.savefig(stream, format=kind, dpi=160, metadata=unsigned)
    return stream.getvalue()


def coverage(summary: pd.DataFrame, level: float) -> Picture:
    """The same figure for the page.

    Args:
      summary: rows of `summary.summarise`.
      level: confidence level of the intervals.
    """
    with drawing.canvas(_HEIGHT, rows=2) as (figure, axes):
        _draw_coverage(figure, axes, summary, level)
        caption = (
            "Above: mean error of the estimates, bars: their standard deviation over "
            "logs; 0 is right, and the scale is not linear far from it. Below: the "
            f"share of intervals that hold the true value, bars: its standard error; "
            f"the dashed line is what they promise, {100 * level:g} %."
        )
        alt = f"Share of intervals that hold the truth. {_said(summary, 'coverage')}."
        return drawing.finish(figure, alt, caption)


def weights(summary: pd.DataFrame) -> Picture:
    """Effective patients and largest weight by estimator and shift.

    Args:
      summary: rows of `summary.summarise`.
    """
    known = summary[summary["estimator"].map(weighted)]
    with drawing.canvas(_HEIGHT, rows=2) as (figure, (above, below)):
        for panel, name, scale in ((above, "ess", 1.0), (below, "largest", 100.0)):
            for at, part, style in _series(known):
                middle = part[name]
                ends = [middle - part[f"{name}_low"], part[f"{name}_high"] - middle]
                bars = scale * np.clip(ends, 0.0, None)
                panel.errorbar(at, scale * middle, bars, **style)
        above.axhline(off_policy.LEAST_PATIENTS, color=drawing.RED, linestyle="--")
        above.set(yscale="log", ylabel="patients", title="Effective patients")
        below.set(ylim=(-3, 103), ylabel="% of all weight", title="Largest weight")
        _name_estimators(figure, below, known)
        caption = (
            "Median over logs, bars: quartiles; both at the last step, where weights "
            "are worst. Below the red dashed line, "
            f"{off_policy.LEAST_PATIENTS:g} effective patients, no estimate should be "
            "believed, whatever its interval says."
        )
        alt = f"Effective patients. {_said(known, 'ess')}."
        return drawing.finish(figure, alt, caption)


def _draw_coverage(
    figure: Figure, axes: list[Axes], summary: pd.DataFrame, level: float
) -> None:
    errors, shares = axes
    for at, part, style in _series(summary):
        errors.errorbar(at, part["bias"], part["spread"], **style)
        share, count = part["coverage"], part["replicates"]
        bars = [coverage_error(*x) for x in zip(share, count, strict=True)]
        shares.errorbar(at, share, bars, **style)
    errors.axhline(0.0, color=drawing.GREY, linewidth=0.9)
    errors.set_yscale("symlog", linthresh=_core(summary))
    errors.set_ylabel("estimate - truth")
    errors.set_title("Error: mean and standard deviation")
    shares.axhline(level, color=drawing.GREY, linewidth=0.9, linestyle="--")
    shares.set_ylim(-0.03, 1.03)
    shares.set_ylabel("share of intervals")
    shares.set_title(f"Intervals of {100 * level:g} % that hold the truth")
    _name_estimators(figure, shares, summary)


def _series(
    summary: pd.DataFrame,
) -> Iterator[tuple[np.ndarray, pd.DataFrame, dict[str, Any]]]:
    """For each shift: places of the estimators, their rows in order, and the style."""
    names = list(dict.fromkeys(summary["estimator"]))
    shifts = list(dict.fromkeys(summary["shift"]))
    for k, shift in enumerate(shifts):
        part = summary[summary["shift"] == shift].set_index("estimator").loc[names]
        at = np.arange(len(names)) + 0.6 * ((k + 0.5) / len(shifts) - 0.5)
        style = {
            "fmt": _MARKS[k % len(_MARKS)],
            "color": _COLOURS[k % len(_COLOURS)],
            "markersize": 4.5,
            "linewidth": 1.1,
            "label": f"shift {shift:g}",
        }
        yield at, part, style


def _name_estimators(figure: Figure, axes: Axes, summary: pd.DataFrame) -> None:
    names = list(dict.fromkeys(summary["estimator"]))
    axes.set_xticks(np.arange(len(names)), [name.upper() for name in names])
    drawing.legend_below(figure, axes, columns=min(3, summary["shift"].nunique()))


def _said(summary: pd.DataFrame, name: str) -> str:
    """A column of the summary as words, for those who cannot see the figure."""
    parts = []
    for shift, part in summary.groupby("shift", sort=False):
        pairs = zip(part["estimator"], part[name], strict=True)
        texts = ", ".join(f"{one.upper()} {value:.3g}" for one, value in pairs)
        parts.append(f"Shift {shift:g}: {texts}")
    return "; ".join(parts)


def _core(summary: pd.DataFrame) -> float:
    """A power of ten below which errors are drawn on a linear scale: most are."""
    size = np.abs(summary["bias"]) + summary["spread"]
    middle = float(size[np.isfinite(size)].median())
    return 10.0 ** np.ceil(np.log10(middle)) if middle > 0 else 1.0

"""The sections of a coverage study's page: coverage, errors, and what they rest on."""

import numpy as np
import pandas as pd

from experiments.ope import drawing
from experiments.ope.summary import coverage_error, doubted, weighted
from experiments.report import blocks, words
from experiments.report.blocks import Block
from experiments.report.tables import Table
from omgrl_jax.evaluation import off_policy

READ = "wdr"  # the estimator whose weights are told where one must do


def coverage(summary: pd.DataFrame, level: float) -> Block:
    """Do the intervals hold the truth? With a warning where nobody should ask."""
    shown = [
        (departure(float(shift)), _table(part))
        for shift, part in summary.groupby("shift", sort=False)
    ]
    pictures = [drawing.coverage(summary, level), drawing.weights(summary)]
    return blocks.block(pictures, shown, warnings=_warnings(summary))


def departure(shift: float) -> str:
    """A shift in words."""
    if shift == 0:
        return "Shift 0: the evaluated policy follows the behaviour policy always"
    return (
        f"Shift {shift:g}: the evaluated policy departs in {100 * shift:g} % of "
        "decisions"
    )


def effective(summary: pd.DataFrame, shift: float) -> str:
    """Effective patients at a shift: median over logs with quartiles."""
    return quartiles(row_of(summary, shift, READ), "ess")


def row_of(summary: pd.DataFrame, shift: float, estimator: str) -> pd.Series:
    """The summary of one estimator at one shift."""
    same = (summary["shift"] == shift) & (summary["estimator"] == estimator)
    return summary[same].iloc[0]


def number(value: float) -> str:
    """A number of three digits, a dash where it does not exist."""
    if not np.isfinite(value):
        return "–"
    return words.typeset(f"{value:.3g}")


def share(row: pd.Series) -> str:
    """Coverage with its standard error, in percent."""
    error = coverage_error(row["coverage"], row["replicates"])
    return words.typeset(f"{100 * row['coverage']:.1f} ± {100 * error:.1f} %")


def _warnings(summary: pd.DataFrame) -> list[str]:
    few = [f"shift {s:g} ({effective(summary, s)})" for s in doubted(summary)]
    if not few:
        return []
    return [
        f"Not to be believed, fewer than {off_policy.LEAST_PATIENTS:g} effective "
        f"patients: {'; '.join(few)} (median over logs, in brackets quartiles). "
        "Intervals may hold the truth there merely because they are wide."
    ]


def _table(part: pd.DataFrame) -> Table:
    """Errors, coverage and weights at one shift."""
    cells = []
    for _, row in part.iterrows():
        name = str(row["estimator"])
        size = f"{number(row['rmse'])} ± {number(row['rmse_error'])}"
        ess, largest = "no weights", "no weights"
        if weighted(name):
            ess, largest = quartiles(row, "ess"), quartiles(row, "largest", True)
            if off_policy.few(row["ess"]):
                ess += f"\n(below {off_policy.LEAST_PATIENTS:g})"
        undefined = int(row["undefined"])
        shown = share(row) + (f"\n({undefined} undefined)" if undefined else "")
        cells.append(
            [
                *(words.estimator(name), _bias(row), size, shown),
                *(quartiles(row, "width"), ess, largest),
            ]
        )
    first = part.iloc[0]
    exact = not first["truth_error"]
    truth = number(first["truth"])
    truth += "" if exact else f" ± {number(first['truth_error'])}"
    columns = ["Estimator", "Bias", "RMSE", "Coverage", "Width of intervals"]
    note = (
        f"True value: {truth}, mean over {int(first['replicates'])} logs"
        f"{', exact' if exact else '; ± standard error of one, from simulation'}. "
        "Bias: mean error with its 95 % interval over logs. RMSE: root mean squared "
        "error ± its standard error. Coverage: share of intervals that hold the truth "
        "± its standard error. The others: median over logs, in brackets quartiles."
    )
    return Table([*columns, "Effective patients", "Largest weight"], cells, note)


def _bias(row: pd.Series) -> str:
    known = row["replicates"] - row["undefined"]
    half = 1.96 * row["spread"] / np.sqrt(max(known, 1))
    ends = "\u00a0to\u00a0".join(number(row["bias"] + sign * half) for sign in (-1, 1))
    return f"{number(row['bias'])}\n[{ends}]"


def quartiles(row: pd.Series, name: str, percent: bool = False) -> str:
    """A median over logs with its quartiles."""
    names = (name, f"{name}_low", f"{name}_high")
    scale, unit = (100.0, "\u00a0%") if percent else (1.0, "")
    middle, low, high = (number(scale * row[n]) for n in names)
    return f"{middle}{unit} [{low}\u00a0to\u00a0{high}]"

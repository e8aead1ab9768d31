"""What a coverage study came to: errors, coverage, and what estimates rest on."""

import numpy as np
import pandas as pd

from omgrl_jax.evaluation import off_policy
from omgrl_jax.ops import estimators

SHOWN = ("truth", "bias", "spread", "rmse", "coverage", "width", "ess", "largest")
# Summarised by their medians and quartiles: they are far from symmetric.
SKEWED = ("width", "ess", "largest")


def summarise(rows: pd.DataFrame) -> pd.DataFrame:
    """One row for each estimator and shift.

    Args:
      rows: the rows of `ope_coverage.run`.

    Returns:
      Bias, spread and root mean squared error of the estimates that are finite, with
      its standard error (`rmse_error`), the number of others, coverage, and medians
      with quartiles (`_low`, `_high`) of the intervals' width, of effective patients
      and of the largest weight. An interval that is not defined does not cover.
    """
    lines = []
    for (name, shift), part in rows.groupby(["estimator", "shift"], sort=False):
        error = part["estimate"].astype(float) - part["truth"]
        error = error.where(np.isfinite(error))
        covers = (part["low"] <= part["truth"]) & (part["truth"] <= part["high"])
        line = {
            "estimator": name,
            "shift": shift,
            "replicates": len(part),
            "truth": part["truth"].mean(),
            "truth_error": part["truth_error"].mean(),
            "bias": error.mean(),
            "spread": error.std(ddof=1) if len(part) > 1 else 0.0,
            "undefined": int(error.isna().sum()),
            **_size(error.dropna()),
            "coverage": covers.mean(),
        }
        known = part.assign(width=part["high"] - part["low"])
        for skewed in SKEWED:
            quartiles = known[skewed].quantile([0.5, 0.25, 0.75])
            names = (skewed, f"{skewed}_low", f"{skewed}_high")
            line |= dict(zip(names, quartiles, strict=True))
        lines.append(line)
    return pd.DataFrame(lines)


def _size(error: pd.Series) -> dict[str, float]:
    """Root mean squared error, and its standard error by the delta method."""
    squares = np.square(error)
    size = float(np.sqrt(squares.mean()))
    apart = squares.std(ddof=1) if len(squares) > 1 else 0.0
    of_mean = apart / np.sqrt(max(len(squares), 1))
    return {"rmse": size, "rmse_error": of_mean / (2 * size) if size else 0.0}


def table(summary: pd.DataFrame) -> str:
    """The summary as text, a block for each shift."""
    lines = []
    for shift, part in summary.groupby("shift", sort=False):
        head = "".join(f"{name:>16}" for name in SHOWN)
        lines.append(f"{f'shift {shift:g}':<12}{head}")
        for _, row in part.iterrows():
            cells = {name: f"{row[name]:.4g}" for name in SHOWN}
            error = coverage_error(row["coverage"], row["replicates"])
            cells["coverage"] = f"{row['coverage']:.3f} ± {error:.3f}"
            known = weighted(row["estimator"])
            cells["ess"] = f"{row['ess']:.1f}" if known else "-"
            cells["largest"] = f"{row['largest']:.3f}" if known else "-"
            line = "".join(f"{cells[name]:>16}" for name in SHOWN)
            lines.append(f"{row['estimator']:<12}{line}")
    return "\n".join(lines)


def coverage_error(share: float, count: int) -> float:
    """Standard error of a share of `count` replicates."""
    return float(np.sqrt(share * (1 - share) / count))


def weighted(estimator: str) -> bool:
    """Whether an estimator weighs patients; one that does not has no effective size."""
    return estimators.ESTIMATORS[estimator].reach is not estimators.no_step


def doubted(summary: pd.DataFrame) -> list[float]:
    """Shifts whose estimates rest on too few effective patients to be believed.

    Args:
      summary: of `summarise`.

    Returns:
      Those at which the median over logs is too small for any weighted estimator.
    """
    return list(
        dict.fromkeys(
            row["shift"]
            for _, row in summary.iterrows()
            if weighted(row["estimator"]) and off_policy.few(row["ess"])
        )
    )

"""What the study came to: means and spread over seeds, and who wins."""

from typing import NamedTuple

import numpy as np
import pandas as pd

from experiments.report import estimates

_NO_RIVALS = ("persim", "persim_average", "truth")
# Behind the name of a method that learns in an agent's PerSim simulator.
PERSONAL = "_personal"
# Behind one that learns from an agent's own log and nothing else.
ALONE = "_alone"
ALL = -1  # in the column `agent`: the mean over agents


def summarise(rows: pd.DataFrame) -> pd.DataFrame:
    """Mean and standard deviation over seeds of every figure.

    Args:
      rows: the rows of `study.run`.

    Returns:
      A row for each section, method, count, measure and agent, and one for the mean
      over agents (agent -1): `mean`, `deviation` over seeds (NaN of one), `seeds`.
    """
    names = ["section", "method", "count", "measure"]
    apart = rows[rows["agent"] != ALL]
    together = apart.groupby([*names, "seed"], sort=False)["value"].mean().reset_index()
    whole = rows[rows["agent"] == ALL]
    every = pd.concat([apart, together.assign(agent=ALL), whole])
    grouped = every.groupby([*names, "agent"], sort=False)["value"]
    found = grouped.agg(mean="mean", deviation="std", seeds="count")
    return found.reset_index()


def part(
    summary: pd.DataFrame, section: str, measure: str, count: int | None = None
) -> pd.DataFrame:
    """One table: methods down, agents across, with columns `mean` and `deviation`.

    Args:
      summary: of `summarise`.
      section: which section.
      measure: which measure.
      count: number of agents learned from; None for all there were.
    """
    chosen = summary[(summary["section"] == section) & (summary["measure"] == measure)]
    count = int(summary["count"].max()) if count is None else count
    chosen = chosen[chosen["count"] == count]
    return chosen.pivot(
        index="method", columns="agent", values=["mean", "deviation"]
    ).reindex(chosen["method"].drop_duplicates())


class Compared(NamedTuple):
    """For how many of the judged agents PerSim is better than the best rival of each.

    Attributes:
      better: clearly better: the 95 % interval of the difference, paired by seed, lies
        above 0.
      level: no clear difference.
      worse: clearly worse.
    """

    better: int
    level: int
    worse: int


def compared(rows: pd.DataFrame, section: str, measure: str) -> Compared | None:
    """PerSim beside the best rival of each agent.

    Args:
      rows: of `study.run`.
      section: "prediction" or "return".
      measure: where more is better.

    Returns:
      The comparison; None without PerSim or without a rival. A single seed has no
      interval: its sign decides.
    """
    whole = rows[rows["count"] == rows["count"].max()]
    part = whole[(whole["section"] == section) & (whole["measure"] == measure)]
    found = {"better": 0, "level": 0, "worse": 0}
    for _, own in part.groupby("agent"):
        by_seed = own.pivot(index="seed", columns="method", values="value")
        rivals = by_seed.drop(columns=list(_NO_RIVALS), errors="ignore")
        rivals = rivals.loc[:, ~rivals.columns.str.endswith(PERSONAL)]
        if rivals.empty or "persim" not in by_seed:
            return None
        best = str(rivals.mean().idxmax())
        found[_verdict(by_seed["persim"] - by_seed[best])] += 1
    return Compared(**found)


def _verdict(differences: pd.Series) -> str:
    known = differences.dropna()  # both ran away: no difference
    if np.isinf(known).any():  # one of them did: no interval, all seeds must agree
        if (known > 0).all():
            return "better"
        return "worse" if (known < 0).all() else "level"
    gap = estimates.estimate(known)
    if gap is None:
        return "level"
    low = gap.mean if gap.low is None else gap.low
    high = gap.mean if gap.high is None else gap.high
    return "better" if low > 0 else "worse" if high < 0 else "level"


def table(summary: pd.DataFrame) -> str:
    """The main tables as text."""
    lines = []
    for section, measure, title in (
        ("prediction", "r2", "R^2 of predictions, up to 50 steps ahead"),
        ("return", "mean", "return of planning"),
        ("unseen", "r2", "R^2 for agents never seen"),
        ("probe", None, "R^2 of a linear probe of the factors"),
    ):
        if section == "probe":
            found = summary[summary["section"] == "probe"]
            if found.empty:
                continue
            lines += ["", title]
            for _, row in found.iterrows():
                lines.append(
                    f"{row['measure']:<18}{cell(row['mean'], row['deviation'])}"
                )
            continue
        shown = part(summary, section, measure)
        if shown.empty:
            continue
        lines += ["", title]
        agents = [a for a in shown["mean"].columns if a != ALL]
        agents = [] if section == "unseen" else agents
        head = "".join(f"{f'agent {a}':>16}" for a in agents)
        lines.append(f"{'':<18}{head}{'mean':>16}")
        for name, row in shown.iterrows():
            cells = [cell(row["mean", a], row["deviation", a]) for a in (*agents, ALL)]
            lines.append(f"{name:<18}" + "".join(f"{cell:>16}" for cell in cells))
    return "\n".join(lines[1:])


def cell(mean: float, deviation: float) -> str:
    """A mean with its spread as text."""
    text = f"{mean:.3g}" if abs(mean) < 100 else f"{mean:.0f}"
    return text if np.isnan(deviation) else f"{text} ± {deviation:.2g}"

"""The sections of the study's page: pictures first, then the tables behind them."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from experiments.persim import summary as summary_lib
from experiments.persim.config import Config
from experiments.persim.judging import JudgeConfig
from experiments.persim.labels import LABELS, STYLES
from experiments.persim.policies import is_learned
from experiments.persim.study import Factors
from experiments.persim.summary import ALL
from experiments.report import blocks, drawing
from experiments.report.blocks import Block
from experiments.report.drawing import Picture
from experiments.report.tables import Table

_LOWEST = -0.5  # of R^2 in figures; what lies below is drawn there
_NOT_DRAWN = ("persim_average", "one_hot", "context_aware", "untold", "alone")
_SPREAD = "Mean ± standard deviation over seeds, of fits and episodes; same logs."


def _table(shown: pd.DataFrame, names: Sequence[str], note: str) -> Table:
    """Methods down, agents across."""
    rows, agents = [], range(len(names))
    for name, row in shown.iterrows():
        cells = [
            summary_lib.cell(row["mean", a], row["deviation", a])
            for a in (*agents, ALL)
        ]
        median = np.median([row["mean", a] for a in agents])
        middle = summary_lib.cell(float(median), float("nan"))
        rows.append([LABELS[str(name)], *cells, middle])
    return Table(["Method", *names, "Mean", "Median"], rows, note)


def _across(
    rows: pd.DataFrame,
    section: str,
    measure: str,
    names: Sequence[str],
    label: str,
    lowest: float | None = None,
    left_out: Sequence[str] = (),
) -> Picture:
    """Every method's figure for each agent, with its seeds."""
    whole = rows[rows["count"] == rows["count"].max()]
    part = whole[(whole["section"] == section) & (whole["measure"] == measure)]
    part = part[~part["method"].isin(left_out)]
    methods = [m for m in STYLES if m in set(part["method"])]
    with drawing.canvas(3.6) as (figure, (axes,)):
        for k, method in enumerate(methods):
            colour, marker = STYLES[method]
            own = part[part["method"] == method]
            places = own["agent"] + 0.7 * ((k + 0.5) / len(methods) - 0.5)
            axes.plot(
                places, own["value"].clip(lower=lowest), ".", color=colour, alpha=0.35,
                ms=4,
            )  # fmt: skip
            means = own["value"].groupby(own["agent"]).mean().clip(lower=lowest)
            axes.plot(
                np.unique(places), means, marker, color=colour, ms=6, ls="none",
                label=LABELS[method],
            )  # fmt: skip
        axes.set_xticks(
            range(len(names)), [n.replace(", ", "\n").replace(" ", "\n") for n in names]
        )
        axes.set_title(label)
        drawing.legend_below(figure, axes, columns=3)
        below = f" Values below {lowest:g} are drawn there." if lowest else ""
        caption = (
            f"{label} for each agent. Small dots: seeds; marks: their mean.{below}"
        )
        averages = part.groupby("method", sort=False)["value"].mean()
        alt = "; ".join(f"{LABELS[str(m)]} {v:.3g}" for m, v in averages.items())
        return drawing.finish(figure, f"{label}, mean of all agents: {alt}.", caption)


def prediction(
    rows: pd.DataFrame,
    summary: pd.DataFrame,
    names: Sequence[str],
    judge: JudgeConfig,
) -> Block:
    """Who predicts best?"""
    label = f"R², up to {judge.ahead} steps ahead"
    picture = _across(rows, "prediction", "r2", names, label, _LOWEST)
    shown = [
        (
            title,
            _table(summary_lib.part(summary, "prediction", measure), names, note),
        )
        for measure, title, note in (
            ("r2", label, f"{r2(judge)} {_SPREAD}"),
            ("rmse", "Root mean squared error, raw units of all features", _SPREAD),
        )
    ]
    return blocks.block([picture], [*shown, *_counted(summary, names)])


def r2(judge: JudgeConfig) -> str:
    """What R² means here."""
    last = judge.start + judge.ahead
    return (
        "R²: share of the states' variance that predictions explain, over all steps "
        f"from step {judge.start + 1} to step {last} or the episode's end; 1 is exact, "
        "below 0 worse than the mean."
    )


def _counted(summary: pd.DataFrame, names: Sequence[str]) -> list[tuple[str, Table]]:
    """How many steps were predicted until the episodes ended: the same for all."""
    steps = summary_lib.part(summary, "prediction", "steps")
    if steps.empty:
        return []
    note = "Mean over episodes of random actions; alike for all simulators."
    row = steps.iloc[0]
    cells = [f"{row['mean', a]:.1f}" for a in range(len(names))]
    return [("Steps predicted in an episode", Table([*names], [cells], note))]


def returns(rows: pd.DataFrame, summary: pd.DataFrame, names: Sequence[str]) -> Block:
    """Who earns most?"""
    learned = [m for m in dict.fromkeys(rows["method"]) if is_learned(m)]
    label = "Return of planning"
    pictures = [_across(rows, "return", "mean", names, label, left_out=learned)]
    if learned:
        title = "Return of learned policies beside planning"
        pictures.append(
            _across(rows, "return", "mean", names, title, left_out=_NOT_DRAWN)
        )
    table = _table(summary_lib.part(summary, "return", "mean"), names, _SPREAD)
    return blocks.block(pictures, [("Returns", table)])


def counts(summary: pd.DataFrame) -> Block:
    """How many agents are needed?"""
    numbers = sorted(set(summary["count"]))
    if len(numbers) < 2:
        return blocks.block(
            absent=["Not studied: --counts or --count_methods left nothing."]
        )
    cells = []
    for section, measure, label in (
        ("prediction", "r2", "R²"),
        ("return", "mean", "return"),
    ):
        part = summary[
            (summary["section"] == section)
            & (summary["measure"] == measure)
            & (summary["agent"] == ALL)
        ]
        for method in part["method"].drop_duplicates():
            own = part[part["method"] == method].set_index("count")
            if len(own) > 1:
                values = [
                    summary_lib.cell(own.loc[c, "mean"], own.loc[c, "deviation"])
                    if c in own.index
                    else "–"
                    for c in numbers
                ]
                cells.append([f"{LABELS[method]}, {label}", *values])
    columns = ["Simulator", *(f"{c} agents" for c in numbers)]
    note = f"Mean over the five judged agents, who are always there. {_SPREAD}"
    return blocks.block(shown=[("Fewer agents", Table(columns, cells, note))])


def factors(summary: pd.DataFrame, learned: Factors | None) -> Block:
    """What do the factors hold?"""
    probes = summary[summary["section"] == "probe"]
    cells = [
        [str(row["measure"]), summary_lib.cell(row["mean"], row["deviation"])]
        for _, row in probes.iterrows()
    ]
    if learned is None or not cells:
        return blocks.block(absent=["Not shown: PerSim was not among the methods."])
    note = (
        "R² of least squares from an agent's factors, ten-fold over agents, on the "
        "scale in which the equations of motion are linear; mean over members."
    )
    table = Table(["Hidden property", "Linear probe, R²"], cells, note)
    pictures = [
        _map(learned, name)
        for name in learned.covariates
        if learned.agents.shape[1] > 1
    ]
    return blocks.block(
        pictures, [("Can the physics be read from the factors?", table)]
    )


def _map(factors: Factors, name: str) -> Picture:
    """The two main directions of the factors, coloured by a hidden property."""
    centred = factors.agents - factors.agents.mean(axis=0)
    _, _, directions = np.linalg.svd(centred, full_matrices=False)
    places = centred @ directions[:2].T
    with drawing.canvas(3.0) as (figure, (axes,)):
        values = factors.covariates[name]
        marks = axes.scatter(places[:, 0], places[:, 1], c=values, s=9, cmap="viridis")
        figure.colorbar(marks, ax=axes, label=name)
        axes.set(xlabel="first direction", ylabel="second direction")
        axes.set_title(f"Agents' factors, by {name}")
        caption = (
            "Each point is an agent: its latent factors (first seed, first member), "
            f"seen along their two main directions. Colour: {name}, which "
            "PerSim was not told."
        )
        tells = np.corrcoef(places[:, 0], values)[0, 1]
        alt = f"The first direction correlates with {name} by {tells:.2f}."
        return drawing.finish(figure, alt, caption)


def unseen(summary: pd.DataFrame, config: Config) -> Block:
    """Who predicts agents that were in no fit?"""
    part = summary[
        (summary["section"] == "unseen")
        & (summary["measure"] == "r2")
        & (summary["agent"] != ALL)
    ]
    if part.empty:
        return blocks.block(absent=["Not studied: --unseen was 0."])
    cells = []
    for method in part["method"].drop_duplicates():
        values = part[part["method"] == method]["mean"]
        ends = [f"{values.quantile(q):.3f}" for q in (0.5, 0.1, 0.9)]
        cells.append([LABELS[method], *ends])
    note = (
        f"{r2(config.judge)} Quantiles over {config.unseen} agents who were in no fit, "
        "of means over seeds. The short log is the agent's first "
        f"{config.unseen_steps} steps; everything but its factor stays as it was "
        "fitted."
    )
    columns = ["Factor", "Median R²", "Tenth of agents below", "Tenth above"]
    return blocks.block(
        shown=[("Prediction for new agents", Table(columns, cells, note))]
    )

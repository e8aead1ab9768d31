"""The study's page: who predicts and who earns most, agent by agent."""

import pathlib
from collections.abc import Sequence

import numpy as np
import pandas as pd

from data_prep import control
from experiments.persim import summary as summary_lib
from experiments.persim.config import Config
from experiments.persim.study import Factors
from experiments.persim.summary import ALL
from experiments.report import blocks, drawing
from experiments.report import page as page_lib
from experiments.report.blocks import Block
from experiments.report.drawing import Picture
from experiments.report.tables import Table
from omgrl_jax.runtime import storage

LABELS = {
    "truth": "True physics",
    "persim": "PerSim",
    "persim_average": "Average agent",
    "one_hot": "Agent's number",
    "context_aware": "Agent's past",
    "untold": "One for all",
    "alone": "One for each",
    "from_log": "From a short log",
    "from_covariates": "From the physics",
    "average": "Average agent",
}
_NOTES = {
    "truth": "plans with the agent's real physics: what the others are measured by",
    "persim": "latent factors of agents, actions and states",
    "persim_average": "PerSim with the mean factor of all agents for everyone: what is "
    "left without what is personal",
    "one_hot": "a network that is told the agent's number",
    "context_aware": "a network that is told the last steps of the episode",
    "untold": "one network for all agents, told nothing",
    "alone": "a network for each agent, from its own log alone",
}
_STYLES = {
    "truth": (drawing.BLACK, "_"),
    "persim": (drawing.BLUE, "o"),
    "persim_average": (drawing.SKY, "h"),
    "one_hot": (drawing.RED, "s"),
    "context_aware": (drawing.GREEN, "^"),
    "untold": (drawing.ORANGE, "D"),
    "alone": (drawing.PURPLE, "P"),
}
_LOWEST = -0.5  # of R^2 in figures; what lies below is drawn there
_SPREAD = "Mean ± standard deviation over seeds, of fits and episodes; same logs."
_R2 = (
    "R²: share of the states' variance that predictions explain, over all steps from "
    "the tenth to the sixtieth or the episode's end; 1 is exact, below 0 worse than "
    "the mean."
)


def write(
    out: pathlib.Path, config: Config, rows: pd.DataFrame, factors: Factors | None
) -> pathlib.Path:
    """Draws the page.

    Args:
      out: where the study lies; the page goes to `report/index.html` there.
      config: its settings.
      rows: of `study.run`.
      factors: what PerSim learned of the agents, for a picture.

    Returns:
      The page.
    """
    study = make(config, rows, factors)
    html = page_lib.render_study(study)
    return storage.atomic_write(out / "report" / "index.html", html)


def make(config: Config, rows: pd.DataFrame, factors: Factors | None) -> page_lib.Study:
    """The page before it is put into its template."""
    summary = summary_lib.summarise(rows)
    names = agents_of(config)
    shown = [n for n in LABELS if n in _NOTES and n in set(rows["method"])]
    return page_lib.Study(
        title=f"PerSim: {config.env.replace('_', ' ')}, {config.data} logs",
        scope=(
            f"{config.agents} agents with one log each, of whom {config.unseen} were "
            f"left out; five are judged. {config.seeds} seeds."
        ),
        findings=findings(rows, names),
        terms=[(LABELS[name], _NOTES[name]) for name in shown],
        sections=[
            ("prediction", "Who predicts best?", _prediction(rows, summary, names)),
            ("return", "Who earns most?", _return(rows, summary, names)),
            ("counts", "How many agents are needed?", _counts(rows, summary)),
            ("factors", "What do the factors hold?", _factors(summary, factors)),
            ("unseen", "Agents never seen", _unseen(summary, config)),
        ],
        beside="rows.csv (every figure by seed), summary.csv",
    )


def agents_of(config: Config) -> list[str]:
    """What the judged agents are called: by their physics."""
    judged = control.SETTINGS[config.env].judged
    return [
        ", ".join(
            f"{name} {value:g}" for name, value in zip(judged._fields, one, strict=True)
        )
        for one in zip(*judged, strict=True)
    ]


def findings(rows: pd.DataFrame, names: Sequence[str]) -> list[str]:
    """The first screen."""
    found = []
    summary = summary_lib.summarise(rows)
    methods = set(summary["method"])
    if "persim" not in methods:
        return ["PerSim was not among the methods."]
    for section, measure, verb in (
        ("prediction", "r2", "explains"),
        ("return", "mean", "earns"),
    ):
        beside = summary_lib.compared(rows, section, measure)
        if beside:
            found.append(
                f"PerSim clearly {verb} more than the best rival for {beside.better} "
                f"of {sum(beside)} agents, clearly less for {beside.worse}; for "
                f"{beside.level} there is no clear difference (95 % intervals over "
                "seeds)."
            )
    table = summary_lib.part(summary, "return", "mean")["mean"]
    ours, most = table.loc["persim", ALL], table.loc["truth", ALL]
    found.append(
        f"Planning with PerSim earns {ours:.4g} on average over the agents; planning "
        f"with the true physics {most:.4g}."
    )
    probes = summary[summary["section"] == "probe"]
    for _, row in probes.iterrows():
        found.append(
            f"A linear probe reads {row['measure']} from the factors with R² "
            f"{row['mean']:.3f}."
        )
    worst = table.drop(columns=ALL).loc["persim"] - table.drop(columns=ALL).loc["truth"]
    place = int(worst.to_numpy().argmin())
    if worst.iloc[place] < 0:
        found.append(
            f"Furthest below the true physics: the agent of {names[place]}, by "
            f"{-worst.iloc[place]:.3g}."
        )
    return found


def _table(shown: pd.DataFrame, names: Sequence[str], note: str) -> Table:
    """Methods down, agents across."""
    rows = []
    for name, row in shown.iterrows():
        cells = [
            summary_lib.cell(row["mean", a], row["deviation", a])
            for a in (*range(len(names)), ALL)
        ]
        rows.append([LABELS[str(name)], *cells])
    return Table(["Simulator", *names, "Mean"], rows, note)


def _across(
    rows: pd.DataFrame,
    section: str,
    measure: str,
    names: Sequence[str],
    label: str,
    lowest: float | None,
) -> Picture:
    """Every simulator's figure for each agent, with its seeds."""
    whole = rows[rows["count"] == rows["count"].max()]
    part = whole[(whole["section"] == section) & (whole["measure"] == measure)]
    methods = [m for m in _STYLES if m in set(part["method"])]
    with drawing.canvas(3.6) as (figure, (axes,)):
        for k, method in enumerate(methods):
            colour, marker = _STYLES[method]
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


def _prediction(
    rows: pd.DataFrame, summary: pd.DataFrame, names: Sequence[str]
) -> Block:
    label = "R², up to 50 steps ahead"
    picture = _across(rows, "prediction", "r2", names, label, _LOWEST)
    shown = [
        (
            title,
            _table(summary_lib.part(summary, "prediction", measure), names, note),
        )
        for measure, title, note in (
            ("r2", label, f"{_R2} {_SPREAD}"),
            ("rmse", "Root mean squared error, raw units of all features", _SPREAD),
        )
    ]
    return blocks.block([picture], shown)


def _return(rows: pd.DataFrame, summary: pd.DataFrame, names: Sequence[str]) -> Block:
    label = "Return of planning"
    picture = _across(rows, "return", "mean", names, label, None)
    table = _table(summary_lib.part(summary, "return", "mean"), names, _SPREAD)
    return blocks.block([picture], [(label, table)])


def _counts(rows: pd.DataFrame, summary: pd.DataFrame) -> Block:
    counts = sorted(set(summary["count"]))
    if len(counts) < 2:
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
                    for c in counts
                ]
                cells.append([f"{LABELS[method]}, {label}", *values])
    columns = ["Simulator", *(f"{c} agents" for c in counts)]
    note = f"Mean over the five judged agents, who are always there. {_SPREAD}"
    return blocks.block(shown=[("Fewer agents", Table(columns, cells, note))])


def _factors(summary: pd.DataFrame, factors: Factors | None) -> Block:
    probes = summary[summary["section"] == "probe"]
    cells = [
        [str(row["measure"]), summary_lib.cell(row["mean"], row["deviation"])]
        for _, row in probes.iterrows()
    ]
    if factors is None or not cells:
        return blocks.block(absent=["Not shown: PerSim was not among the methods."])
    note = (
        "R² of least squares from an agent's factors, ten-fold over agents, on the "
        "scale in which the equations of motion are linear; mean over members."
    )
    table = Table(["Hidden property", "Linear probe, R²"], cells, note)
    pictures = [
        _map(factors, name)
        for name in factors.covariates
        if factors.agents.shape[1] > 1
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


def _unseen(summary: pd.DataFrame, config: Config) -> Block:
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
        f"{_R2} Quantiles over {config.unseen} agents who were in no fit, of means "
        f"over seeds. The short log is the agent's first {config.unseen_steps} steps; "
        "everything but its factor stays as it was fitted."
    )
    columns = ["Factor", "Median R²", "Tenth of agents below", "Tenth above"]
    return blocks.block(
        shown=[("Prediction for new agents", Table(columns, cells, note))]
    )

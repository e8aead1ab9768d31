"""The study's page: who predicts and who earns most, agent by agent."""

import pathlib
from collections.abc import Sequence

import pandas as pd

from data_prep import control
from experiments.persim import sections
from experiments.persim import summary as summary_lib
from experiments.persim.config import Config
from experiments.persim.labels import LABELS, NOTES
from experiments.persim.study import Factors
from experiments.persim.summary import ALL
from experiments.report import page as page_lib
from omgrl_jax.runtime import storage


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
    shown = [n for n in LABELS if n in NOTES and n in set(rows["method"])]
    limit = config.judge.limit
    cut = f" Episodes of planning end after {limit} steps." if limit else ""
    return page_lib.Study(
        title=f"PerSim: {config.env.replace('_', ' ')}, {config.data} logs",
        scope=(
            f"{config.agents} agents with one log each, of whom {config.unseen} were "
            f"left out; five are judged. {config.seeds} seeds.{cut}"
        ),
        findings=findings(rows, names),
        terms=[(LABELS[name], NOTES[name]) for name in shown],
        sections=[
            (
                "prediction",
                "Who predicts best?",
                sections.prediction(rows, summary, names, config.judge),
            ),
            ("return", "Who earns most?", sections.returns(rows, summary, names)),
            ("counts", "How many agents are needed?", sections.counts(summary)),
            (
                "factors",
                "What do the factors hold?",
                sections.factors(summary, factors),
            ),
            ("unseen", "Agents never seen", sections.unseen(summary, config)),
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

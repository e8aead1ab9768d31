"""The study's page: does it help to know the patient?"""

import pathlib

import pandas as pd

from experiments.personal_dosing import factors as factors_lib
from experiments.personal_dosing import predicting, sections, study
from experiments.personal_dosing.config import Config
from experiments.personal_dosing.labels import LABELS, NOTES, STYLES, inside
from experiments.personal_dosing.study import Map
from experiments.report import estimates
from experiments.report import page as page_lib
from omgrl_jax.runtime import storage


def write(
    out: pathlib.Path,
    config: Config,
    name: str,
    rows: pd.DataFrame,
    found: Map | None,
    unit: str = "",
) -> pathlib.Path:
    """Draws the page.

    Args:
      out: where the study lies; the page goes to `report/index.html` there.
      config: its settings.
      name: of the dataset.
      rows: of `study.run`.
      found: factors beside the truth, for a picture.
      unit: of doses.

    Returns:
      The page.
    """
    html = page_lib.render_study(make(config, name, rows, found, unit))
    return storage.atomic_write(out / "report" / "index.html", html)


def make(
    config: Config, name: str, rows: pd.DataFrame, found: Map | None, unit: str = ""
) -> page_lib.Study:
    """The page before it is put into its template."""
    methods = set(rows["method"])
    goal = "the learned r_psi" if config.reward_run else "r_p"
    return page_lib.Study(
        title=f"Patients as agents: personal dosing on {name} stays",
        scope=(
            f"Plans of {config.plan.horizon} hours for {goal}, made anew every "
            f"{config.replan} h; {_limit(config)}. Seeds: {config.seeds}."
        ),
        findings=findings(rows),
        terms=[(LABELS[k], note) for k, note in NOTES.items() if k in methods],
        sections=[
            ("dosing", "Who doses best?", sections.dosing(rows, config)),
            ("prediction", "Who foretells the next aPTT?", sections.prediction(rows)),
            ("factors", "What do the factors hold?", sections.factors(rows, found)),
            ("doses", "Suggested and given doses", sections.doses(rows, unit)),
        ],
        beside="rows.csv (every figure by seed), summary.csv",
    )


def _limit(config: Config) -> str:
    limit = config.plan.limit
    if limit is None:
        return "limit: the target's upper end"
    return f"limit {limit:g} s" if limit else "no limit"


def findings(rows: pd.DataFrame) -> list[str]:
    """The first screen."""
    said = []
    others = [m for m in STYLES if m not in ("persim", "random")]
    own = sections.seeds_of(rows, "dosing", "persim")
    for other in others:
        theirs = sections.seeds_of(rows, "dosing", other)
        gap = estimates.difference(own, theirs, "r_p")
        if gap is None:
            continue
        verdict = "more" if gap.mean > 0 else "less"
        clear = ""
        if gap.low is not None and gap.high is not None:
            clear = " (clear)" if gap.low > 0 or gap.high < 0 else " (not clear)"
        said.append(
            f"PerSim earns {abs(gap.mean):.3f} r_p an hour {verdict} than "
            f"{inside(other)}, seed by seed{clear}."
        )
    summary = study.summarise(rows)
    errors = _part(summary, "prediction", "rmse")
    errors = errors[errors["about"] == predicting.LATER].set_index("method")["mean"]
    if {"persim", "persistence"} <= set(errors.index):
        texts = [f"{inside(str(m))} {v:.3f}" for m, v in errors.items()]
        said.append(
            "Error of log aPTT on held-out draws with three or more before: "
            f"{', '.join(texts)}."
        )
    probes = _part(summary, "probe", "whole")
    probes = probes[probes["method"] == "persim"]
    if not probes.empty:
        best = probes.loc[probes["mean"].idxmax()]
        worst = probes.loc[probes["mean"].idxmin()]
        said.append(
            f"A linear probe reads {factors_lib.NAMES[best['about']]} best from the "
            f"factors (R² {best['mean']:.2f}), {factors_lib.NAMES[worst['about']]} "
            f"worst ({worst['mean']:.2f})."
        )
    return said or ["Nothing was judged: there are too few held-out draws."]


def _part(summary: pd.DataFrame, section: str, measure: str) -> pd.DataFrame:
    return summary[(summary["section"] == section) & (summary["measure"] == measure)]

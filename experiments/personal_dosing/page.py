"""The study's page: does it help to know the patient?"""

import pathlib
from collections.abc import Sequence

import numpy as np
import pandas as pd

from experiments.personal_dosing import factors, predicting, study
from experiments.personal_dosing.config import Config
from experiments.personal_dosing.study import Map
from experiments.report import blocks, drawing, estimates, forest, tables, words
from experiments.report import page as page_lib
from experiments.report.blocks import Block
from experiments.report.drawing import Picture
from experiments.report.tables import Table
from omgrl_jax.runtime import storage

LABELS = {
    "persim": "PerSim",
    "persim_average": "PerSim, average patient",
    "persim_free": "PerSim, free factors",
    "persim_free_average": "PerSim, free factors, average patient",
    "population": "Population model",
    "persistence": "Persistence",
    "truth": "True kinetics",
    "clinicians": "Clinicians",
    "clinicians_binned": "Clinicians, doses binned",
    "random": "Random doses",
}
_NOTES = {
    "persim": "plans with latent factors that follow the patient's draws; their prior "
    "was integrated out while the networks were fitted",
    "persim_average": "the same networks, plans and doubt, with the average factors "
    "for everyone: what is left without what is personal; its intervals are too narrow",
    "persim_free": "the same with factors fitted freely to each training patient, as "
    "published",
    "persim_free_average": "that model with the average factors for everyone",
    "population": "plans with one outcome model for all, which knows a patient by the "
    "state alone: the last two aPTTs and the doses",
    "persistence": "the next aPTT is the last one",
    "truth": "the same planning with the patient's true kinetics; no bound: it looks "
    "as few hours ahead",
    "clinicians": "the simulated clinicians who made the records",
    "clinicians_binned": "their doses rounded to the bins that plans may give",
    "random": "each dose drawn by chance",
}
_STYLES = {
    "truth": (drawing.PURPLE, "*"),
    "persim": (drawing.BLUE, "o"),
    "persim_average": (drawing.SKY, "h"),
    "persim_free": (drawing.RED, "s"),
    "persim_free_average": (drawing.ORANGE, "p"),
    "population": (drawing.GREEN, "^"),
    "clinicians": (drawing.BLACK, "D"),
    "clinicians_binned": (drawing.BLACK, "d"),
    "random": (drawing.GREY, "v"),
}
_SHOWN = ("r_p", "in_range", "above", "success")
_SPREAD = (
    "Mean ± standard deviation over seeds, of fits and new patients; same records."
)


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
        terms=[(LABELS[k], note) for k, note in _NOTES.items() if k in methods],
        sections=[
            ("dosing", "Who doses best?", _dosing(rows, config)),
            ("prediction", "Who foretells the next aPTT?", _prediction(rows)),
            ("factors", "What do the factors hold?", _factors(rows, found)),
            ("doses", "Suggested and given doses", _doses(rows, unit)),
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
    others = [m for m in _STYLES if m not in ("persim", "random")]
    own = _seeds(rows, "dosing", "persim")
    for other in others:
        theirs = _seeds(rows, "dosing", other)
        gap = estimates.difference(own, theirs, "r_p")
        if gap is None:
            continue
        verdict = "more" if gap.mean > 0 else "less"
        clear = ""
        if gap.low is not None and gap.high is not None:
            clear = " (clear)" if gap.low > 0 or gap.high < 0 else " (not clear)"
        said.append(
            f"PerSim earns {abs(gap.mean):.3f} r_p an hour {verdict} than "
            f"{_inside(other)}, seed by seed{clear}."
        )
    summary = study.summarise(rows)
    errors = _part(summary, "prediction", "rmse")
    errors = errors[errors["about"] == predicting.LATER].set_index("method")["mean"]
    if {"persim", "persistence"} <= set(errors.index):
        texts = [f"{_inside(str(m))} {v:.3f}" for m, v in errors.items()]
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
            f"A linear probe reads {factors.NAMES[best['about']]} best from the "
            f"factors (R² {best['mean']:.2f}), {factors.NAMES[worst['about']]} worst "
            f"({worst['mean']:.2f})."
        )
    return said or ["Nothing was judged: there are too few held-out draws."]


def _inside(method: str) -> str:
    """A method's name as it stands inside a sentence."""
    label = LABELS[method]
    return label if label.startswith("PerSim") else words.inside(label)


def _part(summary: pd.DataFrame, section: str, measure: str) -> pd.DataFrame:
    return summary[(summary["section"] == section) & (summary["measure"] == measure)]


def _seeds(rows: pd.DataFrame, section: str, method: str, about: str = "") -> list:
    """A row for each seed with its measures: what tables and forests are made of."""
    own = rows[
        (rows["section"] == section)
        & (rows["method"] == method)
        & (rows["about"] == about)
    ]
    table = own.pivot(index="seed", columns="measure", values="value").reset_index()
    return table.to_dict("records")


def _dosing(rows: pd.DataFrame, config: Config) -> Block:
    dosed = set(rows[rows["section"] == "dosing"]["method"])
    if not dosed:
        return blocks.block(
            absent=["Not studied: doses are judged on virtual patients alone."]
        )
    measures = words.measures(words.TARGET)
    shown = [m for m in _STYLES if m in dosed]
    of = {m: _seeds(rows, "dosing", m) for m in shown}
    caption = (
        f"{config.patients} new virtual patients a seed, {config.hours} hours each, in "
        "the true simulator; the same patients for every policy."
    )
    pictures: list[Picture | None] = [
        forest.picture(
            [forest.styled(LABELS[m], of[m], key, _STYLES[m]) for m in shown],
            measures[key],
            caption,
        )
        for key in ("r_p", "in_range")
    ]
    cells = [
        [
            LABELS[m],
            *(
                tables.show(estimates.over_seeds(of[m], k), measures[k].percent)
                for k in _SHOWN
            ),
        ]
        for m in shown
    ]
    head = ["Policy", *(measures[k].label for k in _SHOWN)]
    return blocks.block(pictures, [("Outcomes", Table(head, cells, _SPREAD))])


def _prediction(rows: pd.DataFrame) -> Block:
    own = rows[rows["section"] == "prediction"]
    bands = [
        b
        for b in (*predicting.BANDS, predicting.LATER, predicting.ANY)
        if b in set(own["about"])
    ]
    methods = [m for m in LABELS if m in set(own["method"])]
    shown = []
    for measure, title in (
        ("rmse", "Error of log aPTT, by draws that came before"),
        ("inside", "Draws inside their interval of 90 %"),
    ):
        cells = []
        for method in methods:
            found = [
                estimates.over_seeds(_seeds(own, "prediction", method, band), measure)
                for band in bands
            ]
            if any(found):
                texts = [tables.show(x, measure == "inside") for x in found]
                cells.append([LABELS[method], *texts])
        if cells:
            note = "Root mean squared error; a draw itself has its error. " + _SPREAD
            note = note if measure == "rmse" else _SPREAD
            shown.append((title, Table(["Model", *bands], cells, note)))
    if not shown:
        return blocks.block(absent=["Not shown: too few held-out draws."])
    return blocks.block(shown=shown)


def _factors(rows: pd.DataFrame, found: Map | None) -> Block:
    own = rows[rows["section"] == "probe"]
    if own.empty:
        return blocks.block(
            absent=["Not studied: of real patients nobody knows the kinetics."]
        )
    methods = [m for m in LABELS if m in set(own["method"])]
    head = ["True parameter, log"]
    for method in methods:
        label = LABELS[method]
        head += [label, f"{label}, rest", f"{label}, new patients"]
    cells = []
    for name, label in factors.NAMES.items():
        texts = []
        for method in methods:
            seeds = _seeds(own, "probe", method, name)
            texts += [
                tables.show(estimates.over_seeds(seeds, part))
                for part in ("whole", "rest", "new")
            ]
        cells.append([label, *texts])
    note = (
        "R² of least squares from the factors that a training patient's whole stay "
        "tells, ten-fold over patients. Rest: what age, weight and the other features "
        "at the start do not tell of it. New patients: that line for held-out ones. "
        "The usual dose is the median one, held until nothing changes."
    )
    pictures = [] if found is None else [_map(found, n) for n in _best(own)]
    return blocks.block(pictures, [("Linear probes", Table(head, cells, note))])


def _best(own: pd.DataFrame) -> Sequence[str]:
    """The two parameters that the factors tell most of."""
    part = own[(own["method"] == "persim") & (own["measure"] == "rest")]
    means = part.groupby("about")["value"].mean().sort_values(ascending=False)
    return [str(name) for name in means.index[:2]]


def _map(found: Map, name: str) -> Picture:
    """The probe's reading of a parameter from the factors, against the truth."""
    values = found.truth.parameters[name]
    columns = np.concatenate([np.ones((values.size, 1)), found.factors], axis=1)
    read = columns @ np.linalg.lstsq(columns, values, rcond=None)[0]
    with drawing.canvas(3.0) as (figure, (axes,)):
        axes.plot(values, read, ".", color=drawing.BLUE, ms=4, alpha=0.5)
        ends = [float(values.min()), float(values.max())]
        axes.plot(ends, ends, "--", color=drawing.GREY, linewidth=1)
        axes.set(xlabel="true value, log", ylabel="read from the factors")
        axes.set_title(factors.NAMES[name].capitalize().replace("aptt", "aPTT"))
        tells = np.corrcoef(read, values)[0, 1]
        caption = (
            "Each point is a virtual training patient (first seed, first member): a "
            "line fitted to the factors of its whole stay against the simulator's "
            "truth, which no model was told."
        )
        alt = f"{factors.NAMES[name]}: correlation of reading and truth {tells:.2f}."
        return drawing.finish(figure, alt, caption)


def _doses(rows: pd.DataFrame, unit: str) -> Block:
    own = rows[(rows["section"] == "doses") & (rows["method"] == "persim")]
    if own.empty:
        return blocks.block(absent=["Not shown: fewer than eleven held-out stays."])
    cells = []
    for band in own["about"].drop_duplicates():
        seeds = _seeds(own, "doses", "persim", band)
        amounts = [
            _amount(estimates.over_seeds(seeds, part))
            for part in ("given", "suggested")
        ]
        shares = [
            tables.show(estimates.over_seeds(seeds, part), percent=True)
            for part in ("lower", "same", "higher")
        ]
        cells.append([f"{band} s", *amounts, *shares])
    named = [
        f"{who} dose" + (f", {unit}" if unit else "") for who in ("Given", "Suggested")
    ]
    head = ["Last aPTT", *named, "Lower", "Same bin", "Higher"]
    note = (
        "All hours of held-out stays, doses by their bins; suggested by planning with "
        f"PerSim from what the record told until then. {_SPREAD}"
    )
    return blocks.block(shown=[("By the last aPTT", Table(head, cells, note))])


def _amount(mean: estimates.Estimate | None) -> str:
    """A mean dose with its spread, as doses are written."""
    if mean is None:
        return "–"
    return f"{mean.mean:,.0f}" + ("" if mean.sd is None else f" ± {mean.sd:,.0f}")

"""The page's sections: who doses best, who foretells best, what the factors hold."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from experiments.personal_dosing import factors as factors_lib
from experiments.personal_dosing import predicting
from experiments.personal_dosing.config import Config
from experiments.personal_dosing.labels import LABELS, STYLES
from experiments.personal_dosing.study import Map
from experiments.report import blocks, drawing, estimates, forest, tables, words
from experiments.report.blocks import Block
from experiments.report.drawing import Picture
from experiments.report.tables import Table

_SHOWN = ("r_p", "in_range", "above", "success")
_SPREAD = (
    "Mean ± standard deviation over seeds, of fits and new patients; same records."
)


def seeds_of(rows: pd.DataFrame, section: str, method: str, about: str = "") -> list:
    """A row for each seed with its measures: what tables and forests are made of."""
    own = rows[
        (rows["section"] == section)
        & (rows["method"] == method)
        & (rows["about"] == about)
    ]
    table = own.pivot(index="seed", columns="measure", values="value").reset_index()
    return table.to_dict("records")


def dosing(rows: pd.DataFrame, config: Config) -> Block:
    """What doses of each policy do to new virtual patients."""
    dosed = set(rows[rows["section"] == "dosing"]["method"])
    if not dosed:
        return blocks.block(
            absent=["Not studied: doses are judged on virtual patients alone."]
        )
    measures = words.measures(words.TARGET)
    shown = [m for m in STYLES if m in dosed]
    of = {m: seeds_of(rows, "dosing", m) for m in shown}
    caption = (
        f"{config.patients} new virtual patients a seed, {config.hours} hours each, in "
        "the true simulator; the same patients for every policy."
    )
    pictures: list[Picture | None] = [
        forest.picture(
            [forest.styled(LABELS[m], of[m], key, STYLES[m]) for m in shown],
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


def prediction(rows: pd.DataFrame) -> Block:
    """Errors on held-out draws, by the number of draws before."""
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
                estimates.over_seeds(seeds_of(own, "prediction", method, band), measure)
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


def factors(rows: pd.DataFrame, found: Map | None) -> Block:
    """Linear probes of the true kinetics, and what the best of them read."""
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
    for name, label in factors_lib.NAMES.items():
        texts = []
        for method in methods:
            seeds = seeds_of(own, "probe", method, name)
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
        axes.set_title(factors_lib.NAMES[name].capitalize().replace("aptt", "aPTT"))
        tells = np.corrcoef(read, values)[0, 1]
        caption = (
            "Each point is a virtual training patient (first seed, first member): a "
            "line fitted to the factors of its whole stay against the simulator's "
            "truth, which no model was told."
        )
        alt = (
            f"{factors_lib.NAMES[name]}: correlation of reading and truth {tells:.2f}."
        )
        return drawing.finish(figure, alt, caption)


def doses(rows: pd.DataFrame, unit: str) -> Block:
    """PerSim's doses beside the given ones."""
    own = rows[(rows["section"] == "doses") & (rows["method"] == "persim")]
    if own.empty:
        return blocks.block(absent=["Not shown: fewer than eleven held-out stays."])
    cells = []
    for band in own["about"].drop_duplicates():
        seeds = seeds_of(own, "doses", "persim", band)
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

"""The page's pictures of doses: along a swept sign, and as grids of both drugs."""

from collections.abc import Sequence

import numpy as np

from experiments.iql_multitask import clinical
from experiments.iql_multitask.config import ALONE, OWN
from experiments.iql_multitask.labels import (
    DRAWN,
    LABELS,
    STYLES,
    Row,
    acting,
    exactly,
    of,
    shown,
)
from experiments.report import blocks, drawing
from experiments.report.blocks import Block
from experiments.report.drawing import Picture
from omgrl_jax.data.schema import Actions

_WITH_BAND = (OWN, ALONE)  # more would hide each other


def curves(rows: Sequence[Row]) -> Block:
    """Dose levels along the sweeps at the mean state."""
    titles = {
        "pressure": ("mean pressure, SD", "vasopressor level"),
        "lactate": ("lactate, SD", "fluid + vasopressor level"),
    }
    pictures = []
    for test, (x_label, y_label) in titles.items():
        own = [r for r in rows if r["test"] == test]
        if not own:
            continue
        with drawing.canvas(3.4) as (figure, (axes,)):
            said = []
            for policy in shown(own):
                part = [r for r in own if r["policy"] == policy]
                seeds = {r["seed"] for r in part}
                levels = np.array(
                    [[r["level"] for r in part if r["seed"] == s] for s in seeds]
                )
                colour, _ = STYLES[policy]
                mean, spread = levels.mean(axis=0), levels.std(axis=0)
                axes.plot(clinical.SWEEP, mean, color=colour, label=LABELS[policy])
                if policy in _WITH_BAND:
                    band = (mean - spread, mean + spread)
                    axes.fill_between(clinical.SWEEP, *band, color=colour, alpha=0.15)
                said.append(f"{LABELS[policy]} {mean[0]:.2f} to {mean[-1]:.2f}")
            axes.set(xlabel=x_label, ylabel=y_label)
            axes.set_title(f"{y_label[0].upper()}{y_label[1:]}")
            drawing.legend_below(figure, axes)
            caption = (
                "Mean level of each policy while that sign alone is swept, the others "
                "at their mean; mean over seeds, and the spread of some."
            )
            pictures.append(drawing.finish(figure, f"{'; '.join(said)}.", caption))
    return blocks.block(pictures)


def actions(rows: Sequence[Row], known: Actions) -> Block:
    """Shares of the nine actions, as grids of both drugs."""
    pictures = []
    for policy in shown(rows):
        for mode in clinical.MODES:
            own = exactly(rows, policy, mode)
            if own and (policy == OWN or mode == DRAWN):
                pictures.append(_grid(acting(policy, mode), own, known))
        if policy == "clinicians" and (own := of(rows, policy, "-")):
            pictures.append(_grid(LABELS[policy], own, known))
    if not pictures:
        return blocks.block(absent=["Not shown: no policy was judged."])
    return blocks.block(pictures)


def _grid(name: str, rows: Sequence[Row], known: Actions) -> Picture:
    first, second = known.drugs
    shares = np.array(
        [np.mean([r[f"share_{a}"] for r in rows]) for a in range(known.count)]
    ).reshape(first.levels, second.levels)
    with drawing.canvas(2.9) as (figure, (axes,)):
        axes.grid(visible=False)
        axes.imshow(shares, cmap="Blues", vmin=0.0, vmax=max(0.3, float(shares.max())))
        for (y, x), share in np.ndenumerate(shares):
            dark = share > 0.5 * max(0.3, float(shares.max()))
            colour = "white" if dark else drawing.BLACK
            text = f"{100 * share:.0f} %"
            axes.text(x, y, text, ha="center", va="center", color=colour)
        for drug, axis in ((first, axes.yaxis), (second, axes.xaxis)):
            axis.set_ticks(range(drug.levels), [f"{x:.3g}" for x in drug.amounts])
            axis.set_label_text(f"{drug.name}, {drug.unit}")
        axes.set_title(name)
        return drawing.finish(
            figure,
            f"{name}: {100 * shares.max():.0f} % of decisions are the most "
            "frequent action.",
            "Share of held-out decisions by fluid (down) and vasopressor (across), the "
            "usual dose of each level; averaged over seeds.",
        )

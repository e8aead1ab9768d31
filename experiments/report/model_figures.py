"""Figures of the dynamics model: losses, calibration, effect of a dose."""

from collections.abc import Mapping, Sequence
from typing import Any

from experiments.report import drawing
from experiments.report.drawing import Picture
from experiments.report.estimates import Row


def member_losses(losses: Mapping[str, Any]) -> Picture:
    """Draws Fig. 1: the loss of every ensemble member by epoch, elites highlighted.

    Args:
      losses: section `member_losses`; `train` and `validation` are [members, epochs].
    """
    epochs, elites = losses["epochs"], set(losses["elites"])
    with drawing.canvas(3.3) as (figure, (axes,)):
        seen = set()
        for member, validation in enumerate(losses["validation"]):
            kept = member in elites
            colour = drawing.BLUE if kept else drawing.ORANGE
            label = "kept (elite)" if kept else "not kept"
            axes.plot(
                epochs,
                drawing.floats(validation),
                color=colour,
                linestyle="-" if kept else (0, (4, 2)),
                label="_" if kept in seen else f"{label}, validation",
            )
            axes.plot(
                epochs,
                drawing.floats(losses["train"][member]),
                color=colour,
                alpha=0.35,
                linewidth=0.9,
                label="_" if kept in seen else f"{label}, training",
            )
            seen.add(kept)
        if losses.get("persistence") is not None:
            # In the legend, not on the line: the losses cross it.
            axes.axhline(
                losses["persistence"],
                color=drawing.BLACK,
                linestyle=":",
                label="persistence: nothing changes",
            )
        axes.set(xlabel="Epoch", ylabel="Loss", title="Loss of each model")
        drawing.legend_below(figure, axes)
        alt = (
            f"Line chart of training and validation loss of {len(losses['train'])} "
            f"models over {len(epochs)} recorded epochs; {len(elites)} were kept. "
            f"{_ends(losses)}"
        )
        caption = (
            "Fig. 1. One line for each model of the ensemble (first seed). The kept "
            "ones are those with the lowest loss on validation patients."
        )
        return drawing.finish(figure, alt, caption)


def _ends(losses: Mapping[str, Any]) -> str:
    last = [[v for v in row if v is not None] for row in losses["validation"]]
    finals = [row[-1] for row in last if row]
    if not finals:
        return ""
    return f"Last validation losses lie from {min(finals):.3g} to {max(finals):.3g}."


def calibration(rows: Sequence[Row]) -> Picture:
    """Draws the observed coverage of prediction intervals against the promised one.

    Args:
      rows: section `calibration`; rows without an observation are left out.
    """
    known = sorted(
        (r["nominal"], r["observed"])
        for r in rows
        if r["nominal"] is not None and r["observed"] is not None
    )
    with drawing.canvas(3.4) as (figure, (axes,)):
        axes.plot([0, 1], [0, 1], color=drawing.GREY, linestyle=":", label="exact")
        axes.plot(
            [n for n, _ in known],
            [o for _, o in known],
            color=drawing.BLUE,
            marker="o",
            ms=5,
            label="model",
        )
        axes.set(xlim=(0, 1), ylim=(0, 1), aspect="equal", title="Calibration")
        axes.set(xlabel="Promised share of values", ylabel="Share found inside")
        drawing.legend_below(figure, axes)
        pairs = ", ".join(f"{n:.0%} promised, {o:.0%} found" for n, o in known)
        caption = (
            "Calibration: of the intervals that should hold a given share of the later "
            "values, how many did. Below the dotted line the model is too sure of "
            "itself."
        )
        return drawing.finish(figure, f"Calibration of the model: {pairs}.", caption)


def intervention(curves: Mapping[str, Any], unit: str) -> Picture:
    """Draws aPTT after each dose was held for six hours, model beside truth.

    Args:
      curves: `intervention.curves`: dose [K], model [K] in seconds, truth [K] or null.
      unit: unit of the dose.
    """
    notes = []
    with drawing.canvas(2.9) as (figure, (axes,)):
        series = (
            ("truth", "true simulator", drawing.BLACK, "s", "--"),
            ("model", "learned model", drawing.BLUE, "o", "-"),
        )
        for key, label, colour, marker, line in series:
            if not curves.get(key):
                continue
            values = drawing.floats(curves[key])
            axes.plot(
                curves["dose"],
                values,
                color=colour,
                marker=marker,
                ms=5,
                linestyle=line,
                label=label,
            )
            notes.append(f"{label} from {values[0]:.3g} s to {values[-1]:.3g} s")
        axes.set(xlabel=f"Dose held for 6 hours ({unit or 'dose'})", ylabel="aPTT (s)")
        axes.set_title("Effect of the dose on aPTT")
        drawing.legend_below(figure, axes)
        alt = "aPTT after six hours, from the lowest to the highest dose: "
        caption = (
            "Intervention test: the same states, each dose held for six hours. A model "
            "that has learned what heparin does rises like the truth."
            if curves.get("truth")
            else "Intervention test in the learned model; no truth is known here."
        )
        return drawing.finish(figure, alt + "; ".join(notes) + ".", caption)

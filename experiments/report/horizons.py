"""Figures by hours ahead: errors of the model, drift of its rollouts."""

from collections.abc import Sequence
from typing import NamedTuple

from matplotlib.axes import Axes

from experiments.report import drawing, estimates, words
from experiments.report.drawing import Picture
from experiments.report.estimates import Row


class Series(NamedTuple):
    """One line: key of its values, its name, rows, colour, marker and line style."""

    key: str
    label: str
    rows: Sequence[Row]
    colour: str
    marker: str
    line: str = "-"


class Drawn(NamedTuple):
    """What one line shows: its values in words, and how many seeds it rests on."""

    note: str
    seeds: int


def dynamics(rows: Sequence[Row], quantity: str) -> Picture | None:
    """Draws the error of the model some hours ahead beside that of persistence.

    Args:
      rows: section `dynamics`.
      quantity: "aptt", "state" or another quantity of the rows.
    """
    chosen = [row for row in rows if row["quantity"] == quantity]
    units = {row["unit"] for row in chosen if row.get("unit")}
    unit = f" ({', '.join(sorted(units))})" if units else ""
    name = words.quantity(quantity)
    series = (
        Series("model", "model", chosen, drawing.BLUE, "o"),
        Series("persistence", "persistence", chosen, drawing.BLACK, "s", "--"),
    )
    return _picture(
        series,
        f"Error for {name}",
        f"Error{unit}",
        f"Line chart of the prediction error for {name}",
        f"Error in predicting {name}, by hours ahead. Persistence predicts that "
        "nothing changes: a useful model lies below it.",
    )


def drift(rows: Sequence[Row]) -> Picture | None:
    """Draws how far imagined states lie from recorded ones, by hours ahead.

    Args:
      rows: section `drift`.
    """
    named = estimates.group(rows, "policy")
    series = [
        Series("model", _who(policy), members, *drawing.policy_style(policy or "model"))
        for (policy,), members in named.items()
    ]
    black = (drawing.BLACK, "s", "--")
    series.append(Series("recorded", "recorded states", rows, *black))
    return _picture(
        series,
        "Do imagined stays leave the data?",
        "Distance from recorded states",
        "Line chart of the distance of states from recorded ones",
        "Mean distance from the recorded states known in training, by hours ahead. "
        "Black: later recorded states, the distance to be expected. Where states "
        "imagined by the model lie above it, the model has left what was ever "
        "observed, and nothing holds its predictions to the truth.",
    )


def _who(policy: str | None) -> str:
    return "imagined states" if policy is None else f"imagined, {words.policy(policy)}"


def _picture(
    series: Sequence[Series], title: str, axis: str, alt: str, caption: str
) -> Picture | None:
    with drawing.canvas(2.9) as (figure, (axes,)):
        drawn = [shown for one in series if (shown := _draw(axes, one))]
        if not drawn:
            return None
        axes.set(xlabel="Hours ahead", ylabel=axis, title=title)
        axes.set_ylim(bottom=0)
        drawing.legend_below(figure, axes)
        several = max(one.seeds for one in drawn) > 1
        spread = " Bars: standard deviation over seeds." if several else ""
        notes = "; ".join(one.note for one in drawn)
        return drawing.finish(figure, f"{alt}. {notes}.", caption + spread)


def _draw(axes: Axes, one: Series) -> Drawn | None:
    horizons = sorted(estimates.group(one.rows, "horizon").items())
    points = [
        (hours, mean)
        for (hours,), group in horizons
        if (mean := estimates.over_seeds(group, one.key))
    ]
    if not points:
        return None
    axes.errorbar(
        [hours for hours, _ in points],
        [mean.mean for _, mean in points],
        [mean.sd or 0.0 for _, mean in points],
        color=one.colour,
        marker=one.marker,
        ms=5,
        capsize=3,
        label=one.label,
        linestyle=one.line,
    )
    values = ", ".join(f"{mean.mean:.3g} at {hours:g} h" for hours, mean in points)
    return Drawn(f"{one.label}: {values}", max(mean.n for _, mean in points))

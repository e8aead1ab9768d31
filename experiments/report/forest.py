"""Forest plots: one line for each estimate, with its seeds and its 95 % interval."""

import textwrap
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from matplotlib.axes import Axes

from experiments.report import drawing, estimates
from experiments.report.drawing import Picture
from experiments.report.estimates import Estimate, Row
from experiments.report.words import Measure

LEGEND = (
    "Small dots: seeds; large mark: their mean; line: 95 % interval of the mean over "
    "seeds."
)
_LONGEST_LABEL = 30


class Entry(NamedTuple):
    """One line of a forest plot.

    Attributes:
      label: what is estimated.
      mean: the estimate.
      seeds: the value of each seed.
      colour: of line and mark.
      marker: of the mark.
      hollow: whether the mark is hollow.
    """

    label: str
    mean: Estimate
    seeds: Sequence[float]
    colour: str
    marker: str
    hollow: bool = False


class Reference(NamedTuple):
    """An upright line that the others are read against."""

    label: str
    value: float
    colour: str
    line: str = "--"


def entry(
    label: str, rows: Iterable[Row], name: str, policy: str, hollow: bool = False
) -> Entry | None:
    """Returns the line of one measure over the seeds of `rows`, None without values.

    Args:
      label: what stands at the left.
      rows: rows of several seeds.
      name: key of the measure.
      policy: whose colour and marker are used.
      hollow: whether the mark is hollow.
    """
    return styled(label, rows, name, drawing.policy_style(policy), hollow)


def styled(
    label: str,
    rows: Iterable[Row],
    name: str,
    style: tuple[str, str],
    hollow: bool = False,
) -> Entry | None:
    """Returns `entry` with a colour and a marker of its own."""
    seeds = list(estimates.by_seed(rows, name).values())
    mean = estimates.estimate(seeds)
    if mean is None:
        return None
    return Entry(label, mean, seeds, *style, hollow)


def mark(axes: Axes, place: float, one: Entry, measure: Measure) -> None:
    """Draws one entry at the height `place`."""
    scale = 100.0 if measure.percent else 1.0
    dots = [scale * value for value in one.seeds]
    axes.plot(dots, [place] * len(dots), ".", color=one.colour, alpha=0.35, ms=4)
    if one.mean.low is not None and one.mean.high is not None:
        ends = [scale * one.mean.low, scale * one.mean.high]
        axes.plot(ends, [place] * 2, color=one.colour, solid_capstyle="butt")
    axes.plot(
        scale * one.mean.mean, place, one.marker, color=one.colour, ms=7,
        markerfacecolor="white" if one.hollow else one.colour, markeredgewidth=1.5,
    )  # fmt: skip


def picture(
    entries: Sequence[Entry | None],
    measure: Measure,
    caption: str,
    references: Sequence[Reference] = (),
) -> Picture | None:
    """Draws the entries one below the other.

    Args:
      entries: the lines; those that are None are left out.
      measure: how the measure is called and shown.
      caption: the sentence below, without the legend of the marks.
      references: upright lines.

    Returns:
      The picture, or None without entries.
    """
    known = [one for one in entries if one]
    if not known:
        return None
    labels = [textwrap.fill(one.label, _LONGEST_LABEL) for one in known]
    lines = sum(max(1, 0.65 * (1 + label.count("\n"))) for label in labels)
    height = 0.9 + 0.27 * lines + 0.3 * bool(references)
    with drawing.canvas(height) as (figure, (axes,)):
        lay_out(axes, measure)
        scale = 100.0 if measure.percent else 1.0
        for one in references:
            axes.axvline(
                scale * one.value, color=one.colour, linestyle=one.line,
                linewidth=1.2, label=one.label, zorder=1,
            )  # fmt: skip
        for place, one in enumerate(known):
            mark(axes, place, one, measure)
        axes.set_yticks(range(len(known)), labels)
        axes.set_ylim(len(known) - 0.4, -0.6)  # room for the outermost marks
        drawing.legend_below(figure, axes)
        alt = f"{measure.label}: {said(known, measure)}."
        return drawing.finish(figure, alt, f"{caption} {LEGEND}")


def lay_out(axes: Axes, measure: Measure) -> None:
    """Names the axis: the measure, its unit, and which way is better."""
    direction = {1: " (more is better)", -1: " (less is better)", 0: ""}
    axes.set_xlabel(("%" if measure.percent else "") + direction[measure.better])
    axes.set_title(measure.label)


def said(entries: Iterable[Entry], measure: Measure) -> str:
    """Returns the estimates as words, for those who cannot see the figure."""
    scale = 100.0 if measure.percent else 1.0
    return "; ".join(
        f"{one.label} {scale * one.mean.mean:.3g}{'%' * measure.percent}"
        for one in entries
    )


def references_of(
    rows: Mapping[str, Sequence[Row]], name: str, labels: Mapping[str, str]
) -> list[Reference]:
    """Returns a line for each policy of `rows` that has the measure.

    Args:
      rows: policy -> its rows.
      name: key of the measure.
      labels: policy -> what the line is called.
    """
    lines = (":", "--", "-.")
    found = []
    for place, (policy, members) in enumerate(rows.items()):
        mean = estimates.over_seeds(members, name)
        if mean:
            colour, _ = drawing.policy_style(policy)
            line = lines[place % len(lines)]
            found.append(Reference(labels[policy], mean.mean, colour, line))
    return found

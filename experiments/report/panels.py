"""Forest plots beside each other: one panel a measure, one line a level."""

import textwrap
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from matplotlib.axes import Axes

from experiments.report import drawing, forest
from experiments.report.drawing import Picture
from experiments.report.estimates import Row
from experiments.report.words import Measure

LEGEND = forest.LEGEND
_LONGEST_LEVEL = 16


class Series(NamedTuple):
    """What stands side by side at every level.

    Attributes:
      label: its name in the legend.
      colour: of its marks.
      marker: of its marks.
    """

    label: str
    colour: str
    marker: str


def picture(
    rows: Mapping[str, Sequence[Sequence[Row]]],
    series: Sequence[Series],
    measures: Mapping[str, Measure],
    title: str,
    caption: str,
) -> Picture | None:
    """Draws measures beside each other, with several series at every level.

    Args:
      rows: level (a line of the figure) -> the rows of each of `series`.
      series: what stands side by side at a level.
      measures: key -> measure; one panel for each.
      title: the beginning of the words for those who cannot see the figure.
      caption: the sentence below.

    Returns:
      The picture, or None without any value.
    """
    height = 1.45 + len(rows) * (0.2 + 0.14 * len(series))
    notes = []
    with drawing.canvas(height, columns=len(measures)) as (figure, axes):
        for panel, (key, measure) in zip(axes, measures.items(), strict=True):
            drawn = _levels(panel, rows, series, key, measure)
            forest.lay_out(panel, measure)
            if drawn:
                notes.append(f"{measure.label}: {forest.said(drawn, measure)}")
        axes[0].set_yticks(
            range(len(rows)), [textwrap.fill(level, _LONGEST_LEVEL) for level in rows]
        )
        axes[0].set_ylim(len(rows) - 0.5, -0.5)
        for one in series:
            axes[0].plot([], [], one.marker, color=one.colour, label=one.label)
        drawing.legend_below(figure, axes[0])
        if not notes:
            return None
        return drawing.finish(figure, f"{title}. {'. '.join(notes)}.", caption)


def _levels(
    axes: Axes,
    rows: Mapping[str, Sequence[Sequence[Row]]],
    series: Sequence[Series],
    key: str,
    measure: Measure,
) -> list[forest.Entry]:
    """Draws one panel; the entries of a level share its band."""
    drawn = []
    for place, (level, members) in enumerate(rows.items()):
        found = [
            forest.styled(f"{level}, {one.label}", here, key, (one.colour, one.marker))
            for one, here in zip(series, members, strict=True)
        ]
        entries = [one for one in found if one]
        step = 0.7 / max(len(entries), 1)
        for index, one in enumerate(entries):
            forest.mark(axes, place - 0.35 + step * (index + 0.5), one, measure)
        drawn += entries
    return drawn

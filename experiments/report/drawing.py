"""What all figures share: palette, size, and the embedding as a data address.

Figures are narrow (a phone shows them at full width, a desktop two side by side) and
are written as SVG with text as outlines, so that they look the same offline
everywhere. Colours are those of Okabe and Ito, told apart also by colour-blind
readers; series differ in marker or line style too.
"""

import base64
import contextlib
import io
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

BLUE, ORANGE, GREEN, RED = "#0072B2", "#E69F00", "#009E73", "#D55E00"
PURPLE, SKY, BLACK, GREY = "#CC79A7", "#56B4E9", "#222222", "#8A8A8A"
OLIVE, VIOLET, BROWN = "#8A8F00", "#6A4C9C", "#8C5A2B"

POLICY_STYLE = {
    "omg_rl": (BLUE, "o"),
    "combo": (RED, "s"),
    "clinicians": (BLACK, "D"),
    "behavioural_cloning": (GREEN, "^"),
    "random": (GREY, "v"),
    "zero": (ORANGE, "X"),
    "clinicians_binned": (BLACK, "d"),
    "oracle": (PURPLE, "*"),
}
_CONSTANT_STYLE = (PURPLE, "P")
_SPARE_STYLES = ((SKY, "h"), (OLIVE, "p"), (VIOLET, "<"), (BROWN, ">"))

WIDTH = 4.6  # inches: at a phone's 360 pixels its 9 pt text is still legible
_STYLE: dict[Any, Any] = {
    "font.size": 9,
    "font.family": "DejaVu Sans",
    "axes.titlesize": 9.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#E4E4E4",
    "grid.linewidth": 0.7,
    "legend.frameon": False,
    "legend.fontsize": 8.5,
    "lines.linewidth": 1.7,
    "svg.fonttype": "path",
    "svg.hashsalt": "report",  # with no date, the same results give the same bytes
}


class Picture(NamedTuple):
    """A figure ready for the page.

    Attributes:
      source: `data:` address of the SVG.
      alt: what the figure shows, for those who cannot see it.
      caption: the sentence below it.
      width: width in CSS pixels.
      height: height in CSS pixels.
    """

    source: str
    alt: str
    caption: str
    width: int
    height: int


def policy_style(name: str) -> tuple[str, str]:
    """Returns colour and marker of a policy, the same in every figure."""
    if name.startswith("constant_"):
        return _CONSTANT_STYLE
    spare = _SPARE_STYLES[sum(map(ord, name)) % len(_SPARE_STYLES)]
    return POLICY_STYLE.get(name, spare)


@contextlib.contextmanager
def canvas(
    height: float, rows: int = 1, columns: int = 1
) -> Iterator[tuple[Figure, list[Axes]]]:
    """Yields a figure of the common width and its axes, row by row.

    Axes below each other share their horizontal axis, those beside each other the
    upright one. The figure is bound to no window system and to no global list of
    figures.
    """
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(WIDTH, height), layout="constrained")
        axes = figure.subplots(
            rows, columns, sharex="col" if rows > 1 else False,
            sharey="row" if columns > 1 else False, squeeze=False,
        )  # fmt: skip
        yield figure, list(axes.ravel())


def finish(figure: Figure, alt: str, caption: str) -> Picture:
    """Returns the figure as a picture; call it inside its `canvas`."""
    stream = io.BytesIO()
    figure.savefig(stream, format="svg", metadata={"Date": None, "Creator": None})
    code = base64.b64encode(stream.getvalue()).decode("ascii")
    width, height = (round(inches * 96) for inches in figure.get_size_inches())
    return Picture(f"data:image/svg+xml;base64,{code}", alt, caption, width, height)


def shade_target(axes: Axes, target: tuple[float, float], vertical: bool) -> None:
    """Shades the therapeutic range on the horizontal or the vertical axis."""
    shade = axes.axhspan if vertical else axes.axvspan
    shade(*target, color=GREEN, alpha=0.13, linewidth=0, zorder=0)


def legend_below(figure: Figure, axes: Axes, columns: int = 2) -> None:
    """Puts the legend of `axes` under the figure, where it covers no data."""
    handles, labels = axes.get_legend_handles_labels()
    if handles:
        figure.legend(handles, labels, loc="outside lower center", ncols=columns)


def floats(values: Sequence[float | None]) -> list[float]:
    """Turns null into NaN, which matplotlib leaves out of a line."""
    return [float("nan") if value is None else value for value in values]

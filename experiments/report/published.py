"""The numbers of the paper beside those of the run; they are no comparison."""

from collections.abc import Sequence
from typing import Any

from experiments.report import blocks, drawing, estimates, policies, words
from experiments.report.blocks import Block
from experiments.report.drawing import Picture
from experiments.report.estimates import Row
from experiments.report.results import Results
from experiments.report.tables import Table, show

DIFFER = (
    "The data differ: the published numbers come from other patients, other states and "
    "another evaluation, and say nothing on whether ours are better or worse. Only the "
    "shape can be compared."
)
_RETURN = "return_r_p_model"


def block(run: Results) -> Block:
    """Returns the published numbers and what is ours beside each."""
    rows = run.get("published")
    if not rows:
        return blocks.block(absent=[blocks.lacks("Published numbers", "published")])
    cells = [
        [
            f"{row['figure']}: {row['quantity'] or 'value'}",
            _text(row["value"]),
            _ours(run, row),
            _text(row["source"]),
        ]
        for row in rows
    ]
    columns = ["Figure and quantity", "Published", "This run", "Source"]
    table = Table(columns, cells, "This run: mean ± standard deviation over seeds.")
    pictures = [_picture(run, rows)]
    return blocks.block(pictures, [("Published numbers", table)], warnings=[DIFFER])


def _ours(run: Results, row: Row) -> str:
    if row.get("ours") is not None:
        return _text(row["ours"])
    if row.get("stays") is not None:
        return show(estimates.over_seeds(_at(run, row["stays"]), _RETURN))
    if row.get("policy") and row.get("measure"):
        world = policies.best_world(run)
        rows = policies.pick(policies.rows_of(run, world), row["policy"])
        measure = words.measures(words.target_of(run.get("dataset"))).get(
            row["measure"]
        )
        mean = estimates.over_seeds(rows, row["measure"])
        return show(mean, bool(measure and measure.percent))
    return "–"


def _at(run: Results, stays: float) -> list[Row]:
    return [row for row in run.get("expert_stays") or [] if row["stays"] == stays]


def _picture(run: Results, rows: Sequence[Row]) -> Picture | None:
    """Draws Table II: the published returns above ours, each on its own scale."""
    published = sorted(
        (row["stays"], row["value"])
        for row in rows
        if row.get("stays") is not None and isinstance(row["value"], int | float)
    )
    ours = [
        (stays, mean)
        for stays, _ in published
        if (mean := estimates.over_seeds(_at(run, stays), _RETURN))
    ]
    if not published or not ours:
        return None
    with drawing.canvas(3.9, rows=2) as (figure, (upper, lower)):
        upper.plot(*zip(*published, strict=True), "s--", color=drawing.BLACK, ms=5)
        upper.set(title="Table II as published", ylabel="Return")
        lower.errorbar(
            [stays for stays, _ in ours],
            [mean.mean for _, mean in ours],
            [mean.sd or 0.0 for _, mean in ours],
            color=drawing.BLUE,
            marker="o",
            ms=5,
            capsize=3,
        )
        lower.set(title="This run", ylabel="Return", xlabel="Stays to learn from")
        said = "; ".join(
            f"{name}: " + ", ".join(f"{value:.3g} from {n:g}" for n, value in points)
            for name, points in (
                ("published", published),
                ("this run", [(n, mean.mean) for n, mean in ours]),
            )
        )
        caption = (
            "Return under r_p by the number of stays the reward learned from. Scales "
            "and data differ: only the shapes can be compared. Bars: standard "
            "deviation over seeds."
        )
        return drawing.finish(figure, f"Table II. {said}.", caption)


def _text(value: Any) -> str:
    if value is None:
        return "–"
    return words.typeset(f"{value:g}") if isinstance(value, int | float) else str(value)

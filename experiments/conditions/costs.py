"""What each condition costs each policy: outcomes in the true simulator."""

from collections.abc import Callable, Sequence

from experiments.conditions.rows import (
    PAIRED,
    SPREAD,
    USUAL,
    Rows,
    conditions_of,
    nothing,
    of,
    policies_of,
    show_gap,
    title,
)
from experiments.report import blocks, drawing, estimates, panels, tables, words
from experiments.report.blocks import Block
from experiments.report.drawing import Picture
from experiments.report.tables import Table
from experiments.report.words import Measure

_OUTCOMES = ("r_p", "in_range", "above", "success")
# Bounds: their figures would leave the others no room.
_NOT_DRAWN = ("random", "zero", "oracle")
_SAME = (
    "A seed's new patients are the same in every condition but Shifted, whose patients "
    "are others."
)


def block(rows: Rows) -> Block:
    """What each condition costs each policy."""
    known = words.measures(words.TARGET)
    names, conditions = policies_of(rows), conditions_of(rows)
    pictures = [_picture(rows, known[key], key) for key in _OUTCOMES]
    shown = [
        (known[key].label, _by_condition(rows, known[key], key)) for key in _OUTCOMES
    ]
    usual = {name: of(rows, USUAL, name) for name in names}
    others = [name for name in conditions if name != USUAL]
    if USUAL in conditions and others:
        label = "r_p an hour less the same policy's as usual"
        shown.append((label, _apart(rows, others, lambda _, policy: usual[policy])))
    if "clinicians" in names:
        label = "r_p an hour less the clinicians' in the same condition"
        table = _apart(rows, conditions, lambda one, _: of(rows, one, "clinicians"))
        shown.append((label, table))
    return blocks.block(pictures, shown)


def _picture(rows: Rows, measure: Measure, key: str) -> Picture | None:
    """One measure of the policies, side by side in each condition."""
    drawn = [name for name in policies_of(rows) if name not in _NOT_DRAWN]
    series = [
        panels.Series(words.policy(name), *drawing.policy_style(name)) for name in drawn
    ]
    levels = {
        title(condition): [of(rows, condition, name) for name in drawn]
        for condition in conditions_of(rows)
    }
    caption = (
        f"{measure.label}: {measure.note}. In the true simulator. Mere bounds (random "
        f"doses, no heparin, the oracle) stand in the tables. {panels.LEGEND}"
    )
    named = f"{measure.label} by condition"
    return panels.picture(levels, series, {key: measure}, named, caption)


def _by_condition(rows: Rows, measure: Measure, key: str) -> Table:
    """Policies down, conditions across."""
    conditions = conditions_of(rows)
    cells = [
        [
            words.policy(name),
            *(
                tables.show(
                    estimates.over_seeds(of(rows, one, name), key), measure.percent
                )
                for one in conditions
            ),
        ]
        for name in policies_of(rows)
    ]
    note = f"{measure.label}: {measure.note}. {SPREAD}"
    return Table(["Policy", *map(title, conditions)], cells, note)


def _apart(
    rows: Rows, conditions: Sequence[str], other: Callable[[str, str], Rows]
) -> Table:
    """r_p less that of others, `(condition, policy) ->` their rows."""
    cells = []
    for name in policies_of(rows):
        gaps = [
            estimates.difference(of(rows, one, name), other(one, name), "r_p")
            for one in conditions
        ]
        if any(gap and not nothing(gap) for gap in gaps):
            cells.append([words.policy(name), *map(show_gap, gaps)])
    columns = ["Policy", *map(title, conditions)]
    return Table(columns, cells, f"{PAIRED} {_SAME}")

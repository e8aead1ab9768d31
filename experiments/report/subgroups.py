"""How policies do in groups of patients: by sex, age, kidney function, weight."""

from collections.abc import Mapping, Sequence

from experiments.report import (
    blocks,
    drawing,
    estimates,
    forest,
    panels,
    policies,
    words,
)
from experiments.report.blocks import Block
from experiments.report.drawing import Picture
from experiments.report.estimates import Row
from experiments.report.results import WORLDS, Results
from experiments.report.tables import SPREAD_NOTE, Table, show

DRAWN = ("in_range", "above")
MEASURES = ("in_range", "above", "r_p")
_MOST_LEARNED = 3
_GROUPS = {
    "sex": "Sex",
    "age": "Age",
    "creatinine": "Creatinine (kidney function)",
    "weight": "Weight",
}


def block(run: Results) -> Block:
    """Returns time in range by group of patients; groups of one to ten are hidden."""
    rows, hidden = visible(run)
    if not rows and not hidden:
        return blocks.block(absent=[blocks.lacks("Groups of patients", "subgroups")])
    known = words.measures(words.target_of(run.get("dataset")))
    pictures, shown = [], []
    for (group,), members in estimates.group(rows, "group").items():
        title = f"{_GROUPS.get(group, group)}, {words.WORLDS[members[0]['world']]}"
        pictures.append(picture(members, group, known))
        every = [r for r in run.get("subgroups") if r["group"] == group]
        counts = _counts(every, blocks.hides(run))
        shown.append((title, _table(members, known, counts)))
    absent = []
    if hidden:
        absent.append(
            f"Not shown, since they hold one to ten people: {'; '.join(hidden)}."
        )
    return blocks.block(pictures, shown, absent)


def visible(run: Results) -> tuple[list[Row], list[str]]:
    """Returns the rows that may be shown, of the best world, and what is hidden.

    Numbers of a group of one to ten people are those of single people: unless patients
    are virtual, such a group is left out whole.
    """
    every = run.get("subgroups") or []
    world = next((w for w in WORLDS if any(r["world"] == w for r in every)), "")
    rows = [row for row in every if row["world"] == world]
    rows.sort(key=lambda row: words.policy_order(row["policy"]))
    if not blocks.hides(run):
        return rows, []
    small = {_place(row) for row in rows if estimates.small(row["n"])}
    hidden = [f"{group}, {level}" for group, level in sorted(small)]
    return [row for row in rows if _place(row) not in small], hidden


def _place(row: Row) -> tuple[str, str]:
    return row["group"], str(row["level"])


def picture(
    rows: Sequence[Row], group: str, known: Mapping[str, words.Measure]
) -> Picture | None:
    """Draws two measures side by side, a row for each level of one group.

    Args:
      rows: rows of ONE group.
      group: its name.
      known: the measures by key.
    """
    names = compared(rows)
    levels = {
        level: [policies.pick(members, name) for name in names]
        for level, members in _by_level(rows).items()
    }
    series = [
        panels.Series(words.policy(name), *drawing.policy_style(name)) for name in names
    ]
    title = _GROUPS.get(group, group)
    caption = (
        f"{title}: how policies do in each group of patients. {forest.LEGEND} A policy "
        "that is good on average can still be bad for some."
    )
    measures = {key: known[key] for key in DRAWN}
    return panels.picture(levels, series, measures, f"By {title}", caption)


def _by_level(rows: Sequence[Row]) -> dict[str, list[Row]]:
    groups: dict[str, list[Row]] = {}
    for row in rows:
        groups.setdefault(str(row["level"]), []).append(row)
    return groups


def compared(rows: Sequence[Row]) -> list[str]:
    """Returns the policies in the figure; the others stand in the table alone."""
    found = dict.fromkeys(row["policy"] for row in rows)
    beside = [n for n in ("clinicians", "behavioural_cloning") if n in found]
    return policies.learned(rows)[:_MOST_LEARNED] + beside


def _counts(rows: Sequence[Row], hide: bool) -> dict[str, str]:
    """Returns the number of people of each level of one group, a mean over seeds.

    Args:
      rows: all rows of the group, also those that are not shown: one hidden level
        could be found by subtraction, so the smallest other is left out with it.
      hide: whether numbers of one to ten people are hidden.
    """
    counts = {}
    for (level,), members in estimates.group(rows, "level").items():
        # Texts stand for a number that was too small to be written.
        known = [1 if isinstance(row["n"], str) else row["n"] for row in members]
        mean = estimates.estimate(known)
        counts[str(level)] = round(mean.mean) if mean else None
    return estimates.hide_counts(counts, hide)


def _table(
    rows: Sequence[Row],
    known: Mapping[str, words.Measure],
    counts: Mapping[str, str],
) -> Table:
    names = [n for n in MEASURES if any(row.get(n) is not None for row in rows)]
    cells = []
    levels = list(counts)
    groups = estimates.group(rows, "level", "policy", "mode").items()
    for (level, policy, mode), members in sorted(
        groups, key=lambda item: levels.index(str(item[0][0]))
    ):
        means = [estimates.over_seeds(members, name) for name in names]
        values = [show(m, known[n].percent) for n, m in zip(names, means, strict=True)]
        seeds = max((mean.n for mean in means if mean), default=0)
        who = words.with_mode(policy, mode or "-")
        cells.append([f"{level}: {who}", counts[str(level)], *values, str(seeds)])
    columns = ["Group and policy", "People", *(known[n].label for n in names), "n"]
    note = "People: patients or stays in the group, on average over seeds."
    return Table(columns, cells, f"{note} {SPREAD_NOTE}")

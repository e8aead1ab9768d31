"""Patients unlike those that the policies learned from: what becomes of them."""

import textwrap
from collections.abc import Mapping, Sequence

from experiments.report import blocks, drawing, estimates, panels, policies, words
from experiments.report.blocks import Block
from experiments.report.estimates import Row
from experiments.report.results import USUAL, Results
from experiments.report.support import SUPPORT
from experiments.report.tables import SPREAD_NOTE, Table, show, show_apart
from experiments.report.words import Measure

_NO_MEASURE = (
    "Patients of another kind: not shown, no row of 'ood_safety' holds a measure."
)
_NO_DIFFERENCE = (
    "No difference is given: it needs r_p or 'extreme' of the policy of this report "
    f"both on '{USUAL}' patients and on others."
)
# The first two that have values are drawn.
_DRAWN = ("r_p", "extreme", "above", "support", "in_range")
_STYLES = (
    (drawing.BLACK, "o"),
    (drawing.RED, "s"),
    (drawing.PURPLE, "D"),
    (drawing.SKY, "^"),
)


def block(run: Results) -> Block:
    """Returns every policy on usual patients and on those that differ."""
    rows = run.get("ood_safety")
    if not rows:
        absent = blocks.lacks("Patients of another kind", "ood_safety")
        return blocks.block(absent=[absent])
    rows = sorted(rows, key=lambda row: words.policy_order(row["policy"]))
    known = {
        name: measure
        for name, measure in _measures(run).items()
        if any(row.get(name) is not None for row in rows)
    }
    if not known:
        return blocks.block(absent=[_NO_MEASURE])
    absent = [] if answer(run) else [_NO_DIFFERENCE]
    title = "Usual patients and patients of another kind"
    return blocks.block([_picture(rows, known)], [(title, _table(rows, known))], absent)


def answer(run: Results) -> str:
    """Returns what changes for the policy of the report, empty where unknown."""
    rows = run.get("ood_safety") or []
    subject = policies.subject_of(rows) if rows else ""
    found = [_clause(rows, subject, shift) for shift in _shifts(rows) if shift != USUAL]
    said = "; ".join(clause for clause in found if clause)
    return f"{said}." if said else ""


def _clause(rows: Sequence[Row], subject: str, shift: str) -> str:
    usual, other = (_on(policies.pick(rows, subject), s) for s in (USUAL, shift))
    name, parts = words.policy(subject), []
    if gap := estimates.difference(other, usual, "r_p"):
        part = f"r_p per hour of {name} lies {show_apart(gap, 'its own on usual ones')}"
        clinicians = policies.pick(rows, "clinicians")
        theirs = estimates.difference(
            _on(clinicians, shift), _on(clinicians, USUAL), "r_p"
        )
        if theirs and subject != "clinicians":
            part += f", that of clinicians {show_apart(theirs, 'theirs')}"
        parts.append(part)
    top, before = (estimates.over_seeds(some, "extreme") for some in (other, usual))
    if top and before:
        parts.append(
            f"{name} gives the highest dose although the last aPTT was above the range "
            f"in {show(top, True)} of hours (usual patients: {show(before, True)})"
        )
    return f"On patients of another kind ({shift}), {'; '.join(parts)}" * bool(parts)


def _on(rows: Sequence[Row], shift: str) -> list[Row]:
    return [row for row in rows if row["shift"] == shift]


def _shifts(rows: Sequence[Row]) -> list[str]:
    """Returns the kinds of patients, the usual ones first."""
    return sorted(dict.fromkeys(row["shift"] for row in rows), key=lambda s: s != USUAL)


def _measures(run: Results) -> dict[str, Measure]:
    known = words.measures(words.target_of(run.get("dataset")))
    named = {name: known[name] for name in ("r_p", "in_range", "above", "extreme")}
    return {**named, "support": SUPPORT}


def _picture(rows: Sequence[Row], known: Mapping[str, Measure]):
    shifts = _shifts(rows)
    levels = {
        words.policy(policy): [_on(policies.pick(rows, policy), s) for s in shifts]
        for policy in dict.fromkeys(row["policy"] for row in rows)
    }
    series = [
        panels.Series(textwrap.fill(_who(shift), 30), *_STYLES[place % len(_STYLES)])
        for place, shift in enumerate(shifts)
    ]
    drawn = [name for name in _DRAWN if name in known][:2]
    caption = (
        "Each policy on new patients of the kind it learned from, and on patients of "
        f"another kind. Policies as they were trained. {panels.LEGEND}"
    )
    measures = {name: known[name] for name in drawn}
    title = "Policies on usual patients and on patients of another kind"
    return panels.picture(levels, series, measures, title, caption)


def _who(shift: str) -> str:
    return f"{shift} patients" if shift == USUAL else shift


def _table(rows: Sequence[Row], known: Mapping[str, Measure]) -> Table:
    cells = []
    groups = estimates.group(rows, "policy", "mode")
    for (policy, mode), members in groups.items():
        for shift in _shifts(members):
            here = _on(members, shift)
            means = [estimates.over_seeds(here, name) for name in known]
            values = [
                show(mean, measure.percent)
                for mean, measure in zip(means, known.values(), strict=True)
            ]
            seeds = max((mean.n for mean in means if mean), default=0)
            label = f"{words.with_mode(policy, mode)}: {_who(shift)}"
            cells.append([label, *values, str(seeds)])
    columns = ["Policy and patients", *(one.label for one in known.values()), "n"]
    notes = " ".join(f"{one.label}: {one.note}." for one in known.values())
    return Table(columns, cells, f"{SPREAD_NOTE} {notes}")

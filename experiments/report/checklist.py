"""Reporting guidelines, item by item: where the page answers them, or that it does not.

The items stand in `checklists/`: paraphrases, with the facts that a full or a partial
answer needs; `sources.csv` there says what they were compared with. A fact is a section
of the results (`off_policy`), a key of a section that has a value (`dataset.stays`), or
one of `COMPUTED`. An item whose facts are absent is never called answered; one that
names no facts never can be.
"""

import csv
import functools
import pathlib
from collections.abc import Callable, Mapping
from typing import NamedTuple

from experiments.report import model_card, off_policy, policies, subgroups, support
from experiments.report.results import Results
from experiments.report.tables import Table

_FOLDER = pathlib.Path(__file__).parent / "checklists"
ANSWERED, IN_PART, OPEN = "answered", "in part", "not answered by this report"


class Item(NamedTuple):
    """One item of a guideline.

    Attributes:
      number: its number there.
      item: what it asks, in our words.
      full: facts that a full answer needs; none: a full answer is never given.
      part: facts that a partial answer needs; none: there is none.
      where: section of the page that answers.
      open: what a partial answer leaves open.
    """

    number: str
    item: str
    full: tuple[str, ...]
    part: tuple[str, ...]
    where: str
    open: str


class Guideline(NamedTuple):
    """A guideline.

    Attributes:
      name: its name.
      source: where it was published.
      about: what it is about, and how it is applied here.
      checked: what our wording of its items was compared with, and what was not.
      items: its items.
    """

    name: str
    source: str
    about: str
    checked: str
    items: tuple[Item, ...]


class Filled(NamedTuple):
    """A filled checklist.

    Attributes:
      guideline: which one.
      summary: how many items are answered.
      table: item by item.
    """

    guideline: Guideline
    summary: str
    table: Table


@functools.cache
def guidelines() -> tuple[Guideline, ...]:
    """Returns the guidelines of `checklists/sources.csv` with their items."""
    return tuple(
        Guideline(
            *(row[key] for key in ("name", "source", "about", "checked")),
            _items(row["file"]),
        )
        for row in _rows("sources.csv")
    )


def fill(run: Results, parts: Mapping[str, str]) -> list[Filled]:
    """Fills all checklists for one run.

    Args:
      run: the run.
      parts: sections of the page: identifier -> heading.
    """
    known = facts(run)
    return [_fill(guideline, known, parts) for guideline in guidelines()]


def status(item: Item, known: frozenset[str]) -> str:
    """Returns how far the known facts answer an item."""
    if item.full and known.issuperset(item.full):
        return ANSWERED
    return IN_PART if item.part and known.issuperset(item.part) else OPEN


def facts(run: Results) -> frozenset[str]:
    """Returns what is known of a run, as names that items ask for."""
    found = {name for name in run.sections if run.get(name)}
    for name in found.copy():
        section = off_policy.shown(run) if name == "off_policy" else run.get(name)
        records = section if isinstance(section, list) else [section]
        for record in records:
            if isinstance(record, dict):
                found |= {f"{name}.{k}" for k, v in record.items() if _given(v)}
    return frozenset(found | {name for name, holds in COMPUTED.items() if holds(run)})


def _given(value: object) -> bool:
    return value is not None and value not in ("", [], {})


def _policies(run: Results) -> set[str]:
    return {row["policy"] for row in run.get("policies") or ()}


def _baselines(run: Results) -> bool:
    found = _policies(run)
    untreated = {"zero", "constant_0"} & found
    return bool({"clinicians", "random"} <= found and untreated)


def _values(run: Results, section: str, key: str) -> set:
    return {row.get(key) for row in run.get(section) or ()}


COMPUTED: dict[str, Callable[[Results], bool]] = {
    "always": lambda run: True,
    "several_seeds": lambda run: len(_values(run, "policies", "seed")) > 1,
    "several_estimators": lambda run: len(_values(run, "off_policy", "estimator")) > 1,
    "clinicians": lambda run: "clinicians" in _policies(run),
    "baselines": _baselines,
    "truth": lambda run: policies.best_world(run) == "simulator",
    "state_compared": lambda run: any(
        row["setting"].split("=")[0] == "state" for row in run.get("ablation") or ()
    ),
    "subgroups_shown": lambda run: bool(subgroups.visible(run)[0]),
    "calibration_shown": lambda run: bool(support.visible(run)),
    "measured_limits": lambda run: bool(model_card.limits(run)[0]),
}


def _fill(
    guideline: Guideline, known: frozenset[str], parts: Mapping[str, str]
) -> Filled:
    states = [status(item, known) for item in guideline.items]
    rows = [
        [
            f"{item.number}. {item.item}",
            state,
            "–" if state == OPEN else parts[item.where],
            item.open if state == IN_PART else "",
        ]
        for item, state in zip(guideline.items, states, strict=True)
    ]
    counts = [f"{states.count(state)} {state}" for state in (ANSWERED, IN_PART, OPEN)]
    table = Table(["Item", "Answer", "Section", "What is left open"], rows)
    return Filled(guideline, f"{len(rows)} items: {', '.join(counts)}.", table)


def _items(name: str) -> tuple[Item, ...]:
    return tuple(
        Item(
            row["number"],
            row["item"],
            tuple(row["full"].split()),
            tuple(row["part"].split()),
            row["where"],
            row["open"],
        )
        for row in _rows(name)
    )


def _rows(name: str) -> list[dict[str, str]]:
    with (_FOLDER / name).open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))

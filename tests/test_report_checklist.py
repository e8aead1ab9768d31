"""Checklists: every item is sound, and none is answered by what is absent."""

import collections

import pytest
import report_results

from experiments.report import checklist, results, view

KNOWN_KEYS = {
    "dataset.name",
    "dataset.hash",
    "dataset.stays",
    "dataset.target",
    "dataset.actions",
    "dataset.state_features",
    "off_policy.ess",
    "off_policy.value",
    "off_policy.largest",
}
VOCABULARY = {*results.SECTIONS, *checklist.COMPUTED, *KNOWN_KEYS}
# Items of the article's Table 2 that have parts, and their last letters.
TRIPOD_PARTS = {
    number: "abcdefg"[: "abcdefg".index(last) + 1]
    for number, last in (
        *((3, "c"), (5, "b"), (6, "c"), (8, "c"), (9, "c"), (12, "g")),
        *((18, "f"), (20, "c"), (23, "b"), (27, "c")),
    )
}
ITEMS = [(g.name, item) for g in checklist.guidelines() for item in g.items]


def _run(**changes):
    document = report_results.build()
    document["dataset"]["target"] = [60, 100]
    return results.check({**document, **changes})


def _status(run):
    known = checklist.facts(run)
    return {
        item.number: checklist.status(item, known)
        for guideline in checklist.guidelines()
        for item in guideline.items
    }


@pytest.mark.parametrize(("name", "item"), ITEMS)
def test_item_asks_for_facts_that_exist_and_points_at_a_section(name, item):
    assert name
    assert item.item
    assert VOCABULARY.issuperset(item.full + item.part)
    if item.full or item.part:
        assert item.where in view.PARTS
    # A partial answer always says what it leaves open.
    assert bool(item.part) == bool(item.open)


def test_guidelines_are_whole_and_name_their_source():
    tripod, learning = checklist.guidelines()
    # 27 items of TRIPOD+AI, 52 with their parts.
    assert {int(i.number.rstrip("abcdefg")) for i in tripod.items} == set(range(1, 28))
    assert len({item.number for item in tripod.items}) == len(tripod.items) == 52
    assert _parts(tripod) == TRIPOD_PARTS
    assert "bmj-2023-078378" in tripod.source
    assert "1805.12298" in learning.source
    assert "s41591-018-0310-5" in learning.source
    assert "two transcriptions of the article's Table 2" in tripod.checked
    assert "could not be compared" in learning.checked
    papers = {item.number.split("-")[0] for item in learning.items}
    assert papers == {"2018", "2019"}


def _parts(guideline):
    """Returns the letters of the items that have parts, by number."""
    letters = collections.defaultdict(str)
    for item in guideline.items:
        number = item.number.rstrip("abcdefg")
        letters[int(number)] += item.number.removeprefix(number)
    return {number: found for number, found in letters.items() if found}


def test_nothing_but_what_every_page_has_is_answered_on_a_bare_page():
    status = _status(results.check({"title": "Bare", "kind": "virtual"}))
    given = {number for number, state in status.items() if state != checklist.OPEN}
    # The title, the use that the model card states, and a plot that is never shown.
    assert given == {"1", "3b", "2018-13"}


@pytest.mark.parametrize(
    ("section", "number", "left"),
    [
        ("cohort_flow", "6b", checklist.OPEN),
        ("off_policy", "2018-4", checklist.OPEN),
        ("behaviour_calibration", "2018-3", checklist.OPEN),
        ("support", "2018-9", checklist.OPEN),
        ("support", "2019-3", checklist.OPEN),
        ("ablation", "2018-2", checklist.OPEN),
        ("subgroups", "23a", checklist.IN_PART),
    ],
)
@pytest.mark.parametrize("empty", [None, []])
def test_answer_falls_with_its_section(section, number, left, empty):
    assert _status(_run())[number] == checklist.ANSWERED
    assert _status(_run(**{section: empty}))[number] == left


@pytest.mark.parametrize(
    ("section", "number"),
    [
        ("cohort_flow", "20a"),
        ("dataset", "12a"),
        ("dataset", "15"),
        ("table1", "16"),
        ("missingness", "20b"),
        ("table1", "20c"),
        ("reward_curve", "2019-4"),
        ("missingness", "2019-5"),
        ("ood_safety", "2019-6"),
        ("dose_heatmap", "2019-8"),
    ],
)
def test_item_that_asks_for_more_is_answered_in_part_at_most(section, number):
    assert _status(_run())[number] == checklist.IN_PART
    assert _status(_run(**{section: None}))[number] == checklist.OPEN


def test_computed_facts():
    document = report_results.build()
    one = [row for row in document["policies"] if row["seed"] == 0]
    assert "several_seeds" in checklist.facts(_run())
    assert "several_seeds" not in checklist.facts(_run(policies=one))
    treated = [row for row in document["policies"] if row["policy"] != "zero"]
    assert "baselines" in checklist.facts(_run())
    assert "baselines" not in checklist.facts(_run(policies=treated))
    weighted = [r for r in document["off_policy"] if r["estimator"] == "fqe"]
    facts = checklist.facts(_run(off_policy=weighted))
    assert "several_estimators" not in facts
    assert "off_policy.ess" not in facts  # fitted values have no weights
    few = [{**row, "n": 5} for row in document["subgroups"]]
    hidden = results.check({**document, "kind": "other", "subgroups": few})
    assert "subgroups_shown" not in checklist.facts(hidden)


def test_filled_table_says_where_and_what_is_left():
    filled = checklist.fill(_run(), view.PARTS)[0]
    rows = {row[0].split(".")[0]: row[1:] for row in filled.table.rows}
    assert rows["6b"] == ["answered", "Cohort", ""]
    assert rows["20a"][:2] == ["in part", "Cohort"]
    assert rows["17"] == ["not answered by this report", "–", ""]
    assert rows["11"][0] == "in part"
    assert rows["11"][2].startswith("shares before and after")
    states = [row[1] for row in filled.table.rows]
    assert filled.summary.startswith(f"52 items: {states.count('answered')} answered, ")

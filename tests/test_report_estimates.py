"""Spread over seeds, and counts that may not be published."""

import itertools
import random

import pytest

from experiments.report import estimates, tables, words


def test_interval_is_student_t():
    # mean 2, sd 1, t(.975, 2) = 4.3027 and half width 4.3027 / sqrt(3) = 2.4841.
    found = estimates.estimate([1.0, None, 2.0, 3.0])
    assert found == pytest.approx((2.0, 1.0, 2.0 - 2.48414, 2.0 + 2.48414, 3), abs=1e-4)


def test_single_seed_has_no_spread():
    assert estimates.estimate([0.5]) == (0.5, None, None, None, 1)
    assert estimates.estimate([None]) is None


def test_rows_of_one_seed_count_once():
    rows = [{"seed": 0, "x": 0.0}, {"seed": 0, "x": 2.0}, {"seed": 1, "x": 5.0}]
    # Seed means 1 and 5: mean 3 (the mean of the rows would be 7/3).
    found = estimates.over_seeds(rows, "x")
    assert found is not None
    assert (found.mean, found.n) == (3.0, 2)


def test_difference_is_paired_by_seed():
    ours = [{"seed": s, "x": v} for s, v in ((0, 1.0), (1, 5.0), (2, 9.0))]
    theirs = [{"seed": s, "x": v} for s, v in ((2, 8.0), (1, 4.0), (3, 0.0))]
    found = estimates.difference(ours, theirs, "x")
    assert found is not None
    assert (found.mean, found.sd, found.n) == (1.0, 0.0, 2)


def test_comparator_without_seed_is_subtracted_from_each():
    ours = [{"seed": s, "x": v} for s, v in ((0, 1.0), (1, 3.0))]
    found = estimates.difference(ours, [{"seed": None, "x": 1.0}], "x")
    assert found is not None
    assert (found.mean, found.n) == (1.0, 2)


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0"), (1, "1–10"), (10, "1–10"), (11, "11"), (1234, "1,234")],
)
def test_counts_of_one_to_ten_are_hidden(count, text):
    assert estimates.show_count(count, hide=True) == text
    assert estimates.show_count(count, hide=False) == f"{count:,}"


def test_one_hidden_count_hides_the_smallest_other():
    shown = estimates.hide_counts({"train": 480, "validation": 60, "test": 7}, True)
    assert shown == {"train": "480", "validation": "not shown", "test": "1–10"}


def test_two_hidden_counts_need_no_third():
    shown = estimates.hide_counts({"train": 14, "validation": 3, "test": 3}, True)
    assert shown == {"train": "14", "validation": "1–10", "test": "1–10"}


def _flow(start, removed):
    rows = [{"rule": "all", "removed": 0, "remaining": start}]
    for index, count in enumerate(removed):
        start -= count
        rows.append({"rule": f"rule {index}", "removed": count, "remaining": start})
    return rows


def test_rule_that_removed_few_is_counted_with_the_next():
    shown = estimates.merge_flow(_flow(100, [4, 30, 3]), hide=True)
    assert [(row["rule"], row["removed"], row["remaining"]) for row in shown] == [
        ("all", "0", "100"),
        ("rule 0; rule 1; rule 2", "37", "63"),
    ]


def test_virtual_patients_need_no_merging():
    shown = estimates.merge_flow(_flow(100, [4, 30]), hide=False)
    assert [row["removed"] for row in shown] == ["0", "4", "30"]


def test_no_small_count_follows_from_what_is_shown():
    generator = random.Random(0)
    merged = 0
    for _ in range(500):
        removed = [generator.choice([0, 0, 2, 5, 9, 11, 40]) for _ in range(5)]
        left = generator.choice([0, 3, 8, 12, 300])
        shown = estimates.merge_flow(_flow(left + sum(removed), removed), hide=True)
        merged += len(shown) < 6
        remaining = [row["remaining"] for row in shown]
        known = [int(text) for text in remaining if text.isdigit()]
        gaps = [a - b for a, b in itertools.pairwise(known)]
        assert not any(estimates.small(gap) for gap in gaps)
        assert not any(row["removed"] in map(str, range(1, 11)) for row in shown)
        if remaining[-1] == estimates.HIDDEN and len(shown) > 1:
            # A hidden remainder must not follow from what is shown before it.
            after = [row for row in shown if row["remaining"] == estimates.HIDDEN]
            assert all(row["removed"] in ("0", "not shown", "1–10") for row in after)
    assert merged > 100  # the rule was exercised


def test_values_are_shown_with_spread():
    assert tables.show(estimates.estimate([0.43, 0.44, 0.45]), percent=True) == (
        "44.0\u00a0±\u00a01.0\u00a0%"
    )
    assert tables.show(estimates.estimate([-0.5])) == "\u22120.500"
    assert tables.show(None) == "–"
    # What exploded weights leave: its size, not its digits.
    huge = estimates.estimate([-2.0e12, -4.0e12])
    assert tables.show(huge) == "\u22123.0e+12\u00a0±\u00a01.4e+12"
    assert tables.show_ends(-4e12, 12.0) == "\u22124.0e+12\u00a0to\u00a012.000"


def test_policy_table_hides_few_patients_and_twin_columns():
    row = {"policy": "clinicians", "mode": "-", "world": "records", "seed": 0}
    row |= {"above": 0.1, "above_100": 0.1, "patients": 7, "in_range": None}
    known = words.measures((60.0, 100.0))
    (table,) = tables.policies([row], known, hide=True)
    assert table.columns == ["Policy", "Time above 100\u00a0s", "patients", "n"]
    assert table.rows == [["Clinicians", "10.0\u00a0%", "1–10", "1"]]
    assert tables.policies([row], known, hide=False)[0].rows[0][2] == "7"


def test_many_measures_are_spread_over_tables():
    row = {"policy": "a", "mode": "-", "world": "model", "seed": 0}
    row |= {f"measure_{n}": float(n) for n in range(10)}
    shown = tables.policies([row], {}, hide=False)
    assert [len(table.columns) for table in shown] == [6 + 2, 4 + 2]
    assert shown[1].rows == [["a", "6.000", "7.000", "8.000", "9.000", "1"]]


def test_table_one_leaves_out_small_splits():
    rows = [{"variable": "age", "unit": "years", "train": "a", "validation": "b"}]
    rows[0]["test"] = "c"
    stays = {"train": 100, "validation": 10, "test": 11}
    assert tables.table_one(rows, stays, hide=True).columns == [
        "Variable",
        "train",
        "test",
    ]
    assert tables.table_one(rows, stays, hide=False).rows == [
        ["age (years)", "a", "b", "c"]
    ]


def test_counts_hidden_before_the_report_are_shown_as_they_are():
    rows = [
        {"rule": "all", "removed": 0, "remaining": 140},
        {"rule": "adults", "removed": "<=10", "remaining": 140},
    ]
    shown = estimates.merge_flow(rows, hide=True)
    assert [(row["removed"], row["remaining"]) for row in shown] == [
        ("0", "140"),
        ("<=10", "140"),
    ]

"""The open questions: answers are the rows' own numbers, and nothing without rows."""

import pytest
import report_results
from report_results import checked

from experiments.report import (
    estimates,
    model_card,
    questions,
    shifted,
    tables,
)

pytestmark = pytest.mark.usefixtures("undrawn")


def _asked(run):
    names = ("reward", "model", "patients")
    return dict(zip(names, questions.questions(run), strict=True))


def _cells(block):
    return {row[0]: list(row[1:]) for _, table in block.tables for row in table.rows}


def _regression():
    """Policies with a reward regression beside the others: r_p of .05, .08 and .02."""
    rows = report_results.build()["policies"]
    base = [r for r in rows if r["policy"] == "omg_rl" and r["mode"] == "stochastic"]
    for row, r_p in zip(base, (0.05, 0.08, 0.02, 0.05, 0.08, 0.02), strict=True):
        rows.append({**row, "policy": "reward_regression", "r_p": r_p})
    return rows


def _plain(text):
    return text.replace("\u00a0", " ").replace("\u2212", "-")


@pytest.mark.parametrize(
    ("mean", "low", "high", "said"),
    [
        (0.2, 0.05, 0.35, "0.200 [0.050 to 0.350] above X"),
        (-0.2, -0.35, -0.05, "0.200 [0.050 to 0.350] below X"),
        (0.1, -0.05, 0.25, "not clearly apart from X (+0.100 [-0.050 to 0.250])"),
        (0.0, 0.0, 0.0, "not clearly apart from X (+0.000 [0.000 to 0.000])"),
        (-0.2, None, None, "0.200 below X (one seed, no interval)"),
    ],
)
def test_distance_has_a_side_only_where_its_interval_leaves_out_zero(
    mean, low, high, said
):
    gap = estimates.Estimate(mean, None, low, high, 1 if low is None else 3)
    assert _plain(tables.show_apart(gap, "X")) == said


def test_learning_a_reward_stands_beside_imitation_regression_and_the_given_reward():
    question = _asked(checked(policies=_regression()))["reward"]
    # -.10 - (-.28) and -.10 - .05 in every seed; against regression -.16, -.18 and
    # -.11: mean -.15, deviation .0361, half the interval 4.3027 * .0361 / sqrt 3 =
    # .0896.
    assert _plain(question.answer) == (
        "In the true simulator, r_p per hour of OMG-RL lies 0.180 [0.180 to 0.180] "
        "above behavioural cloning; 0.150 [0.060 to 0.240] below reward regression; "
        "0.150 [0.150 to 0.150] below COMBO."
    )
    cells = _cells(question.block)
    assert list(cells) == [
        "OMG-RL",
        "Behavioural cloning",
        "Reward regression",
        "COMBO",
    ]
    assert [_plain(c) for c in cells["Behavioural cloning"]] == [
        "-0.280 ± 0.010",
        "36.0 ± 1.0 %",
        "22.0 ± 0.0 %",
        "0.180 ± 0.000\n[0.180 to 0.180]",
        "0.530 ± 0.010",
        "3",
    ]
    assert _plain(cells["OMG-RL"][4]) == "0.600 ± 0.010"  # its reward ranks doses
    assert cells["OMG-RL"][3] == cells["COMBO"][4] == "–"
    assert question.block.absent == []
    assert len(question.block.pictures) == 1


def test_method_that_was_not_run_is_named_and_not_judged():
    question = _asked(checked())["reward"]
    assert "regression" not in question.answer
    assert question.block.absent == [
        "Reward regression: not shown, since the run did not train it."
    ]
    rows = [r for r in report_results.build()["policies"] if r["policy"] != "omg_rl"]
    question = _asked(checked(policies=rows))["reward"]
    assert question.answer == ""
    assert not question.block.shows
    assert "OMG-RL was not run" in question.block.absent[0]


def test_numbers_of_the_model_are_said_to_be_no_evidence():
    answer = _asked(checked("records"))["reward"].answer
    assert answer.startswith("Inside the learned model alone (not evidence), r_p")


def test_model_is_judged_by_error_effect_and_distance():
    question = _asked(checked())["model"]
    # .05 sqrt 20 against .10 sqrt 20; 1 + .1 * 20 against 1.
    assert _plain(question.answer) == (
        "The model's aPTT error 20 hours ahead lies 50 % below that of assuming that "
        "nothing changes; its effect of a dose on aPTT is 0.650 ± 0.010 times the true "
        "one; 20 hours ahead, imagined patients lie 3 times as far from those of the "
        "records as later recorded ones do."
    )
    assert question.see == "model"
    assert question.block.absent == []
    question = _asked(checked(drift=None, intervention=None))["model"]
    assert "effect" not in question.answer
    assert "imagined" not in question.answer
    assert "'intervention'" in question.block.absent[0]
    assert "'drift'" in question.block.absent[1]
    assert "effect of a dose" not in _asked(checked("records"))["model"].answer


def test_what_other_patients_cost_stands_beside_what_they_cost_clinicians():
    question = _asked(checked())["patients"]
    assert _plain(question.answer) == (
        "On patients of another kind (older, heavier, renal), r_p per hour of OMG-RL "
        "lies 0.120 [0.120 to 0.120] below its own on usual ones, that of clinicians "
        "0.100 [0.100 to 0.100] below theirs; OMG-RL gives the highest dose although "
        "the last aPTT was above the range in 3.0 ± 0.0 % of hours (usual patients: "
        "1.0 ± 0.0 %)."
    )
    cells = _cells(question.block)
    assert list(cells)[:2] == [
        "OMG-RL, stochastic: usual patients",
        "OMG-RL, stochastic: older, heavier, renal",
    ]
    shifted_row = cells["OMG-RL, stochastic: older, heavier, renal"]
    assert [_plain(cell) for cell in shifted_row] == [
        "-0.220 ± 0.010",
        "36.0 ± 0.0 %",
        "25.0 ± 0.0 %",
        "3.0 ± 0.0 %",
        "20.0 ± 0.0 %",
        "3",
    ]
    assert cells["Clinicians: usual patients"][4] == "–"  # their doses are the data
    (picture,) = question.block.pictures
    assert "OMG-RL, older, heavier, renal -0.22" in picture.alt
    assert "Clinicians, usual patients 0%" in picture.alt
    card = " ".join(model_card.card(checked())[3].sentences)
    assert question.answer in card


def test_measure_that_no_row_holds_is_left_out():
    rows = [
        {key: row[key] for key in ("policy", "mode", "seed", "shift", "above")}
        for row in report_results.build()["ood_safety"]
    ]
    block = shifted.block(checked(ood_safety=rows))
    assert block.tables[0][1].columns == [
        "Policy and patients",
        "Time above 100\u00a0s",
        "n",
    ]
    assert len(block.pictures) == 1
    assert shifted.answer(checked(ood_safety=rows)) == ""
    assert "No difference is given" in block.absent[0]
    bare = [{**row, "above": None} for row in rows]
    block = shifted.block(checked(ood_safety=bare))
    assert not block.shows
    assert "no row of 'ood_safety' holds a measure" in block.absent[0]


def test_usual_patients_alone_say_nothing_of_others():
    rows = [r for r in report_results.build()["ood_safety"] if r["shift"] == "usual"]
    assert shifted.answer(checked(ood_safety=rows)) == ""
    assert shifted.answer(checked(ood_safety=None)) == ""


def test_every_kind_of_patient_gets_its_clause():
    rows = report_results.build()["ood_safety"]
    more = [{**r, "shift": "younger"} for r in rows if r["shift"] != "usual"]
    answer = shifted.answer(checked(ood_safety=more + rows))
    assert answer.count("On patients of another kind") == 2
    assert answer.index("(younger)") < answer.index("(older, heavier, renal)")

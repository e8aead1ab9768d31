"""The results file: what is accepted, and how each fault is named."""

import json

import pytest
import report_results

from experiments.report import results
from experiments.report.fields import ResultsError


@pytest.mark.parametrize("kind", results.KINDS)
def test_complete_document_is_accepted_with_every_section(kind):
    run = results.check(report_results.build(kind))
    assert set(run.sections) == set(results.SECTIONS)
    assert run.unknown == ()
    assert run.kind == kind


def test_file_is_read_from_the_run_directory(tmp_path):
    document = report_results.build()
    (tmp_path / "results.json").write_text(json.dumps(document))
    assert results.load(tmp_path).get("cohort_flow") == document["cohort_flow"]


def test_title_and_kind_suffice():
    run = results.check({"title": "t", "kind": "other"})
    assert run.get("policies") is None


def test_null_sections_are_absent_and_unknown_ones_are_named():
    run = results.check(
        {"title": "t", "kind": "other", "policies": None, "polices": [1]}
    )
    assert run.get("policies") is None
    assert run.unknown == ("polices",)


def test_missing_file_names_the_flag(tmp_path):
    with pytest.raises(ResultsError, match=r"results\.json: no such file; give --run"):
        results.load(tmp_path)


@pytest.mark.parametrize("text", ["{", "\udcff"])
def test_unreadable_file_is_one_clear_error(tmp_path, text):
    path = tmp_path / "results.json"
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(ResultsError, match="not valid JSON"):
        results.load(tmp_path)


def test_number_too_large_for_a_float_is_not_finite(tmp_path):
    document = '{"title": "t", "kind": "other", "timing": {"total": 1e999}}'
    (tmp_path / "results.json").write_text(document)
    with pytest.raises(ResultsError, match=r"timing\.total: inf is not finite"):
        results.load(tmp_path)


FAULTS = {
    "kind": (["kind"], "patients", r"json\.kind: expected one of virtual, records"),
    "nan in an unknown section": (["other"], [float("nan")], r"other\[0\]: nan is not"),
    "nan": (["policies", 2, "r_p"], float("nan"), r"policies\[2\]\.r_p: nan is not"),
    "text for number": (["policies", 0, "r_p"], "high", r"\[0\]\.r_p: expected a num"),
    "bool for number": (
        ["dynamics", 1, "seed"],
        True,
        r"dynamics\[1\]\.seed: expected",
    ),
    "world": (["policies", 0, "world"], "truth", r"world: expected one of simulator"),
    "mode": (["policies", 0, "mode"], "mean", r"mode: expected one of stochastic"),
    "no list": (["learning"], {}, r"learning: expected a list, found a container"),
    "no object": (["dataset"], "virtual", r"dataset: expected an object"),
    "losses": (["member_losses", "train", 1], [1.0], r"train\[1\]: expected 6 values"),
    "members": (["member_losses", "train"], [], r"losses\.train: expected 7 values"),
    "elites": (["member_losses", "elites"], [7], r"elites: expected indices of the 7"),
    "bins": (["dose_heatmap", "aptt_edges"], [1, 2], r"2 edges make 1 bins"),
    "doses": (["dose_heatmap", "dose_labels"], ["0"], r"\[0\]: expected 1 values"),
    "curve": (["reward_curve", "mean"], [0.0], r"curve\.mean: expected 6 values"),
    "hold": (["intervention", "curves", "truth"], [1.0], r"curves\.truth: expected 6"),
    "ends": (["off_policy", 0, "low"], 9.0, r"off_policy\[0\]\.low: expected at most"),
    "estimator": (["off_policy", 0, "estimator"], "", r"estimator: expected a name"),
    "group": (["subgroups", 1, "group"], None, r"\[1\]\.group: expected a name"),
    "share": (["support", 0, "share_out_of_support"], "few", r"expected a number"),
    "setting": (["ablation", 1, "r_p"], "low", r"ablation\[1\]\.r_p: expected a num"),
    "shift": (["ood_safety", 0, "shift"], "", r"ty\[0\]\.shift: expected a name"),
    "shifted": (["ood_safety", 1, "extreme"], "few", r"extreme: expected a number"),
    "drift": (["drift", 0, "horizon"], "1 h", r"drift\[0\]\.horizon: expected a num"),
    "hours": (["examples", 0, "hours"], [0.0], r"\[0\]\.clinicians\.aptt: expected 1"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_fault_is_named_with_its_place(fault):
    path, value, message = FAULTS[fault]
    document = report_results.build()
    place = document
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    with pytest.raises(ResultsError, match=message):
        results.check(document)


def test_missing_column_is_named():
    document = report_results.build()
    del document["cohort_flow"][1]["removed"]
    with pytest.raises(ResultsError, match=r"cohort_flow\[1\]: the key 'removed'"):
        results.check(document)


@pytest.mark.parametrize("section", ["policies", "subgroups", "ood_safety"])
def test_records_cannot_claim_a_simulator(section):
    document = report_results.build("records")
    document[section][0]["world"] = "simulator"
    with pytest.raises(ResultsError, match="real patients have no simulator"):
        results.check(document)


def test_records_cannot_claim_to_know_what_a_policy_would_have_done():
    document = report_results.build("records")
    document["off_policy"][0]["truth"] = 0.5
    with pytest.raises(ResultsError, match="would have done to real patients"):
        results.check(document)
    document["off_policy"][0]["policy"] = "clinicians"  # theirs was recorded
    results.check(document)

"""The page: self-contained, honest about where numbers come from, complete in words."""

import base64
import json
import re
import subprocess
import sys

import pytest
import report_results

from experiments.report import page, results


def _render(kind="virtual", **changes) -> str:
    return page.render(report_results.checked(kind, **changes))


@pytest.fixture(scope="module")
def virtual() -> str:
    return report_results.html()


@pytest.fixture(scope="module")
def records() -> str:
    return report_results.html("records")


def _text(html: str) -> str:
    body = html.split("<body>")[1]
    return re.sub(r"[ \n]+", " ", re.sub(r"<[^>]+>", " ", body))


def test_page_needs_nothing_from_outside(virtual):
    assert not re.search(r"<(script|link|iframe|object|embed|base)\b", virtual)
    assert not re.search(r"""\b(src|href)="(?!data:image/svg|#)""", virtual)
    style = virtual.split("<style>")[1].split("</style>")[0]
    assert "url(" not in style
    assert "@import" not in style
    assert "default-src 'none'; img-src data:" in virtual
    for code in re.findall(r'src="data:image/svg\+xml;base64,([^"]+)"', virtual):
        svg = base64.b64decode(code).decode()
        assert not re.search(r'href="(?!#|data:)', svg)
        assert "<script" not in svg


def test_every_figure_is_on_the_page_with_words(virtual):
    alts = re.findall(r'<img src="data:[^"]+" alt="([^"]*)"', virtual)
    assert len(alts) == virtual.count("<img") == virtual.count("<figcaption>")
    # 4 + 2 comparisons, reward, Fig. 2 and 3, 2 heatmaps, 3 patients, hold test,
    # 2 errors, calibration, Fig. 1, drift, 4 diagnostics, cohort flow; 2 groups of
    # patients, 2 estimators, behaviour model, doses off support; 3 of an ablation, 2 of
    # Table II, 1 beside the published numbers, 2 of the open questions.
    assert len(alts) == 6 + 3 + 2 + 3 + 6 + 4 + 1 + (2 + 4) + (3 + 2 + 1) + 2
    assert all(len(alt) > 20 for alt in alts)
    for name in ("Fig. 1.", "Fig. 2.", "Fig. 3."):
        assert f"<figcaption>{name}" in virtual


def test_first_screen_gives_headline_numbers_with_spread(virtual):
    first = _text(virtual).split("How do the policies do?")[0]
    assert first.strip().startswith("NOT FOR CLINICAL USE.")
    assert "The numbers on this screen come from the true simulator" in first
    assert "OMG-RL (stochastic policy)" in first
    assert "44.0\u00a0±\u00a01.0\u00a0%" in first
    assert "mean ± standard deviation over 3 seeds" in first
    # .44 - .52 and .12 - .11, the same in every seed.
    assert "OMG-RL against clinicians: time in 60–100\u00a0s \u22128.0\u00a0points" in (
        first
    )
    assert "highest at an aPTT of 70 s, inside the target" in first
    assert "passed the intervention test" in first


def test_numbers_of_the_model_alone_are_never_called_evidence(records):
    text = _text(records)
    assert "come from the learned model alone" in text.split("How do the policies")[0]
    assert text.count("evidence") >= 2
    assert text.count("evidence") == text.count("not evidence")
    assert "true simulator, in which" not in text
    assert ": better" not in text
    assert "passed the intervention test" not in text


def test_model_numbers_of_virtual_patients_are_no_evidence_either(undrawn):
    rows = report_results.build()["policies"]
    text = _text(_render(policies=[row for row in rows if row["world"] == "model"]))
    first = text.split("How do the policies do?")[0]
    assert "not evidence" in first
    assert ": better" not in first
    assert "True simulator: not shown, no policy was run there." in text


def test_real_patients_are_never_shown_one_by_one(records):
    assert "Single patients are not drawn" in records
    assert "Virtual patient 1" not in records
    assert "Records have no simulator truth" in records


def test_small_counts_are_hidden_for_records_only(undrawn, virtual, records):
    assert "younger than 18 years; shorter than 7 hours" in _text(records)
    assert re.search(r"younger than 18 years\s+4\s+796", _text(virtual))
    document = report_results.build("records")
    document["dataset"]["stays"]["test"] = 7
    text = _text(_render("records", dataset=document["dataset"]))
    assert re.search(r"stays, test\s+1–10", text)
    assert re.search(r"stays, validation\s+not shown", text)


@pytest.fixture(scope="module")
def bare() -> str:
    return _text(page.render(results.check({"title": "Bare", "kind": "virtual"})))


SENTENCES = {
    "policies": "No policy was evaluated in this run.",
    "learning": "Training diagnostics: not shown, since the run wrote no",
    "dataset": "Data set: not shown",
}


@pytest.mark.parametrize("section", results.SECTIONS)
def test_absent_section_is_left_out_with_a_sentence(bare, section):
    sentence = f"not shown, since the run wrote no '{section}'."
    text = bare.replace("&#39;", "'")
    assert SENTENCES.get(section, sentence) in text


@pytest.mark.parametrize("section", ["dataset", "policies", "learning"])
def test_other_sections_stand_without_the_one_that_others_use(undrawn, section):
    assert _render(**{section: None}).count("<img") >= 15


def test_title_and_kind_alone_give_a_page():
    html = page.render(results.check({"title": "Empty", "kind": "other"}))
    assert "<img" not in html
    assert _text(html).count("not shown") >= 12


def test_unknown_sections_are_named(undrawn):
    assert "left out: polices." in _text(_render(polices=[]))


def test_text_of_the_run_is_escaped(undrawn):
    attack = '<script>alert(1)</script>"onload="'
    document = report_results.build()
    document["title"] = attack
    document["config"][attack] = attack
    document["commands"] = [attack]
    document["cohort_flow"][0]["rule"] = attack
    document["policies"][0]["policy"] = attack
    html = page.render(results.check(document))
    assert "<script" not in html
    assert '"onload="' not in html
    assert html.count("&lt;script&gt;") >= 6


def test_greedy_beside_stochastic_and_the_headline_is_what_was_trained(virtual):
    text = _text(virtual)
    assert "OMG-RL, greedy 42.0\u00a0±\u00a01.0\u00a0%" in text
    assert "OMG-RL, stochastic 44.0\u00a0±\u00a01.0\u00a0%" in text


def _report(*arguments) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "experiments.report", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_page_is_written_into_the_run_directory(tmp_path, undrawn):
    (tmp_path / "results.json").write_text(json.dumps(report_results.build()))
    path = page.write(tmp_path)
    assert path == tmp_path / "report" / "index.html"
    assert path.read_text(encoding="utf-8") == _render()


def test_command_writes_the_page(tmp_path):
    (tmp_path / "results.json").write_text('{"title": "Few", "kind": "other"}')
    done = _report(f"--runs={tmp_path}")
    assert done.returncode == 0, done.stderr
    path = tmp_path / "report" / "index.html"
    assert done.stdout == f"report: {path}\n"
    assert "<h1>Few</h1>" in path.read_text(encoding="utf-8")


def test_command_writes_one_page_over_several_runs(tmp_path):
    few = {"title": "Few", "kind": "other"}
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "results.json").write_text(json.dumps(few))
    done = _report(f"--runs={tmp_path / 'a'},{tmp_path / 'b'}")
    assert done.returncode == 0, done.stderr
    path = tmp_path / "report" / "index.html"  # the folder that holds both
    assert done.stdout == f"report: {path}\n"
    assert "<h1>Comparison of 2 runs</h1>" in path.read_text(encoding="utf-8")


def test_page_of_several_is_written_where_asked(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "results.json").write_text('{"title": "x", "kind": "other"}')
    path = page.write([tmp_path / "a", tmp_path / "b"], tmp_path / "c")
    assert path == tmp_path / "c" / "report" / "index.html"
    with pytest.raises(ValueError, match="names a run twice"):
        page.write([tmp_path / "a", f"{tmp_path}/b/../a"])


def test_command_gives_one_clear_error(tmp_path):
    done = _report(f"--runs={tmp_path}")
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "give --runs output directories of experiments" in done.stderr

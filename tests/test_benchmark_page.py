"""The page of a public benchmark: returns, known policies, published numbers."""

import json
import re

import numpy as np
import pandas as pd
import pytest

from experiments import benchmark_tasks, benchmarks, config
from experiments.config import RunConfig
from experiments.public_tasks import labels, page, summary
from experiments.report import page as page_lib

SCOPE = "Learned off-line."
# Greedy returns by set of logs: two seeds lie 10 to each side; drawn ones 5 below.
CARTPOLE = {
    "behavioural_cloning": (200.0, 240.0, 260.0),
    "iq_learn": (500.0, 400.0, 300.0),
    "cql": (100.0, 140.0, 160.0),
}
SEPSIS = {"behavioural_cloning": 0.785, "iql": 0.8, "bcq": 0.785}


def rows(policy, value, spread, lower, **more):
    return [
        {"policy": policy, "mode": mode, "seed": seed, "error": 0.0, **more}
        | {"value": value + spread * (2 * seed - 1) - lower * (mode == "stochastic")}
        for mode in ("stochastic", "greedy")
        for seed in (0, 1)
    ]


def known(policy, value, error=0.0):
    first = {"policy": policy, "mode": "-", "seed": -1}
    return first | {"value": value, "error": error}


def cartpole(sets):
    """Rows as `benchmarks.run_all` returns them; numbered where there are several."""
    found = [known("expert", 500.0), known("random", 22.0, 2.5)]
    for policy, values in CARTPOLE.items():
        for number, value in enumerate(values[:sets], start=1):
            found += rows(policy, value, 10.0, 5.0, logs=number)
    frame = pd.DataFrame(found).fillna({"logs": 1}).astype({"logs": int})
    return frame if sets > 1 else frame.drop(columns="logs")


def sepsis():
    found = [
        known(*one)
        for one in (("optimal", 0.8751), ("clinicians", 0.7818), ("random", 0.7801))
    ]
    for policy, value in SEPSIS.items():
        found += rows(policy, value, 0.0001 * (policy != "bcq"), 0.001)
    return pd.DataFrame(found)


def made(task, frame):
    published = benchmark_tasks.BENCHMARKS[task].published
    return page.make(task, frame, published, SCOPE)


def table_of(study, title):
    (found,) = (
        table
        for _, _, block in study.sections
        for name, table in block.tables
        if name == title
    )
    return {row[0]: dict(zip(found.columns, row, strict=True)) for row in found.rows}


def test_returns_stand_beside_the_published_one_and_its_source(undrawn):
    study = made("cartpole", cartpole(1))
    first = study.findings
    # Seeds 490 and 510: half a 95 % interval is 12.7 * 14.1 / sqrt(2) = 127.1.
    assert first[0] == (
        "IQ-Learn has the highest return, greedy: 500.0 ± 14.1 "
        "[372.9\u00a0to\u00a0627.1], over 2 seeds."
    )
    assert first[1] == "Known policies: expert 500.0, random actions 22.0."
    assert "500 (README of github.com/Div99/IQ-Learn" in first[2]
    found = table_of(study, "Return by method")
    assert found["IQ-Learn"]["Published"] == "500" and found["CQL"]["Published"] == "–"
    assert found["IQ-Learn"]["Drawn"].startswith("495.0 ± 14.1")
    # Both seeds move together: the difference has no spread.
    assert found["CQL"]["Less cloning"] == (
        "−100.0 ± 0.0\n[−100.0\u00a0to\u00a0−100.0]"
    )
    assert found["Behavioural cloning"]["Less cloning"] == ""
    beside = table_of(study, "Known and published")
    assert beside["Random actions"]["This run"] == "22.0 ± 2.5"
    assert beside["Expert"]["This run"] == "500.0"
    assert "IQ-Learn, 1 demonstration, every 20th step, best evaluation" in beside
    (warning,) = study.sections[0][2].warnings
    assert "one set of logs" in warning
    assert [name for name, _, _ in study.sections] == ["methods", "known"]


def test_with_several_logs_the_spread_is_over_them(undrawn):
    study = made("cartpole", cartpole(3))
    found = table_of(study, "Return by method")["IQ-Learn"]
    # 500, 400, 300; seeds within a set are averaged first.
    assert found["Greedy"].startswith("400.0 ± 100.0") and found["n"] == "3"
    assert study.findings[0].endswith("over 3 sets of logs.")
    assert not study.sections[0][2].warnings
    by_set = table_of(study, "Greedy, by logs")["IQ-Learn"]
    assert by_set["Logs 2"].startswith("400.0 ± 14.1")
    # Cloning lies at 200, 240, 260: IQ-Learn less it 300, 160, 40, CQL -100 each.
    assert study.findings[-1] == (
        "Against behavioural cloning (95 % intervals): less: CQL; no clear difference: "
        "IQ-Learn."
    )
    text = summary.table(cartpole(3), ()).splitlines()
    assert text[0].split()[-4:] == ["sd", "of", "logs", "logs"]
    (line,) = (one for one in text if one.startswith("iq_learn") and "greedy" in one)
    assert line.split()[2:] == ["400", "100", "3"]


def test_icu_sepsis_has_exact_values_between_which_methods_lie(undrawn):
    study = made("icu_sepsis", sepsis())
    first = study.findings
    assert first[0].startswith("IQL has the highest survival, greedy: 0.8000 ± 0.0001")
    assert "optimal policy 0.8751 (published 0.88)" in first[1]
    assert "clinicians 0.7818 (published 0.78)" in first[1]
    # (.8 - .7818) / (.8751 - .7818) = .1951.
    assert "it wins 20\u00a0%" in first[2]
    beside = table_of(study, "Known and published")
    assert beside["Random actions"]["This run"] == "0.7801"
    assert "2406.05646" in beside["Optimal policy"]["Source"]
    assert first[-1].endswith("more: IQL; no clear difference: BCQ.")


def test_the_page_is_drawn_and_explains_its_words(tmp_path):
    published = benchmark_tasks.BENCHMARKS["cartpole"].published
    written = page.write(tmp_path, "cartpole", cartpole(3), published, SCOPE)
    text = written.read_text()
    assert written == tmp_path / "report" / "index.html"
    assert text.count("data:image/svg+xml;base64,") == 1
    (alt,) = re.findall(r'alt="([^"]*)"', text)
    assert "IQ-Learn 400" in alt and "CQL 133" in alt
    for word in ("Return", "Greedy", "IQ-Learn", "CQL", "Expert"):
        assert f"<dt>{word}</dt>" in text
    assert SCOPE in text and "NOT FOR CLINICAL USE" in text


def test_one_seed_has_no_spread(undrawn):
    frame = cartpole(1)
    study = made("cartpole", frame[frame.seed < 1])
    assert "greedy: 490.0, over 1 seed." in study.findings[0]
    assert "n/a" not in page_lib.render_study(study)
    assert not any("Against" in text for text in study.findings)


def test_every_method_is_explained():
    assert set(config.ALGORITHMS) <= set(labels.NOTES)
    for task in benchmarks.TASKS:
        assert task in labels.MEASURES and task in labels.DIGITS
    assert labels.label("random") == "Random actions"


def test_the_scope_tells_logs_by_what_differs(tmp_path):
    for seed in (11, 12):
        folder = tmp_path / str(seed)
        folder.mkdir()
        run = {"demonstrations": 1, "seed": seed}
        (folder / "schema.json").write_text(json.dumps({"simulator": {"run": run}}))
    said = page.scope(RunConfig(seeds=2), [str(tmp_path / n) for n in ("11", "12")])
    assert said == (
        "Learned off-line from logs (demonstrations 1; seed 11, 12). Seeds: 2."
    )


@pytest.mark.parametrize("count", [0, 1, 2])
def test_each_set_of_logs_is_learned_from_in_a_folder_of_its_own(
    tmp_path, monkeypatch, count
):
    asked = []

    def run(name, config, directory, out, episodes):
        asked.append((directory, out.relative_to(tmp_path).as_posix()))
        value = float(len(asked))
        return pd.DataFrame([known("expert", 500.0), *rows("cql", value, 0.0, 0.0)])

    monkeypatch.setattr(benchmarks, "run", run)
    given = ["a", "b"][:count]
    frame = benchmarks.run_all("cartpole", RunConfig(), given, tmp_path, 3)
    assert (
        asked
        == [
            [("", ".")],
            [("a", ".")],
            [("a", "logs_1"), ("b", "logs_2")],
        ][count]
    )
    # Known policies stand once, whatever was learned from.
    assert (frame.policy == "expert").sum() == 1
    assert summary.several(frame) == (count == 2)
    if count == 2:
        pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "benchmark.csv"), frame)
        cql = frame[frame.policy == "cql"]
        np.testing.assert_array_equal(cql.value, cql.logs)

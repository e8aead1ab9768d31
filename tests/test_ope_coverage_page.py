"""The page of the coverage study, and what its summary says of weights."""

import re

import numpy as np
import pandas as pd
import pytest

from experiments.ope import drawing, page, sections
from experiments.ope import summary as summary_lib
from experiments.ope.problem import Config
from experiments.report import page as page_lib
from omgrl_jax.evaluation import off_policy
from omgrl_jax.ops import estimators

CONFIG = Config(replicates=4, patients=200, shifts=(0.0, 0.5))


def study_rows(ess=(100.0, 20.0)):
    """Four logs of each estimator: WDR covers three of four, FQE one."""
    rows = []
    for shift, effective in zip(CONFIG.shifts, ess, strict=True):
        for name in estimators.ESTIMATORS:
            for log, error in enumerate((-0.3, -0.1, 0.1, 0.4)):
                half = {"fqe": 0.1}.get(name, 0.3) + 1e-6
                estimate = 2.0 + error
                # Values as wide as 1e-6 decide nothing: FQE covers .1 to each side.
                row = {"estimator": name, "shift": shift, "replicate": log}
                row |= {"estimate": estimate, "truth": 2.0, "truth_error": 0.0}
                row |= {"low": estimate - half, "high": estimate + half}
                own = effective if summary_lib.weighted(name) else 200.0
                row |= {"ess": own + 4 * log, "largest": 0.1 + 0.02 * log}
                rows.append(row)
    return pd.DataFrame(rows)


@pytest.fixture
def summary():
    return summary_lib.summarise(study_rows())


def text_of(study):
    html = page_lib.render_study(study)
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", html))


def tables_of(study):
    return {name: table for _, _, block in study.sections for name, table in
            block.tables}  # fmt: skip


def test_the_summary_holds_the_largest_weight_with_quartiles(summary):
    row = sections.row_of(summary, 0.5, "wdr")
    # 20, 24, 28, 32 and .1, .12, .14, .16; quartiles a quarter of the way inside.
    assert (row["ess"], row["ess_low"], row["ess_high"]) == (26.0, 23.0, 29.0)
    assert row["largest"] == pytest.approx(0.13)
    assert (row["largest_low"], row["largest_high"]) == pytest.approx((0.115, 0.145))
    # Squares .09, .01, .01, .16: mean .0675, standard deviation .0723, by the root of
    # four .0361; by twice the root of the mean, .5196, that is .0696.
    assert row["rmse"] == pytest.approx(np.sqrt(0.0675))
    assert row["rmse_error"] == pytest.approx(0.0696, abs=1e-4)
    assert row["coverage"] == 0.75
    assert sections.row_of(summary, 0.5, "fqe")["coverage"] == 0.5


def test_too_few_effective_patients_are_doubted():
    least = off_policy.LEAST_PATIENTS
    # Medians lie six above the first log's.
    for first, doubted in ((least - 7, [0.0]), (least - 6, []), (np.nan, [0.0])):
        summary = summary_lib.summarise(study_rows((first, least)))
        assert summary_lib.doubted(summary) == doubted
    # Those without weights have no effective size: theirs is never doubted.
    alone = summary[summary["estimator"] == "fqe"].assign(ess=1.0)
    assert summary_lib.doubted(alone) == []


def test_the_text_shows_largest_weights_and_none_without_weights(summary):
    lines = [line.split() for line in summary_lib.table(summary).splitlines()]
    assert lines[0][-2:] == ["ess", "largest"]
    found = {line[0]: line for line in lines[9:]}
    assert found["wdr"][-2:] == ["26.0", "0.130"] and found["fqe"][-2:] == ["-", "-"]


def test_the_page_warns_and_shows_errors_coverage_and_weights(summary, undrawn):
    study = page.make(CONFIG, summary)
    first, second, meaning = study.findings
    assert "hold the truth in 75.0\u00a0±\u00a021.7\u00a0%" in first
    assert "106 [103\u00a0to\u00a0109] effective patients of 200: enough" in first
    assert "26 [23\u00a0to\u00a029] effective patients of 200: too few" in second
    assert "one patient is 13\u00a0% [11.5\u00a0to\u00a014.5]" in second
    assert "50 effective patients or more" in meaning
    (warning,) = study.sections[0][2].warnings
    assert "shift 0.5 (26 [23" in warning and "shift 0 (" not in warning
    shown = tables_of(study)
    table = shown["Shift 0.5: the evaluated policy departs in 50 % of decisions"]
    rows = {row[0]: dict(zip(table.columns, row, strict=True)) for row in table.rows}
    wdr = rows["Weighted doubly robust"]
    # Errors -.3, -.1, .1, .4: mean .025, deviation .2986; half 1.96 * .2986 / 2.
    assert wdr["Bias"] == "0.025\n[−0.268\u00a0to\u00a00.318]"
    assert wdr["RMSE"] == "0.26 ± 0.0696"
    assert wdr["Effective patients"].endswith("\n(below 50)")
    assert wdr["Largest weight"] == "13\u00a0% [11.5\u00a0to\u00a014.5]"
    assert rows["Fitted Q evaluation"]["Largest weight"] == "no weights"
    assert "True value: 2, mean over 4 logs, exact" in table.note
    usual = shown["Shift 0: the evaluated policy follows the behaviour policy always"]
    assert not any("below" in cell for row in usual.rows for cell in row)


def test_where_all_is_well_nothing_is_warned_of(undrawn):
    summary = summary_lib.summarise(study_rows((150.0, 90.0)))
    study = page.make(CONFIG, summary)
    assert study.sections[0][2].warnings == []
    assert "too few" not in text_of(study)


def test_estimates_that_do_not_exist_are_shown_as_such(undrawn):
    rows = study_rows()
    gone = (rows["estimator"] == "is") & (rows["replicate"] < 3)
    rows.loc[gone, ["estimate", "low", "high"]] = np.nan
    study = page.make(CONFIG, summary_lib.summarise(rows))
    (table, _) = tables_of(study).values()
    row = next(row for row in table.rows if row[0] == "Importance sampling")
    assert row[3].endswith("(3 undefined)")
    rows.loc[rows["estimator"] == "is", ["estimate", "low", "high"]] = np.nan
    study = page.make(CONFIG, summary_lib.summarise(rows))
    (table, _) = tables_of(study).values()
    row = next(row for row in table.rows if row[0] == "Importance sampling")
    assert row[2] == "– ± –" and "nan" not in " ".join(row)


@pytest.mark.parametrize("problem", page.TITLES)
def test_pages_are_drawn_and_explain_their_words(tmp_path, summary, problem):
    config = Config(problem=problem, shifts=CONFIG.shifts)
    written = page.write(tmp_path, config, summary)
    assert written == tmp_path / "report" / "index.html"
    text = written.read_text()
    assert text.count("data:image/svg+xml;base64,") == 2
    alts = re.findall(r'alt="([^"]*)"', text)
    assert "Shift 0.5: IS 0.75" in alts[0] and "WDR 26" in alts[1]
    for word in ("Shift", "Coverage", "Largest weight", "Weighted doubly robust (WDR)"):
        assert f"<dt>{word}</dt>" in text
    assert page.TITLES[problem] in text
    assert ("called an hour" in text) == (problem != "heparin")


def test_the_figure_for_the_page_is_the_one_that_is_written(summary):
    picture = drawing.coverage(summary, 0.95)
    assert (picture.width, picture.height) == (442, 499)
    assert "95 %" in picture.caption

"""Figures: well-formed, repeatable, described in words, never of real patients."""

import base64
import xml.etree.ElementTree as ElementTree

import pytest
import report_results

from experiments.report import (
    ablation,
    figures,
    headline,
    horizons,
    model_figures,
    off_policy,
    policy_figures,
    published,
    results,
    subgroups,
    support,
    words,
)

TARGET = (60.0, 100.0)
RUN = results.check(report_results.build())
SIMULATOR = [row for row in RUN.get("policies") if row["world"] == "simulator"]
MEASURES = words.measures(TARGET)

FIGURES = {
    "flow": lambda: figures.cohort_flow(RUN.get("cohort_flow"), True),
    "learning": lambda: figures.learning(RUN.get("learning"), "return/r_psi"),
    "losses": lambda: model_figures.member_losses(RUN.get("member_losses")),
    "dynamics": lambda: horizons.dynamics(RUN.get("dynamics"), "aptt"),
    "drift": lambda: horizons.drift(RUN.get("drift")),
    "estimates": lambda: off_policy.block(RUN).pictures[0],
    "behaviour": lambda: support.calibration(RUN.get("behaviour_calibration")),
    "support": lambda: support.block(RUN).pictures[1],
    "subgroups": lambda: subgroups.block(RUN).pictures[0],
    "ablation": lambda: ablation.block(RUN).pictures[0],
    "experts": lambda: ablation.block(RUN).pictures[3],
    "published": lambda: published.block(RUN).pictures[0],
    "calibration": lambda: model_figures.calibration(RUN.get("calibration")),
    "intervention": lambda: model_figures.intervention(
        RUN.get("intervention")["curves"], "U/h"
    ),
    "comparison": lambda: policy_figures.comparison(
        SIMULATOR, "in_range", MEASURES["in_range"], "simulator"
    ),
    "heatmap": lambda: policy_figures.dose_heatmap(
        RUN.get("dose_heatmap"), "clinicians", "U/h"
    ),
    "reward": lambda: policy_figures.reward_curve(RUN.get("reward_curve"), TARGET),
    "patient": lambda: policy_figures.patient(
        "virtual", RUN.get("examples")[0], 1, TARGET, "U/h"
    ),
}

# What the alternative text must say, by hand from the numbers of report_results.
SAID = {
    "flow": "younger than 18 years; shorter than 7 hours: 154 removed, 646 remain.",
    "learning": "OMG-RL goes from 0 to 80 (3 seeds).",
    # 1 / 6 + .05 is the lowest last loss, 1 / 6 + .05 + .12 the highest.
    "losses": "5 were kept. Last validation losses lie from 0.217 to 0.337.",
    "dynamics": "model: 0.05 at 1 h, 0.112 at 5 h",
    "drift": "imagined, OMG-RL: 1.1 at 1 h, 1.5 at 5 h, 2 at 10 h, 3 at 20 h",
    "estimates": "OMG-RL, stochastic -0.2, truth 0.045; Behavioural cloning",
    "behaviour": "0% predicted, 2% given, 10% predicted, 12% given",
    "support": "OMG-RL, stochastic 8%; Behavioural cloning, stochastic 2%",
    "subgroups": "Time in 60–100\u00a0s: female, OMG-RL 40%; female, Clinicians 45%",
    "ablation": "r_p per hour: as given -0.1; state = paper -0.3.",
    "experts": "4 from 100 stays, 6 from 300 stays, 7 from 500 stays",
    "published": "published: 11.7 from 100, 19.5 from 500; this run: 4 from 100, 7",
    "calibration": "10% promised, 7% found",
    "intervention": "true simulator from 33 s to 112 s; learned model from 42 s to 95",
    "comparison": "OMG-RL, stochastic 44%; OMG-RL, greedy 42%",
    "heatmap": "20–40 s: 2000; 40–60 s: 1500",
    "reward": "The mean is highest at 70 s.",
    # 40 + 2 h >= 60 from hour 10 on: 14 of 24; 35 + 1.8 h >= 60 from 14 on: 10 of 24.
    "patient": "clinicians: 58% of hours in range; agent: 42% of hours in range",
}


def _svg(picture) -> bytes:
    head, code = picture.source.split(",")
    assert head == "data:image/svg+xml;base64"
    return base64.b64decode(code)


@pytest.mark.parametrize("name", FIGURES)
def test_figure_is_well_formed_repeatable_and_described(name):
    picture = FIGURES[name]()
    svg = _svg(picture)
    assert ElementTree.fromstring(svg).tag.endswith("svg")
    assert b"<path" in svg
    assert SAID[name] in picture.alt
    assert picture.caption.endswith(".")
    assert FIGURES[name]() == picture  # same results, same bytes


@pytest.mark.parametrize("kind", ["records", "other"])
def test_patient_is_drawn_only_where_virtual(kind):
    with pytest.raises(ValueError, match="for virtual patients only"):
        policy_figures.patient(kind, RUN.get("examples")[0], 1, TARGET, "U/h")


def test_metric_that_was_not_recorded_gives_no_figure():
    assert figures.learning(RUN.get("learning"), "return/absent") is None
    assert horizons.dynamics(RUN.get("dynamics"), "absent") is None
    assert policy_figures.comparison(SIMULATOR, "r_x", MEASURES["r_p"], "model") is None


def test_one_seed_is_called_one_seed():
    rows = [row for row in RUN.get("learning") if row["seed"] == 0]
    picture = figures.learning(rows, "return/r_p")
    assert picture is not None
    assert picture.caption.endswith("One seed: no spread can be shown.")


def test_null_values_leave_gaps_in_figures():
    document = report_results.build()
    document["member_losses"]["validation"][0][-1] = None
    document["dose_heatmap"]["policies"]["clinicians"][0] = [None] * 6
    document["intervention"]["curves"]["model"][2] = None
    document["reward_curve"]["mean"][0] = None
    run = results.check(document)
    losses = model_figures.member_losses(run.get("member_losses"))
    assert "5 were kept" in losses.alt
    heatmap = policy_figures.dose_heatmap(run.get("dose_heatmap"), "clinicians", "")
    assert "20–40" not in heatmap.alt
    assert (
        "highest at 70"
        in policy_figures.reward_curve(run.get("reward_curve"), TARGET).alt
    )


def test_bins_with_open_ends_are_named():
    assert policy_figures.aptt_bins([40.0, 60.0], 1) == ["40–60"]
    assert policy_figures.aptt_bins([40.0, 60.0], 3) == ["< 40", "40–60", "≥ 60"]


def test_peak_of_the_reward_is_sought_where_data_exist():
    curve = {"aptt": [50, 70, 150], "mean": [0.0, 1.0, 9.0], "density": [0.5, 0.5, 0.0]}
    assert headline.reward_peak(curve) == 70
    assert headline.reward_peak({**curve, "density": None}) == 150
    assert headline.reward_peak({**curve, "mean": None}) is None

"""The page of PerSim's study: what it says is what the rows hold."""

import re

import numpy as np
import pandas as pd
import pytest

from experiments.persim import labels, page
from experiments.persim.config import LEARNERS, METHODS, Config
from experiments.persim.labels import LABELS
from experiments.persim.study import Factors
from experiments.report import drawing
from experiments.report import page as page_lib

CONFIG = Config(env="cart_pole", seeds=2, agents=60, unseen=10, counts=(30,))


def study_rows():
    """PerSim predicts best for four agents and earns as much as the truth for three."""
    rows = []

    def add(section, method, count, seed, agent, measure, value):
        rows.append((section, method, count, seed, agent, measure, value))

    for seed in (0, 1):
        for agent in range(5):
            for k, method in enumerate((*METHODS, "persim_average")):
                r2 = 0.9 - 0.1 * k + 0.02 * seed
                if method == "one_hot" and agent == 4:
                    r2 = 0.99
                add("prediction", method, 50, seed, agent, "r2", r2)
                add("prediction", method, 50, seed, agent, "rmse", 1.0 - r2)
                add("return", method, 50, seed, agent, "mean", 200.0 - 10 * k - agent)
            add("return", "truth", 50, seed, agent, "mean", 200.0)
            # A policy learned in PerSim's simulator is no rival of PerSim.
            add("return", "bcq", 50, seed, agent, "mean", 20.0 + agent)
            add("return", "bcq_personal", 50, seed, agent, "mean", 250.0)
            add("prediction", "persim", 50, seed, agent, "steps", 12.25 + agent)
            add("prediction", "persim", 30, seed, agent, "r2", 0.5)
        add("probe", "persim", 50, seed, -1, "force", 0.97 + 0.02 * seed)
        for agent in range(50, 60):
            add("unseen", "from_log", 50, seed, agent, "r2", 0.01 * agent)
    columns = ["section", "method", "count", "seed", "agent", "measure", "value"]
    return pd.DataFrame(rows, columns=columns)


def factors():
    rng = np.random.default_rng(0)
    agents = rng.normal(size=(50, 3))
    return Factors(agents, {"force": agents[:, 0], "1/length": agents[:, 1]})


def text_of(html):
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", html))


def test_the_page_says_what_came_of_it(undrawn):
    text = text_of(page_lib.render_study(page.make(CONFIG, study_rows(), factors())))
    assert (
        "explains more than the best rival for 4 of 5 agents, clearly less for 0"
        in text
    )
    assert "clearly earns more than the best rival for 5 of 5 agents" in text
    assert "earns 198 on average over the agents" in text
    assert "with the true physics 200." in text
    assert "reads force from the factors with R² 0.980" in text
    assert (
        "Furthest below the true physics: the agent of force 10, length 0.15, by 4"
        in text
    )
    assert "0.91 ± 0.014" in text  # PerSim's R^2 with its spread over two seeds
    assert "0.5 ± 0" in text  # from 30 agents
    assert "BCQ + PerSim 250 ± 0 250 ± 0" in text and "22 ± 0 22" in text
    assert "12.2 13.2 14.2 15.2 16.2" in text  # steps that were predicted
    assert "from step 11 to step 60" in text
    assert "0.545" in text  # median of unseen agents
    assert "NOT FOR CLINICAL USE" in text


def test_figures_are_drawn_and_described(tmp_path):
    written = page.write(tmp_path, CONFIG, study_rows(), factors()).read_text()
    assert written.count("data:image/svg+xml;base64,") == 5
    alts = re.findall(r'alt="([^"]*)"', written)
    assert any("PerSim 0.91" in alt and "One for each 0.51" in alt for alt in alts)
    assert written == page.write(tmp_path, CONFIG, study_rows(), factors()).read_text()


def test_clipped_marks_are_clipped_means(monkeypatch):
    # One seed far below the axis and one well above: their mean is below it.
    rows = study_rows()
    far = (rows["method"] == "untold") & (rows["agent"] == 2) & (rows["seed"] == 1)
    rows.loc[far & (rows["measure"] == "r2"), "value"] = -90.0
    drawn = []
    finish = drawing.finish

    def look(figure, alt, caption):
        for line in figure.axes[0].get_lines():
            if line.get_label() == LABELS["untold"]:
                drawn.append(np.asarray(line.get_ydata()))
        return finish(figure, alt, caption)

    monkeypatch.setattr(drawing, "finish", look)
    page.make(CONFIG, rows, None)
    np.testing.assert_allclose(drawn[0], [0.61, 0.61, -0.5, 0.61, 0.61])


def test_without_rivals_none_is_beaten(undrawn):
    rows = study_rows()
    rows = rows[rows["method"].isin(["persim", "persim_average", "truth"])]
    said = page.findings(rows, page.agents_of(CONFIG))
    assert not any("rival" in sentence for sentence in said)


def test_a_single_factor_has_no_map(undrawn):
    one = factors()._replace(agents=np.ones((50, 1)))
    sections = {
        name: block for name, _, block in page.make(CONFIG, study_rows(), one)[4]
    }
    assert not sections["factors"].pictures and sections["factors"].tables


def test_what_was_not_studied_is_said(undrawn):
    rows = study_rows()
    rows = rows[(rows["count"] == 50) & ~rows["section"].isin(["unseen", "probe"])]
    text = text_of(page_lib.render_study(page.make(CONFIG, rows, None)))
    for sentence in (
        "--counts or --count_methods left nothing",
        "--unseen was 0",
        "PerSim was not among",
    ):
        assert sentence in text
    without = rows[~rows["method"].str.startswith("persim")]
    assert (
        "PerSim was not among the methods"
        in page.findings(without, page.agents_of(CONFIG))[0]
    )


@pytest.mark.parametrize("env", ["cart_pole", "mountain_car"])
def test_agents_are_called_by_their_physics(env):
    names = page.agents_of(Config(env=env))
    assert len(names) == 5
    assert names[0] == {"cart_pole": "force 2, length 0.5"}.get(env, "gravity 0.0001")


@pytest.mark.parametrize("name", [*METHODS, *LEARNERS])
def test_every_method_has_a_label_a_note_and_a_style(name):
    behind = ("", "_personal", "_alone") if name in LEARNERS else ("",)
    for method in (f"{name}{end}" for end in behind):
        assert method in labels.NOTES and method in labels.STYLES
        # A label, not the flag's word with its underscores taken away.
        assert LABELS[method][0].isupper() and name not in LABELS[method]
    assert len({LABELS[f"{name}{end}"] for end in behind}) == len(behind)

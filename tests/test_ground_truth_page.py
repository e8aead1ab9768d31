"""The page of the study of worse data: what it says is what the rows hold."""

import re

import pandas as pd
import pytest

from experiments import ground_truth
from experiments.conditions import page, rows
from experiments.config import RunConfig
from experiments.report import page as page_lib

CONFIG = RunConfig(seeds=2)
# r_p an hour as usual; two seeds lie .01 to each side.
USUAL = {
    "omg_rl": -0.08,
    "combo": -0.01,
    "behavioural_cloning": -0.25,
    "clinicians": 0.04,
    "random": -0.6,
}
# What a condition takes from learned policies, and from clinicians.
TAKEN = {name: (0.05 * k, 0.0) for k, name in enumerate(ground_truth.CONDITIONS)}
TAKEN["noisier clinicians"] = (0.1, 0.19)
NOTES = {name: one.note for name, one in ground_truth.CONDITIONS.items()}


def study_rows(conditions=tuple(TAKEN)):
    """Rows as `ground_truth.run` returns them, constant doses among them."""
    tables = []
    for condition in conditions:
        rows = []
        learned, known = TAKEN[condition]
        for policy, r_p in {**USUAL, "constant_2": -0.5}.items():
            taken = {"clinicians": known, "random": 0.0}.get(policy, learned)
            for seed in (0, 1):
                value = r_p - taken + 0.02 * seed - 0.01
                row = {"condition": condition, "policy": policy, "seed": seed}
                row |= {"r_p": value, "in_range": 0.5 + value / 10}
                row |= {"above": 0.1, "success": 0.6 + 0.02 * seed}
                rows.append(row | _of_reward(policy, condition, seed))
        tables.append(ground_truth.with_distance(pd.DataFrame(rows)))
    return pd.concat(tables, ignore_index=True)


def _of_reward(policy, condition, seed):
    if policy not in ("omg_rl", "behavioural_cloning"):
        return {}
    own, taken = policy == "omg_rl", TAKEN[condition][0]
    ranks = {"within_state": 0.7 - taken, "recorded_pairs": 0.5, "all_pairs": 0.4}
    if not own:
        ranks = {"within_state": 0.55, "recorded_pairs": -0.05, "all_pairs": 0.3}
    return {**ranks, "regret": 0.1 + taken + 0.02 * seed if own else 0.25}


def made(table, notes=NOTES):
    return page.make(CONFIG, table, notes)


def text_of(study):
    html = page_lib.render_study(study)
    # Narrow spaces of numbers as usual ones.
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", html))


def table_of(study, title):
    (found,) = (
        table for _, _, block in study.sections for name, table in block.tables
        if name == title
    )  # fmt: skip
    return {row[0]: dict(zip(found.columns, row, strict=True)) for row in found.rows}


def test_the_first_screen_says_what_conditions_cost(undrawn):
    found = made(study_rows()).findings
    assert "OMG-RL −0.080\u00a0±\u00a00.014" in found[0]
    assert "Clinicians 0.040" in found[0] and "Random" not in found[0]
    noisier = next(text for text in found if text.startswith("Noisier clinicians"))
    # Both seeds lose .1: the interval has no width.
    assert "by −0.100 [−0.100\u00a0to\u00a0−0.100] for OMG-RL, by −0.100" in noisier
    assert "by −0.190" in noisier and "for clinicians." in noisier
    few = next(text for text in found if text.startswith("100 stays"))
    assert "not at all for clinicians" in few
    # Most is lost where most was taken: .1 + .25, and .01 for the second seed.
    assert "loses 0.110" in found[-1] and "dose 0.250" in found[-1]
    assert "most, 0.360\u00a0±\u00a00.014: Shifted" in found[-1]


def test_tables_hold_means_spread_and_paired_intervals(undrawn):
    study = made(study_rows())
    outcomes = table_of(study, "r_p per hour")
    assert list(outcomes) == [
        "OMG-RL", "COMBO", "Clinicians", "Behavioural cloning", "Random doses"
    ]  # fmt: skip
    assert outcomes["COMBO"]["100 stays"] == "−0.060\u00a0±\u00a00.014"
    time = table_of(study, "Time in 60–100\u00a0s")
    assert time["OMG-RL"]["Usual"] == "49.2\u00a0±\u00a00.1\u00a0%"
    apart = table_of(study, "r_p an hour less the same policy's as usual")
    assert apart["OMG-RL"]["250 stays"].startswith("−0.10\n[−0.10")
    assert apart["Clinicians"]["Noisier clinicians"].startswith("−0.19")
    assert apart["Clinicians"]["Hidden confounder"] == "0"
    assert "Usual" not in apart["OMG-RL"] and "Random doses" not in apart
    beside = table_of(study, "r_p an hour less the clinicians' in the same condition")
    # -.08 - .1 less .04 - .19.
    assert beside["OMG-RL"]["Noisier clinicians"].startswith("−0.03")
    assert "Clinicians" not in beside


def test_the_reward_stands_beside_imitation(undrawn):
    study = made(study_rows())
    ranks = table_of(study, "Does it rank doses as the true reward does?")
    assert ranks["100 stays"]["r_psi, within a state"].startswith("0.650")
    assert ranks["100 stays"]["log mu, recorded pairs"].startswith("−0.050")
    losses = table_of(study, "What is lost by believing it?")["Usual"]
    assert losses["Regret of r_psi"] == "0.110\u00a0±\u00a00.014"
    assert losses["Regret of log mu"].startswith("0.250")
    # .11 - .25, seeds .02 apart: half a 95 % interval is 12.7 * .0141 / sqrt(2).
    assert losses["Less log mu's"] == "−0.14\n[−0.27\u00a0to\u00a0−0.01]"
    assert losses["Behind COMBO"].startswith("0.070")


def test_the_page_is_drawn_and_explains_its_words(tmp_path):
    written = page.write(tmp_path, CONFIG, study_rows(), NOTES).read_text()
    assert written.count("data:image/svg+xml;base64,") == 6
    for text in (*NOTES.values(), "constant", "NOT FOR CLINICAL USE"):
        assert (text in written) == (text != "constant"), text
    for word in ("r_psi", "log mu", "Regret", "COMBO", "Behavioural cloning"):
        assert f"<dt>{word}</dt>" in written
    assert "Seeds: 2" in written
    again = page.write(tmp_path, CONFIG, study_rows(), NOTES)
    assert again.read_text() == written


def test_one_condition_is_compared_with_none(undrawn):
    table = study_rows(["100 stays"])
    study = made(table, {"100 stays": NOTES["100 stays"]})
    titles = [title for _, _, block in study.sections for title, _ in block.tables]
    assert not any("as usual" in title for title in titles)
    assert len(study.findings) == 2
    assert "most" not in study.findings[-1]


def test_without_a_learned_reward_none_is_judged(undrawn):
    table = study_rows()
    table = table[table.policy.isin(["combo", "clinicians"])]
    study = made(table.drop(columns=["within_state", "regret", "behind_combo"]))
    assert "no method learned a reward" in text_of(study)
    assert all("loses" not in text for text in study.findings)


def test_cells_kept_from_before_there_was_a_regret_are_shown(undrawn):
    study = made(study_rows().drop(columns="regret"))
    losses = table_of(study, "What is lost by believing it?")["Usual"]
    assert losses["Regret of r_psi"] == "–" and losses["Behind COMBO"] != "–"


def test_the_reward_is_that_of_the_method_beside_which_it_stands(undrawn):
    table = study_rows(["usual"]).replace({"policy": {"omg_rl": "airl"}})
    table = table.sort_values("policy", key=lambda names: names != "combo")
    assert rows.learner_of(rows.rows_of(table)) == "airl"
    study = made(table, {"usual": NOTES["usual"]})
    losses = table_of(study, "What is lost by believing it?")["Usual"]
    assert losses["Regret of r_psi"] == "0.110\u00a0±\u00a00.014"
    assert not re.search(r"\bnan\b", text_of(study))


@pytest.mark.parametrize("seeds", [1, 2])
def test_a_single_seed_has_no_interval(undrawn, seeds):
    table = study_rows()
    table = table[table.seed < seeds]
    found = made(table).findings
    assert ("one seed, no interval" in " ".join(found)) == (seeds == 1)
    assert rows.learner_of(rows.rows_of(table)) == "omg_rl"

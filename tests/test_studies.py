"""Studies of many cells as a user runs them: shared models, kept cells, tables."""

import csv
import json
import math

import numpy as np
import pandas as pd
import pytest
from test_omg_rl_script import Script

from data_prep import virtual
from experiments import (
    ablations,
    cells,
    config,
    fitting,
    ground_truth,
    paper,
    printing,
)
from experiments.report import results
from experiments.task import fewer_stays
from omgrl_jax.data import dataset
from omgrl_jax.runtime import flags as config_flags


def rows_of(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    place = tmp_path_factory.mktemp("studies")
    virtual.write(virtual.Config(stays=40), place / "cohort")
    return place


@pytest.mark.slow
def test_ablations_compare_settings_on_the_same_worlds_and_patients(place, tmp_path):
    script = Script(place / "cache", place / "cohort", "experiments.ablations")
    settings = {"seeds": 1, "epochs": 5, "interval": 5}
    settings["groups"] = "rollouts,missingness"
    # What the dataset does not allow stops before any model is fitted.
    said = script.refused(tmp_path / "no", "--train_stays=1000", **settings)
    assert "--train_stays=1000: the dataset has" in said
    assert not (tmp_path / "no").exists()
    out = tmp_path / "out"
    code, printed, errors = script.run(out, **settings)
    assert code == 0, errors
    rows = rows_of(out / "ablations.csv")
    learned = {row["setting"]: row for row in rows if row["policy"] == "omg_rl"}
    labels = [ablations.AS_GIVEN, "agent_recorded_share=1.0", "state=history"]
    assert list(learned) == labels
    # The state with indicators is one that this dataset does not have.
    assert "Left out: --state=history_missing: this dataset offers" in errors
    # The history is this dataset's state anyway: not another cell.
    assert learned["state=history"]["r_p"] == learned[ablations.AS_GIVEN]["r_p"]
    assert len([*(out / "cells").iterdir()]) == 2
    assert {row["world"] for row in rows} == {"simulator"}
    for row in learned.values():
        for name in ablations.MEASURES:
            assert math.isfinite(float(row[name])), name
        assert row["setting"] in printed
    assert len({row["recorded_pairs"] for row in learned.values()}) == 2
    # One seed's models were fitted once, whatever was changed in the method.
    assert len([*(out / "models").iterdir()]) == 1
    # The unchanged setting is judged beside the baselines.
    beside = {row["policy"] for row in rows if row["setting"] == ablations.AS_GIVEN}
    assert {"clinicians", "behavioural_cloning", "random", "oracle"} <= beside
    shown = results.load(out).sections["ablation"]
    assert [row["setting"] for row in shown] == [
        ablations.AS_GIVEN,
        "agent_recorded_share",
        "state",
    ]
    assert shown[1]["value"] == "1.0"
    assert shown[1]["recorded_pairs"] != shown[0]["recorded_pairs"]
    page = (out / "report" / "index.html").read_text()
    assert "agent_recorded_share = 1.0" in page

    # Run again, complete cells are read: nothing is trained, the table is the same.
    before = {p: p.stat().st_mtime_ns for p in (out / "cells").rglob("results.json")}
    code, again, errors = script.run(out, **settings)
    assert code == 0, errors
    assert again.splitlines()[-6:] == printed.splitlines()[-6:]
    assert before == {
        p: p.stat().st_mtime_ns for p in (out / "cells").rglob("results.json")
    }
    assert "epochs was 5, now 3" in script.refused(
        out, **{**settings, "epochs": 3, "groups": "rollouts"}
    )


@pytest.mark.slow
def test_the_paper_ends_with_one_report(place, tmp_path):
    script = Script(place / "cache", place / "cohort", "experiments.paper")
    out = tmp_path / "out"
    settings = {"seeds": 1, "epochs": 5, "interval": 5, "cells": "cql"}
    code, printed, errors = script.run(out, "--train_stays=20", **settings)
    assert code == 0, errors
    merged = results.load(out)
    policies = {row["policy"] for row in merged.sections["policies"]}
    assert {"omg_rl", "combo", "cql", "clinicians", "oracle"} <= policies
    document = json.loads((out / "results.json").read_text())
    assert [row["stays"] for row in document["expert_stays"]] == [20]
    assert math.isfinite(document["expert_stays"][0]["return_r_p_model"])
    assert document["published"] == paper.published()
    assert (out / "report" / "index.html").is_file()
    assert "cql" in printed and "nan" not in printed.split("cell ")[0]
    # The main run and every cell stand on the same fitted models.
    assert len([*(out / "models").iterdir()]) == 1
    said = script.refused(tmp_path / "other", "--cells=nothing")
    assert "--cells=nothing: choose among mopo" in said


def test_the_papers_cells_cover_its_table_and_the_methods_it_lacks():
    base = config.RunConfig(train_stays=500, state="full")
    found = paper.cells_of(base, stays=1200)
    others = (*paper.MODEL_BASED, *paper.MODEL_FREE, *paper.REWARD_LEARNING)
    assert set(found) >= {*others, "authors"}
    # With the main run: every method but those for rewards recorded at the end.
    later = {"dueling_cql", "linear_q", "multitask_iql"}
    assert {*others, *paper.MAIN, *later} == set(config.ALGORITHMS)
    sizes = {name: cell.train_stays for name, cell in found.items() if "stays" in name}
    assert sizes == {"stays_100": 100, "stays_300": 300, "stays_1000": 1000}
    for name in others:
        assert found[name].algorithms == (name,) and found[name].state == "full"
    authors = found["authors"]
    assert (authors.state, authors.epochs, authors.agent.updates) == ("paper", 500, 2)
    assert authors.omg_rl.agent == authors.agent and authors.train_stays == 500


@pytest.mark.parametrize(
    "path", sorted(config.PRESETS.glob("*.flags")), ids=lambda path: path.stem
)
def test_presets_are_settings_that_the_configuration_knows(path):
    found = config.preset(path.stem, config.RunConfig())
    assert found != config.RunConfig()


def test_rewards_of_other_methods_are_called_by_their_method():
    ranks = {"seed": 0, "within_state": 0.5}
    rows = [{"reward": "r_psi", **ranks}, {"reward": "log_mu", **ranks}]
    cells_done = {"airl": {"reward_alignment": rows}}
    cells_done["stays_100"] = {"reward_alignment": rows}
    assert paper.merged_alignment(cells_done) == [{"reward": "r_psi of airl", **ranks}]


def test_published_numbers_are_those_of_table_two():
    table = [r["value"] for r in paper.published() if r["figure"] == "Table II"]
    assert table == [11.70, 16.70, 19.5, 15.4, 12.74]
    assert all("2409.13299" in row["source"] for row in paper.published())


def test_settings_are_the_flags_of_their_groups():
    found = ablations.settings(["experts", "conservatism"])
    assert found[ablations.AS_GIVEN] == []
    assert found["reward_append_experts=False"] == ["--reward_append_experts=False"]
    assert len(found) == 7
    with pytest.raises(ValueError, match="--groups=size: choose among modes"):
        ablations.settings(["size"])
    # Every flag of every group exists and takes its value.
    base = config.RunConfig()
    for arguments in ablations.settings([*ablations.GROUPS]).values():
        config_flags.changed(base, arguments)


def test_fewer_stays_are_a_part_of_more_and_keep_patients_together():
    rng = np.random.default_rng(1)
    count = 60
    patients = np.sort(rng.integers(0, 30, count))
    split = np.where(patients < 20, 0, np.where(patients < 25, 1, 2))
    lengths = np.full(count, 2)
    arrays = dataset.Trajectories(
        np.zeros((180, 1)), np.zeros(120), lengths, patients, split, lengths < 0
    )
    training = int((split == 0).sum())
    few, more = fewer_stays(arrays, 10), fewer_stays(arrays, 25)
    assert [(s == 0).sum() for s in (few, more)] == [10, 25]
    assert np.all(more[few == 0] == 0)
    # Others are set aside, never moved to another split.
    for kept in (few, more):
        np.testing.assert_array_equal(kept[split > 0], split[split > 0])
        assert set(kept[split == 0]) == {0, -1}
        # At most one patient is cut.
        cut = [p for p in np.unique(patients) if len(set(kept[(patients == p)])) > 1]
        assert len(cut) <= 1
    with pytest.raises(ValueError, match=f"--train_stays=100: .* {training} training"):
        fewer_stays(arrays, 100)


def test_a_table_pairs_each_policy_with_what_was_learned_beside_it():
    def row(policy, world, seed, r_p, mode="stochastic"):
        return {
            "policy": policy,
            "mode": mode,
            "world": world,
            "seed": seed,
            "r_p": r_p,
        }

    sections = {
        "policies": [
            row("omg_rl", "simulator", 0, 0.1),
            row("omg_rl", "simulator", 0, 0.9, "greedy"),
            row("omg_rl", "model", 0, 0.3),
            row("omg_rl", "simulator", 1, 0.2),
            row("clinicians", "simulator", 0, 0.4, "-"),
        ],
        "reward_alignment": [
            {"seed": 0, "reward": "r_psi", "within_state": 0.6, "recorded_pairs": 0.5},
            {"seed": 0, "reward": "log_mu", "within_state": 0.1, "recorded_pairs": 0.0},
        ],
        "learning": [
            {"algorithm": "omg_rl", "seed": 0, "step": s, "metric": m, "value": v}
            for s, m, v in (
                (5, "reward/ess", 0.2),
                (10, "reward/ess", 0.4),
                (5, "return/r_psi", 1.0),
            )
        ],
    }
    table = cells.seed_table({"a": sections}, "stochastic")
    assert [*table.policy] == ["omg_rl", "omg_rl", "clinicians"]
    first = table.iloc[0]
    assert (first.r_p, first.model_r_p, first.within_state) == (0.1, 0.3, 0.6)
    assert first.ess == pytest.approx(0.3)
    assert table.within_state.isna().tolist() == [False, True, True]
    only = cells.seed_table({"a": sections}, "greedy")
    assert [*only.r_p] == [0.9, 0.4]


def test_two_cells_of_one_name_are_refused():
    twice = [cells.Cell("a", config.RunConfig())] * 2
    with pytest.raises(ValueError, match="two cells are called a"):
        cells.run_all(None, twice)


def test_regret_is_what_combo_earns_more_on_the_same_seed():
    table = pd.DataFrame(
        {
            "policy": ["omg_rl", "omg_rl", "combo", "combo", "clinicians"],
            "seed": [0, 1, 1, 0, 0],
            "r_p": [0.1, 0.2, 0.5, 0.3, 0.9],
        }
    )
    found = ground_truth.with_regret(table)
    np.testing.assert_allclose(found.regret[:2], [0.2, 0.3])
    assert found.regret[2:].isna().all()


def test_printed_means_show_their_spread_and_no_constant_dose():
    table = pd.DataFrame(
        {
            "cell": ["a", "a", "b", "b"],
            "policy": ["omg_rl", "omg_rl", "omg_rl", "constant_0"],
            "r_p": [0.1, 0.3, -0.5, 0.0],
            "ess": [0.5, None, None, None],
        }
    )
    lines = printing.seed_means(table, "cell", ("r_p", "ess", "absent")).splitlines()
    assert [line.split() for line in lines] == [
        ["cell", "policy", "r_p", "ess"],
        ["a", "omg_rl", "+0.200", "±", "0.141", "+0.500"],
        ["b", "omg_rl", "-0.500", "-"],
    ]


def test_conditions_are_flags_of_cohorts_and_settings():
    base = config.RunConfig()
    for condition in ground_truth.CONDITIONS.values():
        virtual.Config(stays=715, **condition.cohort)
        config_flags.changed(base, condition.setting)
    with pytest.raises(ValueError, match="--conditions=rain: choose among usual"):
        ground_truth.run(base, None, 0, ["rain"])


def test_models_are_shared_by_settings_that_they_do_not_depend_on():
    base = config.RunConfig(state="full")
    for other in (["--fitted_q_steps=7"], ["--epochs=3"], ["--reward_mode=step"]):
        assert fitting.key(config_flags.changed(base, other)) == fitting.key(base)
        changed = config_flags.changed(base, other).before_training()
        assert fitting.key(changed) == fitting.key(base)
    for other in (
        ["--fit_elites=4"],
        ["--world_hidden=8"],
        ["--train_stays=5"],
        ["--state=paper"],
        ["--behaviour_hidden=4"],
    ):
        assert fitting.key(config_flags.changed(base, other)) != fitting.key(base)

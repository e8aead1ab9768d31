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
    paper_results,
    printing,
)
from experiments.report import results
from experiments.task import fewer_stays
from omgrl_jax.data import dataset
from omgrl_jax.models.ensemble import FitConfig
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
    document = json.loads((out / "results.json").read_text())
    assert document["commands"][0].startswith("python -m experiments.ablations ")
    assert document["versions"]["jax"] and "settings" in document["timing"]

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
    assert document["published"] == paper_results.published(document)
    # Every method is judged on other patients and by its support, and by one r_psi.
    for section in ("support", "ood_safety"):
        rows = {row["policy"] for row in document[section]}
        assert {"omg_rl", "combo", "cql", "behavioural_cloning"} <= rows, section
    judged = json.loads((out / "cells" / "cql" / "results.json").read_text())
    # A cell without baselines lets none treat the other patients either.
    assert {row["policy"] for row in judged["ood_safety"]} == {"cql"}
    (command,) = document["commands"]
    assert command.startswith("python -m experiments.paper --seeds=1")
    assert set(document["timing"]) == {"main run", "other cells"}
    assert "jax" in document["versions"]
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
    # With the main run: every method but those of the sister systems.
    later = {"dueling_cql", "linear_q", "multitask_iql", "ogsrl", "guarded_cql"}
    assert {*others, *paper.MAIN, *later} == set(config.ALGORITHMS)
    sizes = {name: cell.train_stays for name, cell in found.items() if "stays" in name}
    assert sizes == {"stays_100": 100, "stays_300": 300, "stays_1000": 1000}
    for name in others:
        assert found[name].algorithms == (name,) and found[name].state == "full"
    authors = found["authors"]
    assert (authors.state, authors.epochs, authors.agent.updates) == ("paper", 500, 2)
    assert authors.omg_rl.agent == authors.agent and authors.train_stays == 500


def test_the_authors_settings_do_not_depend_on_the_main_runs():
    base = config.RunConfig(train_stays=500, fit=FitConfig(members=3, elites=2))
    changed = config.preset("recommended", base)
    changed = config_flags.changed(changed, ["--omg_rl_conservatism=7"])
    assert changed.reward.average > 0 and changed.agent.entropy_coefficient < 1
    one, other = (paper.cells_of(c, 1200)["authors"] for c in (base, changed))
    assert one == other and one.fit.members == 3
    assert (one.agent.entropy_coefficient, one.reward.average) == (1.0, 0.0)


@pytest.mark.parametrize(
    "path", sorted(config.PRESETS.glob("*.flags")), ids=lambda path: path.stem
)
def test_presets_are_settings_that_the_configuration_knows(path):
    found = config.preset(path.stem, config.RunConfig())
    assert found != config.RunConfig()


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


def test_behind_combo_is_what_combo_earns_more_on_the_same_seed():
    table = pd.DataFrame(
        {
            "policy": ["omg_rl", "omg_rl", "combo", "combo", "clinicians"],
            "seed": [0, 1, 1, 0, 0],
            "r_p": [0.1, 0.2, 0.5, 0.3, 0.9],
        }
    )
    found = ground_truth.with_distance(table)
    np.testing.assert_allclose(found.behind_combo[:2], [0.2, 0.3])
    assert found.behind_combo[2:].isna().all()


def test_cloned_clinicians_carry_what_their_log_probability_is_worth():
    table = pd.DataFrame(
        {
            "policy": ["omg_rl", "behavioural_cloning", "behavioural_cloning"],
            "seed": [0, 1, 0],
            "within_state": [0.7, None, None],
        }
    )
    alignment = [
        {"seed": seed, "reward": reward, "within_state": value, "regret": 2 * value}
        for seed, reward, value in (
            (0, "r_psi", 0.7),
            (0, "log_mu", 0.5),
            (1, "log_mu", 0.4),
        )
    ]
    found = ground_truth.with_imitation(table, alignment)
    assert found.within_state.tolist() == [0.7, 0.4, 0.5]
    assert found.regret[1:].tolist() == [0.8, 1.0] and np.isnan(found.regret[0])
    assert "recorded_pairs" not in found


@pytest.mark.slow
def test_ground_truth_judges_every_condition_where_the_truth_is_known(place, tmp_path):
    script = Script(place / "cache", None, "experiments.ground_truth")
    out, names = tmp_path / "out", ["usual", "noisier clinicians", "shifted"]
    # It makes its own data, and so has no flag for others'.
    given = ["--undefok=dataset", f"--conditions={','.join(names)}"]
    settings = {"seeds": 1, "epochs": 5, "interval": 5}
    code, printed, errors = script.run(out, *given, **settings)
    assert code == 0, errors
    table = pd.read_csv(out / "ground_truth.csv")
    assert [*dict.fromkeys(table.condition)] == names
    by = table.set_index(["condition", "policy"])
    for name in names:
        own, told = by.loc[name, "omg_rl"], by.loc[name, "combo"]
        assert own.behind_combo == pytest.approx(told.r_p - own.r_p)
        # r_psi beside its policy, log mu beside the cloned clinicians, no one else.
        judged = by.loc[name].regret.dropna()
        assert {*judged.index} == {"omg_rl", "behavioural_cloning"}
        assert (judged > 0).all() and judged.nunique() == 2
    # Clinicians of another kind; the usual ones on other patients.
    assert by.xs("clinicians", level="policy").r_p.nunique() == 3
    # Shifted patients are treated by what was learned from the usual cohort.
    assert len([*out.glob("*/data/schema.json")]) == 2
    assert {p.name for p in (out / "usual" / "cells").iterdir()} == {"usual", "shifted"}
    lines = printed.splitlines()
    assert lines[0].split()[-2:] == ["regret", "behind_combo"]
    shown = (out / "report" / "index.html").read_text()
    for text in ("Noisier clinicians", "Regret of r_psi", "renal impairment"):
        assert text in shown
    # Run again, every condition is read: nothing is trained, the table is the same.
    before = {p: p.stat().st_mtime_ns for p in out.rglob("results.json")}
    code, again, errors = script.run(out, *given, **settings)
    assert (code, again) == (0, printed), errors
    assert before == {p: p.stat().st_mtime_ns for p in out.rglob("results.json")}
    assert len(before) == 3


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

"""One report of many cells: whose rows, whose reward, whose numbers of the paper."""

import json
import types

import pytest

from experiments import cells, config, omg_rl, paper, paper_results, repeating
from experiments.report import published, results, tables


def policy(name, world="model", seed=0, mode="stochastic", **measures):
    return {"policy": name, "mode": mode, "world": world, "seed": seed, **measures}


def cell(algorithm, **sections):
    """A cell's sections: its own policy beside clinicians cloned in its own state."""
    names = (algorithm, "behavioural_cloning")
    ranks = {"seed": 0, "within_state": 0.5}
    return {
        "config": {"algorithms": [algorithm]},
        "policies": [
            *(policy(name, r_p=0.1, r_psi=7.0, promised_psi=2.0) for name in names),
            policy(algorithm, "simulator", r_p=0.2, in_range=0.5, above=0.1),
        ],
        "support": [
            {"policy": name, "mode": "stochastic", "seed": 0, "share_out_of_support": 0}
            for name in names
        ],
        "ood_safety": [
            {"policy": algorithm, "mode": "stochastic", "seed": 0, "shift": "usual"}
        ],
        "reward_alignment": [
            {"reward": "r_psi", **ranks},
            {"reward": "log_mu", **ranks},
        ],
        "learning": [
            {
                "algorithm": algorithm,
                "metric": "return/r_p",
                "seed": 0,
                "step": step,
                "value": float(step),
            }
            for step in range(1, 9)
        ],
        **sections,
    }


def main():
    return {
        **cell("omg_rl"),
        "title": "main",
        "kind": "virtual",
        "dataset": {"stays": {"train": 40}},
    }


CELLS = {
    "cql": {**cell("cql"), "reward_alignment": []},
    "airl": cell("airl"),
    "authors": cell("omg_rl"),
    "stays_100": cell("omg_rl"),
}


def merged(**changes):
    setting = config.RunConfig(train_stays=500)
    return paper_results.merged(setting, main(), {**CELLS, **changes})


def test_no_policy_is_scored_by_the_reward_of_another_cell():
    rows = merged()["policies"]
    scored = {row["policy"] for row in rows if "r_psi" in row}
    assert scored == {"omg_rl", "behavioural_cloning"}
    assert {row["r_psi"] for row in rows if "r_psi" in row} == {7.0}
    # What they do under r_p, and what their critics promise, stays.
    others = [r for r in rows if r["policy"] == "airl" and r["world"] == "model"]
    assert [(r["r_p"], r["promised_psi"]) for r in others] == [(0.1, 2.0)]


def test_every_method_stands_once_and_clones_are_those_of_the_main_run():
    found = merged()
    for section in ("policies", "support"):
        rows = found[section]
        names = [row["policy"] for row in rows if row.get("world") != "simulator"]
        wanted = ["omg_rl", "behavioural_cloning", "cql", "airl", "omg_rl_authors"]
        assert names == wanted, section
    shifted = [row["policy"] for row in found["ood_safety"]]
    assert shifted == ["omg_rl", "cql", "airl", "omg_rl_authors"]
    # Cells that were complete before these sections existed lack them.
    bare = {k: v for k, v in cell("iql").items() if k not in ("support", "ood_safety")}
    assert len(merged(iql=bare)["support"]) == len(found["support"])


def test_rewards_are_called_by_their_method_and_the_authors_is_among_them():
    rows = paper_results.alignment_rows(CELLS)
    assert [row["reward"] for row in rows] == [
        "r_psi of airl",
        "r_psi of omg_rl_authors",
    ]
    found = [row[0] for row in tables.alignment(merged()["reward_alignment"]).rows]
    assert found[2:] == ["r_psi of AIRL", "r_psi of OMG-RL, authors' settings"]


def test_table_two_has_the_main_run_at_its_own_size():
    rows = merged()["expert_stays"]
    assert [row["stays"] for row in rows] == [100, 500]
    # Mean of the last five of 1, ..., 8.
    assert rows[0]["return_r_p_model"] == 6.0 and rows[0]["in_range"] == 0.5
    everything = paper_results.expert_stays(config.RunConfig(), main(), CELLS)
    assert [row["stays"] for row in everything] == [40, 100]


def test_published_numbers_are_those_of_table_two():
    rows = paper_results.published({})
    table = [r["value"] for r in rows if r["figure"] == "Table II"]
    assert table == [11.70, 16.70, 19.5, 15.4, 12.74]
    assert all("2409.13299" in row["source"] for row in rows)


LOSSES = {
    "epochs": [1, 2, 3],
    "train": [[0.0] * 3] * 3,
    "validation": [[0.5, -0.25, 0.1], [0.9, 0.9, 0.9], [0.5, 0.125, None]],
    "elites": [0, 2],
}


def test_losses_of_fig_one_stand_beside_the_papers_with_their_scale():
    """The worse of the two that were kept, each at its best epoch."""
    said = paper_results.largest_loss(LOSSES)
    assert said == "0.125 (Gaussian negative log-likelihood: another scale)"
    below = paper_results.largest_loss({**LOSSES, "elites": [0]})
    assert below.startswith("\u22120.25 (")
    squared = {"squared_error": [0.25, 0.5], "persistence_squared": 0.75}
    document = merged() | {"dataset": None, "member_losses": {**LOSSES, **squared}}
    document["published"] = paper_results.published(document)
    shown = published.block(results.check(document)).tables[0][1].rows
    (row,) = (row for row in shown if row[0].startswith("Fig. 1"))
    assert row[1] == "0.2"
    assert row[2] == (
        f"{said}\nmean squared error of the standardised change: 0.5\n"
        "(where no change is predicted: 0.75)"
    )
    assert paper_results.largest_loss(None) is None


def test_sizes_that_the_dataset_lacks_are_named_with_the_remedy(caplog):
    base = config.RunConfig(train_stays=300)
    found = paper.cells_of(base, stays=700)
    assert {name for name in found if "stays" in name} == {"stays_100", "stays_500"}
    with pytest.raises(ValueError, match=r"--cells=stays_1000: choose among mopo, "):
        paper.chosen(found, ["stays_1000"])
    paper.warn_of_sizes(700)
    (record,) = caplog.records
    said = record.getMessage()
    assert "without 1000, 1500 expert stays: --dataset has 700 training" in said
    assert "data_prep.virtual --stays=2000 --test=0.15" in said
    caplog.clear()
    paper.warn_of_sizes(1500)
    assert not caplog.records


class Study:
    """In the place of `cells.Study`: a small dataset, nothing to fit."""

    def __init__(self, *given):
        del given

    def task(self, setting):
        return types.SimpleNamespace(schema=types.SimpleNamespace(name="x"))

    def model_folder(self, setting):
        return None

    def available_stays(self, setting):
        return 120


@pytest.mark.usefixtures("undrawn")
def test_the_whole_paper_is_one_report_that_says_what_it_lacks(
    monkeypatch, tmp_path, caplog
):
    def run(setting, directory, out, *rest):
        out.mkdir()
        (out / "results.json").write_text(json.dumps(main() | {"commands": ["main"]}))

    def run_all(study, wanted):
        return {one.name: cell(*one.config.algorithms) for one in wanted}

    monkeypatch.setattr(cells, "Study", Study)
    monkeypatch.setattr(cells, "run_all", run_all)
    monkeypatch.setattr(omg_rl, "run", run)
    page = paper.run(config.RunConfig(train_stays=50), "data", tmp_path, False)
    assert "r_psi of AIRL" in page.read_text()
    assert "without 300, 500, 1000, 1500 expert stays" in caplog.text
    document = json.loads((tmp_path / "results.json").read_text())
    assert document["title"].startswith("Every experiment of the OMG-RL paper")
    assert document["commands"] == [repeating.command()]
    assert set(document["timing"]) == {"main run", "other cells"}
    assert "jax" in document["versions"]
    assert [row["stays"] for row in document["expert_stays"]] == [50, 100]
    caplog.clear()
    other = tmp_path / "other"
    other.mkdir()
    paper.run(config.RunConfig(train_stays=50), "data", other, False, ["cql"])
    assert not caplog.records  # Table II was not asked for


@pytest.mark.parametrize("name", ["promised", "promised_psi"])
def test_tables_of_a_study_hold_what_critics_promise(name):
    rows = [
        policy("cql", "simulator", r_p=0.1),
        policy("cql", "simulator", seed=1, r_p=0.1),
        policy("cql", "model", **{name: 3.0}),
        policy("cql", "model", mode="greedy", **{name: 4.0}),
    ]
    sections = {"policies": rows, "learning": [], "reward_alignment": []}
    table = cells.seed_table({"a": sections}, "stochastic")
    assert table[name].fillna(-1).tolist() == [3.0, -1.0]

"""Sweeps as a user runs them: grids, members equal to single runs, resumed, split."""

import dataclasses
import os
import subprocess
import sys
import types

import jax
import numpy as np
import pandas as pd
import pytest
from test_omg_rl_script import ROOT, SMALL, Script
from test_runtime_hosts import free_port

from data_prep import virtual
from experiments import cells, fitting, training
from experiments.config import RunConfig
from experiments.sweep import grid, programs, running, study
from experiments.sweep.config import SweepConfig
from omgrl_jax.runtime import flags as config_flags
from omgrl_jax.runtime import train

GRID = "penalty=0,0.5;conservatism=0.25,1.0;reward_hidden=8|4,4"


def small(**changes):
    given = {**SMALL, "seeds": 1, "algorithms": "omg_rl", **changes}
    return config_flags.changed(RunConfig(), [f"--{k}={v}" for k, v in given.items()])


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    place = tmp_path_factory.mktemp("sweep") / "cohort"
    virtual.write(virtual.Config(stays=40), place)
    return place


@pytest.fixture(scope="module")
def task(cohort):
    return cells.Study(str(cohort), cohort).task(small())


@pytest.fixture(scope="module")
def problem(task):
    return study.problem_of(small(), task)


def settings(text, problem, method="omg_rl"):
    return grid.settings(small(algorithms=method), method, text, problem, "hash")


def test_a_grid_is_every_combination_by_the_names_of_flags(problem):
    found = settings(GRID, problem)
    assert [one.values for one in found][:3] == [
        {"omg_rl_penalty": 0.0, "omg_rl_conservatism": 0.25, "reward_hidden": (8,)},
        {"omg_rl_penalty": 0.0, "omg_rl_conservatism": 0.25, "reward_hidden": (4, 4)},
        {"omg_rl_penalty": 0.0, "omg_rl_conservatism": 1.0, "reward_hidden": (8,)},
    ]
    assert len(found) == 8 == len({one.hash for one in found})
    last = found[-1].config.omg_rl
    assert (last.penalty, last.conservatism, last.reward.hidden) == (0.5, 1.0, (4, 4))
    assert len(settings("", problem)) == 1


def test_a_hash_names_what_a_result_depends_on(problem):
    def named(data="data", **changes):
        return grid.settings(small(**changes), "omg_rl", "", problem, data)[0].hash

    usual = named()
    assert usual == named(seeds=5, first_seed=3, interval=1)
    assert usual == named(soften=0.3, cql_conservatism=9.0)
    assert usual not in (named("others"), named(epochs=7), named(patients=9))
    assert usual not in (named(world_hidden=9), named(agent_discount=0.5))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("penalty", r"name=value"),
        ("penalty=", r"name=value"),
        ("penalti=1", r"near it: .*omg_rl_penalty"),
        ("cql_conservatism=1", r"does not depend on cql_conservatism"),
        ("patients=10,20", r"does not depend on patients"),
        ("seeds=1,2", r"--seeds"),
        ("penalty=1;omg_rl_penalty=2", r"named twice"),
        ("penalty=1,1", r"a value is named twice"),
        ("penalty=-1,1", r"omg_rl_penalty"),
        ("epochs=a", r"epochs"),
    ],
)
def test_grids_that_mean_nothing_are_refused(problem, text, said):
    with pytest.raises(ValueError, match=said):
        settings(text, problem)


def test_what_reaches_a_method_is_found_by_asking(problem):
    own = grid.reached(small(), "sac", problem)
    assert {"cql_conservatism", "agent_discount", "world_hidden", "epochs"} <= own
    assert not own & {"omg_rl_penalty", "rollout_horizon", "reward_hidden", "seeds"}
    assert "agent_critic_hidden" in grid.reached(small(), "linear_q", problem)
    own = grid.reached(small(), "omg_rl", problem)
    assert {"rollout_horizon", "reward_hidden", "limits_most"} <= own
    assert "reward_regression_penalty" not in own


def plan(text, problem, task, method="omg_rl", **changes):
    config = small(algorithms=method, **changes)
    world, _, _ = fitting.make(config, task.space)
    data = programs.shapes(config, task, world)
    found = grid.settings(config, method, text, problem, "hash")
    return [
        (one.batched, len(one.settings))
        for one in programs.plan(method, found, problem, data)
    ]


def test_numbers_share_a_program_and_shapes_do_not(problem, task):
    text = "penalty=0,0.5;agent_batch_size=16,8;agent_critic_learning_rate=1e-3,1e-4"
    shared = ("omg_rl_penalty", "agent_critic_learning_rate")
    assert plan(text, problem, task) == [(shared, 4), (shared, 4)]
    # What asks for its number while it is traced is compiled in, alone.
    text = "agent_max_gradient_norm=1,2;conservatism=0,1"
    assert plan(text, problem, task) == [(("omg_rl_conservatism",), 2)] * 2
    assert plan("", problem, task) == [((), 1)]


@pytest.mark.parametrize(
    ("method", "text", "name"),
    [
        ("sac", "cql_conservatism=0.5,1", "cql_conservatism"),
        ("ddqn", "bcq_threshold=0,0.3", "bcq_threshold"),
        ("omg_rl", "guardian_coverage=0.9,0.95", "guardian_coverage"),
    ],
)
def test_settings_that_change_nothing_are_refused(problem, task, method, text, name):
    with pytest.raises(ValueError, match=f"{method} makes no use of {name}"):
        plan(text, problem, task, method)


@pytest.mark.slow
def test_each_member_is_judged_by_its_own_policy(cohort, tmp_path):
    """The temperature of IQ-Learn's policy is no part of its parameters."""
    config = small(algorithms="iq_learn", epochs=1, interval=1)
    sweep_config = SweepConfig("iq_learn", "temperature=0.01,100")
    with jax.debug_key_reuse(False):
        table = study.run(sweep_config, config, str(cohort), tmp_path, True)
    found = table[table["metric"] == "records/log_prob"]
    by = found.set_index("iq_learn_temperature")["value"]
    assert by[100.0] == pytest.approx(-np.log(6), abs=1e-2) and by[0.01] < -2.0


def run(cohort, out, text, config):
    """The table of a sweep; policies are judged on the same draws on purpose."""
    with jax.debug_key_reuse(False):
        return study.run(SweepConfig(grid=text), config, str(cohort), out, True)


@pytest.mark.slow
def test_members_equal_single_runs_and_only_new_ones_are_trained(
    cohort, tmp_path, monkeypatch
):
    trained = []
    whole = train.train

    def counted(algorithm, key, *given, **named):
        trained.append(key.shape[0])
        return whole(algorithm, key, *given, **named)

    monkeypatch.setattr(train, "train", counted)
    text = "penalty=0,0.5;reward_hidden=8|4"
    config = small(first_seed=1)
    first = run(cohort, tmp_path, text, config)
    # Two widths, two programs; the penalties are numbers of two members.
    assert trained == [2, 2]
    assert len(first.groupby(["configuration", "seed"])) == 4
    both = run(cohort, tmp_path, text, dataclasses.replace(config, seeds=2))
    assert trained == [2, 2, 2, 2]
    again = both[both["seed"] == 1]
    pd.testing.assert_frame_equal(first, again.reset_index(drop=True))

    # One member beside what experiments.omg_rl computes with its setting and seed.
    single = small(first_seed=2, omg_rl_penalty=0.5)
    loader = cells.Study(str(cohort), tmp_path)
    alone = training.train_all(
        single, loader.task(single), loader.models(single), tmp_path / "single"
    )["omg_rl"]
    last = both[
        (both["omg_rl_penalty"] == 0.5) & (both["reward_hidden"].map(tuple) == (8,))
    ]
    folder = tmp_path / "members" / last["configuration"].iloc[0]
    with (
        np.load(tmp_path / "single/model/seed_2/omg_rl.npz") as wanted,
        np.load(folder / "seed_2_omg_rl.npz") as found,
    ):
        assert set(wanted) == set(found)
        for name in wanted:
            np.testing.assert_allclose(found[name], wanted[name], atol=2e-4, rtol=2e-3)
    row = both[(both["configuration"] == folder.name) & (both["seed"] == 2)]
    values = row.set_index("metric")["value"]
    bellman = alone.history.history.metrics["critic/bellman"][0, -1]
    np.testing.assert_allclose(values["train/critic/bellman"], bellman, rtol=1e-3)
    assert {"simulator/stochastic/r_p", "model/greedy/r_p", "records/log_prob"} <= {
        *values.index
    }
    # Settings matter: no two of them end alike.
    ends = both[both["metric"] == "train/critic/bellman"]["value"]
    assert ends.nunique() == len(ends) == 8


@pytest.mark.slow
def test_two_hosts_find_what_one_finds(cohort, tmp_path):
    settings = {"seeds": 2, "patients": 4, "model_hours": 5}
    script = Script(tmp_path / "cache", cohort, "experiments.sweep")
    text = "--grid=conservatism=0.25,0.5"
    code, said, errors = script.run(tmp_path / "one", text, "--chunk=3", **settings)
    assert code == 0, errors
    assert "Chunks of 3 members" in errors and "Report:" in said
    port = free_port()
    told = [text, f"--coordinator=127.0.0.1:{port}", "--processes=2"]
    others = [
        script.start(tmp_path / "two", *told, f"--process={n}", **settings)
        for n in range(2)
    ]
    for other in others:
        _, errors = other.communicate(timeout=900)
        assert other.returncode == 0, errors
    one, two = (
        pd.read_csv(tmp_path / name / "table.csv").sort_values(
            ["configuration", "seed", "metric"], ignore_index=True
        )
        for name in ("one", "two")
    )
    assert len(one.groupby(["configuration", "seed"])) == 4
    pd.testing.assert_frame_equal(one, two, rtol=1e-3, atol=1e-3)
    assert (tmp_path / "two" / "report" / "index.html").is_file()


@pytest.mark.parametrize(("chunk", "sizes"), [(64, [3]), (2, [2, 2])])
def test_a_chunk_is_no_larger_than_what_is_missing(monkeypatch, chunk, sizes):
    found = []
    monkeypatch.setattr(programs, "make", lambda *given: None)
    monkeypatch.setattr(running, "_train", lambda *given: found.append(len(given[-1])))
    monkeypatch.setattr(running, "_judge", lambda *given: None)
    shared = types.SimpleNamespace(problem=None)
    program = programs.Program(None, (), [])
    running.run(shared, "omg_rl", program, ["a", "b", "c"], chunk, None)
    assert found == sizes


def test_the_method_is_named_once(tmp_path):
    done = subprocess.run(
        [
            *(sys.executable, "-m", "experiments.sweep", "--dataset=x"),
            *(f"--out={tmp_path}", "--algorithms=combo"),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert "--algorithms: a sweep has one method" in done.stderr


def test_eight_host_devices_share_members():
    code = """
import jax, jax.numpy as jnp, numpy as np
import sys; sys.path.insert(0, "tests")
import test_runtime_sweep as t
assert jax.local_device_count() == 8
import chex
members = jax.device_put(t.make_members(16), t.sweep.member_sharding(16))
run = jax.jit(lambda m, d: t.sweep.sweep(t.walk, m, d))
assert len(run(members, t.make_data())["state"].sharding.device_set) == 8
for count in (5, 8, 16):
    chex.assert_trees_all_equal(t.swept(count, "shard"), t.singly(count))
    chex.assert_trees_all_close(
        t.swept(count, "shard_vmap"), t.singly(count), rtol=1e-4, atol=1e-5)
"""
    flag = {"XLA_FLAGS": "--xla_force_host_platform_device_count=8"}
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={**os.environ, **flag, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr

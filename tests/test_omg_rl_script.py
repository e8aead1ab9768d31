"""The main experiment as a user runs it: whole, resumed, killed, refused."""

import csv
import dataclasses
import json
import os
import pathlib
import random
import signal
import stat
import subprocess
import sys
import time

import numpy as np
import pytest

from data_prep import virtual
from experiments.report import results
from omgrl_jax.data import dataset

ROOT = pathlib.Path(__file__).parents[1]
PATIENCE = 900.0  # seconds; a guard against hanging, generous to slow machines
SMALL = {
    "seeds": 2,
    "epochs": 4,
    "interval": 2,
    "patients": 8,
    "hours": 12,
    "model_hours": 8,
    "rollout_horizon": 5,
    "rollout_rollouts": 8,
    "world_hidden": 8,
    "world_outcome_hidden": 8,
    "behaviour_hidden": 8,
    "agent_actor_hidden": 8,
    "agent_critic_hidden": 8,
    "agent_updates": 2,
    "agent_batch_size": 16,
    "reward_hidden": 8,
    "reward_steps": 2,
    "reward_expert_windows": 8,
    "reward_batch": 8,
    "fit_members": 3,
    "fit_elites": 2,
    "fit_max_epochs": 2,
    "fitted_q_steps": 5,
    "fitted_q_hidden": 8,
    "off_policy_horizon": 6,
    "off_policy_resamples": 20,
}


class Script:
    """Starts the experiment; every start shares one compilation cache."""

    def __init__(self, cache, dataset, module="experiments.omg_rl"):
        self.cache, self.dataset, self.module = cache, dataset, module

    def start(self, out, *flags, dataset=None, **changes):
        settings = {**SMALL, **changes, "dataset": dataset or self.dataset, "out": out}
        return subprocess.Popen(
            [
                sys.executable,
                *("-m", self.module),
                *(f"--{name}={value}" for name, value in settings.items()),
                *flags,
            ],
            cwd=ROOT,
            env={
                **os.environ,
                "XLA_FLAGS": "",
                "OMGRL_HOST_DEVICES": "1",
                "OMGRL_COMPILATION_CACHE": str(self.cache),
                "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
                # Compiling is nearly all the work of so small a run.
                "JAX_DISABLE_MOST_OPTIMIZATIONS": "1",
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, out, *flags, **changes):
        process = self.start(out, *flags, **changes)
        try:
            printed, errors = process.communicate(timeout=PATIENCE)
        finally:
            process.kill()
        return process.returncode, printed, errors

    def refused(self, out, *flags, **changes):
        """Runs what must stop; returns the one line it says."""
        code, printed, errors = self.run(out, *flags, **changes)
        assert (code, printed) == (1, ""), errors
        assert errors.startswith("error: ") and errors.count("\n") == 1, errors
        return errors


@pytest.fixture(scope="module")
def script(tmp_path_factory):
    place = tmp_path_factory.mktemp("script")
    virtual.write(virtual.Config(stays=40), place / "cohort")
    return Script(place / "cache", place / "cohort")


@pytest.fixture(scope="module")
def whole(script, tmp_path_factory):
    """A finished run: (directory, what was printed, what went to stderr)."""
    out = tmp_path_factory.mktemp("whole") / "out"
    code, printed, errors = script.run(out)
    assert code == 0, errors
    return out, printed, errors


def arrays(out):
    found = {}
    for path in sorted((out / "model").rglob("*.npz")):
        with np.load(path, allow_pickle=False) as archive:
            for name in archive.files:
                key = f"{path.relative_to(out)}:{name}"
                found[key] = archive[name]
    return found


@pytest.mark.slow
def test_a_run_ends_with_report_metrics_and_summary(whole):
    out, printed, _ = whole
    page = out / "report" / "index.html"
    assert page.read_text().startswith("<!DOCTYPE html>")
    assert printed.rstrip().endswith(f"Report: {page}")
    for name in ("omg_rl", "combo", "behavioural_cloning", "clinicians"):
        assert f"\n{name} " in printed
    with (out / "metrics.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    for name in ("omg_rl", "combo"):
        found = {
            (row["seed"], row["step"], np.isfinite(float(row["value"])))
            for row in rows
            if (row["algorithm"], row["metric"]) == (name, "critic/bellman")
        }
        assert found == {(s, t, True) for s in "01" for t in "1234"}
    summary = json.loads((out / "summary.json").read_text())
    assert summary["config"]["epochs"] == 4
    assert {row["policy"] for row in summary["policies"]} >= {"omg_rl", "clinicians"}


@pytest.mark.slow
def test_results_are_what_the_report_accepts(whole):
    document = json.loads((whole[0] / "results.json").read_text())
    checked = results.check(document)
    assert checked.unknown == ()
    assert {row["seed"] for row in checked.get("policies")} == {0, 1}
    worlds = {row["world"] for row in checked.get("policies")}
    assert worlds == {"model", "records", "simulator"}
    written = ("intervention", "reward_alignment", "support", "drift", "subgroups")
    assert all(checked.get(section) for section in written)
    estimated = {row["policy"] for row in checked.get("off_policy")}
    assert estimated == {"omg_rl", "combo", "behavioural_cloning"}
    assert all(np.isfinite(row["truth"]) for row in checked.get("off_policy"))


@pytest.mark.slow
def test_results_tell_promises_by_their_unit_the_fit_and_the_command(whole):
    document = json.loads((whole[0] / "results.json").read_text())
    assert document["commands"][0].startswith("python -m experiments.omg_rl --seeds=2")
    units = {
        (row["policy"], row["mode"]): name
        for row in document["policies"]
        for name in ("promised", "promised_psi")
        if np.isfinite(row.get(name, np.nan))
    }
    both = ("stochastic", "greedy")
    assert units == {("omg_rl", mode): "promised_psi" for mode in both} | {
        ("combo", mode): "promised" for mode in both
    }
    losses = document["member_losses"]
    assert len(losses["squared_error"]) == len(losses["elites"]) == 2
    errors = [*losses["squared_error"], losses["persistence_squared"]]
    assert np.all(np.isfinite(errors)) and min(errors) > 0


@pytest.mark.slow
def test_users_see_progress_and_no_chatter(whole):
    errors = whole[2]
    assert "omg_rl, 2 seeds" in errors and "world model, seed 1" in errors
    for noise in ("tpu", "xla_bridge", "Traceback", "orbax", "Warning"):
        assert noise not in errors, errors


@pytest.mark.slow
def test_recorded_rows_stay_in_the_restricted_folder(whole, script):
    out = whole[0]
    assert stat.S_IMODE((out / "restricted").stat().st_mode) == 0o700
    assert any((out / "restricted" / "checkpoints" / "omg_rl").iterdir())
    rows = dataset.load(script.dataset).trajectories
    recorded = {rows.observations.shape[0], rows.actions.size, rows.lengths.size}
    recorded |= {
        count + extra
        for which in range(3)
        for part in [rows.lengths[rows.split == which]]
        for count in [int(part.sum())]
        for extra in (0, part.size)
    }
    # Buffers and recorded arrays have an axis of as many rows; networks have none.
    kept = arrays(out)
    assert any("omg_rl.npz:agent.actor" in name for name in kept)
    for name, array in kept.items():
        assert not recorded & set(array.shape), (name, array.shape)
        assert array.size < 2000, (name, array.shape)


@pytest.mark.slow
def test_other_settings_are_refused_and_the_same_ones_resume(whole, script):
    out = whole[0]
    said = script.refused(out, epochs=6)
    assert "epochs was 4, now 6" in said and str(out) in said
    said = script.refused(out, reward_mode="paper")
    assert "reward_mode was gcl, now paper" in said


@pytest.mark.parametrize(
    ("flag", "value"), [("state", "wrong"), ("algorithms", "omg_rl,wrong")]
)
def test_unknown_names_stop_early_and_name_the_flag(script, tmp_path, flag, value):
    said = script.refused(tmp_path / "out", **{flag: value})
    assert said.startswith(f"error: --{flag}={value}:")
    assert not (tmp_path / "out").exists()


def test_a_missing_dataset_is_one_line(script, tmp_path):
    said = script.refused(tmp_path / "out", dataset=tmp_path / "none")
    assert f"{tmp_path / 'none'}/schema.json: no such file" in said
    assert not (tmp_path / "out").exists()


def test_an_algorithm_without_its_reward_stops_before_the_fits(script, tmp_path):
    data = dataset.load(script.dataset)
    schema = dataclasses.replace(data.schema, reward={"kind": "none"})
    dataset.save(tmp_path / "none", schema, data.trajectories)
    said = script.refused(tmp_path / "out", dataset=tmp_path / "none")
    assert "--algorithms=omg_rl,combo" in said and "defines no reward" in said
    assert said.rstrip().endswith("or leave out combo")
    assert not (tmp_path / "out").exists()


def test_records_are_refused_in_a_work_tree(script, tmp_path):
    data = dataset.load(script.dataset)
    schema = dataclasses.replace(data.schema, kind="records", simulator=None)
    dataset.save(tmp_path / "records", schema, data.trajectories)
    tree = tmp_path / "tree"
    (tree / ".git").mkdir(parents=True)
    said = script.refused(tree / "out", dataset=tmp_path / "records")
    assert "git work tree" in said and " --allow_git_worktree " in said
    assert not (tree / "out").exists()
    # With consent it goes on, here to the next fault, which comes after that check.
    (tree / "out").mkdir()
    (tree / "out" / "run.json").write_text('{"epochs": 1}')
    records = tmp_path / "records"
    said = script.refused(tree / "out", "--allow_git_worktree", dataset=records)
    assert "holds another run" in said


def newest(out):
    """Checkpoints so far, over both algorithms."""
    steps = [0]
    for name in ("omg_rl", "combo"):
        folder = out / "restricted" / "checkpoints" / name
        if folder.exists():
            steps += [int(p.name) for p in folder.iterdir() if p.name.isdigit()]
    return sum(steps)


@pytest.mark.slow
def test_killed_runs_end_with_the_same_numbers(whole, script, tmp_path):
    out, rng = tmp_path / "out", random.Random(0)
    # Once while the models are fitted, then after checkpoints of the training.
    marks = (
        lambda: (out / "model" / "seed_0" / "losses.npz").exists(),
        lambda: newest(out) >= 2,
        lambda: (out / "restricted" / "checkpoints" / "combo" / "2").exists(),
    )
    for reached in marks:
        process = script.start(out)
        try:
            deadline = time.monotonic() + PATIENCE
            while not reached():
                assert process.poll() is None, process.communicate()[1]
                assert time.monotonic() < deadline
                time.sleep(0.002)
            time.sleep(rng.uniform(0, 0.1))
        finally:
            process.kill()
        process.communicate(timeout=PATIENCE)
        assert process.returncode == -signal.SIGKILL
    assert not (out / "metrics.csv").exists()
    code, _, errors = script.run(out)
    assert code == 0, errors
    expected, found = arrays(whole[0]), arrays(out)
    assert set(expected) == set(found) and len(expected) > 50
    for name in expected:
        assert expected[name].dtype == found[name].dtype, name
        assert expected[name].tobytes() == found[name].tobytes(), name
    metrics = (out / "metrics.csv").read_bytes()
    assert metrics == (whole[0] / "metrics.csv").read_bytes()

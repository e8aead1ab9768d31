"""The coverage study: tables against enumeration, estimates against known values."""

import csv
import dataclasses
import functools
import os
import pathlib
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest
import tiny_mdp

from experiments import ope_coverage
from experiments.ope import drawing, tables
from experiments.ope import heparin as heparin_problem
from experiments.ope import summary as summary_lib
from experiments.ope.problem import Config, GarnetConfig, HeparinConfig
from omgrl_jax.envs import tabular
from omgrl_jax.evaluation import off_policy
from omgrl_jax.learners import fitted_q
from omgrl_jax.ops import estimators

ROOT = pathlib.Path(__file__).parents[1]
PI = np.array([[0.8, 0.2], [0.3, 0.7], [0.6, 0.4]])
MU = np.array([[0.5, 0.5], [0.6, 0.4], [0.3, 0.7]])


def tiny(terminal=()):
    moves = np.eye(3)[tiny_mdp.NEXT]
    rewards = tiny_mdp.REWARD[..., None]
    return tabular.make(moves, rewards, tiny_mdp.START, terminal)


def value_by_enumeration(policy, ends):
    states, actions, start = tiny_mdp.trajectories()
    alive = np.ones(states.shape, bool)
    if ends:
        alive = np.cumprod(states != 2, axis=1)
    rewards = tiny_mdp.REWARD[states, actions] * alive
    powers = tiny_mdp.DISCOUNT ** np.arange(tiny_mdp.HORIZON)
    probability = start * policy[states, actions].prod(axis=1)
    return probability @ rewards @ powers


def log_of(policy):
    return jnp.log(jnp.asarray(policy, jnp.float32))


def value_of(process, policy, discount, horizon):
    """The exact value of a policy [S, A]."""
    given = tables.on_device(process, policy, policy, (0.0,))
    found = jax.jit(tables.finite_value, static_argnums=(2, 3))
    return float(found(given, log_of(policy), discount, horizon))


@pytest.mark.parametrize("ends", [False, True])
def test_values_of_a_finite_horizon_are_those_of_the_enumeration(ends):
    process = tiny((2,) if ends else ())
    found = value_of(process, PI, tiny_mdp.DISCOUNT, tiny_mdp.HORIZON)
    np.testing.assert_allclose(found, value_by_enumeration(PI, ends), rtol=1e-5)


def played(count, seed=0):
    """Episodes of a process in which each move is a chance, the last state the end."""
    process, behaviour = tables.garnet(GarnetConfig(3, 2, 2, ending=0.2), 0)
    given = tables.on_device(process, behaviour, behaviour, (0.0,))
    play = jax.jit(tables.play, static_argnums=(2, 3))
    return process, behaviour, play(jax.random.key(seed), given, count, 6)


def test_episodes_follow_the_tables():
    process, behaviour, log = played(4000)
    log = jax.device_get(log)
    np.testing.assert_array_equal(log.following[:, :-1], log.state[:, 1:])
    np.testing.assert_array_equal(log.alive, log.state != 3)
    np.testing.assert_array_equal(log.state[~log.alive], 3)
    share = np.bincount(log.state[:, 0], minlength=4) / 4000
    np.testing.assert_allclose(share, process.start, atol=0.03)
    for s in range(3):
        taken = log.action[log.alive & (log.state == s)]
        np.testing.assert_allclose(np.mean(taken == 1), behaviour[s, 1], atol=0.03)
        for a in range(2):
            here = log.alive & (log.state == s) & (log.action == a)
            share = np.bincount(log.following[here], minlength=4) / here.sum()
            np.testing.assert_allclose(share, process.transitions[s, a], atol=0.04)
            np.testing.assert_allclose(
                log.reward[here], process.rewards[s, a, 0], rtol=1e-5
            )


def test_behaviour_and_values_from_counts():
    process, behaviour, log = played(4000)
    running = jnp.asarray(process.running)
    mu = tables.fitted_behaviour(log, 4, 2)
    np.testing.assert_allclose(np.exp(mu).sum(axis=1), 1.0, rtol=1e-5)
    np.testing.assert_allclose(np.exp(mu)[:3], behaviour[:3], atol=0.03)
    policy = np.array([[0.9, 0.1], [0.2, 0.8], [0.5, 0.5], [0.5, 0.5]])
    fit = jax.jit(tables.fitted_values)
    q = fit(log, running, log_of(policy), 0.9)
    assert q.shape == (6, 4, 2)
    for t in (0, 3, 5):
        v = np.sum(policy * np.asarray(q[t]), axis=1) * process.running
        wanted = value_of(process, policy, 0.9, 6 - t)
        np.testing.assert_allclose(process.start @ v, wanted, atol=0.1)


def test_pairs_that_never_occurred_take_the_mean_of_their_state():
    log = tables.Played(
        state=jnp.array([[0, 0]]),
        action=jnp.array([[1, 1]]),
        reward=jnp.array([[2.0, 4.0]]),
        following=jnp.array([[0, 1]]),
        alive=jnp.array([[True, True]]),
    )
    even = jnp.full((3, 2), -np.log(2.0))
    running = jnp.array([True, False, True])
    q = tables.fitted_values(log, running, even, 1.0)
    # One step to go: 3 everywhere. Two: (2 + 3, 4 + 0) / 2 = 4.5; state 1 is the end.
    np.testing.assert_allclose(q[1], np.full((3, 2), 3.0))
    np.testing.assert_allclose(q[0], np.full((3, 2), 4.5))


def test_the_target_improves_and_stays_where_the_logs_are():
    process, behaviour = tables.garnet(GarnetConfig(8, 4), 1)
    behaviour[2] = [0.5, 0.5, 0.0, 0.0]
    target = tables.improved(process, behaviour, 0.9)
    assert target[2, 2:].sum() == 0.0
    values = [value_of(process, p, 0.9, 200) for p in (behaviour, target)]
    assert values[1] > values[0] + 0.1


SMALL = Config(
    replicates=200,
    chunk=100,
    patients=60,
    fit_patients=30,
    shifts=(0.0, 0.5),
    behaviour="known",
    ope=off_policy.Config(horizon=4, discount=0.9, resamples=200),
    garnet=GarnetConfig(states=5, actions=2, branching=2, ending=0.1),
)


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    out = tmp_path_factory.mktemp("study")
    return out, ope_coverage.run(SMALL, out)


def test_with_known_ratios_the_ordinary_estimators_are_unbiased(study):
    summary = summary_lib.summarise(study[1]).set_index(["estimator", "shift"])
    assert len(summary) == 2 * len(estimators.ESTIMATORS)
    for shift in SMALL.shifts:
        for name in ("is", "pdis", "dr"):
            row = summary.loc[name, shift]
            error = row["spread"] / np.sqrt(SMALL.replicates)
            assert abs(row["bias"]) < 4 * error, name
        # Intervals of WDR hold about what they promise; those of fqe, which take Q as
        # given, do not.
        assert 0.86 <= summary.loc["wdr", shift]["coverage"] <= 0.99
        assert summary.loc["fqe", shift]["coverage"] < 0.8
        assert summary.loc["wdr", shift]["rmse"] < summary.loc["is", shift]["rmse"]
    assert summary.loc["wis", 0.0]["ess"] == pytest.approx(60, rel=1e-4)
    assert summary.loc["wis", 0.5]["ess"] < 50


def test_the_truth_is_that_of_the_policies(study):
    rows = study[1]
    process, behaviour = tables.garnet(SMALL.garnet, SMALL.seed)
    target = tables.improved(process, behaviour, 0.9)
    for shift in SMALL.shifts:
        policy = (1 - shift) * behaviour + shift * target
        found = rows[rows["shift"] == shift]["truth"]
        np.testing.assert_allclose(found, value_of(process, policy, 0.9, 4), rtol=1e-4)
    assert (rows["truth_error"] == 0).all()


def test_a_study_goes_on_where_it_stopped(study, monkeypatch):
    out, rows = study
    asked = []
    lost = out / "chunks" / "000100.npz"
    kept = lost.read_bytes()

    def compute(config, out, starts):
        asked.extend(starts)
        lost.write_bytes(kept)

    monkeypatch.setattr(ope_coverage, "_compute", compute)
    pd.testing.assert_frame_equal(ope_coverage.run(SMALL, out), rows)
    assert asked == []
    lost.unlink()
    pd.testing.assert_frame_equal(ope_coverage.run(SMALL, out), rows)
    assert asked == [100]
    other = dataclasses.replace(SMALL, patients=61)
    with pytest.raises(ValueError, match="patients was 60, now 61"):
        ope_coverage.run(other, out)


def test_an_interval_that_is_not_defined_does_not_cover():
    rows = pd.DataFrame(
        {
            "estimator": "wis",
            "shift": 0.0,
            "estimate": [1.0, np.nan, 2.0],
            "low": [0.0, np.nan, 1.5],
            "high": [1.5, np.nan, 2.5],
            "truth": 1.0,
            "truth_error": 0.0,
            "ess": [3.0, np.nan, 2.0],
            "largest": [0.25, np.nan, 0.75],
        }
    )
    found = summary_lib.summarise(rows).iloc[0]
    assert found["coverage"] == pytest.approx(1 / 3)
    # Errors 0 and 1 of the two that are finite.
    assert (found["bias"], found["undefined"]) == (0.5, 1)
    assert "0.333 ± 0.272" in summary_lib.table(summary_lib.summarise(rows))


def test_the_figure_is_drawn(study):
    summary = summary_lib.summarise(study[1])
    picture = drawing.write(summary, 0.95, "svg")
    assert picture.startswith(b"<?xml") and b"</svg>" in picture
    assert picture == drawing.write(summary, 0.95, "svg")
    assert drawing.write(summary, 0.95, "png").startswith(b"\x89PNG")


HEPARIN = Config(
    problem="heparin",
    replicates=2,
    patients=6,
    fit_patients=5,
    shifts=(0.0, 0.8),
    behaviour="known",
    ope=off_policy.Config(horizon=8, discount=0.9, resamples=20),
    fitted_q=fitted_q.Config(hidden=(4,), steps=3, batch_size=4),
    heparin=HeparinConfig(
        pilot_stays=20,
        hidden=(4,),
        clone_rounds=2,
        clone_steps=10,
        clone_batch=8,
        truth_patients=40,
    ),
)


@pytest.mark.slow
def test_virtual_patients_at_no_shift():
    """The cloned policy logs and is evaluated: every ratio is one."""
    problem = heparin_problem.make(HEPARIN)
    run = jax.jit(problem.replicate)
    one, other = (run(jnp.int32(n), problem.data) for n in (0, 1))
    found = one.estimates
    assert found["wis"].ess.shape == (2, 8)
    np.testing.assert_allclose(found["wis"].ess[0], [6.0] * 8, rtol=1e-3)
    np.testing.assert_allclose(found["wis"].value[0], found["is"].value[0], rtol=1e-3)
    # Returns lie within the sum of the discounts, as r_p does within one.
    assert abs(float(found["pdwis"].value[0])) < HEPARIN.ope.scale
    assert found["wis"].ess[1, -1] < 5.9
    assert found["wis"].value[0] != other.estimates["wis"].value[0]
    # Policies differ, and so do the patients who show it.
    assert (one.truth_error > 0).all() and one.truth[0] != one.truth[1]
    assert one.truth[0] != other.truth[0]


def test_a_clone_is_the_round_that_other_patients_prefer():
    """Noise as actions: whatever is learned is wrong, the temperature says so."""
    rng = np.random.default_rng(0)
    states = jnp.asarray(rng.normal(size=(30, 10, 3)), jnp.float32)
    actions = jnp.asarray(rng.integers(0, 2, (30, 10)))
    config = HeparinConfig(
        hidden=(16,), clone_rounds=5, clone_steps=50, clone_rate=0.01
    )
    fit = jax.jit(heparin_problem.clone, static_argnums=(1, 4))
    best, heat = fit(jax.random.key(0), config, states, actions, 2)
    first, _ = fit(
        jax.random.key(0),
        dataclasses.replace(config, clone_rounds=1),
        *(states, actions, 2),
    )
    # Programs of five rounds and of one may round differently; another round's
    # parameters lie a thousand times further away.
    alike = functools.partial(np.testing.assert_allclose, rtol=1e-4)
    jax.tree.map(alike, best, first)
    assert heat > 1.5


@pytest.mark.slow
@pytest.mark.parametrize("logger", ["binned", "clinicians"])
def test_logs_of_clinicians(logger):
    heparin = dataclasses.replace(HEPARIN.heparin, logger=logger)
    config = dataclasses.replace(HEPARIN, behaviour="fitted", heparin=heparin)
    space, data = heparin_problem._pilot(config)
    log = heparin_problem._log(config, space, data, jax.random.key(0), 6)
    assert log.states.shape == (6, 9, space.state_dim)
    # The reward of an hour is r_p of the value that the next state holds.
    column = space.names.index("aptt_last")
    raw = np.asarray(data.scales.state.invert(log.states))[:, 1:, column]
    sigmoid = [1 / (1 + np.exp(edge - raw)) for edge in (60.0, 100.0)]
    wanted = 2 * sigmoid[0] - 2 * sigmoid[1] - 1
    np.testing.assert_allclose(log.rewards, wanted, atol=2e-3)
    dose = np.asarray(data.scales.state.invert(log.states))[
        :, 1:, space.names.index("dose_last")
    ]
    in_table = np.isclose(dose[..., None], data.scales.amounts, rtol=1e-3).any(-1)
    assert in_table.all() == (logger == "binned")


def test_settings_that_cannot_be_meant():
    with pytest.raises(ValueError, match=r"--shifts=.*between 0 and 1"):
        Config(shifts=(1.5,))
    with pytest.raises(ValueError, match="--heparin_logger=cloned"):
        Config(
            problem="heparin",
            behaviour="known",
            heparin=HeparinConfig(logger="clinicians"),
        )
    with pytest.raises(ValueError, match="at least one"):
        Config(shifts=())


def run_script(out, **changes):
    small = {
        "out": out,
        "replicates": 3,
        "chunk": 2,
        "patients": 10,
        "fit_patients": 10,
        "shifts": "0.2",
        "ope_horizon": 3,
        "ope_resamples": 10,
        "garnet_states": 3,
    }
    given = [f"--{name}={value}" for name, value in {**small, **changes}.items()]
    return subprocess.run(
        [sys.executable, "-m", "experiments.ope_coverage", *given],
        cwd=ROOT,
        env={
            **os.environ,
            "XLA_FLAGS": "",
            "OMGRL_HOST_DEVICES": "1",
            "OMGRL_COMPILATION_CACHE": str(out.parent / "cache"),
            "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
            "JAX_DISABLE_MOST_OPTIMIZATIONS": "1",
        },
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )


@pytest.mark.slow
def test_the_script_as_a_user_runs_it(tmp_path):
    out = tmp_path / "out"
    done = run_script(out)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("shift 0.2") and "\nwdr " in done.stdout
    with (out / "coverage.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 3 * len(estimators.ESTIMATORS)
    assert {"estimator", "replicate", "estimate", "low", "high", "truth", "ess"} <= (
        rows[0].keys()
    )
    names = {path.name for path in out.iterdir()}
    assert {"summary.csv", "coverage.svg", "coverage.png", "run.json"} <= names
    shown = out / "report" / "index.html"
    assert done.stdout.endswith(f"\nReport: {shown}\n")
    assert "Largest weight" in shown.read_text()
    # Ten patients are too few, whatever their weights.
    assert "estimates of shift 0.2 rest on fewer than 50 effective" in done.stderr
    assert "too few to be believed" in shown.read_text()

    # Killed before its first chunk was kept, it ends with the same numbers.
    before = (out / "coverage.csv").read_bytes()
    (out / "chunks" / "000000.npz").unlink()
    assert run_script(out).returncode == 0
    assert (out / "coverage.csv").read_bytes() == before
    done = run_script(out, shifts=1.2)
    assert done.returncode == 1 and done.stderr.startswith("error: --shifts=(1.2,)")

"""The methods on public tasks: judges, models without a world, and whole runs."""

import dataclasses
import functools

import jax
import numpy as np
import pandas as pd
import pytest

from data_prep import cartpole as cartpole_logs
from data_prep import icu_sepsis as sepsis_logs
from experiments import benchmark_tasks, benchmarks, config, fitting, training
from experiments import task as task_lib
from experiments.config import RunConfig
from experiments.public_tasks import learning, summary
from omgrl_jax.envs import cartpole, icu_sepsis
from omgrl_jax.learners import dyna
from omgrl_jax.learners import soft_actor_critic as sac
from omgrl_jax.models import ensemble
from omgrl_jax.models import world as world_lib

pytest.importorskip("gymnasium")
needs_sepsis = pytest.mark.skipif(
    not icu_sepsis.installed(), reason="icu-sepsis is not installed"
)
TINY = RunConfig(
    algorithms=("cql",),
    seeds=2,
    epochs=2,
    interval=1,
    behaviour_hidden=(4,),
    world=world_lib.WorldConfig((4,), (4,)),
    fit=ensemble.FitConfig(members=2, elites=1, max_epochs=2),
    agent=sac.AgentConfig((4,), (4,), updates=2, batch_size=8),
    rollout=dyna.RolloutConfig(horizon=3, rollouts=4, kept_epochs=2),
)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("benchmarks")


@pytest.fixture(scope="module")
def whole(place):
    """Whole episodes of a clumsy expert."""
    settings = cartpole_logs.Config(4, subsample=1, epsilon=0.9)
    cartpole_logs.write(settings, place / "whole")
    return str(place / "whole")


@pytest.fixture(scope="module")
def first(place):
    """The frame of a whole run on logs that it makes itself."""
    return benchmarks.run("cartpole", TINY, "", place / "run", episodes=3)


def test_playing_judges_a_policy_by_its_mean_return():
    score = benchmark_tasks.play_cartpole(cartpole.expert, 5, 0)
    assert score == (500.0, 0.0)
    left = benchmark_tasks.constant(np.array([1.0, 0.0]))
    falls = benchmark_tasks.play_cartpole(left, 8, 0)
    # Pushed to one side only, the pole falls within ten steps or so.
    assert 8 <= falls.value <= 11
    played = cartpole.play(lambda seen: np.zeros(8, int), range(10_000, 10_008))
    returns = [episode.actions.size for episode in played]
    assert falls.value == np.mean(returns)
    assert falls.error == pytest.approx(np.std(returns, ddof=1) / np.sqrt(8))


def test_draws_follow_the_seed_and_greedy_ones_do_not():
    def unsure(observations):
        return 0.6 * cartpole.expert(observations) + 0.2

    judge = benchmark_tasks.play_cartpole
    one, again, other = (judge(unsure, 4, seed) for seed in (0, 0, 1))
    assert one == again != other and one.value < 500
    assert judge(benchmark_tasks.greedy(unsure), 4, 0).value == 500


@needs_sepsis
def test_solving_judges_a_policy_exactly():
    known = benchmark_tasks.BENCHMARKS["icu_sepsis"].references()
    values = {name: benchmark_tasks.solve_sepsis(p) for name, p in known.items()}
    published = benchmark_tasks.BENCHMARKS["icu_sepsis"].published
    assert {one.policy: one.value for one in published} == {
        name: round(score.value, 2) for name, score in values.items()
    }
    # The likeliest action of clinicians is one policy, its rounding in float32 none.
    table = benchmark_tasks._sepsis().clinicians
    rounded = benchmark_tasks.solve_sepsis(lambda seen: (seen @ table).astype("f4"))
    assert rounded.value == pytest.approx(values["clinicians"].value, abs=1e-6)
    likeliest = benchmark_tasks.greedy(known["clinicians"])
    assert abs(benchmark_tasks.solve_sepsis(likeliest).value - rounded.value) > 1e-3


@pytest.mark.parametrize(
    ("name", "rolling"),
    [("omg_rl", True), ("combo", True), ("cql", False), ("ddqn", False)],
)
def test_methods_tell_whether_they_roll_out_a_world(whole, name, rolling):
    logs = learning.prepare(TINY, whole, with_world=False)
    assert learning.rolls_out(logs, name) == rolling


def test_methods_that_cannot_learn_here_are_named(whole):
    logs = learning.prepare(TINY, whole, with_world=False)
    space = dataclasses.replace(logs.task.space, recorded_reward=None)
    without = logs._replace(task=logs.task._replace(space=space))
    with pytest.raises(ValueError, match="--algorithms: cql: this dataset defines no"):
        learning.rolls_out(without, "cql")


def test_models_without_a_world(whole, tmp_path):
    task = task_lib.load(whole, "", 3)
    models = fitting.fit_all(TINY, task, tmp_path, with_world=False)
    again = fitting.fit_all(TINY, task, tmp_path, with_world=False)
    for one, same in zip(models.fitted, again.fitted, strict=True):
        # Read back as it was written.
        jax.tree.map(np.testing.assert_array_equal, one.world, same.world)
        jax.tree.map(np.testing.assert_array_equal, one.behaviour, same.behaviour)
        assert one.losses.keys() == same.losses.keys() == {"behaviour.validation"}
        assert jax.tree.leaves((one.world.features, one.world.outcomes)) == []
        jax.tree.map(np.testing.assert_array_equal, one.world.scales, task.scales)
    own = training.own_data(models, task)
    np.testing.assert_array_equal(own.outcome, np.stack([task.train.outcome] * 2))
    states, actions = task.train.states[:2], task.train.actions[:2]
    with pytest.raises(ValueError, match="none was fitted"):
        models.world.dynamics.sample(own.world, jax.random.key(0), states, actions)


@pytest.mark.slow
def test_a_run_judges_known_cloned_and_trained_policies(first, place):
    found = set(zip(first.policy, first["mode"], first.seed, strict=True))
    trained = ("behavioural_cloning", "cql")
    assert found == {("expert", "-", -1), ("random", "-", -1)} | {
        (policy, mode, seed)
        for policy in trained
        for mode in ("stochastic", "greedy")
        for seed in (0, 1)
    }
    assert first.value[first.policy == "expert"].tolist() == [500.0]
    assert first.value.between(8, 500).all() and len(first) == len(found)
    stored = pd.read_csv(place / "run" / "benchmark.csv")
    pd.testing.assert_frame_equal(stored, first)
    text = summary.table(
        first, benchmark_tasks.BENCHMARKS["cartpole"].published
    ).splitlines()
    assert any(line.split()[:3] == ["expert", "-", "500"] for line in text)
    assert "IQ-Learn" in text[-1] and ": 500 (" in text[-1]


@pytest.mark.slow
def test_the_same_command_goes_on_and_takes_further_methods(first, place, monkeypatch):
    def never(*args, **kwargs):
        raise AssertionError("fitted, or logged, what was there already")

    monkeypatch.setattr(fitting, "_fit", never)
    monkeypatch.setattr(cartpole_logs, "record", never)
    more = dataclasses.replace(TINY, algorithms=("cql", "ddqn"))
    frame = benchmarks.run("cartpole", more, "", place / "run", episodes=3)
    pd.testing.assert_frame_equal(frame[frame.policy != "ddqn"], first)
    assert (frame.policy == "ddqn").sum() == 4
    longer = dataclasses.replace(TINY, epochs=3)
    with pytest.raises(ValueError, match="holds another run: epochs was 2"):
        benchmarks.run("cartpole", longer, "", place / "run", episodes=3)


@pytest.fixture
def untrained(monkeypatch):
    """What would have been fitted and trained: (what, with a world, horizon)."""
    asked = []

    def fit_all(config, task, directory, with_world):
        asked.append(("fit", with_world, config.rollout.horizon))
        return fit(config, task, directory, with_world=False)

    def train(prepared, models, name, out):
        asked.append((name, prepared.with_world, prepared.config.rollout.horizon))
        return {}

    fit = fitting.fit_all
    monkeypatch.setattr(fitting, "fit_all", fit_all)
    monkeypatch.setattr(learning, "train", train)
    return asked


def test_a_world_is_fitted_for_methods_that_roll_one_out(whole, tmp_path, untrained):
    settings = dataclasses.replace(TINY, algorithms=("combo", "cql"), seeds=1)
    benchmarks.run("cartpole", settings, whole, tmp_path, 2)
    assert sorted(untrained) == [
        ("combo", True, 3),
        ("cql", False, 1),
        ("fit", False, 1),
        ("fit", True, 3),
    ]
    untrained.clear()
    alone = dataclasses.replace(settings, algorithms=("cql",))
    benchmarks.run("cartpole", alone, whole, tmp_path, 2)
    assert untrained == [("fit", False, 1), ("cql", False, 1)]


def test_windows_longer_than_the_logs_stop_before_any_training(place, tmp_path):
    rolling = dataclasses.replace(TINY, algorithms=("cql", "combo"))
    cartpole_logs.write(cartpole_logs.Config(), place / "thin")
    with pytest.raises(ValueError, match="--rollout_horizon=3: the longest"):
        benchmarks.run("cartpole", rolling, str(place / "thin"), tmp_path, 2)
    assert list(tmp_path.iterdir()) == []


@pytest.fixture(scope="module")
def sepsis(place):
    sepsis_logs.write(sepsis_logs.Config(stays=20), place / "sepsis")
    return str(place / "sepsis")


@needs_sepsis
@pytest.mark.usefixtures("untrained")
def test_icu_sepsis_judges_exactly(sepsis, tmp_path):
    single = dataclasses.replace(TINY, seeds=1)
    frame = benchmarks.run("icu_sepsis", single, sepsis, tmp_path, episodes=1)
    known = frame.set_index("policy").value[["optimal", "clinicians", "random"]]
    np.testing.assert_allclose(known, [0.875142, 0.781845, 0.780071], atol=1e-6)
    assert frame.value.between(0.5, 0.8752).all() and (frame.error == 0).all()
    # The clone is judged in two ways.
    assert len(frame) == frame.value.nunique() == 5


@needs_sepsis
@pytest.mark.parametrize(
    ("task", "names", "words"),
    [
        ("icu_sepsis", ("cql", "combo"), r"no world model.*\(combo\)"),
        ("cartpole", ("cql",), "comes from Sepsis/ICU-Sepsis-v2, the task is CartPole"),
    ],
)
def test_what_does_not_fit_is_refused(sepsis, tmp_path, task, names, words):
    wrong = dataclasses.replace(TINY, algorithms=names)
    with pytest.raises(ValueError, match=words):
        benchmarks.run(task, wrong, sepsis, tmp_path, 1)
    assert list(tmp_path.iterdir()) == []


def test_every_task_has_a_benchmark():
    assert set(benchmarks.TASKS) == set(benchmark_tasks.BENCHMARKS)
    for one in benchmark_tasks.BENCHMARKS.values():
        assert isinstance(one.write, functools.partial) and one.published
    assert set(benchmarks.METHODS) <= set(config.ALGORITHMS)

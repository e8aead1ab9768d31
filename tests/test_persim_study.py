"""PerSim's study on a handful of agents: rows, resuming, factors, errors."""

import dataclasses
import json
import pathlib
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest
from absl import flags

from data_prep import control as prep
from experiments.persim import __main__ as script
from experiments.persim import factors, logs, methods, policies, study, summary, units
from experiments.persim.config import METHODS, Config
from experiments.persim.judging import JudgeConfig
from experiments.persim.learning import LearnConfig
from omgrl_jax.data import dataset
from omgrl_jax.learners import online_q
from omgrl_jax.learners.dyna import RolloutConfig
from omgrl_jax.learners.reward_network import RewardConfig
from omgrl_jax.learners.soft_actor_critic import AgentConfig
from omgrl_jax.models import low_rank
from omgrl_jax.models.ensemble import FitConfig
from omgrl_jax.models.planner import CemConfig, ShootingConfig
from omgrl_jax.models.world import WorldConfig

CONFIG = Config(
    env="cart_pole",
    data="random",
    agents=14,
    unseen=3,
    unseen_steps=10,
    seeds=1,
    counts=(8,),
    methods=("persim", "context_aware", "alone"),
    count_methods=("persim",),
    learners=("morel",),
    personal_learners=("bcq", "mopo", "omg_rl"),
    alone_learners=("cql",),
    learn=LearnConfig(
        epochs=1,
        behaviour_hidden=(4,),
        episodes=2,
        world=WorldConfig(hidden=(4,), outcome_hidden=(4,)),
        agent=AgentConfig((4,), (4,), batch_size=4, updates=2),
        rollout=RolloutConfig(horizon=2, rollouts=2, kept_epochs=1),
        reward=RewardConfig(hidden=(4,), steps=1, expert_windows=4, batch=2),
    ),
    low_rank=low_rank.Config(rank=2, state_hidden=(4,)),
    past=methods.PastConfig(steps=2, hidden=(4,), context=2),
    fit=FitConfig(2, 2, 1e-3, 0.0, 16, 1, 1, bootstrap=False),
    least_rows=0,
    judge=JudgeConfig(predictions=2, start=2, ahead=3, episodes=1, limit=3),
    plan=ShootingConfig(horizon=2, candidates=3),
    q=online_q.Config((4,), copies=2, steps=2, batch_size=4, capacity=20),
)


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    out = tmp_path_factory.mktemp("persim")
    return out, study.run(units.prepare(CONFIG, out))


def test_every_method_is_judged_on_every_agent(done):
    _, rows = done
    assert np.isfinite(rows["value"]).all()
    whole = rows[rows["count"] == 11]
    simulators = {*CONFIG.methods, "persim_average"}
    single = {f"{name}_personal" for name in CONFIG.personal_learners}
    learned = {"morel", "cql_alone", *single}
    for section, names in (
        ("prediction", simulators),
        ("return", {*simulators, *learned, "truth"}),
    ):
        part = whole[whole["section"] == section]
        assert set(part["method"]) == names
        assert (part.groupby(["method", "measure"])["agent"].nunique() == 5).all()
    assert set(rows[rows["section"] == "probe"]["measure"]) == {"force", "1/length"}
    unseen = rows[rows["section"] == "unseen"]
    ways = {"from_log", "from_covariates", "average"}
    assert set(unseen["method"]) == {*ways, "context_aware"}
    assert set(unseen["agent"]) == {11, 12, 13}
    assert set(rows[rows["count"] == 8]["method"]) == {"persim"}
    returns = rows[rows["section"] == "return"]["value"]
    assert returns.between(1, 3).all()  # at most `limit` steps


def test_a_study_goes_on_where_it_stopped(done, monkeypatch):
    out, rows = done
    again = {p.name: p.stat().st_mtime_ns for p in (out / "units").iterdir()}
    (out / "units" / "context_aware_11_0.json").unlink()  # judged again from its fit
    (out / "units" / "alone_11_0.json").unlink()
    (out / "fits" / "alone_11_0.npz").unlink()  # and fitted again
    (out / "units" / "morel_11_0.json").unlink()  # learned again in the same model

    def fit(*_):
        raise AssertionError("the model of all agents is fitted again")

    monkeypatch.setattr(policies.world_fit, "fit", fit)
    found = study.run(units.prepare(CONFIG, out))
    pd.testing.assert_frame_equal(found, rows)
    kept = {p.name: p.stat().st_mtime_ns for p in (out / "units").iterdir()}
    changed = {name for name in kept if kept[name] != again[name]}
    assert changed == {f"{x}_11_0.json" for x in ("context_aware", "alone", "morel")}
    with pytest.raises(ValueError, match=r"ridge was 1.0, now 2.0"):
        units.prepare(dataclasses.replace(CONFIG, ridge=2.0), out)
    more = dataclasses.replace(CONFIG, seeds=9)
    assert len(units.units(units.prepare(more, out).config)) == 10 * 9


def test_summary_is_the_mean_over_seeds_and_agents():
    rows = pd.DataFrame(
        [
            ("return", method, 9, seed, agent, "mean", value)
            for method, values in {
                "truth": [[9.0, 9.0], [9.0, 9.0]],
                "persim": [[5.0, 6.0], [7.0, 6.0]],
                "untold": [[1.0, 7.0], [2.0, 6.0]],
            }.items()
            for seed, of_agent in enumerate(values)
            for agent, value in enumerate(of_agent)
        ],
        columns=["section", "method", "count", "seed", "agent", "measure", "value"],
    )
    found = summary.summarise(rows)
    table = summary.part(found, "return", "mean")
    assert list(table.index) == ["truth", "persim", "untold"]
    assert table.loc["persim", ("mean", 0)] == 6.0
    assert table.loc["persim", ("deviation", 0)] == pytest.approx(np.sqrt(2.0))
    assert table.loc["persim", ("mean", summary.ALL)] == 6.0
    assert table.loc["persim", ("deviation", summary.ALL)] == pytest.approx(0.5**0.5)
    # Four and five better on agent 0 (interval 4.5 ± 6.4), one worse and level on 1.
    assert summary.compared(rows, "return", "mean") == (0, 2, 0)
    sure = rows.assign(seed=0)[rows["seed"] == 0]
    assert summary.compared(sure, "return", "mean") == (1, 0, 1)
    without = rows[rows["method"] != "untold"]
    assert summary.compared(without, "return", "mean") is None


def test_what_is_clear_is_clear_over_seeds():
    gaps = {0: [1.0, 1.2, 0.9], 1: [-1.0, -1.1, -0.9], 2: [0.5, -0.5, 0.1]}
    rows = pd.DataFrame(
        [
            {"section": "return", "method": method, "count": 9, "seed": seed,
             "agent": agent, "measure": "mean", "value": value}
            for agent, of_seed in gaps.items()
            for seed, gap in enumerate(of_seed)
            for method, value in (
                ("persim", 7.0 * seed + gap), ("untold", 7.0 * seed), ("alone", -9.0)
            )
        ]
    )  # fmt: skip
    assert summary.compared(rows, "return", "mean") == (1, 1, 1)
    # Rivals that run away to infinity lose, unless PerSim did too.
    lost = rows["value"].where(
        ~((rows["method"] == "untold") & (rows["agent"] == 1)), -np.inf
    )
    lost = lost.where(rows["method"] != "alone", -np.inf)
    assert summary.compared(rows.assign(value=lost), "return", "mean") == (2, 1, 0)
    both = lost.where(rows["agent"] != 2, -np.inf)
    assert summary.compared(rows.assign(value=both), "return", "mean") == (2, 1, 0)


def test_the_past_of_a_step_is_the_agents_own(done):
    cohort = logs.load(str(done[0] / "dataset"), 2)
    agent, state, action, change, _ = map(np.asarray, cohort.logs)
    starts = np.flatnonzero(np.diff(agent, prepend=-1))
    assert starts.size == 14
    at = np.repeat(starts, 3) + np.tile([0, 1, 2], 14)
    past = np.asarray(logs.pasts(agent, state, action, change, at, 2, cohort.actions))
    past = past.reshape(14, 3, 2, 10)
    np.testing.assert_array_equal(past[:, 0], 0.0)
    np.testing.assert_array_equal(past[:, 1, 0], 0.0)
    for back in (2, 1):
        row = starts[4] + 2 - back
        expected = [state[row], np.eye(2)[action[row]], change[row]]
        np.testing.assert_allclose(past[4, 2, -back], np.concatenate(expected))
    # Each step is told of some stretch of the same log, drawn over all of it.
    drawn = logs.stretches(agent)
    np.testing.assert_array_equal(agent[drawn], agent)
    assert np.unique(drawn).size > 0.5 * agent.size and (drawn != starts[agent]).any()
    expected = logs.pasts(agent, state, action, change, drawn, 2, cohort.actions)
    np.testing.assert_allclose(cohort.logs.past, expected)


def test_scales_are_of_those_who_may_be_learned_from(done):
    directory = str(done[0] / "dataset")
    every, known = logs.load(directory, 2), logs.load(directory, 2, unseen=3)
    arrays = dataset.load(directory).trajectories
    own = np.repeat(np.arange(14), arrays.lengths + 1) < 11
    expected = arrays.observations[own].mean(axis=0)
    np.testing.assert_allclose(known.scales.state.mean, expected, rtol=1e-3, atol=1e-6)
    assert np.abs(known.scales.state.mean - every.scales.state.mean).max() > 1e-6
    change = np.asarray(known.logs.change)[np.asarray(known.logs.agent) < 11]
    np.testing.assert_allclose(change.mean(axis=0), 0.0, atol=1e-4)
    np.testing.assert_allclose(change.std(axis=0), 1.0, rtol=1e-3)


def test_steps_that_choose_the_epoch_are_not_learned_from(done, monkeypatch):
    cohort = logs.load(str(done[0] / "dataset"), 2)
    few = logs.of_agents(cohort, np.arange(5))
    seen = {}

    def fit(key, init, loss, context, train, validation, stay, config):
        del key, init, loss, context, config
        seen.update(train=train.state, held_out=validation.state, stay=stay)
        raise InterruptedError

    monkeypatch.setattr(methods.ensemble, "fit", fit)
    model = methods.untold(methods.Shape(14, 4, 2), CONFIG.low_rank, CONFIG.past)
    with pytest.raises(InterruptedError):
        methods.fit(jax.random.key(0), model, few, 1000, CONFIG.fit)
    train, held_out = (
        {*map(tuple, np.asarray(seen[k]))} for k in ("train", "held_out")
    )
    assert not train & held_out
    assert len(train | held_out) == few.agent.size
    assert seen["train"].shape[0] == seen["stay"].size == 950


def test_an_agent_never_seen_has_no_simulator(done):
    ready = units.prepare(CONFIG, done[0])
    params = units.fitted(ready, units.Unit("persim", 11, 0))
    for agents in (np.array([0, 14]), np.array([14, -1])):
        with pytest.raises(ValueError, match=r"agent 14 is not in .* are 0\.\.13"):
            units.simulators(ready, "persim", params, agents, ready.seen)
        with pytest.raises(ValueError, match=r"agent 14 is not in"):
            logs.of_agents(ready.cohort, agents)


@pytest.mark.parametrize(
    ("method", "count", "agent"), [("persim", 8, 9), ("alone", 11, 5)]
)
def test_an_agent_who_was_in_no_fit_has_no_simulator(done, method, count, agent):
    """Agents of the dataset, but not of this fit: 8 of 11, or the five judged ones."""
    ready = units.prepare(CONFIG, done[0])
    params = units.fitted(ready, units.Unit(method, count, 0))
    told = ready.judged if method == "alone" else ready.seen[:count]
    asked = np.array([0, agent])
    with pytest.raises(ValueError, match=f"agent {agent} was in no fit of '{method}'"):
        units.simulators(ready, method, params, asked, told)
    units.simulators(ready, "context_aware", params, asked, told)  # knows no agent


def test_a_study_takes_further_methods_later(done):
    fewer = dataclasses.replace(
        CONFIG, methods=("persim",), counts=(), learners=(), seeds=2
    )
    found = units.units(units.prepare(fewer, done[0]).config)
    assert {unit.method for unit in found} >= {"truth", "persim", "bcq_personal"}


def test_logs_of_other_settings_are_not_taken_for_these(done, tmp_path):
    shutil.copytree(done[0] / "dataset", tmp_path / "dataset")
    other = dataclasses.replace(CONFIG, data="pure")
    with pytest.raises(ValueError, match="logs made with data=random, now pure"):
        units.prepare(other, tmp_path)
    assert not (tmp_path / "run.json").exists()
    units.prepare(CONFIG, tmp_path)


def test_policies_learn_from_those_who_may_be_learned_from(done):
    ready = units.prepare(CONFIG, done[0])
    train, held_out = policies._split(ready)
    arrays = ready.cohort.data.trajectories
    # Agents 0-9; the last of the eleven chooses the epoch.
    assert train.transitions.size == arrays.lengths[:10].sum()
    assert held_out.transitions.size == arrays.lengths[10]
    first = dataset.row_starts(arrays.lengths)[10]
    raw = ready.scales.state.invert(held_out.states[:1])
    np.testing.assert_allclose(raw[0], arrays.observations[first], atol=1e-5)


def made_up(done):
    """Factors that hold the physics linearly, for 2 members."""
    cohort = logs.load(str(done[0] / "dataset"), 2)
    x = np.stack([*factors.covariates(cohort).values()], axis=1)
    mixing = np.random.default_rng(0).normal(size=(2, 2, 2))
    agents = jnp.asarray(1.0 + x @ mixing, jnp.float32)
    return cohort, low_rank.Factors(agents, ())


def test_probes_and_regression_read_what_factors_hold(done):
    cohort, params = made_up(done)
    seen, unseen = np.arange(11), np.arange(11, 14)
    for name, values in factors.probes(params, cohort, seen).items():
        assert values.shape == (2,) and values.min() > 0.999, name
    spoiled = params._replace(agents=params.agents.at[:, unseen].set(99.0))
    found = factors.from_covariates(spoiled, cohort, seen, unseen)
    np.testing.assert_allclose(found.agents, params.agents, rtol=1e-3)
    # What the factors hold may be a product of properties.
    force, length = factors.covariates(cohort).values()
    product = params._replace(
        agents=params.agents.at[..., 0].set(jnp.asarray(force * length, jnp.float32))
    )
    spoiled = product._replace(agents=product.agents.at[:, unseen].set(99.0))
    found = factors.from_covariates(spoiled, cohort, seen, unseen)
    np.testing.assert_allclose(found.agents, product.agents, rtol=2e-3)
    noise = jax.random.normal(jax.random.key(0), params.agents.shape)
    lost = factors.probes(params._replace(agents=noise), cohort, seen)
    assert max(values.max() for values in lost.values()) < 0.6


def test_a_log_shorter_than_asked_for_is_used_as_it_is(done):
    cohort = logs.load(str(done[0] / "dataset"), 2)
    model = low_rank.make(CONFIG.low_rank, 14, 4, 2)
    params = jax.vmap(model.init)(jax.random.split(jax.random.key(0), 2))
    seen, unseen = np.arange(11), np.arange(11, 14)
    longest = int(np.bincount(cohort.logs.agent).max()) + 7
    found = factors.from_logs(model, params, cohort, seen, unseen, longest, 1.0)
    np.testing.assert_array_equal(found.agents[:, seen], params.agents[:, seen])
    own = logs.of_agents(cohort, np.array([12]))
    steps = low_rank.Example(own.agent, own.state, own.action, own.change)
    counted = jnp.ones(own.agent.size, bool)
    for member in range(2):
        agents, shared = jax.tree.map(lambda x, m=member: x[m], params)
        prior = agents[seen].mean(axis=0)
        expected = low_rank.infer(model, shared, prior, steps, counted, 1.0)
        np.testing.assert_allclose(found.agents[member, 12], expected, rtol=1e-3)


def test_the_average_agent_is_the_mean_of_those_who_were_fitted(done):
    _, params = made_up(done)
    found = methods.averaged(params, np.arange(11)).agents
    expected = np.asarray(params.agents)[:, :11].mean(axis=1)
    assert found.shape == params.agents.shape
    for agent in (0, 13):
        np.testing.assert_allclose(found[:, agent], expected, rtol=1e-5)


@pytest.mark.parametrize("least", [0, 400])
def test_few_steps_are_met_again_until_an_epoch_has_enough(done, monkeypatch, least):
    given = []
    monkeypatch.setattr(
        methods, "fit", lambda key, model, logs, rows, config: given.append(rows)
    )
    monkeypatch.setattr(units.parameters, "kept", lambda path, shapes, make: make())
    ready = units.prepare(CONFIG, done[0])
    ready = ready._replace(config=dataclasses.replace(CONFIG, least_rows=least))
    units.fitted(ready, units.Unit("untold", ready.seen.size, 0))
    rows = logs.of_agents(ready.cohort, ready.seen).agent.size
    assert rows < 400 and given == [max(rows, least)]


def test_settings_are_the_environments_unless_they_are_given():
    def read(*arguments):
        values = flags.FlagValues()
        script.define_flags(values)
        values(["persim", "--out=x", *arguments])
        return script.settings(values)

    assert read().plan.horizon == 150 and read().low_rank.rank == 3
    assert dataclasses.replace(read(), plan=Config().plan) == Config()
    assert read("--plan_horizon=20").plan.horizon == 20
    pole = read("--env=cart_pole")
    assert (pole.plan.horizon, pole.low_rank.rank) == (50, 5)
    full = read("--env=cart_pole", "--full", "--fit_members=7")
    assert full.fit.batch_size == 64 and full.plan.candidates == 1000
    assert full.fit.members == full.fit.elites == 7
    assert full.low_rank == low_rank.Config(5, (256,), huber=0.0)
    cheetah = read("--env=half_cheetah")
    assert cheetah.methods == ("persim", "one_hot", "context_aware", "untold")
    assert cheetah.learners == cheetah.personal_learners == ()
    assert cheetah.alone_learners == ()
    assert cheetah.low_rank.state_hidden == (128, 128) and cheetah.cem.horizon == 20
    full = read("--env=half_cheetah", "--full")
    assert full.cem == CemConfig() and full.methods == METHODS
    assert full.low_rank == low_rank.Config(15, (512,) * 4, (512, 512), huber=0.0)
    assert (full.agents, full.judge.limit, full.fit.batch_size) == (500, 0, 1024)


def test_what_cannot_be_meant_is_refused(done, tmp_path):
    with pytest.raises(ValueError, match="--agents=14 less --unseen=8 leaves 6"):
        dataclasses.replace(CONFIG, unseen=8)
    with pytest.raises(ValueError, match=r"--counts=6: must lie between 5 .*_rank=2"):
        dataclasses.replace(CONFIG, counts=(6,))
    with pytest.raises(ValueError, match=r"--fit_bootstrap"):
        wrong = dataclasses.replace(CONFIG.fit, bootstrap=True)
        dataclasses.replace(CONFIG, fit=wrong)
    data = dataset.load(done[0] / "dataset")
    arrays = data.trajectories
    keep = np.repeat(np.arange(14), arrays.lengths + 1)
    rows = np.flatnonzero(keep != 4)
    first = np.flatnonzero(keep == 4)[:2]
    lengths = np.array(arrays.lengths)
    own = np.repeat(np.arange(14), lengths)
    steps = np.sort(
        np.concatenate([np.flatnonzero(own != 4), np.flatnonzero(own == 4)[:1]])
    )
    lengths[4] = 1
    short = arrays._replace(
        observations=arrays.observations[np.sort(np.concatenate([rows, first]))],
        actions=arrays.actions[steps],
        rewards=arrays.rewards[steps],
        lengths=lengths,
    )
    dataset.save(tmp_path / "short", data.schema, short)
    with pytest.raises(ValueError, match="the log of agent 4 has one step only"):
        logs.load(str(tmp_path / "short"), 2)
    bare = dataclasses.replace(data.schema, simulator=None)
    dataset.save(tmp_path / "bare", bare, arrays)
    with pytest.raises(ValueError, match="names no physics"):
        logs.load(str(tmp_path / "bare"), 2)


def test_logs_are_those_of_data_prep(done):
    schema = json.loads((pathlib.Path(done[0]) / "dataset/schema.json").read_text())
    made = schema["simulator"]["run"]
    assert made["env"] == "cart_pole" and made["data"] == "random"
    assert made["agents"] == 14 and made["q"]["steps"] == 2
    assert prep.DATA[made["data"]] == 1.0

"""The study of sepsis: what it trains and judges, what it writes, what it refuses."""

import dataclasses
import functools
import json

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest
import sepsis_study_rows
import tiny_dataset
from test_mimic_sepsis_demo import DEMO, needs_demo

from data_prep import mimic_sepsis, virtual_sepsis
from data_prep.sepsis.config import Config as CohortConfig
from experiments import sepsis_truth as truth
from experiments import task as task_lib
from experiments.config import RunConfig
from experiments.iql_multitask import (
    __main__ as script,
)
from experiments.iql_multitask import (
    clinical,
    estimates,
    learning,
    overview,
    page,
    sections,
    study,
)
from experiments.iql_multitask.config import ALONE, CLONED, METHODS, StudyConfig
from omgrl_jax.algorithms import multitask_iql
from omgrl_jax.data import dataset
from omgrl_jax.envs.sepsis import stays
from omgrl_jax.evaluation import episodes, off_policy
from omgrl_jax.learners import boosted_q, fitted_q
from omgrl_jax.learners.dyna import RolloutConfig
from omgrl_jax.learners.soft_actor_critic import AgentConfig
from omgrl_jax.models.ensemble import FitConfig
from omgrl_jax.types import Policy

STUDY = StudyConfig(
    methods=("multitask_iql",),
    stays=120,
    swept_states=5,
    boosted=boosted_q.Config(iterations=2, trees=3),
)
CONFIG = RunConfig(
    seeds=2,
    epochs=2,
    interval=1,
    patients=30,
    behaviour_hidden=(4,),
    behaviour_members=2,
    off_policy=off_policy.Config(horizon=18, resamples=20),
    fitted_q=fitted_q.Config(hidden=(4,), batch_size=16, steps=5),
    fit=FitConfig(max_epochs=2, members=1, elites=1),
    agent=AgentConfig(updates=3),
    rollout=RolloutConfig(horizon=1),
    multitask_iql=multitask_iql.Config(hidden=(8,), batch_size=32),
)


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """A whole study of two seeds, and a second run of the same command."""
    out = tmp_path_factory.mktemp("study")
    script.run(STUDY, CONFIG, "", out)
    first = {p: p.stat().st_mtime_ns for p in sorted(out.glob("units/*.json"))}
    text = (out / "report" / "index.html").read_text()
    script.run(STUDY, CONFIG, "", out)
    again = {p: p.stat().st_mtime_ns for p in sorted(out.glob("units/*.json"))}
    return out, first == again, text


def test_every_policy_is_judged_by_seed_and_way_of_acting(done):
    out, kept, text = done
    assert kept, "a second run did not take what was done"
    policies = pd.read_csv(out / "policies.csv")
    learned = ["behavioural_cloning", *STUDY.methods]
    references = ["clinicians", "random", "optimum"]
    assert set(policies["policy"]) == {*learned, *references}
    counted = policies.groupby("policy")["seed"].count()
    assert (counted[learned] == 4).all() and (counted[references] == 2).all()
    by = policies.groupby("policy")["value"].mean()
    assert by["optimum"] > by["clinicians"] > by["random"]
    tested = pd.read_csv(out / "clinical.csv")
    shares = tested[[f"share_{a}" for a in range(9)]]
    np.testing.assert_allclose(shares.sum(axis=1), 1.0, rtol=1e-5)
    estimated = pd.read_csv(out / "off_policy.csv")
    assert {"wdr", "wis", "fqe", "mean return"} <= set(estimated["estimator"])
    judged = estimated[estimated["policy"] != "clinicians"]
    assert judged["truth"].notna().all() and (judged["low"] <= judged["high"]).all()
    # Cloned clinicians are evaluated against themselves: every ratio is 1.
    wis = estimated.query("policy == @CLONED and estimator == 'wis'")["value"]
    usual = estimated.query("estimator == 'mean return'")["value"].item()
    np.testing.assert_allclose(wis, usual, rtol=1e-5)
    belief = pd.read_csv(out / "belief.csv")
    assert set(belief["policy"]) == set(STUDY.methods)
    assert (belief["best_return"] > 0).all()
    for heading in ("What do they do to patients?", "Do they dose as asked?"):
        assert heading in text
    assert json.loads((out / "run.json").read_text())["study_stays"] == 120


def test_another_setting_is_refused(done):
    out, _, _ = done
    with pytest.raises(ValueError, match="--stays=121: the virtual patients in"):
        script.run(dataclasses.replace(STUDY, stays=121), CONFIG, "", out)
    other = dataclasses.replace(CONFIG, patients=31)
    with pytest.raises(ValueError, match="methods_patients was 30, now 31"):
        script.run(STUDY, other, "", out)


@functools.cache
def virtual():
    config = virtual_sepsis.Config(stays=120)
    return virtual_sepsis.to_dataset(config, virtual_sepsis.simulate(config))


@pytest.fixture(scope="module")
def task(tmp_path_factory):
    directory = tmp_path_factory.mktemp("cohort")
    dataset.save(directory, *virtual())
    return task_lib.load(str(directory), "", 1)


def test_actions_are_given_as_the_doses_of_their_levels(task):
    fluid, pressor = task.schema.actions.drugs
    found = truth.doses(task)
    np.testing.assert_allclose(found.fluid, np.repeat(fluid.amounts, 3), rtol=1e-6)
    np.testing.assert_allclose(found.pressor, np.tile(pressor.amounts, 3), rtol=1e-6)
    assert truth.world(task) == stays.World()


def always(params, states):
    row = jnp.where(jnp.arange(9) == params, 0.0, -1e9)
    return jnp.broadcast_to(row, (*states.shape[:-1], 9))


def by_pressure(params, states):
    """High vasopressors at a low pressure, none at a high one; fluids never."""
    low = -states[..., params]
    logits = jnp.stack([jnp.zeros_like(low), 3.0 * low, 6.0 * low], axis=-1)
    rest = jnp.full((*states.shape[:-1], 6), -30.0)
    return jax.nn.log_softmax(jnp.concatenate([logits, rest], axis=-1))


def test_the_clinicians_of_the_truth_are_those_who_made_the_data(task):
    """Not others who round to other levels: the same patients get the same doses."""
    found = truth.references(task, 3, 40, 0.99)
    config = virtual_sepsis.Config(stays=120)
    key = jax.random.fold_in(jax.random.key(3), truth.PURPOSE)
    made = stays.treat(config.world, virtual_sepsis.policy_of(config), key, 40)
    fluid = np.sum(np.asarray(made.doses.fluid) * np.asarray(made.alive), axis=1)
    np.testing.assert_allclose(found["clinicians"].fluid, fluid / 1000, rtol=1e-5)
    assert np.mean(found["optimum"].value) > np.mean(found["clinicians"].value)


def test_a_learned_policy_gives_what_its_actions_say(task):
    both = (Policy(always), Policy(always))
    given = truth.acting(task, jnp.int32(8), jnp.int32(0))
    came = truth.learned(task, both, given, 0, 30, 0.99)
    table = truth.doses(task)
    np.testing.assert_allclose(came.pressor, table.pressor[8], rtol=1e-5)
    # 18 doses at most, of who dies fewer.
    assert np.max(came.fluid) <= 18 * table.fluid[8] / 1000 + 1e-4
    assert np.max(came.fluid) > 17 * table.fluid[8] / 1000
    # In half of the decisions the other one gives nothing.
    given = truth.acting(task, jnp.int32(8), jnp.int32(0), share=0.5)
    mixed = truth.learned(task, both, given, 0, 30, 0.99)
    np.testing.assert_allclose(np.mean(mixed.pressor), table.pressor[8] / 2, rtol=0.2)


def test_boosted_trees_are_a_method_like_others(task):
    first, second = learning.learn(STUDY, CONFIG, task, None, "boosted_q", None)
    assert first is second  # nothing in it is drawn by chance
    states = task.test.states[:7]
    values = first.values(states)
    assert values.shape == (7, 9)
    chosen = first.policy.log_probs(first.params, states).argmax(axis=-1)
    np.testing.assert_array_equal(chosen, values.argmax(axis=-1))


def test_the_sharpest_temperature_that_is_still_diverse():
    """Nine groups of states, each with an action of its own and some of the others."""
    own = np.log(0.4 * np.eye(9) + 0.6 / 9)
    # Every action stays in use however sharp: the lowest temperature.
    assert learning.sharpest(own) == min(learning._HEATS)
    # One group of states in ten: the sharper, the more one action does alone.
    few = np.repeat(own, [60, 5, 5, 5, 5, 5, 5, 5, 5], axis=0)
    heat = learning.sharpest(few)
    assert min(learning._HEATS) < heat < 1.0

    def entropy(heat):
        chances = np.exp(few / heat)
        shares = (chances / chances.sum(axis=1, keepdims=True)).mean(axis=0)
        return -(shares * np.log(shares)).sum()

    lower = max(x for x in learning._HEATS if x < heat)
    assert entropy(heat) >= 1.58 > entropy(lower)
    # Who is not diverse to begin with stays as it was.
    same = np.tile(np.log(0.9 * np.eye(9)[0] + 0.1 / 9), (20, 1))
    assert learning.sharpest(same) == 1.0


def test_stays_longer_than_the_horizon_and_two_discounts_are_refused(task):
    short = dataclasses.replace(CONFIG, off_policy=off_policy.Config(horizon=17))
    with pytest.raises(ValueError, match="--off_policy_horizon=17: the longest stay"):
        estimates.require(short, task)
    agent = dataclasses.replace(CONFIG.agent, discount=0.9)
    with pytest.raises(ValueError, match=r"--agent_discount=.* and --off_policy_disc"):
        estimates.require(dataclasses.replace(CONFIG, agent=agent), task)


def test_a_reward_whose_values_go_on_is_refused(task):
    config = virtual_sepsis.Config(stays=120, reward="negative_sofa")
    world = dataclasses.asdict(config.world)
    schema = dataclasses.replace(task.schema, simulator={"sepsis": world})
    with pytest.raises(ValueError, match="reward has no outcome"):
        estimates.require(CONFIG, task._replace(schema=schema))


def test_exact_orders_are_judged_rounded_too(tmp_path):
    config = virtual_sepsis.Config(stays=120, orders="exact")
    dataset.save(
        tmp_path, *virtual_sepsis.to_dataset(config, virtual_sepsis.simulate(config))
    )
    found = truth.references(task_lib.load(str(tmp_path), "", 1), 3, 40, 0.99)
    exact, whole = found["clinicians"].fluid, found["clinicians_rounded"].fluid
    assert 0.0 < np.abs(exact - whole).max() < 10.0


def test_what_is_still_to_come_by_hand():
    """The best return is of any row, not of first rows alone."""
    alive = jnp.array([[True, True, True], [True, True, False]])
    rewards = jnp.array([[-1.0, 0.0, 15.0], [0.5, -15.0, 0.0]])
    fitting = episodes.Episodes(
        jnp.zeros((2, 4, 3)), jnp.zeros((2, 3), int), rewards, alive, jnp.arange(2)
    )
    one = learning.Learned(
        Policy(always), jnp.int32(2), lambda x: np.arange(9.0) + np.asarray(x)[..., :1]
    )
    row = estimates.belief_row(
        CONFIG, estimates.Stays(fitting, fitting), "x", one, 0, True
    )
    assert row["best_return"] == pytest.approx(15.0)
    assert row["promised"] == pytest.approx(2.0) and row["highest"] == 8.0
    both = estimates.Stays(fitting, fitting)
    assert estimates.belief_row(CONFIG, both, "x", one, 0, False) is None


def test_who_doses_by_pressure_passes_its_test_alone(task):
    column = jnp.int32(task.space.names.index("mbp"))
    policy = Policy(by_pressure), column
    held = clinical.held_out(task)
    found = clinical.rows(task, held, "cloned", policy, 0, 5)
    drawn, likely = found
    assert clinical.passes(drawn) == {
        "pressure": True,
        "lactate": False,
        "diversity": False,
    }
    assert drawn["pressure"] == pytest.approx(-1.0) and drawn["lactate"] == 0.0
    assert drawn["pressure_size"] < -1.5 and drawn["lactate_size"] == 0.0
    assert likely["pressure_real"] < -0.8 and likely["used"] == 2
    curve = clinical.curves(task, "cloned", policy, 0)
    levels = [r["level"] for r in curve if r["test"] == "pressure"]
    assert levels[0] == pytest.approx(2.0, abs=0.02) and levels[-1] < 0.01
    # Who never changes the dose passes nothing.
    constant = clinical.rows(task, held, "same", (Policy(always), jnp.int32(4)), 0, 5)
    assert all(row["passed"] == 0 for row in constant)


def test_agreement_is_with_what_was_given(task):
    held = clinical.held_out(task)
    share = np.mean(held.actions == 4)
    row = clinical.rows(task, held, "same", (Policy(always), jnp.int32(4)), 0, 5)[0]
    assert row["agreement"] == pytest.approx(share, abs=1e-6)
    patients = set(np.asarray(task.arrays.patients)[task.arrays.split == 2])
    assert set(held.patients) == patients


def test_data_without_these_drugs_are_refused(tmp_path):
    dataset.save(tmp_path, tiny_dataset.schema(), tiny_dataset.trajectories())
    with pytest.raises(ValueError, match="the state has no mbp"):
        clinical.require(task_lib.load(str(tmp_path), "", 1))


def test_methods_that_nobody_knows_are_named():
    with pytest.raises(ValueError, match="--methods=prayer: choose among"):
        StudyConfig(methods=("prayer",))
    with pytest.raises(ValueError, match="named twice"):
        StudyConfig(methods=("iql", "iql"))


def made_up(**values):
    return [{"policy": "multitask_iql", "mode": "stochastic", "seed": s, **v}
            for s, v in enumerate(values["seeds"])]  # fmt: skip


def test_the_first_screen_says_what_was_found():
    usual = [
        {"policy": "clinicians", "mode": "-", "seed": s, "value": 6.0} for s in (0, 1)
    ]
    own = made_up(seeds=[{"value": 7.0}, {"value": 7.2}])
    cloned = [
        {"policy": CLONED, "mode": "stochastic", "seed": s, "value": 6.95 + 0.1 * s}
        for s in (0, 1)
    ]
    tested = made_up(
        seeds=[
            {"pressure": -0.9, "lactate": 0.8, "used": 8.0, "entropy": 1.7},
            {"pressure": -0.1, "lactate": 0.8, "used": 8.0, "entropy": 1.7},
        ]
    )
    estimated = made_up(
        seeds=[{"value": 7.6, "truth": 7.0, "low": 6.5, "high": 8.0, "ess": 30.0}] * 2
    )
    for row in estimated:
        row["estimator"] = "wdr"
    found = dict.fromkeys(study.SECTIONS, ())
    found |= {
        "policies": [*usual, *own, *cloned],
        "clinical": tested,
        "off_policy": estimated,
    }
    said = " ".join(page.findings(found))
    assert "value +1.10" in said and "passed by 1 of 2 seeds" in said
    assert "0.60 above the true value on average, within 10 % of it in 2 of 2" in said
    assert "holds the truth in 2." in said
    assert "30 effective patients or more, too few to be believed" in said
    assert "+0.10 [" in said and "against cloned ones" in said
    assert sections.outcomes((), 10).absent


def test_what_the_heads_add_is_paired_by_seed():
    own = made_up(
        seeds=[{"value": 7.0, "survived": 0.8}, {"value": 9.0, "survived": 0.8}]
    )
    other = [{**row, "policy": ALONE, "value": row["value"] - 0.5} for row in own]
    block = sections.parts([*own, *other], [])
    ((_, table),) = block.tables
    (row,) = table.rows
    assert row[0] == "Auxiliary heads" and row[2].startswith("+0.500 [0.500")
    assert row[4] == "–"
    assert sections.parts(own, []).absent


def test_the_page_of_every_method_and_of_records_without_a_truth():
    asked = RunConfig(seeds=2), sepsis_study_rows.schema()
    for known in (True, False):
        made = page.make(*asked, sepsis_study_rows.found(known))
        by = {key: block for key, _, block in made.sections}
        assert bool(by["outcomes"].absent) == (not known)
        assert len(by["outcomes"].pictures) == (2 if known else 0)
        ((_, table),) = by["estimates"].tables
        doubted = [row[0] for row in table.rows if "(too few in 2 of 2)" in row[4]]
        learned = len(METHODS) + 1  # and the cloned clinicians
        assert doubted == ["IQL"] and len(table.rows) == learned + 1
        assert (table.rows[-1][5] == "–") == (not known)  # the clinicians' truth
        # A grid for each, the clinicians, and the most likely action of the method.
        assert len(by["tests"].tables) == 2
        assert len(by["actions"].pictures) == learned + 2
        assert bool(by["parts"].tables) and len(made.terms) == learned + 1 + 2 * known


def test_all_policies_stand_in_one_table_beside_the_published_one():
    found = sepsis_study_rows.found()
    ((_, table),) = overview.block(found["clinical"], found["off_policy"]).tables
    rows = {row[0]: row[1:] for row in table.rows}
    assert len(rows) == len(METHODS) + 2
    assert rows["Clinicians"][:2] == ["6.800", "–"]
    assert rows["Clinicians"][-1].startswith("7.56")
    # Pressure -.5 and diversity pass, lactate -.5 does not.
    assert rows["Double DQN"][1] == "2.0/3" and "149.2" in rows["Double DQN"][-1]
    assert rows["Double DQN"][3].startswith("40.0")


def test_the_first_screen_of_records_says_what_held_out_stays_say():
    said = " ".join(page.findings(sepsis_study_rows.found(truth=False)))
    assert "softened: WDR from held-out stays" in said
    assert "[6.00 to 8.00], resting on 400 effective patients or more." in said
    assert "Clinicians' stays returned 6.80 [6.50 to 7.10]." in said


def test_the_published_settings_are_a_method_of_their_own():
    changed = learning.as_published(CONFIG).multitask_iql
    assert changed.hidden == (256, 256, 128) and changed.batch_size == 1024
    assert (changed.temperature, changed.entropy_weight) == (3.0, 0.3)
    assert (changed.learning_rate, changed.patience) == (3e-4, 20)
    # What the page says nothing of stays as it is.
    assert changed.expectile == 0.7 and changed.auxiliary_weight == 0.1


def test_a_study_takes_further_methods_later(done, monkeypatch):
    """The mark in the folder is not of the methods: others are not refused."""
    asked = []
    monkeypatch.setattr(study, "run", lambda study, *rest: asked.append(study.methods))
    more = dataclasses.replace(STUDY, methods=("multitask_iql", "published_iql"))
    # Nothing was found, and nothing can be written of it.
    with pytest.raises(AttributeError):
        script.run(more, CONFIG, "", done[0])
    assert asked == [more.methods]


@needs_demo
def test_the_study_runs_on_demo_records(tmp_path):
    """From the cohort to the page; of so few stays nothing is learned."""
    mimic_sepsis.convert(DEMO, tmp_path / "data", CohortConfig())
    config = dataclasses.replace(CONFIG, seeds=1)
    path = script.run(STUDY, config, str(tmp_path / "data"), tmp_path / "out")
    text = path.read_text()
    assert "only a simulator knows the truth" in text
    assert "WDR from held-out stays" in text
    assert (tmp_path / "out" / "off_policy.csv").is_file()

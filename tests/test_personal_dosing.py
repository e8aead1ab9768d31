"""The study of personal dosing on a handful of stays: rows, resuming, truth, errors."""

import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest
import tiny_dataset

from data_prep import virtual
from experiments import task as task_lib
from experiments import training
from experiments import truth as truth_lib
from experiments.personal_dosing import __main__ as script
from experiments.personal_dosing import (
    factors,
    fitting,
    page,
    predicting,
    rewards,
    sections,
    study,
    suggesting,
)
from experiments.personal_dosing.config import Config
from experiments.report import estimates
from omgrl_jax.algorithms import omg_rl
from omgrl_jax.data import dataset
from omgrl_jax.data.draws import Draws
from omgrl_jax.envs import heparin, recording, stays
from omgrl_jax.learners import learned_dyna, reward_network
from omgrl_jax.learners.reward_network import RewardConfig
from omgrl_jax.models import ensemble, foresight, personal_outcome
from omgrl_jax.models.ensemble import FitConfig
from omgrl_jax.ops import belief as belief_lib
from omgrl_jax.runtime import parameters
from omgrl_jax.types import Transition

FIT = FitConfig(2, 2, 1e-3, 0.0, 16, 1, 1)
CONFIG = Config(
    seeds=1,
    models=("persim",),
    outcome_hidden=(3,),
    factors=personal_outcome.Config(rank=1, hidden=(3,)),
    population_fit=FIT,
    factors_fit=FIT,
    plan=foresight.Config(horizon=2, hold=2),
    patients=2,
    hours=2,
)
COHORT = virtual.Config(stays=60, seed=5, max_hours=24, test=0.4)


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    place = tmp_path_factory.mktemp("cohort")
    virtual.write(COHORT, place)
    return str(place)


@pytest.fixture(scope="module")
def ready(cohort, tmp_path_factory):
    task = task_lib.load(cohort, "", 1)
    return fitting.prepare(CONFIG, task, tmp_path_factory.mktemp("study"))


@pytest.fixture(scope="module")
def rows(ready):
    with pytest.MonkeyPatch.context() as few:
        # Those of the ward have tests of their own, and take long to compile.
        few.setattr(study, "REFERENCES", ("truth", "random"))
        yield study.run(ready)


def test_every_policy_and_model_is_judged(rows):
    assert np.isfinite(rows["value"]).all()
    dosed = set(rows[rows["section"] == "dosing"]["method"])
    planned = {"persim", "persim_average"}
    assert dosed == {*planned, "truth", "random"}
    foretold = set(rows[rows["section"] == "prediction"]["method"])
    assert foretold == {*planned, "persistence"}
    probes = rows[rows["section"] == "probe"]
    assert set(probes["about"]) == set(factors.NAMES)
    doses = rows[rows["section"] == "doses"].pivot(
        index="about", columns="measure", values="value"
    )
    np.testing.assert_allclose(doses[["lower", "same", "higher"]].sum(axis=1), 1.0)


def test_a_study_goes_on_where_it_stopped(ready, rows):
    place = ready.out / "units" / "persim_average_0.json"
    fits = {p: p.stat().st_mtime_ns for p in (ready.out / "model").iterdir()}
    place.unlink()
    pd.testing.assert_frame_equal(study.run(ready), rows)
    assert {p: p.stat().st_mtime_ns for p in (ready.out / "model").iterdir()} == fits


def test_the_page_says_what_was_found(ready, rows, undrawn):
    found = study.map_of_first_seed(ready)
    made = page.make(CONFIG, "virtual", rows, found)
    assert any("PerSim earns" in text for text in made.findings)
    html = page.write(ready.out, CONFIG, "virtual", rows, found, "U/h").read_text()
    for text in ("Who doses best?", "True kinetics", "Suggested dose, U/h"):
        assert text in html
    assert "clearance" in html


def test_doses_are_written_as_doses():
    seeds = [{"seed": 0, "given": 1200.0}, {"seed": 1, "given": 1240.0}]
    two = estimates.over_seeds(seeds, "given")
    assert sections._amount(two) == "1,220 ± 28"
    assert sections._amount(estimates.over_seeds([{"given": 987.4}], "given")) == "987"
    assert sections._amount(None) == "–"


def test_the_true_patients_are_those_of_the_cohort(ready):
    known = factors.truth(ready)
    training = np.flatnonzero(ready.task.arrays.split == 0)
    # One of them simulated once more, step by step, by its true constants.
    key = jax.random.fold_in(jax.random.key(COHORT.seed), 0)
    distribution = heparin.PatientDistribution()
    admitted = jax.jit(stays.admit, static_argnums=(0, 2))(distribution, key, 60)
    mine = jax.tree.map(lambda x: x[training[3]], admitted.patient.patient)
    np.testing.assert_allclose(known.parameters["log_slope"][3], mine.log_slope)
    np.testing.assert_allclose(known.features[3, 2], mine.weight, rtol=1e-5)
    body = recording.kinetics_now(
        distribution, jax.tree.map(lambda x: x[training[3]], admitted.patient)
    )
    low, high = (known.parameters[n][3] for n in ("log_baseline", "log_level"))
    assert low < high
    assert np.isclose(np.exp(known.parameters["log_volume"][3]), body.volume)


def test_other_patients_than_the_datasets_are_refused(ready):
    made_by = ready.task.schema.simulator
    other = {**made_by, "run": {**made_by["run"], "seed": 6}}
    schema = dataclasses.replace(ready.task.schema, simulator=other)
    wrong = ready._replace(task=ready.task._replace(schema=schema))
    with pytest.raises(ValueError, match="not those that its seed draws now"):
        factors.truth(wrong)
    untold = {key: value for key, value in made_by.items() if key != "run"}
    schema = dataclasses.replace(schema, simulator=untold)
    wrong = ready._replace(task=ready.task._replace(schema=schema))
    with pytest.raises(ValueError, match="make the cohort again with data_prep"):
        factors.truth(wrong)


def test_errors_by_band_are_counted_by_hand():
    value = np.arange(60.0).reshape(12, 5)
    there = np.ones((12, 5), bool)
    there[10:, 4:] = False
    draws = Draws(None, None, None, value, np.zeros((12, 5), bool), there)
    mean = value + np.where(np.arange(5) < 3, 1.0, 3.0)
    variance = np.full((12, 5), 2.0)
    found = predicting._by_band(draws, np.arange(12), mean, variance, 0.5)
    table = {row["band"]: row for row in found}
    assert set(table) == {*predicting.BANDS, predicting.LATER, predicting.ANY} - {
        "6 or more"
    }
    assert table[predicting.ANY]["rmse"] == pytest.approx(0.5 * (234 / 58) ** 0.5)
    assert table[predicting.ANY]["inside"] == pytest.approx(36 / 58)
    assert table[predicting.LATER] == {"band": "3 or more", "rmse": 1.5, "inside": 0.0}
    # What exceeds a lower bound is no error.
    bounds = draws._replace(censored=np.ones((12, 5), bool))
    assert predicting._by_band(bounds, np.arange(12), mean, None, 0.5)[0]["rmse"] == 0.0
    # Nor does it say whether the interval is wide enough.
    some = draws._replace(censored=np.arange(5)[None] * np.ones((12, 1)) < 2)
    left = predicting._by_band(some, np.arange(12), mean, variance, 0.5)[-1]
    assert left["inside"] == pytest.approx(12 / 34)
    # Twelve stays of ten people.
    few = np.minimum(np.arange(12), 9)
    assert predicting._by_band(draws, few, mean, variance, 0.5) == []


def test_the_average_patient_is_foretold_with_the_same_doubt(ready):
    def init(key):
        return ready.personal.init(key), belief_lib.standard(1)

    keys = jax.random.split(jax.random.key(3), 2)
    params = fitting.PersonalParams(*jax.jit(jax.vmap(init))(keys), None)
    draws = ready.draws["test"]

    def say(told):
        given = ready.task.scales, params, draws._replace(censored=draws.there & False)
        return map(np.asarray, predicting.personal(ready.personal, told, *given))

    (own, variance), (average, same) = say(True), say(False)
    np.testing.assert_allclose(same, variance, rtol=1e-5)
    np.testing.assert_allclose(average[..., 0], own[..., 0], rtol=1e-5)
    assert np.abs(average - own)[..., 1:].max() > 1e-3


def test_suggestions_know_the_draws_reported_before_their_hour(ready):
    params = fitting.fitted(ready, "persim", 0)
    records = ready.task.test
    rows = np.asarray(records.transitions)
    found = suggesting._beliefs(ready, params, rows)
    measured = np.asarray(records.measured[:, 0])
    stay = np.asarray(records.stay)
    first = next(r for r in rows if measured[r])
    place = int(np.flatnonzero(rows == first)[0])
    # Until its report comes, at the end of the hour, nothing is known of the patient.
    np.testing.assert_array_equal(found.mean[place], params.prior.mean)
    assert stay[first] == stay[first + 1]
    assert np.abs(np.asarray(found.mean[place + 1])).max() > 0


def test_last_values_are_those_recorded(ready):
    found = predicting.last_values(ready.task, ready.task.test.states)
    wanted = task_lib.last_values(ready.task, "test", 0)
    np.testing.assert_allclose(found, wanted, rtol=1e-3, atol=1e-4)
    again = predicting.last_values(ready.task, ready.draws["test"].state)
    assert again.shape == ready.draws["test"].value.shape


def test_suggestions_begin_from_the_bin_of_the_dose_before(ready):
    records = ready.task.test
    rows = np.asarray(records.transitions)
    found = np.asarray(suggesting._actions_before(ready, rows))
    stay, actions = np.asarray(records.stay), np.asarray(records.actions)
    for place, row in enumerate(rows[:60]):
        starts = row == 0 or stay[row] != stay[row - 1]
        assert found[place] == (0 if starts else actions[row - 1])
    # Doses below their bin's amount: to keep such a bin is no rise.
    given = np.asarray(records.amounts)[rows]
    bins = np.asarray(ready.task.scales.amounts)[actions[rows]]
    assert (given < bins).any()


def test_records_need_no_truth(tmp_path):
    place = tmp_path / "records"
    arrays = tiny_dataset.trajectories(200, longest=9)
    dataset.save(place, tiny_dataset.schema(delay=1), arrays)
    task = task_lib.load(str(place), "", 1)
    assert not truth_lib.known(task)
    config = dataclasses.replace(CONFIG, models=("persim_free",))
    found = study.run(fitting.prepare(config, task, tmp_path / "out"))
    # Doses are suggested by persim alone.
    assert set(found["section"]) == {"prediction"}
    kept = np.load(tmp_path / "out" / "model" / "persim_free_0.npz")
    training = int((arrays.split == 0).sum())
    # No vector of a training patient is kept.
    assert all(training not in kept[name].shape for name in kept.files)


def test_free_factors_are_those_of_stays_that_every_member_saw(tmp_path, monkeypatch):
    arrays = tiny_dataset.trajectories(60, longest=3)
    schema = tiny_dataset.schema(delay=1)
    dataset.save(tmp_path / "records", schema, arrays)
    task = task_lib.load(str(tmp_path / "records"), "", 1)
    fit = dataclasses.replace(FIT, max_epochs=12, patience=12, learning_rate=0.01)
    made = fitting.prepare(
        dataclasses.replace(CONFIG, factors_fit=fit), task, tmp_path / "out"
    )
    there = np.array(made.draws["train"].there)
    there[:5] = False
    draws = made.draws["train"]._replace(there=jnp.asarray(there))
    made = made._replace(draws={**made.draws, "train": draws})
    seen = []

    def watched(key, init, *rest):
        found = fit_ensemble(key, init, *rest)
        start_keys = jax.random.split(
            jax.random.split(jax.random.clone(key), 3)[0], fit.members
        )
        start = jax.jit(jax.vmap(init))(start_keys).factors[found.elites]
        seen.append(np.abs(found.params.factors - start).max(axis=2))
        return found

    fit_ensemble = ensemble.fit
    monkeypatch.setattr(fitting.ensemble, "fit", watched)
    fitting._fit_personal(made, "persim_free", jax.random.key(0), None)
    assert seen[0].shape == (fit.members, there.any(axis=1).sum())
    assert seen[0].min() > 1e-6  # else none of its gradients came


def test_too_few_held_out_stays_leave_a_page_that_says_so(undrawn, tmp_path):
    rows = study.frame([])
    assert study.summarise(rows).empty
    assert script.table(study.summarise(rows)) == ""
    made = page.make(CONFIG, "tiny", rows, None)
    assert made.findings == ["Nothing was judged: there are too few held-out draws."]
    assert all(block.absent for _, _, block in made.sections)


def test_a_dataset_without_a_target_is_refused(tmp_path):
    arrays = tiny_dataset.trajectories(24, channels=False, rewards=True)
    dataset.save(tmp_path, tiny_dataset.schema("recorded", channels=False), arrays)
    with pytest.raises(ValueError, match="no channel with a target range"):
        script.run(CONFIG, str(tmp_path), tmp_path / "out", False)


def test_a_run_whose_reward_does_not_fit_is_refused(ready, tmp_path):
    with pytest.raises(ValueError, match=r"no run lies there \(no run.json\)"):
        rewards.of_run(str(tmp_path), ready.task, 0)
    run = {"dataset": ready.task.hash, "state": "", "train_stays": 0}
    (tmp_path / "run.json").write_text(json.dumps({**run, "reward_inputs": "state"}))
    with pytest.raises(ValueError, match="its --reward_inputs is state, here outcome"):
        rewards.of_run(str(tmp_path), ready.task, 0)


def test_the_learned_reward_of_a_run_is_planned_for(ready, tmp_path):
    config = RewardConfig(inputs="outcome", hidden=(3,), members=2)
    network = reward_network.make(config, ready.task.space)
    learner = jax.jit(network.init)(jax.random.key(1))
    average = jax.tree.map(lambda x: x + 0.5, learner.params)
    kept = omg_rl.RewardState(learned_dyna.Averaged(learner, average), None, 7)
    state = learned_dyna.State(None, None, None, kept, None)
    run = {f"reward_{k}": v for k, v in dataclasses.asdict(config).items()}
    run |= {"dataset": ready.task.hash, "state": "", "train_stays": 0}
    (tmp_path / "run.json").write_text(json.dumps({**run, "first_seed": 4}))
    with pytest.raises(ValueError, match="not trained to its end"):
        rewards.of_run(str(tmp_path), ready.task, 0)
    weights = tmp_path / "model" / "seed_4" / "omg_rl.npz"
    weights.parent.mkdir(parents=True)
    parameters.save(weights, training.shareable(state))
    goal = rewards.of_run(str(tmp_path), ready.task, 0)
    z = jnp.linspace(-2.0, 2.0, 6).reshape(2, 3)
    found = jax.jit(goal.value)(goal.params, ready.task.scales, z)
    value, _ = average
    for place in np.ndindex(2, 3):
        inputs = jnp.array([z[place]])

        def member(params, inputs=inputs):
            return reward_network.make_value(config, ready.task.space)[1](
                params,
                Transition(None, None, None, inputs, jnp.ones(()), jnp.zeros(())),
            )

        wanted = jnp.mean(jax.vmap(member)(value))
        np.testing.assert_allclose(found[place], wanted, rtol=1e-4)


def test_the_clinical_goal_is_r_p(ready):
    goal = rewards.of_task(ready.task)
    scales = ready.task.scales
    z = scales.channel.apply(jnp.array([[60.0], [80.0], [120.0]]))[:, 0]
    found = goal.value(goal.params, scales, z)
    np.testing.assert_allclose(found, [0.0, 1.0, -1.0], atol=1e-3)


def test_as_many_networks_of_both_kinds():
    with pytest.raises(ValueError, match="keep as many of both"):
        Config(population_fit=FitConfig(2, 2))
    with pytest.raises(ValueError, match="--models= is empty"):
        Config(models=())

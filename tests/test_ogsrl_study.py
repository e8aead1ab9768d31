"""The study of OGSRL: what it measures by hand, what it writes, what it refuses."""

import dataclasses
import functools
import json

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest
from absl import flags
from test_mimic_sepsis_demo import DEMO, needs_demo

from data_prep import mimic_sepsis, virtual, virtual_sepsis
from data_prep.sepsis.config import Config as CohortConfig
from experiments import sepsis_truth as truth
from experiments import task as task_lib
from experiments import truth as heparin_truth
from experiments import ward
from experiments.config import RunConfig
from experiments.ogsrl import __main__ as script
from experiments.ogsrl import config as config_lib
from experiments.ogsrl import page, scores, study, true_worlds, worlds
from experiments.ogsrl.config import LAGRANGIAN, METHODS, OWN, StudyConfig
from omgrl_jax.algorithms import ogsrl
from omgrl_jax.data import dataset
from omgrl_jax.envs.sepsis import chart, stays
from omgrl_jax.learners import cloning, constrained
from omgrl_jax.learners.dyna import RolloutConfig
from omgrl_jax.learners.guardian.guardian import GuardianConfig
from omgrl_jax.learners.guardian.regions import RegionConfig
from omgrl_jax.learners.limits import LimitsConfig
from omgrl_jax.learners.soft_actor_critic import AgentConfig
from omgrl_jax.models.ensemble import FitConfig
from omgrl_jax.models.rollout import alive_in
from omgrl_jax.models.world import WorldConfig
from omgrl_jax.runtime import flags as config_flags
from omgrl_jax.types import Policy, Transition

COSTS = ("desaturation", "oliguria")
STUDY = StudyConfig(
    methods=(OWN, "gccql"),
    stays=150,
    limits_swept=(0.5,),
    coverages=(0.7,),
    swept_seeds=1,
)
CONFIG = RunConfig(
    seeds=2,
    epochs=2,
    interval=1,
    patients=20,
    fit=FitConfig(max_epochs=2, members=1, elites=1),
    world=WorldConfig((4,), (4,), "free", ends=True),
    agent=AgentConfig((4,), (4,), updates=2, batch_size=16),
    rollout=RolloutConfig(horizon=18, rollouts=8),
    limits=LimitsConfig(COSTS, (0.03, 0.1)),
    guardian=GuardianConfig(region=RegionConfig(points=100)),
    ogsrl=ogsrl.Config(
        hidden=(4,),
        cloning=cloning.CloningConfig(steps=2, batch_size=16),
        optimiser=constrained.ConstrainedConfig(
            iterations=2, value_hidden=(4,), value_steps=1, value_batch=16
        ),
        start="admission",
    ),
)


@functools.cache
def made(actions="levels"):
    config = virtual_sepsis.Config(stays=150, actions=actions, lungs=8.0)
    return virtual_sepsis.to_dataset(config, virtual_sepsis.simulate(config))


@pytest.fixture(scope="module", params=["levels", "doses"])
def task(request, tmp_path_factory):
    directory = tmp_path_factory.mktemp(request.param)
    dataset.save(directory, *made(request.param))
    return task_lib.load(str(directory), "", 18, continuous=True)


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    out = tmp_path_factory.mktemp("study")
    place = script.run(STUDY, CONFIG, "", out)
    return out, place.read_text()


def test_the_study_writes_what_it_found(done):
    out, text = done
    found = pd.read_csv(out / "policies.csv")
    swept = {f"{OWN}_limit_0.5", f"{OWN}_coverage_0.7"}
    assert set(found["policy"]) == {*STUDY.methods, *swept, "clinicians"}
    places = found.query("policy == @OWN and seed == 0")["where"].tolist()
    assert places == ["records", "learned", "judging", "truth"]
    shares = found[["outside", *(f"unsafe_{c}" for c in COSTS)]].dropna()
    assert ((shares >= 0) & (shares <= 1)).all(axis=None)
    assert set(found.query("policy in @swept")["seed"]) == {0}
    curves = pd.read_csv(out / "constraints.csv")
    own = curves.query("policy == @OWN")
    assert len(own) == 2 * 2  # seeds and epochs
    for name in (*COSTS, "outside"):
        assert own[[name, f"dual_{name}", f"excess_{name}"]].notna().all(axis=None)
    for heading in ("Are the limits kept?", "What is guaranteed", "(published 0.549)"):
        assert heading in text
    assert json.loads((out / "run.json").read_text())["study_stays"] == 150


def test_more_methods_may_come_later_and_other_settings_not(done):
    out, _ = done
    before = (out / "units" / f"{OWN}.json").stat().st_mtime_ns
    more = dataclasses.replace(STUDY, methods=(OWN, "gccql", "mb_trpo"))
    script.run(more, CONFIG, "", out)
    assert (out / "units" / f"{OWN}.json").stat().st_mtime_ns == before
    assert "mb_trpo" in set(pd.read_csv(out / "policies.csv")["policy"])
    with pytest.raises(ValueError, match=r"--lungs=2\.0: the virtual patients in"):
        script.run(dataclasses.replace(STUDY, lungs=2.0), CONFIG, "", out)
    with pytest.raises(ValueError, match="methods_patients was 20, now 21"):
        script.run(STUDY, dataclasses.replace(CONFIG, patients=21), "", out)


def test_each_method_has_what_its_name_says():
    found = {name: config_lib.variant(CONFIG, name) for name in METHODS}
    assert {n for n, c in found.items() if c.algorithms == ("ogsrl",)} == {
        *("gmb_cpo", "mb_cpo", "gmb_trpo", "mb_trpo")
    }
    guarded = {n for n, c in found.items() if c.limits.guarded}
    assert guarded == {"gmb_cpo", "gmb_trpo", "gmb_sac", "gccql", "gcql"}
    costly = {n for n, c in found.items() if c.limits.costs}
    assert costly == {"gmb_cpo", "mb_cpo", "gmb_sac", "gccql", "ccql"}
    assert found["gmb_sac"].algorithms == ("combo",)
    assert found["gmb_sac"].combo.limited
    assert found["gmb_sac"].combo.limits == CONFIG.limits
    # The parts that methods share are the ones that were changed.
    assert all(c.ogsrl.limits == c.limits for c in found.values())
    assert config_lib.with_limit(CONFIG, 0.2).ogsrl.limits.most == (0.2, 0.1)
    assert config_lib.with_coverage(CONFIG, 0.6).ogsrl.guardian.coverage == 0.6


def test_what_cannot_be_judged_is_refused(task):
    if task.space.bounds:
        with pytest.raises(ValueError, match="gccql need discrete actions"):
            study.require(STUDY, CONFIG, task)
    limits = LimitsConfig(("high_aptt",), (0.1,))
    wrong = dataclasses.replace(CONFIG, limits=limits)
    with pytest.raises(ValueError, match="--limits_costs=high_aptt: this dataset"):
        study.require(dataclasses.replace(STUDY, methods=(OWN,)), wrong, task)
    with pytest.raises(ValueError, match="--methods=wild: choose among"):
        StudyConfig(methods=("wild",))


def highest(params, states):
    """Always the last action."""
    row = jnp.where(jnp.arange(9) == 8, 0.0, -1e9)
    return jnp.broadcast_to(row, (*states.shape[:-1], 9))


def test_a_policy_gives_to_patients_what_it_chooses(task):
    """Nothing but the largest doses, whichever kind the actions are."""
    if task.space.bounds:
        policy = Policy(None, lambda params, key, states: jnp.array([3.0, 1.0]))
        wanted = [high for _, high in task.space.bounds]
    else:
        policy = Policy(highest)
        wanted = [drug.amounts[-1] for drug in task.schema.actions.drugs]
    came = truth.treated(task, policy, None, 0, 10)
    for given, dose in zip(came.doses, wanted, strict=True):
        np.testing.assert_allclose(given, np.full((10, stays.STEPS), dose), rtol=1e-5)


def test_stays_become_the_rollouts_that_they_are(task):
    came = truth.reference_stays(task, 1, 12)
    steps = truth.as_rollouts(task, came)
    assert steps.state.shape[:2] == (stays.STEPS, 12)
    raw = np.asarray(task.scales.state.invert(steps.next_state))
    features = np.asarray(came.rows.features)[:, 1:].swapaxes(0, 1)
    np.testing.assert_allclose(raw, features, rtol=2e-3, atol=2e-3)
    alive = np.asarray(alive_in(steps))
    np.testing.assert_array_equal(alive.T.astype(bool), came.alive)
    doses = np.stack([np.asarray(x) for x in came.doses], axis=-1).swapaxes(0, 1)
    if task.space.bounds:
        low, high = np.asarray(task.space.bounds).T
        share = np.clip((doses - low) / (high - low), 0.0, 1.0)
        np.testing.assert_allclose(scores.shares(task, steps.action), share, atol=1e-5)
    else:
        levels = task.schema.actions.levels(np.asarray(steps.action))
        for d, drug in enumerate(task.schema.actions.drugs):
            given = np.asarray(drug.amounts)[levels[..., d]]
            np.testing.assert_allclose(given, doses[..., d], rtol=1e-5)
    # Shares of unsafe steps and the value, by hand from the stays themselves.
    guard = guard_of(task)
    found = scores.of_rollouts(task, guard, steps, COSTS, 0.99)
    mask = np.asarray(came.alive)
    urine = np.asarray(came.rows.features)[:, 1:, chart.NAMES.index("urine")]
    assert found["unsafe_oliguria"] == pytest.approx((urine < 0.5)[mask].mean())
    value = float(stays.returns(came, 0.99).mean())
    assert found["value"] == pytest.approx(value, rel=1e-3)


def guard_of(task):
    """A guardian that lets nothing but the first half of the scores in."""

    def of_rollouts(fitted, world, steps):
        return jnp.broadcast_to(
            jnp.arange(steps.state.shape[0])[:, None], steps.state.shape[:2]
        )

    functions = scores.guardian_lib.Guardian(None, None, of_rollouts)
    nothing = scores.guardian_lib.Fitted(None, None, jnp.float32(8.5))
    return scores.Guard(functions, nothing, None)


def test_shares_count_what_comes_before_an_end():
    """Two rollouts of three steps, of which the second ends after its first."""
    schema, arrays = made()
    space = task_lib.space_lib.make_space(schema)
    scales = task_lib.scales_lib.fit_scales(schema, space, arrays)
    here = task_lib.Task(schema, arrays, "", "", space, scales, None, None, None)
    raw = np.asarray(arrays.observations)[:1].repeat(6, axis=0)
    raw[:, space.names.index("urine")] = [0.1, 9.0, 0.1, 0.1, 9.0, 0.1]
    states = scales.state.apply(jnp.asarray(raw)).reshape(3, 2, -1)
    reward = np.zeros((3, 2, len(space.channels)), np.float32)
    reward[..., -1] = [[1.0, 2.0], [10.0, 99.0], [100.0, 99.0]]
    # Channels are on scales of their own; only the reward is looked at.
    mean, std = (np.asarray(x) for x in (scales.channel.mean, scales.channel.std))
    outcome = jnp.asarray((reward - mean) / std)
    steps = Transition(
        state=states,
        action=jnp.array([[0, 8], [4, 0], [8, 0]]),
        next_state=states,
        outcome=outcome,
        discount=jnp.array([[1.0, 0.0], [1.0, 1.0], [0.0, 1.0]]),
        uncertainty=jnp.zeros((3, 2)),
    )
    guard = guard_of(here)._replace(
        fitted=scores.guardian_lib.Fitted(None, None, jnp.float32(0.5))
    )
    found = scores.of_rollouts(here, guard, steps, ("oliguria",), 0.5)
    # Alive: three steps of the first, one of the second.
    assert found["unsafe_oliguria"] == pytest.approx(2 / 4)
    assert found["outside"] == pytest.approx(2 / 4)
    assert found["steps"] == 2.0
    assert found["value"] == pytest.approx((1 + 5 + 25 + 2) / 2, rel=1e-4)
    # Both drugs rise by half of their range, twice.
    assert found["acp"] == pytest.approx(0.5)


def test_mcr_and_air_by_hand():
    schema, arrays = made()
    space = task_lib.space_lib.make_space(schema)
    here = task_lib.Task(schema, arrays, "", "", space, None, None, None, None)
    given = np.array([[0.0, 0.0], [0.5, 0.5], [1.0, 0.0], [0.0, 1.0]])
    before = np.array([[0.0, 0.0], [0.5, 0.5], [0.5, 0.5], [0.5, 0.0]])
    unsafe = np.array([[True, True, False, True], [True, True, True, False]])
    held = scores.Decisions(None, given, before, unsafe)
    chosen = np.array([[0.0, 0.0], [0.5, 0.8], [1.0, 0.1], [0.5, 1.0]])
    found = scores.of_doses(here, held, chosen, COSTS, 0.1)
    assert found["mcr"] == pytest.approx(0.5) and found["mcr_0.05"] == 0.25
    assert found["mcr_0.3"] == pytest.approx(0.75) and found["mcr_0.5"] == 1.0
    # Less fluid in the first (none is left to take), not in the second and fourth.
    assert found["air_desaturation"] == pytest.approx(1 / 3)
    # More of either drug: the second by its vasopressor, the third by its fluid.
    assert found["air_oliguria"] == pytest.approx(2 / 3)
    assert found["air"] == pytest.approx(3 / 6)
    none = held._replace(unsafe=np.zeros_like(unsafe))
    assert np.isnan(scores.of_doses(here, none, chosen, COSTS, 0.1)["air"])


def test_held_out_decisions_know_the_dose_before(task):
    held = scores.decisions(task, COSTS)
    test = task.test
    rows, stay = np.asarray(test.transitions), np.asarray(test.stay)
    first = np.append(True, stay[rows][1:] != stay[rows][:-1])
    assert not held.unsafe[:, first].any() and (held.before[first] == 0.0).all()
    np.testing.assert_array_equal(held.before[~first], held.given[:-1][~first[1:]])
    raw = np.asarray(task.scales.state.invert(held.states))
    urine = raw[:, task.space.names.index("urine")]
    np.testing.assert_array_equal(held.unsafe[1], (urine < 0.5) & ~first)


def test_mortality_is_told_by_the_last_state(tmp_path):
    config = virtual_sepsis.Config(stays=1500)
    dataset.save(
        tmp_path, *virtual_sepsis.to_dataset(config, virtual_sepsis.simulate(config))
    )
    task = task_lib.load(str(tmp_path), "", 18)
    found = scores.mortality(task)
    assert 0.0 < found.brier < 0.8 * found.base
    came = truth.as_rollouts(task, truth.reference_stays(task, 2, 200))
    assert 0.08 < found.of(came) < 0.4
    without = dataclasses.replace(task.space, recorded_reward=None)
    assert scores.mortality(task._replace(space=without)) is None


def test_worlds_of_neighbours_serve_as_well(task, tmp_path):
    models = worlds.learning("nearest", CONFIG, task, tmp_path)
    judge = worlds.judging("nearest", CONFIG, task, tmp_path)
    assert len(models.fitted) == 2
    for dynamics, params in (
        (models.world.dynamics, models.fitted[0].world),
        (judge.dynamics, judge.params),
    ):
        states = task.train.states[:4]
        step = dynamics.sample(
            params, jax.random.key(0), states, task.train.actions[:4]
        )
        assert step.state.shape == states.shape and np.isfinite(step.state).all()
    keys = models.fitted[0].world.rows.keys.shape[0], judge.params.rows.keys.shape[0]
    counts = (x.transitions.shape[0] for x in (task.train, task.test))
    assert keys == tuple(counts)


def test_a_page_of_records_says_what_is_not_known():
    rows = [
        {"policy": OWN, "seed": s, "where": w, "value": 1.0, "outside": 0.04 + 0.01 * s,
         "unsafe_oliguria": 0.1, "unsafe_desaturation": 0.02}
        for s in (0, 1) for w in ("learned", "judging")
    ]  # fmt: skip
    found = {"policies": rows, "constraints": [], "guardian": []}
    schema, _ = made()
    made_page = page.make(STUDY, CONFIG, schema, found)
    assert "Outside of the guardian's region: 4.5 %" in " ".join(made_page.findings)
    blocks = {name: block for name, _, block in made_page.sections}
    assert "Not known" in blocks["truth"].absent[0]
    assert "Not shown" in blocks["frontier"].absent[0]
    cells = blocks["held"].tables[0][1].rows
    assert "100 % of limit" in cells[1][3]


@pytest.fixture(scope="module")
def heparin(tmp_path_factory):
    place = tmp_path_factory.mktemp("heparin")
    virtual.write(virtual.Config(stays=60, test=0.2), place)
    return place


def test_heparin_is_judged_in_its_own_truth(heparin, tmp_path):
    own = dataclasses.replace(
        CONFIG,
        hours=6,
        limits=LimitsConfig(("high_aptt",), (0.1,)),
        world=WorldConfig((4,), (4,)),
        rollout=RolloutConfig(horizon=4, rollouts=8),
        ogsrl=dataclasses.replace(CONFIG.ogsrl, start="anywhere"),
    )
    asked = StudyConfig(methods=(OWN, LAGRANGIAN), coverages=(), limits_swept=())
    place = script.run(asked, own, str(heparin), tmp_path)
    found = pd.read_csv(tmp_path / "policies.csv").query("where == 'truth'")
    assert set(found["policy"]) == {OWN, LAGRANGIAN, "clinicians"}
    assert (found["steps"] == 6).all() and "mortality" not in found
    assert found["unsafe_high_aptt"].between(0, 1).all()
    # Seeds have patients of their own.
    assert found["value"].nunique() == len(found)
    curves = pd.read_csv(tmp_path / "constraints.csv").query("policy == @LAGRANGIAN")
    assert curves[["outside", "dual_outside", "dual_high_aptt"]].notna().all(axis=None)
    assert "High aPTT, limit 10 %" in place.read_text()


def test_stays_under_heparin_become_the_rollouts_that_they_are(heparin):
    task = task_lib.load(str(heparin), "", 4)
    config = dataclasses.replace(CONFIG, hours=5, patients=7)
    world = true_worlds.of(config, task)
    steps, died = world.by_clinicians(3)
    assert died is None and steps.state.shape[:2] == (5, 7)
    patients = ward.admit(config, task, 3, heparin_truth.TREATMENT, False)
    given = ward.treat_by_reference(
        ward.of(task, 5),
        "clinicians",
        task.scales,
        jnp.asarray(task.schema.actions.edges),
        patients,
    )
    aptt = np.asarray(task.scales.channel.invert(steps.outcome))[..., 0]
    np.testing.assert_allclose(aptt, given.truth.aptt.T, rtol=1e-3)
    bins = np.searchsorted(task.schema.actions.edges, np.asarray(given.orders.total).T)
    np.testing.assert_array_equal(steps.action, bins)
    # Each step begins where the one before ended, in what was charted.
    np.testing.assert_array_equal(steps.state[1:], steps.next_state[:-1])
    raw = np.asarray(task.scales.state.invert(steps.state))
    weight = task.space.names.index("weight")
    charted = np.asarray(given.observations.features)[:, :-1, task.space.stored[weight]]
    np.testing.assert_allclose(raw[..., weight], charted.T, rtol=1e-3)


@needs_demo
def test_the_study_runs_on_demo_records(tmp_path):
    mimic_sepsis.convert(DEMO, tmp_path / "data", CohortConfig(actions="doses"))
    config = dataclasses.replace(CONFIG, state="compact", seeds=1)
    asked = StudyConfig(methods=(OWN, "mb_trpo"), coverages=(), limits_swept=())
    text = script.run(asked, config, str(tmp_path / "data"), tmp_path / "out")
    found = pd.read_csv(tmp_path / "out" / "policies.csv")
    assert set(found["where"]) == {"records", "learned", "judging"}
    assert found.query("policy == @OWN")["unsafe_oliguria"].dropna().between(0, 1).all()
    assert "Not known: no simulator of this study made these data" in text.read_text()
    # Small as it is, its coverage says for how few patients it speaks.
    guardian = pd.read_csv(tmp_path / "out" / "guardian.csv").iloc[0]
    assert guardian["guaranteed"] < guardian["by_patient"]


def test_the_defaults_are_those_of_the_study():
    values = flags.FlagValues()
    script.define_flags(values)
    values(["study", "--out=OUT"])
    found = config_flags.read(RunConfig, flag_values=values)
    assert found.state == "compact" and found.limits.costs == COSTS
    assert (found.world.ends, found.world.rewards) == (True, True)
    assert found.world.components == 3 and found.ogsrl.start == "admission"
    assert config_lib.variant(found, LAGRANGIAN).combo.limited

"""New virtual patients under policies and references, by what must come of them."""

import dataclasses
import functools
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from data_prep import virtual
from experiments import estimating, truth, ward
from experiments import task as task_lib
from experiments.config import RunConfig
from omgrl_jax.envs import heparin, stays
from omgrl_jax.envs.clinicians import Order
from omgrl_jax.types import Policy

HOURS, N = 6, 24
CONFIG = dataclasses.replace(RunConfig(), patients=N, hours=HOURS)
TRACES = []  # a number for each time that the policy was traced


def preferences(params, states):
    TRACES.append(1)
    return jax.nn.log_softmax(params)


LOGITS = Policy(preferences)


@pytest.fixture(scope="module")
def task(tmp_path_factory):
    place = tmp_path_factory.mktemp("cohort")
    virtual.write(virtual.Config(stays=40), place)
    return task_lib.load(str(place), "", 5)


def doses(task, patients, logits, greedy):
    """[N, HOURS] under the same preferences in every state."""
    given = ward.treat(
        ward.of(task, HOURS),
        task.space,
        LOGITS,
        task.scales,
        jnp.asarray(logits, jnp.float32),
        greedy,
        patients,
    )
    return np.asarray(given.orders.total)


def test_patients_follow_from_seed_question_and_population(task):
    def features(*args):
        return np.asarray(ward.admit(CONFIG, task, *args).observation.features)

    same = features(0, 3, False)
    np.testing.assert_array_equal(same, features(0, 3, False))
    weight = heparin.FEATURE_NAMES.index("weight")
    for other in ((1, 3, False), (0, 5, False), (0, 3, True)):
        assert not np.array_equal(same[:, weight], features(*other)[:, weight])
    assert features(0, 3, True)[:, weight].mean() > 1.1 * same[:, weight].mean()


def test_policies_are_drawn_from_or_taken_at_their_likeliest(task):
    amounts = np.asarray(task.scales.amounts)
    patients = ward.admit(CONFIG, task, 0, truth.TREATMENT, False)
    logits = np.zeros(amounts.size)
    logits[2] = 0.5
    np.testing.assert_array_equal(doses(task, patients, logits, True), amounts[2])
    once = len(TRACES)
    assert set(np.unique(doses(task, patients, logits, False))) == set(amounts)
    logits[4] = 1.0  # other parameters of the same policy
    np.testing.assert_array_equal(doses(task, patients, logits, True), amounts[4])
    assert len(TRACES) == once  # one program for all of them


def test_references_are_what_they_are_called(task):
    edges = jnp.asarray(task.schema.actions.edges)
    at = ward.of(task, HOURS)

    patients = ward.admit(CONFIG, task, 0, truth.TREATMENT, False)

    def given(name):  # the same patients again and again
        return ward.treat_by_reference(at, name, task.scales, edges, patients)

    amounts = np.asarray(task.scales.amounts)
    binned = np.asarray(given("clinicians_binned").orders.total)
    assert np.isin(binned, amounts).all()
    assert not np.isin(np.asarray(given("clinicians").orders.total), amounts).all()
    # The oracle knows the patients: nobody is nearer to the range in the end.
    low, high = at.target
    last = np.asarray(given("oracle").truth.aptt)[:, -1]
    theirs = np.asarray(given("clinicians").truth.aptt)[:, -1]
    inside = ((last >= low) & (last <= high)).mean()
    assert inside > ((theirs >= low) & (theirs <= high)).mean() + 0.2
    with pytest.raises(ValueError, match="nobody is none of clinicians"):
        given("nobody")


def test_true_value_is_the_discounted_sum_over_who_is_still_there(task):
    dose = float(task.scales.amounts[3])
    always = jnp.where(jnp.arange(task.space.num_actions) == 3, 0.0, -1e9)
    alive = np.ones((4, 16), bool)  # longer than stays are treated elsewhere
    alive[:2, 12:] = False  # half of the judged stays end after twelve hours
    off_policy = dataclasses.replace(CONFIG.off_policy, discount=0.9)
    config = dataclasses.replace(CONFIG, off_policy=off_policy)
    found = estimating.true_value(
        config,
        task,
        (LOGITS, always),
        types.SimpleNamespace(alive=jnp.asarray(alive)),
        7,
    )

    def act(state, key, seen, patient):
        del key, seen, patient
        return state, Order(infusion=jnp.float32(dose), bolus=jnp.zeros(()))

    constant = stays.Policy(lambda key, seen: (), act)
    run = functools.partial(
        stays.simulate_policy, heparin.PatientDistribution(), constant
    )
    run = jax.jit(run, static_argnums=(1, 2))
    treated = run(truth.evaluation_key(7, truth.ESTIMATION), N, 16)
    x = np.asarray(treated.observations.channel_value[:, 1:, 0], np.float64)
    r_p = 2 / (1 + np.exp(60.0 - x)) - 2 / (1 + np.exp(100.0 - x)) - 1
    weights = 0.9 ** np.arange(16) * alive.mean(axis=0)
    assert found == pytest.approx(float(r_p.mean(axis=0) @ weights), abs=1e-4)

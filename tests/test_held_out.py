"""Judgements from records alone, and groups of patients: by hand on small arrays."""

import jax
import jax.numpy as jnp
import numpy as np
import tiny_dataset

from experiments import treating
from omgrl_jax.data import records
from omgrl_jax.envs import heparin
from omgrl_jax.evaluation import drift
from omgrl_jax.types import Dynamics, Policy, Step


def test_nearest_distance_by_hand():
    known = jnp.array([[0.0, 0.0], [3.0, 4.0]])
    states = jnp.array([[3.0, 0.0], [3.0, 4.0], [0.0, -2.0]])
    np.testing.assert_allclose(
        drift.nearest_distance(states, known), [3.0, 0.0, 2.0], atol=1e-6
    )


def recorded(split):
    schema, arrays = tiny_dataset.schema(), tiny_dataset.trajectories(24)
    space = records.make_space(schema, "paper")
    scales = records.fit_scales(schema, space, arrays)
    return records.make_records(schema, space, scales, arrays, split, 3)


def uniform(params, states):
    return jnp.broadcast_to(params, (*states.shape[:-1], 3))


def test_rollouts_of_a_world_that_leaves_drift_away_and_records_do_not():
    """A world that moves every feature by its parameter: far, the drift is linear."""
    train, test = recorded("train"), recorded("test")

    def shift(params, key, states, actions):
        nothing = 0.0 * jax.random.normal(key, states.shape)
        return Step(states + params + nothing, states[:, :1])

    dynamics, policy = Dynamics(shift, shift), Policy(uniform)
    logits = jnp.full(3, -jnp.log(3.0))

    def run(step):
        return drift.drift(
            *(dynamics, jnp.float32(step), policy, logits, jax.random.key(0)),
            *(train, test, (1, 3)),
            size=200,
        )

    far, held = run(1000.0)
    width = np.sqrt(test.states.shape[1])
    np.testing.assert_allclose(far, [1000 * width, 3000 * width], rtol=0.02)
    known = np.asarray(train.states[train.transitions])
    gaps = [
        np.linalg.norm(known - np.asarray(test.states[row + 3]), axis=1).min()
        for row in np.asarray(test.windows)
    ]
    # Windows are drawn with replacement: the mean over draws, near that over windows.
    assert min(gaps) <= held[1] <= max(gaps)
    np.testing.assert_allclose(held[1], np.mean(gaps), atol=3 * np.std(gaps) / 14)
    still, _ = run(0.0)
    np.testing.assert_allclose(still[0], still[1], rtol=1e-5)


def features(**columns):
    count = len(next(iter(columns.values())))
    table = np.zeros((count, len(heparin.FEATURE_NAMES)), np.float32)
    for name, values in columns.items():
        table[:, heparin.FEATURE_NAMES.index(name)] = values
    return table


def test_every_patient_is_in_one_level_of_every_group():
    table = features(
        gender=[0, 1, 1], age=[49.9, 50.0, 85.0], weight=[90.0, 60.0, 71.0]
    )
    found = treating.groups(table)
    assert found["sex"]["female"].tolist() == [False, True, True]
    assert found["age"]["under 50 years"].tolist() == [True, False, False]
    assert found["age"]["50 to 65 years"].tolist() == [False, True, False]
    assert found["age"]["80 years or more"].tolist() == [False, False, True]
    assert found["weight"]["90 kg or more"].tolist() == [True, False, False]
    for levels in found.values():
        np.testing.assert_array_equal(sum(levels.values()), np.ones(3))


def test_subgroups_average_their_own_patients_alone():
    outcomes = {"r_p": np.array([1.0, 0.0, -1.0]), "in_range": np.array([1.0, 0.5, 0])}
    table = features(gender=[0, 1, 1], age=[60.0] * 3, creatinine=[1.0, 1.0, 3.0])
    shared = {"outcomes": outcomes, "features": table, "courses": {}}
    rows = treating.subgroup_rows(
        [
            treating.Treated("omg_rl", "stochastic", 5, **shared),
            treating.Treated("omg_rl", "greedy", 5, **shared),
            treating.Treated("constant_1", "-", 5, **shared),
        ]
    )
    assert {(row["policy"], row["mode"]) for row in rows} == {("omg_rl", "stochastic")}
    by = {(row["group"], row["level"]): row for row in rows}
    assert by["sex", "female"]["r_p"] == -0.5 and by["sex", "female"]["n"] == 2
    assert by["sex", "male"]["in_range"] == 1.0
    assert by["creatinine", "2 mg/dL or more"]["r_p"] == -1.0
    # Nobody was younger than fifty: no row, rather than a mean of nothing.
    assert ("age", "under 50 years") not in by
    (row,) = treating.policy_rows([treating.Treated("omg_rl", "greedy", 5, **shared)])
    assert (row["r_p"], row["in_range"], row["world"]) == (0.0, 0.5, "simulator")


def test_examples_show_the_same_patients_under_the_agent_and_clinicians():
    def treated(policy, mode, seed, aptt):
        courses = {"aptt": np.full((2, 3), aptt), "dose": np.full((2, 3), 10 * aptt)}
        courses["aptt"][1] += 1.0
        return treating.Treated(policy, mode, seed, {}, np.zeros((0, 0)), courses)

    every = [
        treated("omg_rl", "stochastic", 4, 70.0),
        treated("omg_rl", "greedy", 4, 50.0),
        treated("combo", "stochastic", 4, 60.0),
        treated("clinicians", "-", 4, 80.0),
        treated("omg_rl", "stochastic", 5, 90.0),
    ]
    first, second = treating.examples(every, "omg_rl")
    assert first["hours"] == [1.0, 2.0, 3.0]
    assert first["agent"] == {"aptt": [70.0] * 3, "dose": [700.0] * 3}
    assert second["clinicians"]["aptt"] == [81.0] * 3

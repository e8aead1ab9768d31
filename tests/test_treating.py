"""What became of treated patients: by group, by example and beside other patients."""

import dataclasses

import numpy as np

from experiments import treating
from experiments.config import RunConfig
from omgrl_jax.envs import heparin


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
        return treating.Treated(policy, mode, seed, np.zeros((0, 0)), {}, courses)

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


def test_usual_patients_stand_beside_others_under_what_was_learned(monkeypatch):
    def treated(policy, mode, r_p):
        outcomes = {"r_p": np.array([r_p])}
        return treating.Treated(policy, mode, 5, np.zeros((1, 0)), outcomes, {})

    def elsewhere(config, *rest):
        *rest, baselines = rest
        assert rest == ["task", "models", "trained"]
        asked.append(baselines)
        assert config == dataclasses.replace(RunConfig(), shifted_patients=True)
        return [treated(*name, -1.0) for name in names]

    names = [
        ("omg_rl", "stochastic"),
        ("omg_rl", "greedy"),
        ("constant_1", "-"),
        ("random", "-"),
        ("clinicians", "-"),
        ("oracle", "-"),
    ]
    usual = [treated(*name, 0.5) for name in names]
    monkeypatch.setattr(treating, "treat_all", elsewhere)
    shared = ("task", "models", "trained", usual)
    asked = []
    rows = treating.safety_rows(RunConfig(), *shared)
    treating.safety_rows(RunConfig(), *shared, baselines=False)
    assert asked == [True, False]
    assert [(row["policy"], row["shift"], row["r_p"]) for row in rows] == [
        ("omg_rl", "usual", 0.5),
        ("clinicians", "usual", 0.5),
        ("oracle", "usual", 0.5),
        ("omg_rl", treating.SHIFT, -1.0),
        ("clinicians", treating.SHIFT, -1.0),
        ("oracle", treating.SHIFT, -1.0),
    ]
    # A run that is judged on other patients throughout has no usual ones.
    assert treating.safety_rows(RunConfig(shifted_patients=True), *shared) == []

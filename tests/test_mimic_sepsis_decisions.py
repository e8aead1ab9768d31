"""Actions and rewards of the sepsis cohort, on hand-made records."""

import numpy as np
import pandas as pd
import pytest
from sepsis_records import build, table

from data_prep import tables
from data_prep.clock import Clock
from data_prep.sepsis import cohort, rewards
from omgrl_jax.data import dataset

BEGIN = int(pd.Timestamp("2150-01-01").timestamp())


def test_actions_are_what_is_given_in_the_step_that_follows(tmp_path):
    outcome = build(tmp_path, (1, {}, None))
    # 400 mL and .1 ug/kg/min in the steps from hours 4, 12 and 20; 50 mL and .02 in
    # the last one; nothing between.
    fluid, pressor = outcome.given().T
    np.testing.assert_allclose(fluid, [0, 400, 0, 400, 0, 400, 50], rtol=1e-6)
    np.testing.assert_allclose(pressor, [0, 0.1, 0, 0.1, 0, 0.1, 0.02], rtol=1e-6)
    assert outcome.feature("fluid_total")[-1] == 1250
    actions = outcome.built.schema.actions
    assert [drug.name for drug in actions.drugs] == ["fluid", "pressor"]
    levels = outcome.levels()
    # The median of four doses, three of which are equal, leaves the small one below.
    assert levels == [[0, 0], [2, 2], [0, 0], [2, 2], [0, 0], [2, 2], [1, 1]]
    expected = [3 * f + v for f, v in levels]
    np.testing.assert_array_equal(outcome.arrays.actions, expected)
    doses = table(outcome.built.tables["doses"])
    assert doses["steps"].astype(int).tolist() == [3, 0, 0, 0, 1, 0, 0, 0, 3]


def test_level_edges_come_from_training_stays_alone(tmp_path):
    shares = {"validation": 0.2, "test": 0.2}
    doses = {subject: float(subject) for subject in range(1, 7)}

    def treated(directory):
        patients = [(n, {"treated": dose}, None) for n, dose in doses.items()]
        return build(directory, *patients, config=shares)

    plain = treated(tmp_path / "a")
    held_out = int(np.flatnonzero(plain.arrays.split == 2)[0])
    doses[int(plain.feature("age", held_out)[0]) - 30] *= 2.0
    moved = treated(tmp_path / "b")
    assert plain.built.schema.actions == moved.built.schema.actions
    np.testing.assert_allclose(
        moved.given(held_out), 2 * plain.given(held_out), rtol=1e-6
    )
    own = np.flatnonzero(plain.arrays.split == 0)
    training = np.concatenate([plain.given(stay) for stay in own])
    for drug, column in zip(plain.built.schema.actions.drugs, training.T, strict=True):
        given = np.sort(column[column > 0])
        # None, and half of the doses at or below the upper edge.
        assert drug.edges[0] == 0.0
        np.testing.assert_allclose(drug.edges[1], given[(given.size - 1) // 2])


def test_doses_are_cut_at_a_training_quantile(tmp_path):
    outcome = build(
        tmp_path,
        *((n, {"treated": float(n)}, None) for n in (1, 2, 3)),
        config={"actions": "doses", "dose_quantile": 0.5},
    )
    actions = outcome.built.schema.actions
    doses = np.concatenate([outcome.given(stay) for stay in range(3)])
    expected = [np.quantile(c[c > 0], 0.5) for c in doses.T]
    np.testing.assert_allclose(actions.high, expected, rtol=1e-6)
    np.testing.assert_allclose(
        outcome.arrays.actions, np.minimum(doses, expected), rtol=1e-6
    )
    cut = outcome.repaired("fluid", "dose above its bound")
    assert cut == int((doses[:, 0] > 1.001 * expected[0]).sum()) > 0
    bounds = table(outcome.built.tables["doses"])["bound"].astype(float)
    np.testing.assert_allclose(bounds, expected, rtol=1e-2)


def test_few_doses_are_not_shown():
    """Of 31 steps 11, 10, all but 10, and one have the drug."""
    described = dataset.Actions(
        0,
        low=(0.0,) * 4,
        high=(123.0,) * 4,
        drugs=tuple(dataset.Drug(name, "mL") for name in "abcd"),
    )
    given = np.arange(31)[:, None] < np.array([[11, 10, 21, 1]])
    shown, open_ = (
        table(tables.doses(described, 123.0 * given, suppress)).set_index("drug")
        for suppress in (True, False)
    )
    columns = ["bound", "share without", "25 %", "median", "75 %"]
    assert shown.loc["a", columns].tolist() == ["123", "0.65", *["123"] * 3]
    for few in "bd":
        assert shown.loc[few, columns].tolist() == ["hidden"] * 5
    assert shown.loc["c", columns].tolist() == ["123", "hidden", *["123"] * 3]
    assert open_.loc["d", columns].tolist() == ["123", "0.97", *["123"] * 3]


def test_quartiles_of_few_stays_are_not_shown():
    some = np.where(np.arange(11) < 10, np.arange(11.0), np.nan)
    rows = [("eleven", np.arange(11.0)), ("ten", some), ("none", some + np.nan)]
    patients = pd.Series(np.arange(11))
    for suppress, ten in ((True, "hidden (small group)"), (False, "4 [2-7]")):
        shown = table(tables.baseline(patients, rows, suppress))["value"].tolist()
        assert shown[2:] == ["5 [2-8]", ten, "not charted"]


def test_rewards_by_hand():
    """SOFA 2, 5, 4, 4 of a survivor and 3, 3 of a dead patient."""
    score = np.array([2, 5, 4, 4, 3, 3])
    clock, died = Clock(np.array([3, 1])), np.array([False, True])
    expected = {
        "sofa": [-0.75, 0.1, 15.0, -15.0],
        "terminal": [0.0, 0.0, 15.0, -15.0],
        "negative_sofa": [-5.0, -4.0, -4.0, -3.0],
    }
    for kind, wanted in expected.items():
        np.testing.assert_allclose(
            rewards.recorded(kind, score, died, clock), wanted, err_msg=kind
        )


def test_a_score_that_only_falls_earns_a_tenth_of_its_fall():
    score = np.array([9, 7, 7, 3, 0])
    found = rewards.recorded("sofa", score, np.array([False]), Clock(np.array([4])))
    np.testing.assert_allclose(found.sum(), 15 + 0.1 * 9)


@pytest.mark.parametrize(
    ("expired", "dod", "deathtime", "within"),
    [
        (0, None, None, False),
        (0, "2150-03-01", None, True),
        # The 91st day.
        (0, "2150-04-02", None, False),
        (1, None, "2150-01-20 10:00", True),
        # Months in hospital.
        (1, None, "2150-08-20 10:00", False),
        (1, "2150-08-20", "2150-08-20 10:00", False),
        (1, None, None, True),
        (None, None, None, False),
    ],
)
def test_death_within_90_days(expired, dod, deathtime, within):
    stay = {"expired": [expired], "admission": [BEGIN]}
    dates = {"dod": [dod], "deathtime": [deathtime]}
    frame = pd.DataFrame(stay).assign(
        **{name: pd.to_datetime(pd.Series(value)) for name, value in dates.items()}
    )
    assert cohort.mortality(frame, "90_days").tolist() == [within]
    assert cohort.mortality(frame, "hospital").tolist() == [expired == 1]


def test_other_rewards_and_deaths(tmp_path):
    patients = (
        (1, {}, None),
        (16, {"death": 13.0}, None),
        (17, {"dod": "2150-08-20 00:00:00"}, None),
    )
    late = build(
        tmp_path / "a",
        *patients,
        config={"reward": "terminal", "mortality": "90_days"},
    )
    last = {n: late.rewards(late.stay_of(n))[-1] for n in (1, 16, 17)}
    # Of the one who died in hospital no date stands with the patients.
    assert last == {1: 15.0, 16: -15.0, 17: -15.0}
    negative = build(tmp_path / "b", *patients, config={"reward": "negative_sofa"})
    stay = negative.stay_of(1)
    sofa = negative.feature("sofa", stay)
    np.testing.assert_array_equal(negative.rewards(stay), -sofa[1:])
    # Without a reward for the outcome only death ends an episode.
    ended = [negative.arrays.terminals[negative.stay_of(n)] for n in (1, 16, 17)]
    assert ended == [False, True, False]

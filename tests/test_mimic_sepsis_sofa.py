"""SOFA and SIRS at every threshold, and the worst of 24 hours."""

import numpy as np
import pytest

from data_prep.sepsis import organs, sofa

NAN = np.nan


def points(function, *columns):
    return function(*(np.array(column) for column in columns)).tolist()


def test_respiration_counts_less_than_each_limit():
    ratio = [400.0, 399.9, 300.0, 299.9, 200.0, 199.9, 100.0, 99.9, NAN]
    with_machine = points(sofa.respiration, ratio, [True] * 9)
    assert with_machine == [0, 1, 1, 2, 2, 3, 3, 4, 0]


def test_respiration_without_support_ends_at_two_points():
    ratio = [400.0, 399.9, 299.9, 199.9, 99.9]
    assert points(sofa.respiration, ratio, [False] * 5) == [0, 1, 2, 2, 2]


def test_coagulation():
    platelets = [150.0, 149.0, 100.0, 99.0, 50.0, 49.0, 20.0, 19.0, NAN]
    assert points(sofa.coagulation, platelets) == [0, 1, 1, 2, 2, 3, 3, 4, 0]


def test_liver():
    bilirubin = [1.1, 1.2, 1.9, 2.0, 5.9, 6.0, 11.9, 12.0, NAN]
    assert points(sofa.liver, bilirubin) == [0, 1, 1, 2, 2, 3, 3, 4, 0]


@pytest.mark.parametrize(
    ("mbp", "dopamine", "dobutamine", "epinephrine", "norepinephrine", "expected"),
    [
        (70.0, 0, 0, 0, 0, 0),
        (69.9, 0, 0, 0, 0, 1),
        (NAN, 0, 0, 0, 0, 0),
        (90.0, 0.1, 0, 0, 0, 2),
        (90.0, 0, 0.1, 0, 0, 2),
        (90.0, 5.0, 0, 0, 0, 2),
        (90.0, 5.1, 0, 0, 0, 3),
        (90.0, 0, 0, 0.1, 0, 3),
        (90.0, 0, 0, 0, 0.01, 3),
        (90.0, 15.0, 0, 0, 0, 3),
        (90.0, 15.1, 0, 0, 0, 4),
        (90.0, 0, 0, 0.11, 0, 4),
        (90.0, 0, 0, 0, 0.11, 4),
        # The worst counts, not the sum.
        (60.0, 3.0, 5.0, 0.05, 0.05, 3),
    ],
)
def test_cardiovascular(
    mbp, dopamine, dobutamine, epinephrine, norepinephrine, expected
):
    given = [dopamine, dobutamine, epinephrine, norepinephrine]
    assert points(sofa.cardiovascular, [mbp], *([g] for g in given)) == [expected]


def test_nervous_system():
    score = [15, 14, 13, 12, 10, 9, 6, 5, 3, NAN]
    assert points(sofa.nervous_system, score) == [0, 1, 1, 2, 2, 3, 3, 4, 4, 0]


def test_renal_by_creatinine():
    creatinine = [1.1, 1.2, 1.9, 2.0, 3.4, 3.5, 4.9, 5.0, NAN]
    expected = [0, 1, 1, 2, 2, 3, 3, 4, 0]
    assert points(sofa.renal, creatinine, [NAN] * 9) == expected


def test_renal_by_urine_and_the_worse_of_both():
    urine = [500.0, 499.0, 200.0, 199.0, 0.0, 499.0]
    creatinine = [1.0, 1.0, 1.0, 1.0, NAN, 5.0]
    assert points(sofa.renal, creatinine, urine) == [0, 3, 3, 4, 4, 4]


def test_sirs_by_hand():
    normal = {"temperature": 37.0, "hr": 80.0, "rr": 15.0, "paco2": 40.0, "wbc": 8.0}
    for change, expected in (
        ({}, 0),
        ({"temperature": 38.0, "hr": 90.0, "rr": 20.0, "wbc": 12.0}, 0),
        ({"temperature": 38.1}, 1),
        ({"temperature": 35.9}, 1),
        ({"hr": 91.0, "wbc": 3.9}, 2),
        ({"rr": 21.0, "paco2": 31.0}, 1),
        ({"hr": 91.0, "wbc": 12.1, "temperature": 35.0, "rr": 30.0}, 4),
        (dict.fromkeys(normal, NAN), 0),
    ):
        given = {name: np.array([value]) for name, value in (normal | change).items()}
        assert sofa.sirs(**given).tolist() == [expected], change


def test_worst_of_24_hours_of_the_same_stay():
    hour = np.concatenate([np.arange(30), np.arange(5)])
    values = np.zeros((35, 1))
    values[2], values[29] = 4, 3
    found = organs.worst(values, hour)[:, 0].tolist()
    # Hour 2 counts until hour 25; the next stay knows nothing of hour 29.
    expected = [0] * 2 + [4] * 24 + [0] * 3 + [3] + [0] * 5
    assert found == expected


def test_worst_agrees_with_a_loop():
    rng = np.random.default_rng(0)
    hour = np.concatenate([np.arange(n) for n in (40, 1, 26, 24)])
    values = rng.integers(0, 5, (hour.size, 6)).astype(float)
    expected = [
        values[row - min(hour[row], 23) : row + 1].max(axis=0)
        for row in range(hour.size)
    ]
    np.testing.assert_array_equal(organs.worst(values, hour), expected)

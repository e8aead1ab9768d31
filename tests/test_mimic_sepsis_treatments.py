"""Vasopressors and fluids by hand: equivalents, units, steps, charting systems."""

from collections import Counter

import numpy as np
import pandas as pd
import pytest

from data_prep import measurements
from data_prep.clock import HOUR, Clock
from data_prep.sepsis import items, organs, pressors, volumes

# Two stays of three and two steps of four hours; the clock starts at 2150-06-01 00:00.
BEGIN = pd.Timestamp("2150-06-01")
START = np.full(2, int(BEGIN.timestamp()))
CLOCK = Clock(np.array([3, 2]), 4 * HOUR)
NOTHING = measurements.Measurements(
    *(np.zeros(0, kind) for kind in ("i4", "i8", "i2", "f8", "i1", "?", "i8"))
)


def at(hours):
    return BEGIN + pd.to_timedelta(hours, unit="h")


def segments(*rows):
    """Rows of (stay, item, start, end, rate, unit, weight)."""
    names = ["stay", "itemid", "start", "end", "rate", "unit", "weight"]
    frame = pd.DataFrame(rows, columns=names)
    return frame.assign(
        start=at(frame["start"]),
        end=at(frame["end"]),
        weight=frame["weight"].astype(float),
    )


def equivalents(*rows, how="maximum", repairs=None):
    found = pressors.metavision(
        [segments(*rows)], Counter() if repairs is None else repairs
    )
    return pressors.per_step(found, CLOCK, START, pressors.EQUIVALENTS, how)[:, 0]


def test_equivalents_of_norepinephrine():
    """1 + 1 + .1 x 1 + .01 x 10 + 2.5 x .04, all at once in step 0 of stay 0."""
    row = equivalents(
        (0, 221906, 0, 4, 1.0, "mcg/kg/min", 70),
        (0, 221289, 0, 4, 1.0, "mcg/kg/min", 70),
        (0, 221749, 0, 4, 1.0, "mcg/kg/min", 70),
        (0, 221662, 0, 4, 10.0, "mcg/kg/min", 70),
        (0, 222315, 0, 4, 2.4, "units/hour", 70),
        (0, 221653, 0, 4, 5.0, "mcg/kg/min", 70),
    )
    # Known to the row that ends the step; dobutamine is worth nothing.
    np.testing.assert_allclose(row, [0, 2.3, 0, 0, 0, 0, 0])


@pytest.mark.parametrize(
    ("item", "rate", "unit", "weight", "expected"),
    [
        (221906, 8.0, "mcg/min", 80, 0.1),
        (221906, 8.0, "mcg/min", 40, 0.2),
        # A weight of 4 kg is none: 80 kg.
        (221906, 8.0, "mcg/min", 4, 0.1),
        (221906, 0.48, "mg/hour", 80, 0.1),
        (221906, 6.0, "mcg/kg/hour", 80, 0.1),
        (222315, 0.04, "units/min", 80, 0.1),
        # No one gives 2.4 units a minute: the rate is one per hour.
        (222315, 2.4, "units/min", 80, 0.1),
        (221906, 0.1, "furlongs", 80, 0.0),
        (221906, 11.0, "mcg/kg/min", 80, 0.0),
    ],
)
def test_units(item, rate, unit, weight, expected):
    found = equivalents((0, item, 0, 4, rate, unit, weight))
    np.testing.assert_allclose(found[1], expected)


@pytest.mark.parametrize(
    ("item", "charted", "ordered"),
    [
        (221906, (0.10001, 0.1017, 0.09998), 0.1),
        (221906, (0.02021, 0.01998), 0.02),
        # What runs, if ever so slowly, is not nothing.
        (221906, (0.001, 0.004), 0.005),
        (221749, (0.5001, 0.4998), 0.05),
        (221662, (5.004, 4.98), 0.05),
        (222315, (0.040066, 0.03998), 0.1),
    ],
)
def test_rates_are_rounded_to_what_was_ordered(item, charted, ordered):
    unit = "units/min" if item == 222315 else "mcg/kg/min"
    found = [equivalents((0, item, 0, 4, rate, unit, 80))[1] for rate in charted]
    assert found == [ordered] * len(charted)


def test_jitter_decides_neither_points_nor_levels():
    """Norepinephrine .1 gives three points, dopamine 5 two, 15 three."""
    for item, rate, expected in (
        (221906, 0.1, 3),
        (221289, 0.1, 3),
        (221662, 5.0, 2),
        (221662, 15.0, 3),
    ):
        jitter = (rate * 1.0001, rate, rate * 0.9998)
        found = [organ_points((0, item, 0, 1, r, "mcg/kg/min", 80)) for r in jitter]
        assert found == [expected] * 3, (item, rate)
    # Equal sums of other drugs: .05 + .05 and 2.5 x .04, then 400 mL in pieces.
    two = [(0, 221906, 0, 4, 0.0500, "mcg/kg/min", 80)]
    two += [(0, 221289, 0, 4, 0.0501, "mcg/kg/min", 80)]
    one = [(0, 222315, 0, 4, 2.4024, "units/hour", 80)]
    assert equivalents(*two)[1] == equivalents(*one)[1] == 0.1
    found = fluids(metavision=[(0, 0.0, 4.0, 400.2, 1.0), (0, 4.0, 8.0, 399.7, 1.0)])
    assert found.step[1:3].tolist() == [400.0, 400.0]


def organ_points(*rows):
    """Cardiovascular points at the end of the hour in which drugs ran."""
    clock = Clock(np.array([2, 2]))
    hours = clock.rows()[0].size
    drugs = pressors.metavision([segments(*rows)], Counter())
    found = organs.points(
        *(NOTHING, clock, START, START, drugs),
        *(np.zeros(hours), np.zeros(hours, bool), "normal"),
    )
    return found[1, organs.NAMES.index("cardiovascular")]


def test_each_catecholamine_gives_its_own_points():
    """At 4 ug/kg/min dobutamine and dopamine give two; at 8 dopamine three."""
    for item, rate, expected in (
        (221653, 4.0, 2),
        (221653, 8.0, 2),
        (221662, 4.0, 2),
        (221662, 8.0, 3),
        (221906, 0.05, 3),
        (221906, 0.2, 4),
        (221289, 0.2, 4),
        # No part of the score.
        (221749, 2.0, 0),
        (222315, 0.04, 0),
    ):
        unit = "units/min" if item == 222315 else "mcg/kg/min"
        found = organ_points((0, item, 0, 1, rate, unit, 80))
        assert found == expected, (item, rate)


def test_a_rate_without_known_unit_is_counted():
    repairs = Counter()
    equivalents((0, 221906, 0, 4, 0.1, "furlongs", 80), repairs=repairs)
    assert repairs["norepinephrine", "no credible rate or unit: dropped"] == 1


def test_maximum_and_mean_of_a_step():
    """.1 for one hour beside .3 for two of the four hours of step 1 of stay 1."""
    rows = (
        (1, 221906, 4, 5, 0.1, "mcg/kg/min", 80),
        (1, 221289, 4.5, 6.5, 0.3, "mcg/kg/min", 80),
    )
    assert equivalents(*rows)[4:].tolist() == [0.0, 0.0, 0.4]
    mean = (0.1 * 1 + 0.3 * 2) / 4
    np.testing.assert_allclose(equivalents(*rows, how="mean")[4:], [0, 0, mean])


def test_the_step_before_the_first_row_is_known_to_it():
    row = equivalents((0, 221906, -1, 0, 0.2, "mcg/kg/min", 80))
    assert row.tolist() == [0.2, 0, 0, 0, 0, 0, 0]
    # What begins at the very time of a row follows it.
    row = equivalents((0, 221906, 4, 4.5, 0.2, "mcg/kg/min", 80))
    assert row.tolist() == [0, 0, 0.2, 0, 0, 0, 0]


def test_overlapping_segments_of_one_drug_are_not_added():
    row = equivalents(
        (0, 221906, 0, 4, 0.2, "mcg/kg/min", 80),
        (0, 221906, 1, 4, 0.3, "mcg/kg/min", 80),
    )
    assert row[1] == 0.3


def carevue(rows, found=NOTHING):
    names = ["stay", "itemid", "time", "rate", "unit", "stopped"]
    frame = pd.DataFrame(rows, columns=names)
    frame = frame.assign(
        time=at(frame["time"]), stopped=frame["stopped"].astype("string")
    )
    given = pressors.carevue([frame], found, items.ORGANS, START, Counter())
    return pressors.per_step(given, CLOCK, START, pressors.EQUIVALENTS, "mean")[:, 0]


def test_carevue_samples_stand_until_the_next_or_a_stop():
    rows = [
        (0, 30120, 0.0, 0.2, "mcgkgmin", None),
        (0, 30047, 2.0, 16.0, "mcgmin", None),  # another item of the same drug
        (0, 30120, 4.0, None, None, "Stopped"),
    ]
    # Two hours of .2, two of 16 / 80 kg.
    np.testing.assert_allclose(carevue(rows)[:4], [0, 0.2, 0, 0])


def test_carevue_samples_are_carried_for_four_hours():
    rows = [(0, 30120, 2.0, 0.2, "mcgkgmin", None)]
    np.testing.assert_allclose(carevue(rows)[:4], [0, 0.1, 0.1, 0])


def test_carevue_rates_per_minute_take_the_weight_known_by_then():
    weights = measurements.Measurements(
        stay=np.array([0, 0], np.int32),
        seconds=np.array([-HOUR, 5 * HOUR]),
        variable=np.full(2, items.ORGANS.code("weight"), np.int16),
        value=np.array([50.0, 100.0]),
        rank=np.zeros(2, np.int8),
        censored=np.zeros(2, bool),
        known=np.array([-HOUR, 5 * HOUR]),
    )
    rows = [
        (0, 30047, 0.0, 10.0, "mcgmin", None),
        (0, 30047, 4.0, 10.0, "mcgmin", None),
        (0, 30047, 8.0, 10.0, "mcgmin", None),
    ]
    np.testing.assert_allclose(carevue(rows, weights)[:4], [0, 0.2, 0.2, 0.1])


def fluids(metavision=(), carevue=()):
    frame = pd.DataFrame(
        metavision, columns=["stay", "start", "end", "volume", "factor"]
    )
    frame = frame.assign(start=at(frame["start"]), end=at(frame["end"]))
    points = pd.DataFrame(carevue, columns=["stay", "time", "volume", "factor"])
    points = points.assign(time=at(points["time"]))
    kept = volumes.fluids([frame], [points], Counter())
    return volumes.flowed(kept, CLOCK, START)


def test_fluids_that_straddle_steps_are_shared():
    """600 mL over six hours, of which two lie in step 0 and four in step 1."""
    found = fluids(metavision=[(0, 2.0, 8.0, 600.0, 1.0)])
    np.testing.assert_allclose(found.step, [0, 200, 400, 0, 0, 0, 0])
    np.testing.assert_allclose(found.total, [0, 200, 600, 600, 0, 0, 0])


def test_equivalents_of_crystalloid():
    found = fluids(metavision=[(1, 0.0, 1.0, 100.0, 5.0), (1, 1.0, 2.0, 100.0, 0.5)])
    np.testing.assert_allclose(found.step[4:], [0, 550, 0])


@pytest.mark.parametrize(
    ("item", "factor"),
    [(225158, 1), (225828, 1), (225159, 0.5), (225161, 3), (220862, 5), (220864, 1)],
)
def test_factors_of_the_commonest_fluids(item, factor):
    assert [f for f, numbers in items.FLUIDS.items() if item in numbers] == [factor]


def test_no_item_stands_twice():
    numbers = [n for group in items.FLUIDS.values() for n in group]
    assert len(numbers) == len(set(numbers))


def test_what_flowed_before_the_first_step_counts_in_the_total():
    found = fluids(
        metavision=[(0, -10.0, -2.0, 800.0, 1.0)], carevue=[(1, -5.0, 30.0, 1.0)]
    )
    # Six of eight hours lie before the step that ends at row 0.
    np.testing.assert_allclose(found.step, [200, 0, 0, 0, 0, 0, 0])
    np.testing.assert_allclose(found.total, [800] * 4 + [30] * 3)


def test_carevue_volumes_belong_to_the_step_at_whose_end_they_are_charted():
    found = fluids(carevue=[(0, 4.0, 100.0, 1.0), (0, 4.01, 50.0, 1.0)])
    np.testing.assert_allclose(found.step[:4], [0, 100, 50, 0])


def test_shared_volumes_add_up_however_they_lie():
    rng = np.random.default_rng(0)
    begin = rng.integers(-30, 40, 200) * 1800
    end = begin + rng.integers(1, 40, 200) * 1800
    volume, stay = rng.random(200), rng.integers(0, 2, 200)
    step, before = volumes.shared(stay, begin, end, volume, CLOCK)
    last = CLOCK.steps[stay] * CLOCK.seconds
    after = np.clip(end - np.maximum(begin, last), 0, None) / (end - begin) * volume
    np.testing.assert_allclose(step.sum() + before.sum() + after.sum(), volume.sum())
    # One of them against the share of each step by hand.
    for row, (own, number) in enumerate(zip(*CLOCK.rows(), strict=True)):
        low, high = (number - 1) * CLOCK.seconds, number * CLOCK.seconds
        inside = np.minimum(end, high) - np.maximum(begin, low)
        shares = np.clip(inside, 0, None) / (end - begin) * volume
        np.testing.assert_allclose(step[row], shares[stay == own].sum(), atol=1e-12)


def urine(*rows):
    """Rows of (stay, hour, volume, irrigant); the source's order is any."""
    frame = pd.DataFrame(rows, columns=["stay", "time", "volume", "irrigant"])
    frame = frame.assign(time=at(frame["time"]), flushed=True)
    kept = volumes.urine([frame[1:], frame[:1]], Counter())
    return volumes.flowed(kept, CLOCK, START)


def test_what_was_flushed_in_is_owed_until_it_has_come_out():
    found = urine(
        # 3000 in, 3100 out in the next step; another patient owes nothing for it.
        (0, 1.0, 3000.0, True),
        (0, 5.0, 3100.0, False),
        (1, 1.0, 80.0, False),
        (1, 5.0, 70.0, False),
    )
    assert found.step.tolist() == [0, 0, 100, 0, 0, 80, 70]
    found = urine(
        # Urine from before counts; what is owed is paid over two steps.
        (0, 1.0, 500.0, False),
        (0, 2.0, 3000.0, True),
        (0, 6.0, 2000.0, False),
        (0, 9.0, 1200.0, False),
        # In before the first row; at one time with what came out.
        (1, -9.0, 1000.0, True),
        (1, 1.0, 950.0, False),
        (1, 6.0, 1000.0, True),
        (1, 6.0, 1250.0, False),
    )
    assert found.step.tolist() == [0, 500, 0, 200, 0, 0, 200]
    assert found.total.tolist() == [0, 500, 500, 700, 0, 0, 200]


def test_urine_less_what_was_flushed_in():
    frame = pd.DataFrame(
        {
            "stay": [0, 0, 0, 1, 1],
            "time": at(np.array([1.0, 2.0, 3.0, 1.0, 7.0])),
            "volume": [3000.0, 3300.0, 100.0, 6000.0, 500.0],
            "irrigant": [True, False, False, False, False],
            "flushed": [True, True, False, False, False],
        }
    )
    repairs = Counter()
    kept = volumes.urine([frame], repairs)
    found = volumes.flowed(kept, CLOCK, START)
    np.testing.assert_allclose(found.step, [0, 400, 0, 0, 0, 0, 500])
    assert found.charted.tolist() == [False, True, False, False, False, False, True]
    # Six litres at once are no urine.
    assert repairs["urine", "outside the limits: dropped"] == 1

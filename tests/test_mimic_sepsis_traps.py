"""What counts of the sepsis records and what does not, on hand-made records."""

import numpy as np
import pytest
from sepsis_records import build

from data_prep import measurements
from data_prep.clock import HOUR
from data_prep.sepsis import items, organs
from data_prep.sepsis.items import SEPSIS


def gas(records, subject, specimen="ART", item=50800):
    """PaO2 of 60 at hour 9, over the .4 that is breathed all day."""
    records.lab(subject, 50821, 9.0, 60.0)
    records.lab(subject, item, 9.0, None, specimen)


def ventilated(hour):
    def fill(records, subject, stay):
        records.chart(subject, 223849, hour, None, text="CMV/ASSIST")
        gas(records, subject)

    return fill


def rewritten(records, subject, stay):
    """What was charted anew in another row."""
    records.segment(stay, 221906, 5, 7, 0.3, statusdescription="Rewritten")
    records.fluid(stay, 225158, 5, 7, 900.0, statusdescription="Rewritten")
    records.segment(stay, 221906, 5, 7, 0.2, statusdescription="Stopped")
    records.fluid(stay, 225158, 5, 7, 700.0, statusdescription="Stopped")


def units(records, subject, stay):
    """A milliequivalent of bicarbonate is a millilitre, of saline it is not."""
    records.fluid(stay, 220995, 5, 6, 50.0, amountuom="mEq")
    records.fluid(stay, 228341, 5, 6, 120.0, amountuom="mEq")
    records.fluid(stay, 225158, 5, 6, 500.0, amountuom="dose")


PATIENTS = (
    (1, {}, None),
    (2, {}, lambda r, n, s: gas(r, n)),
    (3, {}, ventilated(8.0)),
    # More than eight hours before the gas.
    (4, {}, ventilated(0.9)),
    # The ventilator came after the gas.
    (5, {}, ventilated(9.1)),
    (6, {}, lambda r, n, s: gas(r, n, "VEN")),
    (7, {}, lambda r, n, s: gas(r, n, "ART.", 52033)),
    (8, {"treated": 0}, rewritten),
    (9, {"treated": 0}, units),
)


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    return build(tmp_path_factory.mktemp("traps"), *PATIENTS)


@pytest.mark.parametrize(
    ("subject", "points"), [(2, 2), (3, 3), (4, 2), (5, 2), (6, 0), (7, 2)]
)
def test_respiration_counts_arterial_gases_and_support_at_their_time(
    found, subject, points
):
    plain, own = (
        found.feature("sofa", found.stay_of(number)) for number in (1, subject)
    )
    # Known at hour 12, and for the 24 hours that follow.
    assert (own - plain).tolist() == [0, 0, 0, *[points] * 5]


def test_a_row_that_was_rewritten_counts_no_more(found):
    given = found.given(found.stay_of(8))
    np.testing.assert_allclose(given[:2], [[0, 0], [700, 0.2]], rtol=1e-6)
    assert not given[2:].any()


def test_amounts_that_are_volumes(found):
    given = found.given(found.stay_of(9))[:, 0]
    np.testing.assert_allclose(given, [0, round(50 * 6.66), 0, 0, 0, 0, 0])


def test_oxygen_is_held_for_six_hours():
    """FiO2 of .5 at hour 0; gases of 100 mmHg six hours later, and a second more."""
    seconds = np.array([0, 6 * HOUR, 6 * HOUR + 1])
    codes = [SEPSIS.code(name) for name in ("fio2", "pao2", "pao2")]
    charted = measurements.Measurements(
        *(np.zeros(3, np.int32), seconds, np.array(codes, np.int16)),
        *(np.array([0.5, 100.0, 100.0]), np.zeros(3, np.int8), np.zeros(3, bool)),
        seconds,
    )
    ratios = organs.with_ratios(charted, SEPSIS)
    own = measurements.select(ratios, ratios.variable == SEPSIS.code("pao2_fio2"))
    assert own.seconds.tolist() == [6 * HOUR] and own.value.tolist() == [200.0]


def test_no_item_stands_twice_for_one_thing():
    drugs = [n for drug in items.PRESSORS.values() for n in drug.items]
    # A verbal response also tells of a tube: one item of two variables.
    charted, drawn = (
        [(r.variable, n) for r in SEPSIS.of(table) for n in r.items]
        for table in ("chartevents", "labevents")
    )
    for numbers in (drugs, charted, drawn):
        assert len(numbers) == len(set(numbers))

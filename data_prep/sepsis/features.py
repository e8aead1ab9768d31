"""The state of each row and the channels, from what is known at its time."""

from typing import NamedTuple

import numpy as np
import pandas as pd

from data_prep import hold
from data_prep import states as states_lib
from data_prep.clock import HOUR, Clock
from data_prep.measurements import Measurements, Repairs
from data_prep.sepsis import items, sofa
from data_prep.sepsis.items import SEPSIS
from data_prep.sepsis.volumes import Flowed

FEATURES = (*items.STATIC, *items.HELD, *items.DERIVED)
"""All features, in column order."""

ALWAYS_KNOWN = tuple(
    f.name
    for f in (*items.STATIC, *items.DERIVED)
    if f.name not in ("gcs", "shock_index")
)
"""Features that are never imputed."""

_URINE_BEFORE = 24.0
"""Hours; how old the urine output is taken to be where none was charted."""


class Known(NamedTuple):
    """What the rows know beside what was charted as a single value.

    Attributes:
      weight: [R] kg, the last charted one, or NaN.
      sofa: [R] SOFA score.
      fluid: intravenous fluids.
      urine: urine output.
      pressor: [R] rate of the step that ended at the row.
    """

    weight: np.ndarray
    sofa: np.ndarray
    fluid: Flowed
    urine: Flowed
    pressor: np.ndarray


def make(
    cohort: pd.DataFrame,
    clock: Clock,
    found: Measurements,
    known: Known,
    intubated: str,
    repairs: Repairs,
) -> states_lib.States:
    """Puts the states together.

    Args:
      cohort: columns age, female, start and admission, N stays.
      clock: their rows.
      found: sorted measurements of these stays, with ratios.
      known: the rest.
      intubated: see `hold.coma_score`.
      repairs: counts, added to in place.

    Returns:
      The states before imputation.
    """
    stay, step = clock.rows()
    static = {
        "age": cohort["age"].to_numpy(np.float64)[stay],
        "gender": cohort["female"].to_numpy(np.float64)[stay],
    }
    columns = {f.name: hold.hold(found, SEPSIS, clock, f.name) for f in items.HELD}
    hold.require_pulse(columns, repairs)
    columns["gcs"], _ = hold.coma_score(found, SEPSIS, clock, intubated)
    ventilated = hold.hold(found, SEPSIS, clock, "ventilated").value
    heart, pressure = columns["hr"], columns["sbp"]
    columns["shock_index"] = hold.Held(
        heart.value / pressure.value,
        np.maximum(heart.age, pressure.age),
        (heart.fresh | pressure.fresh) & ~np.isnan(heart.value / pressure.value),
        np.zeros(stay.size, bool),
    )
    inflamed = sofa.sirs(
        *(columns[name].value for name in ("temperature", "hr", "rr", "paco2", "wbc"))
    )
    start = cohort["start"].to_numpy(np.int64)
    admitted = (start - cohort["admission"].to_numpy(np.int64))[stay] / HOUR
    for name, values in (
        # Nothing charted about a ventilator: there is none.
        ("ventilated", np.nan_to_num(ventilated)),
        ("sofa", known.sofa),
        ("sirs", inflamed),
        ("fluid_last", known.fluid.step),
        ("fluid_total", known.fluid.total),
        ("urine_last", known.urine.step),
        ("urine_total", known.urine.total),
        ("pressor_last", known.pressor),
        ("icu_hours", admitted + step * clock.hours),
    ):
        columns[name] = _always(values)
    return states_lib.make(FEATURES, static, columns)


def channels(
    clock: Clock, found: Measurements, known: Known, training: np.ndarray
) -> list[hold.Held]:
    """The channels of `items.CHANNELS`, without gaps.

    Args:
      clock: the rows.
      found: sorted measurements of these stays.
      known: urine and weights.
      training: [N] bool.

    Returns:
      One for each channel.

    Raises:
      ValueError: if no training stay has a value of one.
    """
    made = []
    for channel in items.CHANNELS:
        if channel.name == "urine":
            held, before = _urine(clock, known, training), _URINE_BEFORE
        else:
            held = hold.hold(found, SEPSIS, clock, channel.name, limit_hours=np.inf)
            before = SEPSIS.variables[channel.name].hold_hours
        made.append(states_lib.channel(channel.name, held, clock, training, before))
    return made


def _urine(clock: Clock, known: Known, training: np.ndarray) -> hold.Held:
    """mL/kg/h in the last step in which any was charted."""
    stay, _ = clock.rows()
    typical = states_lib.typical_weight(known.weight, clock, training)
    weight = np.where(np.isnan(known.weight), typical, known.weight)
    rate = known.urine.step / (weight * clock.hours)
    rows = np.arange(stay.size)
    charted = known.urine.charted & ~np.isnan(rate)
    last = np.maximum.accumulate(np.where(charted, rows, -1))
    there = last >= clock.first_rows()[stay]
    return hold.Held(
        np.where(there, rate[last], np.nan),
        np.where(there, (rows - last) * clock.hours, np.nan),
        charted,
        np.zeros(stay.size, bool),
    )


def _always(values: np.ndarray) -> hold.Held:
    """Something that every row knows."""
    return hold.Held(
        np.asarray(values, np.float64),
        np.zeros(values.size),
        np.ones(values.size, bool),
        np.zeros(values.size, bool),
    )

"""Which records of MIMIC-III hold which variable, its limits and its holding time.

A *reading* is one way in which a variable was charted (an arterial line and a cuff
both give `sbp`; CareVue and MetaVision number their items differently). Item numbers
were confirmed on the open demo subset; limits are for adults.
"""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Variable:
    """Limits and holding time of one variable.

    Attributes:
      low: smallest credible value, in the variable's unit.
      high: largest credible value.
      hold_hours: how long a value stands for the present after it was charted.
    """

    low: float
    high: float
    hold_hours: float


@dataclasses.dataclass(frozen=True)
class Reading:
    """One way in which a variable was charted.

    Attributes:
      name: name of the reading, unique.
      variable: a key of `VARIABLES`.
      table: "chartevents" or "labevents".
      items: the item numbers.
      rank: of readings charted at the same second the highest rank is taken.
    """

    name: str
    variable: str
    table: str
    items: tuple[int, ...]
    rank: int = 0


# Holding times follow mimic_sepsis; it has none for the respiratory rate, which is
# charted with the blood pressure and held as long. `weight` is held for the stay.
VARIABLES = {
    "weight": Variable(30.0, 300.0, float("inf")),
    "gcs": Variable(3.0, 15.0, 6.0),
    "gcs_eyes": Variable(1.0, 4.0, 6.0),
    "gcs_verbal": Variable(1.0, 5.0, 6.0),
    "gcs_motor": Variable(1.0, 6.0, 6.0),
    "intubated": Variable(0.0, 1.0, 6.0),
    "dbp": Variable(10.0, 200.0, 2.0),
    "sbp": Variable(20.0, 300.0, 2.0),
    "rr": Variable(1.0, 70.0, 2.0),
    "temperature": Variable(25.0, 45.0, 6.0),
    "hemoglobin": Variable(1.0, 25.0, 14.0),
    "wbc": Variable(0.05, 500.0, 28.0),
    "platelets": Variable(1.0, 2000.0, 28.0),
    "aptt": Variable(15.0, 150.0, 28.0),
    "pt": Variable(7.0, 150.0, 28.0),
    "paco2": Variable(5.0, 200.0, 8.0),
    "total_co2": Variable(3.0, 80.0, 8.0),
    "specimen": Variable(0.0, 1.0, 0.0),
    "creatinine": Variable(0.1, 30.0, 28.0),
    "bilirubin": Variable(0.1, 60.0, 28.0),
    "inr": Variable(0.5, 20.0, 28.0),
}

_CHART, _LAB = "chartevents", "labevents"

# Copies are left out: 677 and 679 repeat the temperature in the other unit, 825, 1533
# and 227466 repeat the laboratory's aPTT without saying what was censored.
READINGS = (
    Reading("weight_kg", "weight", _CHART, (762, 763, 224639, 226512)),
    Reading("weight_lb", "weight", _CHART, (226531,)),
    Reading("gcs_total", "gcs", _CHART, (198,)),
    Reading("gcs_eyes", "gcs_eyes", _CHART, (184, 220739)),
    Reading("gcs_verbal", "gcs_verbal", _CHART, (723, 223900)),
    Reading("gcs_motor", "gcs_motor", _CHART, (454, 223901)),
    # The paper names arterial pressures: a line outranks a cuff of the same second.
    Reading("sbp_arterial", "sbp", _CHART, (51, 6701, 220050, 225309), rank=1),
    Reading("sbp_cuff", "sbp", _CHART, (442, 455, 220179, 224167, 227243)),
    Reading("dbp_arterial", "dbp", _CHART, (8368, 8555, 220051, 225310), rank=1),
    Reading("dbp_cuff", "dbp", _CHART, (8440, 8441, 220180, 224643, 227242)),
    Reading("rr", "rr", _CHART, (615, 618, 220210, 224690)),
    Reading("temperature_c", "temperature", _CHART, (676, 223762)),
    Reading("temperature_f", "temperature", _CHART, (678, 223761)),
    Reading("hemoglobin", "hemoglobin", _LAB, (51222,), rank=1),
    Reading("hemoglobin_gas", "hemoglobin", _LAB, (50811,)),
    Reading("wbc", "wbc", _LAB, (51300, 51301)),
    Reading("platelets", "platelets", _LAB, (51265,)),
    Reading("aptt", "aptt", _LAB, (51275,)),
    Reading("pt", "pt", _LAB, (51274,)),
    Reading("pco2", "paco2", _LAB, (50818,)),
    Reading("total_co2", "total_co2", _LAB, (50804,)),
    Reading("specimen", "specimen", _LAB, (50800,)),
    Reading("creatinine", "creatinine", _LAB, (50912,)),
    Reading("bilirubin", "bilirubin", _LAB, (50885,)),
    Reading("inr", "inr", _LAB, (51237,)),
)

# Only these are intravenous heparin given to treat. Left out on purpose: 225975
# (subcutaneous), 224145 and 44927 (dialysis), 229597 (Impella), line flushes and
# mixtures (30185, 30186, 30209, 30315, 30316, 30321, 30381, 42423, 42512), and 5404,
# which is no heparin.
HEPARIN_CAREVUE = 30025
HEPARIN_METAVISION = 225152

RATE_LIMIT = 5000.0
"""Largest credible infusion rate, U/h: 40 U/kg/h at 125 kg."""

BOLUS_LIMIT = 20000.0
"""Largest credible bolus, U: 150 U/kg at 133 kg."""

APTT_CEILING = 150.0
"""The laboratory reports no aPTT above this many seconds."""

POUND = 0.45359237
"""Kilograms in a pound."""

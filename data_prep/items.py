"""The heparin cohort's catalogue: which records hold which variable, and its limits.

Item numbers were confirmed on the open demo subset; limits are for adults.
"""

from data_prep.catalogue import POUND, Catalogue, Mistaken, Reading, Unit, Variable

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
    # The laboratory reports no aPTT above 150 s: the overdoses.
    "aptt": Variable(15.0, 150.0, 28.0, ceiling=150.0),
    "pt": Variable(7.0, 150.0, 28.0),
    "paco2": Variable(5.0, 200.0, 8.0),
    "total_co2": Variable(3.0, 80.0, 8.0),
    "specimen": Variable(0.0, 1.0, 0.0),
    "creatinine": Variable(0.1, 30.0, 28.0),
    "bilirubin": Variable(0.1, 60.0, 28.0),
    "inr": Variable(0.5, 20.0, 28.0),
}

_CHART, _LAB = "chartevents", "labevents"

# The charted unit text is corrupt, and values stand in the wrong item's unit.
FAHRENHEIT = Unit(-32.0, 1.8)
CELSIUS_MISPLACED = Mistaken(25.0, 45.0, Unit(), "Celsius in a Fahrenheit item")
FAHRENHEIT_MISPLACED = Mistaken(77.0, 113.0, FAHRENHEIT, "Fahrenheit in a Celsius item")
# The verbal response of an intubated patient is charted as text that says so.
TUBE = ((r"ETT|ET/|TRACH", 1.0), ("", 0.0))
ARTERIAL = ((r"^\s*ART", 1.0), ("", 0.0))

# Copies are left out: 677 and 679 repeat the temperature in the other unit, 825, 1533
# and 227466 repeat the laboratory's aPTT without saying what was censored.
READINGS = (
    Reading("weight_kg", "weight", _CHART, (762, 763, 224639, 226512)),
    Reading("weight_lb", "weight", _CHART, (226531,), unit=Unit(divisor=1 / POUND)),
    Reading("gcs_total", "gcs", _CHART, (198,)),
    Reading("gcs_eyes", "gcs_eyes", _CHART, (184, 220739)),
    Reading("gcs_verbal", "gcs_verbal", _CHART, (723, 223900)),
    Reading("gcs_motor", "gcs_motor", _CHART, (454, 223901)),
    Reading("tube", "intubated", _CHART, (723, 223900), codes=TUBE),
    # The paper names arterial pressures: a line outranks a cuff of the same second.
    Reading("sbp_arterial", "sbp", _CHART, (51, 6701, 220050, 225309), rank=1),
    Reading("sbp_cuff", "sbp", _CHART, (442, 455, 220179, 224167, 227243)),
    Reading("dbp_arterial", "dbp", _CHART, (8368, 8555, 220051, 225310), rank=1),
    Reading("dbp_cuff", "dbp", _CHART, (8440, 8441, 220180, 224643, 227242)),
    Reading("rr", "rr", _CHART, (615, 618, 220210, 224690)),
    Reading(
        "temperature_c",
        "temperature",
        _CHART,
        (676, 223762),
        mistaken=FAHRENHEIT_MISPLACED,
    ),
    Reading(
        "temperature_f",
        "temperature",
        _CHART,
        (678, 223761),
        unit=FAHRENHEIT,
        mistaken=CELSIUS_MISPLACED,
    ),
    Reading("hemoglobin", "hemoglobin", _LAB, (51222,), rank=1),
    Reading("hemoglobin_gas", "hemoglobin", _LAB, (50811,)),
    Reading("wbc", "wbc", _LAB, (51300, 51301)),
    Reading("platelets", "platelets", _LAB, (51265,)),
    Reading("aptt", "aptt", _LAB, (51275,)),
    Reading("pt", "pt", _LAB, (51274,)),
    Reading("pco2", "paco2", _LAB, (50818,)),
    Reading("total_co2", "total_co2", _LAB, (50804,)),
    Reading("specimen", "specimen", _LAB, (50800,), codes=ARTERIAL),
    Reading("creatinine", "creatinine", _LAB, (50912,)),
    Reading("bilirubin", "bilirubin", _LAB, (50885,)),
    Reading("inr", "inr", _LAB, (51237,)),
)

HEPARIN = Catalogue(VARIABLES, READINGS)

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

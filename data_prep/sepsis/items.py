"""What the sepsis cohort reads: its catalogue, its features, and its item numbers.

Vital signs, coma score, temperature and the laboratory values that the heparin cohort
has as well are read as there. MetaVision numbers its items alike in MIMIC-III and
MIMIC-IV; CareVue's (below 20000 in CHARTEVENTS) occur in MIMIC-III alone.

Holding times follow mimic_sepsis (hours after which a value no longer stands for the
present); FiO2 is held for six hours, as it is charted every two to four.

| feature | unit | limits | held, h |
|---|---|---|---|
| age, gender | years, 1 = female | 18-90, - | stay |
| weight | kg | 30-300 | from its charting on |
| hr | 1/min | 10-250 | 2 |
| sbp, mbp, dbp | mmHg | 20-300, 10-250, 10-200 | 2 |
| rr | 1/min | 1-70 | 2 |
| spo2 | % | 30-100 | 2 |
| temperature | degC | 25-45 | 6 |
| gcs | points | 3-15 | 6 |
| fio2 | share | .2-1 | 6 |
| ventilated | 1 = yes | - | 8 |
| pao2, paco2 (arterial) | mmHg | 20-700, 5-200 | 8 |
| ph, base_excess (arterial) | -, mEq/L | 6.5-8, -40-40 | 8 |
| lactate | mmol/L | .1-40 | 8 |
| sodium, chloride, potassium | mEq/L | 90-190, 60-170, 1-15 | 14 |
| glucose, calcium, magnesium | mg/dL | 10-1500, 3-20, .3-15 | 28 |
| bicarbonate | mEq/L | 2-60 | 28 |
| bun, creatinine, bilirubin | mg/dL | 1-300, .1-30, .1-60 | 28 |
| ast, alt | U/L | 1-30000 | 28 |
| hemoglobin | g/dL | 1-25 | 14 |
| wbc, platelets | K/uL | .05-500, 1-2000 | 28 |
| pt, aptt, inr | s, s, ratio | 7-150, 15-150, .5-20 | 28 |
| pao2_fio2 (PaO2 over the FiO2 of its time) | mmHg | 10-900 | 8 |
| shock_index (hr / sbp) | - | - | - |
| sofa (worst of 24 h), sirs | points | 0-24, 0-4 | - |
| fluid_last, fluid_total (since ICU admission) | mL of crystalloid | - | - |
| urine_last, urine_total (since ICU admission) | mL | - | - |
| pressor_last (of the last step) | ug/kg/min | - | - |
| icu_hours (since ICU admission) | h | - | - |
"""

import dataclasses

from data_prep import items as heparin
from data_prep.catalogue import Catalogue, Mistaken, Reading, Unit, Variable
from omgrl_jax.data.schema import Channel, Feature

_CHART, _LAB = "chartevents", "labevents"

_SHARED = heparin.HEPARIN.only(
    "weight",
    *("gcs", "gcs_eyes", "gcs_verbal", "gcs_motor", "intubated"),
    *("dbp", "sbp", "rr", "temperature", "specimen", "paco2"),
    *("hemoglobin", "wbc", "platelets", "aptt", "pt", "inr"),
    *("creatinine", "bilirubin"),
)

_VARIABLES = {
    "hr": Variable(10.0, 250.0, 2.0),
    "mbp": Variable(10.0, 250.0, 2.0),
    "spo2": Variable(30.0, 100.0, 2.0),
    "fio2": Variable(0.2, 1.0, 6.0),
    # A ventilator's settings are charted at least every eight hours.
    "ventilated": Variable(0.0, 1.0, 8.0),
    "lactate": Variable(0.1, 40.0, 8.0),
    "pao2": Variable(20.0, 700.0, 8.0),
    "ph": Variable(6.5, 8.0, 8.0),
    "base_excess": Variable(-40.0, 40.0, 8.0),
    "bicarbonate": Variable(2.0, 60.0, 28.0),
    "potassium": Variable(1.0, 15.0, 14.0),
    "sodium": Variable(90.0, 190.0, 14.0),
    "chloride": Variable(60.0, 170.0, 14.0),
    "calcium": Variable(3.0, 20.0, 28.0),
    "magnesium": Variable(0.3, 15.0, 28.0),
    "glucose": Variable(10.0, 1500.0, 28.0),
    "bun": Variable(1.0, 300.0, 28.0),
    "ast": Variable(1.0, 30000.0, 28.0),
    "alt": Variable(1.0, 30000.0, 28.0),
    # Made of the others; last, so that it can be appended to sorted measurements.
    "pao2_fio2": Variable(10.0, 900.0, 8.0),
}

_SHARE_AS_PERCENT = Mistaken(0.2, 1.0, Unit(), "share in a percent item")
_PERCENT_AS_SHARE = Mistaken(
    20.0, 100.0, Unit(divisor=100.0), "percent in an item of shares"
)
_PERCENT = Unit(divisor=100.0)

# What is connected to the airway; "other" and a tracheostomy tube say nothing about a
# ventilator. Non-invasive ventilation counts as respiratory support.
_DEVICE = (
    (r"ENDOTRACHEAL|VENTILATOR|BIPAP|CPAP", 1.0),
    (r"CANNULA|FACE TENT|AEROSOL|TRACH MASK|HI(GH)? FLOW|NON-REBREATHER|NONE", 0.0),
    (r"VENTI MASK|MEDIUM CONC|T-PIECE|VAPOTHERM|HUMIDIFIED|OXYMIZER", 0.0),
)
_MODE = ((r"STANDBY|OTHER", 0.0), (r"\S", 1.0))
_EVENT = ((r"EXTUBATED|EXTUBATION", 0.0), (r"INTUBATED", 1.0))
_SETTING = (("", 1.0),)

_READINGS = (
    Reading("hr", "hr", _CHART, (211, 220045)),
    Reading("mbp_arterial", "mbp", _CHART, (52, 6702, 220052, 225312), rank=1),
    Reading("mbp_cuff", "mbp", _CHART, (443, 456, 220181)),
    Reading("spo2", "spo2", _CHART, (646, 220277)),
    Reading("fio2_share", "fio2", _CHART, (190,), mistaken=_PERCENT_AS_SHARE),
    Reading(
        "fio2_percent",
        "fio2",
        _CHART,
        (3420, 223835),
        unit=_PERCENT,
        mistaken=_SHARE_AS_PERCENT,
    ),
    # The gas analyser's own entry speaks of the very time of the gas.
    Reading(
        "fio2_gas",
        "fio2",
        _LAB,
        (50816,),
        rank=1,
        unit=_PERCENT,
        mistaken=_SHARE_AS_PERCENT,
    ),
    Reading("device", "ventilated", _CHART, (467, 226732), codes=_DEVICE),
    Reading("mode", "ventilated", _CHART, (720, 223849), rank=1, codes=_MODE),
    Reading("event", "ventilated", _CHART, (640,), rank=2, codes=_EVENT),
    # PEEP and tidal volume, as set on a ventilator.
    Reading(
        "setting",
        "ventilated",
        _CHART,
        (506, 683, 220339, 224684),
        rank=1,
        codes=_SETTING,
    ),
    Reading("lactate", "lactate", _LAB, (50813,)),
    Reading("pao2", "pao2", _LAB, (50821,)),
    Reading("ph", "ph", _LAB, (50820,)),
    Reading("base_excess", "base_excess", _LAB, (50802,)),
    # MIMIC-IV's number of the specimen; MIMIC-III's stands with the shared readings.
    Reading("specimen_4", "specimen", _LAB, (52033,), codes=heparin.ARTERIAL),
    Reading("bicarbonate", "bicarbonate", _LAB, (50882,)),
    Reading("potassium", "potassium", _LAB, (50971,), rank=1),
    Reading("potassium_gas", "potassium", _LAB, (50822,)),
    Reading("sodium", "sodium", _LAB, (50983,), rank=1),
    Reading("sodium_gas", "sodium", _LAB, (50824,)),
    Reading("chloride", "chloride", _LAB, (50902,), rank=1),
    Reading("chloride_gas", "chloride", _LAB, (50806,)),
    Reading("calcium", "calcium", _LAB, (50893,)),
    Reading("magnesium", "magnesium", _LAB, (50960,)),
    Reading("glucose", "glucose", _LAB, (50931,), rank=1),
    Reading("glucose_gas", "glucose", _LAB, (50809,)),
    Reading("bun", "bun", _LAB, (51006,)),
    Reading("ast", "ast", _LAB, (50878,)),
    Reading("alt", "alt", _LAB, (50861,)),
)

SEPSIS = Catalogue({**_SHARED.variables, **_VARIABLES}, (*_SHARED.readings, *_READINGS))
"""Everything that a state is made of."""

ORGANS = SEPSIS.only(
    "weight",
    *("gcs", "gcs_eyes", "gcs_verbal", "gcs_motor", "intubated"),
    *("mbp", "specimen", "pao2", "fio2", "ventilated"),
    *("platelets", "bilirubin", "creatinine", "pao2_fio2"),
)
"""What the SOFA score is made of, read for everyone in whom infection is suspected."""

GASES = ("pao2", "paco2", "ph", "base_excess")
"""Meaningful in arterial blood alone."""

STATIC = (
    Feature("age", "years", static=True),
    Feature("gender", "1 = female", static=True),
)
HELD = (
    # Charted some hours after admission, so it cannot be static.
    Feature("weight", "kg"),
    Feature("hr", "1/min"),
    Feature("sbp", "mmHg"),
    Feature("mbp", "mmHg"),
    Feature("dbp", "mmHg"),
    Feature("rr", "1/min"),
    Feature("spo2", "%"),
    Feature("temperature", "degC"),
    Feature("fio2", "share"),
    Feature("lactate", "mmol/L", scale="log"),
    Feature("pao2", "mmHg", scale="log"),
    Feature("paco2", "mmHg", scale="log"),
    Feature("ph", "units"),
    Feature("base_excess", "mEq/L"),
    Feature("bicarbonate", "mEq/L"),
    Feature("potassium", "mEq/L"),
    Feature("sodium", "mEq/L"),
    Feature("chloride", "mEq/L"),
    Feature("calcium", "mg/dL"),
    Feature("magnesium", "mg/dL"),
    Feature("glucose", "mg/dL", scale="log"),
    Feature("bun", "mg/dL", scale="log"),
    Feature("creatinine", "mg/dL", scale="log"),
    Feature("ast", "U/L", scale="log"),
    Feature("alt", "U/L", scale="log"),
    Feature("bilirubin", "mg/dL", scale="log"),
    Feature("hemoglobin", "g/dL"),
    Feature("wbc", "K/uL", scale="log"),
    Feature("platelets", "K/uL", scale="log"),
    Feature("pt", "s", scale="log"),
    Feature("aptt", "s", scale="log"),
    Feature("inr", "ratio", scale="log"),
    Feature("pao2_fio2", "mmHg", scale="log"),
)
DERIVED = (
    Feature("gcs", "points"),
    Feature("ventilated", "1 = yes", scale="unit"),
    Feature("shock_index", "1/min/mmHg", scale="log"),
    Feature("sofa", "points"),
    Feature("sirs", "points"),
    Feature("fluid_last", "mL"),
    Feature("fluid_total", "mL"),
    Feature("urine_last", "mL"),
    Feature("urine_total", "mL"),
    Feature("pressor_last", "ug/kg/min"),
    # The onset hangs on cultures and drugs yet to come: no state may know it.
    Feature("icu_hours", "h"),
)

COMPACT = (
    *("age", "ventilated", "hr", "spo2", "mbp", "lactate", "urine_last", "sofa"),
    *("fluid_last", "pressor_last", "fluid_total", "icu_hours"),
)
"""What doses act on, and what they were: the state of studies whose world model is
rolled out to the end of a stay, in which each further feature drifts. Urine per weight
is a channel alone: a cost of it is seen in what is to be expected, without its tail."""

DRUGS = (("fluid", "mL"), ("pressor", "ug/kg/min"))
"""Name and unit of the two doses of an action."""

CHANNELS = (
    Channel("mbp", "mmHg", target=(65.0, 110.0)),
    Channel("lactate", "mmol/L", scale="log", target=(0.1, 2.0)),
    Channel("spo2", "%", target=(92.0, 100.0)),
    Channel("urine", "mL/kg/h", target=(0.5, 10.0)),
)


@dataclasses.dataclass(frozen=True)
class Pressor:
    """A drug that raises the blood pressure, or the heart's output.

    Attributes:
      items: item numbers, CareVue's and MetaVision's.
      factor: norepinephrine equivalent of one unit (see `pressors`).
      limit: largest credible rate, ug/kg/min (vasopressin: U/min).
      per_unit: into how many steps that unit is divided when a rate is ordered.
    """

    items: tuple[int, ...]
    factor: float
    limit: float
    per_unit: int


PRESSORS = {
    "norepinephrine": Pressor((30047, 30120, 221906), 1.0, 10.0, 200),
    "epinephrine": Pressor((30044, 30119, 30309, 221289), 1.0, 10.0, 200),
    "phenylephrine": Pressor((30127, 30128, 221749), 0.1, 50.0, 20),
    "dopamine": Pressor((30043, 30307, 221662), 0.01, 50.0, 10),
    "vasopressin": Pressor((30051, 222315), 2.5, 0.4, 200),
    # No vasopressor, but SOFA counts it.
    "dobutamine": Pressor((30042, 30306, 221653), 0.0, 50.0, 10),
}

BICARBONATE = (30030, 220995, 227533)
"""Sodium bicarbonate 8.4 %, the one fluid that is charted in milliequivalents too."""

FLUIDS = {
    # Isotonic crystalloids and their carriers; blood and isotonic colloids as given.
    1.0: (
        *(30018, 30021, 30060, 30061, 30063, 30066, 30159, 30160, 30190, 30210),
        *(30296, 30352, 40850, 41491, 42698, 46087),
        *(225158, 225825, 225827, 225828, 225943, 226089),
        *(30001, 30004, 30005, 30006, 30007, 30094, 30179, 30180),
        *(220970, 225168, 225170, 225171),
        *(30008, 30011, 30012, 30181, 220864, 225174, 225795, 225796),
    ),
    0.25: (30014, 30176, 225941),
    0.3: (30161,),
    0.5: (30015, 30020, 30211, 30353, 42244, 42742, 225159, 225823),
    3.0: (30143, 225161),
    5.0: (30009, 220862),
    6.66: BICARBONATE,
    8.0: (228341,),
}
"""mL of crystalloid that a mL stands for -> item numbers; see `volumes`."""

URINE = (
    *(40055, 40056, 40057, 40069, 40085, 40094, 40096, 40405, 40428, 40473),
    *(40651, 40715, 43175),
    *(226557, 226558, 226559, 226560, 226561, 226563, 226564, 226565, 226567),
    *(226584, 227489),
)
"""As in mimic-code, less 40086, which is a drain."""

IRRIGANT, IRRIGATED = 227488, 227489
"""Volume flushed in, and what came out: irrigant and urine."""

FLUID_LIMIT = 5000.0
"""Largest credible volume of one record, mL."""

URINE_LIMIT = 5000.0
"""Largest credible urine output of one record, mL (irrigation aside)."""

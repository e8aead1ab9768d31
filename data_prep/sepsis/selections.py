"""The selections of the sepsis cohort, written once for every engine and database."""

from collections.abc import Iterator

import ibis
import ibis.expr.types as ir
import pandas as pd

from data_prep.selections import everything
from data_prep.sepsis import items
from data_prep.sources import Source

# Roots of the names of antibacterial drugs, generic and of the brands in the records.
_ANTIBIOTIC = (
    r"cillin|^cef|ceph|cef(a|e|i|o|t|u)|penem|bactam|aztreonam|floxacin|cipro|"
    r"vancomycin|gentamicin|tobramycin|amikacin|streptomycin|azithro|clarithro|"
    r"erythromycin|clindamycin|daptomycin|telavancin|linezolid|synercid|dalfopristin|"
    r"cycline|metronidazole|flagyl|sulfameth|trimethoprim|bactrim|smx|colisti|"
    r"polymyxin|rifamp|nitrofurantoin|chloramphenicol|fosfomycin|zosyn|unasyn|"
    r"augmentin|levaquin|zithromax|keflex|ancef"
)
# Creams and drops treat no systemic infection; desensitisation no infection at all.
_LOCAL = r"oph|cream|oint|gel|lotion|enema|otic|desensit|irrigat|lock"
_SYSTEMIC = (
    *("IV", "IV DRIP", "IV BOLUS", "PB", "IM", "IVT"),
    *("PO", "PO/NG", "NG", "OG", "ORAL", "PO/OG", "G TUBE", "J TUBE", "NG/OG"),
)


def stays(source: Source) -> pd.DataFrame:
    """All ICU stays.

    Args:
      source: MIMIC-III, or MIMIC-IV under its names.

    Returns:
      Columns subject_id, hadm_id, icustay_id, intime, outtime, dob, gender, dod,
      deathtime, expired (0 or 1, in hospital) and, from MIMIC-IV, era.
    """
    stay, patient = source.table("icustays"), source.table("patients")
    admission = source.table("admissions")
    eras = ["era"] if "era" in patient.columns else []
    query = (
        stay.join(patient, "subject_id")
        .left_join(admission, "hadm_id")
        .select(
            *("subject_id", "hadm_id", "icustay_id", "intime", "outtime"),
            *("dob", "gender", "dod", "deathtime", *eras),
            expired=ibis._.hospital_expire_flag,
        )
    )
    return everything(source, query, "icustays")


def antibiotics(source: Source) -> pd.DataFrame:
    """Antibiotics given for a systemic effect: columns subject_id and time."""
    table = source.table("prescriptions")
    drug = table.drug.lower()
    chosen = table.filter(
        table.startdate.notnull(),
        drug.re_search(_ANTIBIOTIC),
        ~drug.re_search(_LOCAL),
        table.route.upper().isin(_SYSTEMIC),
    )
    query = chosen.select("subject_id", time=chosen.startdate).distinct()
    return everything(source, query, "prescriptions")


def cultures(source: Source) -> pd.DataFrame:
    """Cultures taken: columns subject_id, day and time (null where not recorded).

    Swabs that screen every patient for resistant germs say nothing of a suspicion.
    """
    table = source.table("microbiologyevents")
    kind = table.spec_type_desc.coalesce("").upper()
    chosen = table.filter(
        ~kind.contains("SCREEN"), table.chartdate.notnull() | table.charttime.notnull()
    )
    query = chosen.select(
        "subject_id", day=chosen.chartdate, time=chosen.charttime
    ).distinct()
    return everything(source, query, "microbiologyevents")


def pressors_metavision(
    source: Source, windows: pd.DataFrame
) -> Iterator[pd.DataFrame]:
    """Streams MetaVision's segments of vasoactive drugs.

    Args:
      source: the engine.
      windows: columns stay (0..N-1), icustay_id, since and until.

    Yields:
      Frames with the columns stay, itemid, start, end, rate, unit, weight.
    """
    joined = _metavision(source, windows, _numbers(source, "pressor_items"))
    query = joined.filter(joined.rate.notnull()).select(
        *("stay", "itemid", "rate"),
        start=joined.starttime,
        end=joined.endtime,
        unit=joined.rateuom,
        weight=joined.patientweight,
    )
    yield from source.batches(query, "inputevents_mv")


def pressors_carevue(source: Source, windows: pd.DataFrame) -> Iterator[pd.DataFrame]:
    """Streams CareVue's samples: stay, itemid, time, rate, unit, stopped."""
    joined = _carevue(source, windows, _numbers(source, "pressor_items"))
    # Rows without rate and without stop repeat what a drip delivered.
    query = joined.filter(joined.rate.notnull() | joined.stopped.notnull()).select(
        *("stay", "itemid", "rate", "stopped"),
        time=joined.charttime,
        unit=joined.rateuom,
    )
    yield from source.batches(query, "inputevents_cv")


def fluids_metavision(source: Source, windows: pd.DataFrame) -> Iterator[pd.DataFrame]:
    """Streams MetaVision's intravenous fluids: stay, start, end, volume, factor."""
    joined = _metavision(source, windows, _factors(source))
    joined = _volumes(joined)
    query = joined.select(
        *("stay", "factor"),
        start=joined.starttime,
        end=joined.endtime,
        volume=joined.amount,
    )
    yield from source.batches(query, "inputevents_mv")


def fluids_carevue(source: Source, windows: pd.DataFrame) -> Iterator[pd.DataFrame]:
    """Streams CareVue's intravenous fluids: stay, time, volume, factor."""
    joined = _volumes(_carevue(source, windows, _factors(source)))
    query = joined.select(
        *("stay", "factor"), time=joined.charttime, volume=joined.amount
    )
    yield from source.batches(query, "inputevents_cv")


def urine(source: Source, windows: pd.DataFrame) -> Iterator[pd.DataFrame]:
    """Streams urine output.

    Args:
      source: the engine.
      windows: columns stay (0..N-1), icustay_id, since and until.

    Yields:
      Frames with the columns stay, time, volume (mL), irrigant (bool, flushed in) and
      flushed (bool, flushed in or out).
    """
    table = source.table("outputevents")
    window = source.local("windows_urine", windows)
    table = table.filter(table.itemid.isin([*items.URINE, items.IRRIGANT]))
    joined = table.join(window, "icustay_id")
    query = joined.filter(
        joined.value.notnull(),
        joined.charttime >= joined.since,
        joined.charttime <= joined.until,
    ).select(
        "stay",
        time=joined.charttime,
        volume=joined.value,
        irrigant=joined.itemid == items.IRRIGANT,
        flushed=joined.itemid.isin([items.IRRIGANT, items.IRRIGATED]),
    )
    yield from source.batches(query, "outputevents")


def _metavision(source: Source, windows: pd.DataFrame, wanted: ir.Table) -> ir.Table:
    table = source.table("inputevents_mv")
    window = source.local("windows_metavision", windows)
    joined = table.join(wanted, "itemid").join(window, "icustay_id")
    return joined.filter(
        joined.statusdescription.coalesce("") != "Rewritten",
        joined.starttime < joined.until,
        joined.endtime > joined.since,
    )


def _carevue(source: Source, windows: pd.DataFrame, wanted: ir.Table) -> ir.Table:
    table = source.table("inputevents_cv")
    window = source.local("windows_carevue", windows)
    joined = table.join(wanted, "itemid").join(window, "icustay_id")
    return joined.filter(
        joined.charttime >= joined.since, joined.charttime <= joined.until
    )


def _volumes(joined: ir.Table) -> ir.Table:
    # Sodium bicarbonate 8.4 % holds one milliequivalent in a millilitre.
    unit = joined.amountuom.coalesce("").lower().replace(".", "")
    bicarbonate = joined.itemid.isin(items.BICARBONATE)
    volume = (unit == "ml") | ((unit == "meq") & bicarbonate)
    return joined.filter(joined.amount.notnull(), volume)


def _numbers(source: Source, name: str) -> ir.Table:
    numbers = [i for drug in items.PRESSORS.values() for i in drug.items]
    return source.local(name, pd.DataFrame({"itemid": numbers}))


def _factors(source: Source) -> ir.Table:
    rows = [(i, factor) for factor, numbers in items.FLUIDS.items() for i in numbers]
    return source.local("fluid_items", pd.DataFrame(rows, columns=["itemid", "factor"]))

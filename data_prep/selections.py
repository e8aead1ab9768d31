"""The selections from MIMIC-III, written once for every engine.

Records are joined by patient and time, never by admission or ICU stay: laboratory rows
have no stay and often no admission, and treatment may begin before the ICU admission
is charted. `charttime` is the time a record speaks of (for laboratory values the draw);
MIMIC-III has no time at which a laboratory result was read; where a database has one
(`storetime` of MIMIC-IV's laboratory), the result is known from then on.
"""

import math
from collections.abc import Iterator

import ibis
import ibis.expr.types as ir
import pandas as pd

from data_prep import items
from data_prep.catalogue import Catalogue
from data_prep.sources import Source


def stays(source: Source) -> pd.DataFrame:
    """All ICU stays.

    Args:
      source: the engine.

    Returns:
      Columns subject_id, icustay_id, intime, outtime, dob, gender, deathtime.
    """
    stay, patient = source.table("icustays"), source.table("patients")
    admission = source.table("admissions")
    query = stay.join(patient, "subject_id").left_join(admission, "hadm_id")
    return everything(
        source,
        query.select(
            "subject_id",
            "icustay_id",
            "intime",
            "outtime",
            "dob",
            "gender",
            "deathtime",
        ),
        "icustays",
    )


def heparin_carevue(source: Source) -> pd.DataFrame:
    """CareVue's point samples of intravenous heparin, with their ICU stay."""
    table = source.table("inputevents_cv")
    chosen = table.filter(
        table.itemid == items.HEPARIN_CAREVUE,
        table.icustay_id.notnull(),
        table.charttime.notnull(),
    )
    return everything(source, chosen.drop("itemid"), "inputevents_cv")


def heparin_metavision(source: Source) -> pd.DataFrame:
    """MetaVision's segments and pushes of intravenous heparin, with their ICU stay."""
    table = source.table("inputevents_mv")
    chosen = table.filter(
        table.itemid == items.HEPARIN_METAVISION,
        table.icustay_id.notnull(),
        table.starttime.notnull(),
        table.endtime.notnull(),
    )
    return everything(source, chosen.drop("itemid"), "inputevents_mv")


def measurements(
    source: Source, name: str, windows: pd.DataFrame, catalogue: Catalogue
) -> Iterator[pd.DataFrame]:
    """Streams the readings of one table that fall into the cohort's windows.

    Args:
      source: the engine.
      name: "chartevents" or "labevents".
      windows: columns stay (0..N-1), subject_id, since (earliest record that can
        matter), held_since (the same for what is held without limit, as weights) and
        until (inclusive).
      catalogue: the readings to look for.

    Yields:
      Frames with the columns stay, time, known (when it could first be read), variable
      (the name of a reading), value, unit, text. A record counts for every stay whose
      window holds it.
    """
    table = source.table(name)
    if name == "chartevents":
        # Rows marked as entered in error; most rows of CareVue carry no mark.
        table = table.filter(table.error.isnull() | (table.error != 1))
    readings = source.local(
        f"readings_{name}",
        pd.DataFrame(
            [
                (
                    item,
                    reading.name,
                    math.isinf(catalogue.variables[reading.variable].hold_hours),
                )
                for reading in catalogue.of(name)
                for item in reading.items
            ],
            columns=["itemid", "variable", "unlimited"],
        ),
    )
    window = source.local(f"windows_{name}", windows)
    joined = table.join(readings, "itemid").join(window, "subject_id")
    known = joined.charttime
    if "storetime" in table.columns:
        known = ibis.greatest(known, joined.storetime.coalesce(known))
    since = ibis.ifelse(joined.unlimited, joined.held_since, joined.since)
    query = joined.filter(
        joined.charttime >= since, joined.charttime <= joined.until
    ).select(
        stay=joined.stay,
        time=joined.charttime,
        known=known,
        variable=joined.variable,
        value=joined.valuenum,
        unit=joined.valueuom,
        text=joined.value,
    )
    yield from source.batches(query, name)


def everything(source: Source, query: ir.Table, name: str) -> pd.DataFrame:
    """All rows of a query on the table `name`, in an order that every engine gives."""
    frame = pd.concat(source.batches(query, name))
    return frame.sort_values(list(frame.columns), kind="stable", ignore_index=True)

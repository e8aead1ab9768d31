"""MIMIC-III and MIMIC-IV as one set of tables, with the names of MIMIC-III.

MIMIC-IV has the same items as MetaVision's part of MIMIC-III, under other table and
column names. Here it is renamed, once; everything else knows one database. What only
one of them has:

* MIMIC-III says on which day a drug was prescribed (`prescribed_by_day`), MIMIC-IV
  when;
* MIMIC-IV says when the laboratory reported a result, MIMIC-III only when the blood was
  drawn: there a row knows results an hour or two too early;
* MIMIC-III shifts the dates of each patient by another amount, so that patients cannot
  be ordered in time; MIMIC-IV tells the years in which each came (`era`).
"""

import pathlib
from collections.abc import Iterator

import ibis
import ibis.expr.types as ir
import pandas as pd

from data_prep import files, sources
from data_prep.sources import FileSource

MIMIC3: dict[str, dict[str, str]] = {
    "patients": {
        "subject_id": "int64",
        "gender": "string",
        "dob": "timestamp",
        "dod": "timestamp",
    },
    "admissions": {
        "hadm_id": "int64",
        "deathtime": "timestamp",
        "hospital_expire_flag": "int64",
    },
    "icustays": files.TABLES["icustays"],
    "inputevents_cv": {
        "icustay_id": "int64",
        "charttime": "timestamp",
        "itemid": "int64",
        "amount": "float64",
        "amountuom": "string",
        "rate": "float64",
        "rateuom": "string",
        "stopped": "string",
    },
    "inputevents_mv": {
        "icustay_id": "int64",
        "starttime": "timestamp",
        "endtime": "timestamp",
        "itemid": "int64",
        "amount": "float64",
        "amountuom": "string",
        "rate": "float64",
        "rateuom": "string",
        "statusdescription": "string",
        "patientweight": "float64",
    },
    "outputevents": {
        "icustay_id": "int64",
        "charttime": "timestamp",
        "itemid": "int64",
        "value": "float64",
    },
    "prescriptions": {
        "subject_id": "int64",
        "startdate": "timestamp",
        "drug": "string",
        "route": "string",
    },
    "microbiologyevents": {
        "subject_id": "int64",
        "chartdate": "timestamp",
        "charttime": "timestamp",
        "spec_type_desc": "string",
    },
    "chartevents": files.TABLES["chartevents"],
    "labevents": files.TABLES["labevents"],
}

_CHARTED = {k: v for k, v in files.TABLES["chartevents"].items() if k != "error"}
_INPUTS = {k: v for k, v in MIMIC3["inputevents_mv"].items() if k != "icustay_id"}

MIMIC4: dict[str, dict[str, str]] = {
    "hosp/patients": {
        "subject_id": "int64",
        "gender": "string",
        "anchor_age": "int64",
        "anchor_year": "int64",
        "anchor_year_group": "string",
        "dod": "timestamp",
    },
    "hosp/admissions": MIMIC3["admissions"],
    "hosp/prescriptions": {
        "subject_id": "int64",
        "starttime": "timestamp",
        "drug": "string",
        "route": "string",
    },
    "hosp/microbiologyevents": MIMIC3["microbiologyevents"],
    "hosp/labevents": {**MIMIC3["labevents"], "storetime": "timestamp"},
    "icu/icustays": {
        "subject_id": "int64",
        "hadm_id": "int64",
        "stay_id": "int64",
        "intime": "timestamp",
        "outtime": "timestamp",
    },
    "icu/inputevents": {"stay_id": "int64", **_INPUTS},
    "icu/outputevents": {
        "stay_id": "int64",
        "charttime": "timestamp",
        "itemid": "int64",
        "value": "float64",
    },
    "icu/chartevents": _CHARTED,
}

_PLACES = {
    "icustays": "icu/icustays",
    "chartevents": "icu/chartevents",
    "outputevents": "icu/outputevents",
    "inputevents_mv": "icu/inputevents",
    "inputevents_cv": "icu/inputevents",
}


class Third(FileSource):
    """MIMIC-III, as its files name everything."""

    name = "mimic-iii"
    prescribed_by_day = True
    has_eras = False


class Fourth:
    """MIMIC-IV under the names of MIMIC-III; see `sources.Source` for the methods."""

    name = "mimic-iv"
    prescribed_by_day = False
    has_eras = True

    def __init__(self, source: sources.Source):
        """Takes a source that offers the tables of `MIMIC4`."""
        self._source = source

    def table(self, name: str) -> ir.Table:
        """The table `name` with the columns and types of `MIMIC3`."""
        raw = self._source.table(_place(name))
        renamed = "stay_id" in raw.columns
        raw = raw.rename(icustay_id="stay_id") if renamed else raw
        if name == "patients":
            # Ages are told for a year; birthdays do not exist.
            born = ibis.date(
                (raw.anchor_year - raw.anchor_age).cast("int32"),
                ibis.literal(1, "int32"),
                ibis.literal(1, "int32"),
            )
            return raw.select(
                "subject_id",
                "gender",
                "dod",
                dob=born.cast("timestamp"),
                era=raw.anchor_year_group,
            )
        if name == "prescriptions":
            return raw.rename(startdate="starttime")
        if name == "chartevents":
            return raw.mutate(error=ibis.null("int64"))
        if name == "inputevents_cv":
            # CareVue was gone by then.
            return raw.filter(ibis.literal(False)).select(
                "icustay_id",
                "itemid",
                "amount",
                "amountuom",
                "rate",
                "rateuom",
                charttime=raw.starttime,
                stopped=raw.statusdescription,
            )
        return raw

    def local(self, name: str, frame: pd.DataFrame) -> ir.Table:
        """A small table of this program, made known to the engine for joins."""
        return self._source.local(name, frame)

    def batches(self, query: ir.Table, of: str) -> Iterator[pd.DataFrame]:
        """Rows of a query in pieces, in any order; `of` is the table it reads."""
        return self._source.batches(query, _place(of))


def open_directory(
    directory: str | pathlib.Path, memory: str = "1GB", threads: int = 2
) -> Third | Fourth:
    """Opens MIMIC-III or MIMIC-IV, whichever a directory holds.

    Args:
      directory: tables of MIMIC-III, or the folders `hosp` and `icu` of MIMIC-IV.
      memory: memory limit of the query engine.
      threads: threads of the query engine.

    Returns:
      The source.

    Raises:
      SourceError: naming the table or column that is missing, and the remedy.
    """
    if not files.is_mimic4(directory):
        return Third(directory, memory, threads, tables=MIMIC3)
    source = FileSource(directory, memory, threads, tables=MIMIC4, database="MIMIC-IV")
    return Fourth(source)


def _place(name: str) -> str:
    return _PLACES.get(name, f"hosp/{name}")

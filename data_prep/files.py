"""Finds a database's tables in a directory and checks them before any work.

Users hold them as `.csv`, `.csv.gz` or Parquet, in upper or in lower case. Nothing is
guessed about the content: the header decides which columns there are, and where
MIMIC-III is asked for other databases (MIMIC-IV, eICU) are refused, because their
patients overlap.
"""

import csv
import gzip
import pathlib
from collections.abc import Mapping

import pyarrow.parquet

SUFFIXES = (".csv", ".csv.gz", ".parquet")

Tables = Mapping[str, Mapping[str, str]]
"""Table -> column -> type (an Ibis type name); `icu/chartevents` lies in a folder."""

# What the heparin cohort reads of MIMIC-III.
TABLES: dict[str, dict[str, str]] = {
    "patients": {"subject_id": "int64", "gender": "string", "dob": "timestamp"},
    "admissions": {"hadm_id": "int64", "deathtime": "timestamp"},
    "icustays": {
        "subject_id": "int64",
        "hadm_id": "int64",
        "icustay_id": "int64",
        "intime": "timestamp",
        "outtime": "timestamp",
    },
    "inputevents_cv": {
        "icustay_id": "int64",
        "charttime": "timestamp",
        "itemid": "int64",
        "amount": "float64",
        "rate": "float64",
        "rateuom": "string",
        "linkorderid": "int64",
        "stopped": "string",
    },
    "inputevents_mv": {
        "icustay_id": "int64",
        "starttime": "timestamp",
        "endtime": "timestamp",
        "itemid": "int64",
        "amount": "float64",
        "rate": "float64",
        "rateuom": "string",
        "ordercategorydescription": "string",
        "statusdescription": "string",
        "patientweight": "float64",
    },
    "chartevents": {
        "subject_id": "int64",
        "itemid": "int64",
        "charttime": "timestamp",
        "value": "string",
        "valuenum": "float64",
        "valueuom": "string",
        "error": "int64",
    },
    "labevents": {
        "subject_id": "int64",
        "itemid": "int64",
        "charttime": "timestamp",
        "value": "string",
        "valuenum": "float64",
        "valueuom": "string",
    },
}

_MIMIC_IV_FILES = {"inputevents", "ingredientevents", "emar", "pharmacy", "omr"}
_MIMIC_IV_COLUMNS = {"stay_id", "anchor_age", "anchor_year"}
_EICU_FILES = {"patient", "infusiondrug", "vitalperiodic", "lab"}
_EICU_COLUMNS = {"patientunitstayid", "uniquepid"}


class SourceError(ValueError):
    """The source cannot be used; the message names the file and the remedy."""


def locate(
    directory: str | pathlib.Path, tables: Tables = TABLES, database: str = "MIMIC-III"
) -> dict[str, pathlib.Path]:
    """Finds the file of every table.

    Args:
      directory: a directory that holds the tables of one database.
      tables: the tables wanted.
      database: what they are tables of; as MIMIC-III other databases are refused.

    Returns:
      Table name -> path.

    Raises:
      SourceError: if a table is missing or there twice, lacks a column, or belongs to
        another database.
    """
    directory = pathlib.Path(directory)
    if not directory.is_dir():
        raise SourceError(f"--source={directory}: no such directory")
    if database == "MIMIC-III":
        _refuse_other_databases(directory, _files(directory))
    located = {name: _only_file(directory, name) for name in tables}
    for name, path in located.items():
        _require_columns(path, tables[name], database)
    return located


def is_mimic4(directory: str | pathlib.Path) -> bool:
    """Whether a directory is laid out as MIMIC-IV is, in `hosp/` and `icu/`."""
    directory = pathlib.Path(directory)
    return directory.is_dir() and {"hosp", "icu"} <= _folders(directory)


def header(path: pathlib.Path) -> list[str]:
    """Column names of a file as they are written.

    Args:
      path: a CSV, CSV.GZ or Parquet file.

    Returns:
      The names in order.

    Raises:
      SourceError: if the file cannot be read.
    """
    try:
        if path.name.lower().endswith(".parquet"):
            return list(pyarrow.parquet.read_schema(path).names)
        opened = gzip.open if path.name.lower().endswith(".gz") else open
        with opened(path, "rt", encoding="utf-8-sig", newline="") as file:
            return next(csv.reader(file), [])
    except (OSError, EOFError, UnicodeDecodeError, pyarrow.ArrowInvalid) as error:
        # The reader's own message may quote the file's content.
        raise SourceError(
            f"{path.name}: cannot be read ({type(error).__name__}); is the download "
            "complete?"
        ) from None


def _files(directory: pathlib.Path) -> dict[str, list[pathlib.Path]]:
    """The files of a directory by table name."""
    found: dict[str, list[pathlib.Path]] = {}
    for path in sorted(directory.iterdir()):
        stem = _stem(path)
        if stem is not None:
            found.setdefault(stem, []).append(path)
    return found


def _folders(directory: pathlib.Path) -> set[str]:
    return {path.name.lower() for path in directory.iterdir() if path.is_dir()}


def _only_file(directory: pathlib.Path, name: str) -> pathlib.Path:
    """The one file of a table."""
    folder, _, stem = name.rpartition("/")
    place = directory / folder
    paths = _files(place).get(stem, []) if place.is_dir() else []
    shown = stem.upper() if not folder else name
    if not paths:
        raise SourceError(
            f"{directory}: table {shown} is missing; put {shown}.csv, .csv.gz or "
            ".parquet there (upper or lower case)"
        )
    if len(paths) > 1:
        raise SourceError(
            f"{directory}: table {shown} is there {len(paths)} times "
            f"({', '.join(p.name for p in paths)}); keep one of them"
        )
    return paths[0]


def _stem(path: pathlib.Path) -> str | None:
    name = path.name.lower()
    for suffix in SUFFIXES:
        if name.endswith(suffix):
            return name[: -len(suffix)]
    return None


def _refuse_other_databases(
    directory: pathlib.Path, found: Mapping[str, list[pathlib.Path]]
) -> None:
    columns: set[str] = set()
    for name in ("patients", "icustays", "chartevents", "patient"):
        for path in found.get(name, []):
            columns |= {column.lower() for column in header(path)}
    fourth = (
        {"hosp", "icu"} <= _folders(directory)
        or bool(_MIMIC_IV_FILES & set(found))
        or bool(_MIMIC_IV_COLUMNS & columns)
    )
    eicu = bool(_EICU_FILES & set(found)) or bool(_EICU_COLUMNS & columns)
    if not fourth and not eicu:
        return
    other = "MIMIC-IV" if fourth else "eICU"
    mixed = any(name in found for name in ("inputevents_mv", "inputevents_cv"))
    raise SourceError(
        f"{directory}: holds tables of {other}"
        + (" mixed with MIMIC-III" if mixed else "")
        + "; this program reads MIMIC-III alone. Patients of MIMIC-IV can be the same "
        "people as those of MIMIC-III, and eICU writes doses in other units: never "
        "pool them as independent. Point --source at a directory of MIMIC-III tables."
    )


def _require_columns(
    path: pathlib.Path, columns: Mapping[str, str], database: str
) -> None:
    present = [name.strip().lower() for name in header(path)]
    if missing := [name for name in columns if name not in present]:
        raise SourceError(
            f"{path.name}: column {', '.join(n.upper() for n in missing)} is missing "
            f"(found: {', '.join(present) or 'an empty header'}); export the whole "
            f"table of {database}"
        )

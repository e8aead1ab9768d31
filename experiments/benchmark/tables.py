"""Speed and peak memory of `data_prep.mimic3` on generated tables of full width.

Generates tables shaped like MIMIC-III (`tables.sql`: the columns and the proportions of
its large tables) and converts them in processes of their own. 20 M rows as csv.gz take
three minutes to generate and one to convert on two shared cores. Memory does not grow
with rows that are filtered away, only with the cohort: --tables_heparin_every=1 makes
it half as large as the real one.
"""

import multiprocessing
import pathlib
import string
import tempfile
import time
from collections.abc import Callable
from typing import Any, NamedTuple

from experiments.benchmark import machine, timing
from experiments.benchmark.config import Tables
from experiments.benchmark.row import Row

RATES = {"parquet": 4e6, "csv.gz": 1.5e6}
MEGABYTES = 2000.0
# Rows of the other large tables for one row of CHARTEVENTS, and rows per patient.
_LAB, _CAREVUE, _METAVISION = 0.0842, 0.0530, 0.0109
_PER_PATIENT = 7109
_TABLES = ("PATIENTS", "ADMISSIONS", "ICUSTAYS", "INPUTEVENTS_CV", "INPUTEVENTS_MV")
_TABLES += ("CHARTEVENTS", "LABEVENTS")
_OPTIONS = {
    "csv": "FORMAT csv, HEADER",
    "csv.gz": "FORMAT csv, HEADER, COMPRESSION gzip",
    "parquet": "FORMAT parquet, COMPRESSION zstd",
}


def generate(directory: str, rows: int, kind: str, every: int) -> float:
    """Writes the tables that are not there yet; returns the seconds it took."""
    import duckdb  # Here, so that the measuring process starts small.

    begun = time.perf_counter()
    connection = duckdb.connect(config={"threads": 2, "memory_limit": "2GB"})
    connection.execute("SET preserve_insertion_order = false")
    connection.execute("SET enable_progress_bar = false")
    text = pathlib.Path(__file__).with_suffix(".sql").read_text()
    connection.execute(
        string.Template(text).substitute(
            rows=rows,
            rows_lab=int(rows * _LAB),
            rows_cv=int(rows * _CAREVUE),
            rows_mv=int(rows * _METAVISION),
            patients=max(rows // _PER_PATIENT, 60),
            every=every,
        )
    )
    pathlib.Path(directory).mkdir(parents=True, exist_ok=True)
    for name in _TABLES:
        path = pathlib.Path(directory, f"{name}.{kind}")
        if not path.exists():
            connection.execute(f"COPY {name} TO '{path}' ({_OPTIONS[kind]})")
    return time.perf_counter() - begun


class Converted(NamedTuple):
    """What a conversion took.

    Attributes:
      seconds: by stage.
      stays: that it found.
      peak: bytes of its process at most.
    """

    seconds: dict[str, float]
    stays: int
    peak: int


def convert(directory: str) -> Converted:
    """Converts the tables of a directory."""
    from data_prep import assemble, sources

    begun = time.perf_counter()
    source = sources.FileSource(directory)
    opened = time.perf_counter() - begun
    built = assemble.build(source, assemble.Config())
    seconds = {"open": opened, **built.seconds}
    return Converted(seconds, built.trajectories.lengths.size, machine.peak_memory())


def measure(config: Tables, repeats: int) -> list[Row]:
    """Generates and converts tables of each kind.

    Args:
      config: sizes.
      repeats: conversions of each kind.

    Raises:
      ValueError: if a kind is unknown.
    """
    unknown = [kind for kind in config.kinds if kind not in _OPTIONS]
    if unknown:
        raise ValueError(
            f"--tables_kinds={','.join(config.kinds)}: use {', '.join(_OPTIONS)}"
        )
    rows = []
    for kind in config.kinds:
        with tempfile.TemporaryDirectory() as scratch:
            directory = str(pathlib.Path(config.folder or scratch, kind))
            given = directory, config.rows, kind, config.heparin_every
            _alone(generate, *given)
            found = [_alone(convert, directory) for _ in range(repeats)]
        rows += _rows(config, kind, found)
    return rows


def _alone(function: Callable[..., Any], *arguments: Any) -> Any:
    """Calls in a fresh process, whose peak is its own."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(function, arguments)


def _rows(config: Tables, kind: str, found: list[Converted]) -> list[Row]:
    streamed = timing.Times(tuple(one.seconds["CHARTEVENTS"] for one in found))
    whole = timing.spread([sum(one.seconds.values()) for one in found])
    peak = timing.spread([one.peak / 1e6 for one in found])
    told = f"{config.rows:,} rows, {found[0].stays} stays"
    return [
        Row(
            "tables",
            f"CHARTEVENTS from {kind}",
            "rows/s",
            streamed.rate(config.rows),
            target=RATES.get(kind),
            note=told,
        ),
        Row("tables", f"conversion of all tables from {kind}", "s", whole, note=told),
        Row(
            "tables",
            f"peak memory of the conversion from {kind}",
            "MB",
            peak,
            target=MEGABYTES,
            at_most=True,
        ),
    ]

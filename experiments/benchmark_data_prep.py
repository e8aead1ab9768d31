"""Speed and peak memory of `data_prep.mimic3` on generated tables of full width.

    python -m experiments.benchmark_data_prep --rows=20000000 --kind=csv.gz

Generates tables shaped like MIMIC-III (`benchmark_data_prep.sql`: the columns and the
proportions of its large tables) and converts them in a process of its own. 20 M rows
as csv.gz take three minutes to generate and one to convert on two shared cores; the
peak should stay below 1 GiB. Memory does not grow with rows that are filtered away,
only with the cohort: --heparin_every=1 makes it half as large as the real one.
"""

import multiprocessing
import pathlib
import resource
import string
import tempfile
import time

from absl import flags

from omgrl_jax.runtime import script

FULL_ROWS = 330_712_483
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


def define_flags() -> None:
    """Size and kind of the generated tables."""
    flags.DEFINE_integer("rows", 20_000_000, "Rows of CHARTEVENTS.", 10_000)
    flags.DEFINE_enum("kind", "csv.gz", list(_OPTIONS), "File type.")
    flags.DEFINE_integer(
        "heparin_every", 6, "One patient in this many is on a heparin infusion.", 1
    )
    flags.DEFINE_string(
        "tables",
        None,
        "Directory for the generated tables, reused when they are there.",
    )


def generate(directory: str, rows: int, kind: str, every: int) -> float:
    """Writes the tables that are not there yet; returns the seconds it took."""
    import duckdb  # Here, so that the measuring process starts small.

    begun = time.perf_counter()
    connection = duckdb.connect(config={"threads": 2, "memory_limit": "2GB"})
    connection.execute("SET preserve_insertion_order = false")
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


def convert(directory: str) -> tuple[dict[str, float], int, int]:
    """Seconds of each stage, number of stays, and this process's peak in bytes."""
    from data_prep import assemble, sources

    begun = time.perf_counter()
    source = sources.FileSource(directory)
    opened = time.perf_counter() - begun
    built = assemble.build(source, assemble.Config())
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return {"open": opened, **built.seconds}, built.trajectories.lengths.size, peak


def main() -> None:
    """Generates, converts, prints."""
    given = flags.FLAGS
    # Fresh processes: a peak is inherited by forks and never falls.
    spawn = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as scratch:
        directory = given.tables or scratch
        with spawn.Pool(1) as pool:
            made = pool.apply(
                generate, (directory, given.rows, given.kind, given.heparin_every)
            )
        print(f"tables generated in {made:.0f} s")
        with spawn.Pool(1) as pool:
            seconds, stays, peak = pool.apply(convert, (directory,))
    for stage, value in seconds.items():
        print(f"{stage:18s} {value:8.2f} s")
    streamed = seconds["CHARTEVENTS"]
    print(f"{'total':18s} {sum(seconds.values()):8.2f} s for {stays} stays")
    print(f"CHARTEVENTS        {given.rows / streamed:,.0f} rows/s")
    print(f"peak memory        {peak / 2**20:,.0f} MiB")
    print(
        f"{FULL_ROWS:,} rows would stream in {FULL_ROWS / given.rows * streamed:.0f} s"
    )


if __name__ == "__main__":
    script.run(main, define_flags)

"""Where the tables come from: one small interface, DuckDB through Ibis behind it.

The selections (`selections.py`) are written once, as read-only Ibis expressions over
typed tables with lower-case columns. An engine offers those tables and streams the
result of an expression; a database server needs the same three methods. Ibis was
chosen for this portability: an engine used alone is faster (polars: by half), but one
filtered pass over the largest table takes minutes with any of them.

DuckDB runs with a memory limit and without spill files, so that no patient's record is
left in a temporary directory.
"""

import contextlib
import pathlib
import warnings
from collections.abc import Iterator
from typing import Protocol

import duckdb
import ibis
import ibis.expr.types as ir
import pandas as pd

from data_prep import files
from data_prep.files import SourceError

__all__ = ["FileSource", "Source", "SourceError"]

BATCH_ROWS = 262_144
_CHECKED_ROWS = 1_000
_EXPECTED = {
    "int64": "whole numbers",
    "float64": "numbers",
    "timestamp": "times as YYYY-MM-DD HH:MM:SS",
}


class Source(Protocol):
    """An engine that holds the tables of a cohort."""

    def table(self, name: str) -> ir.Table:
        """The table `name` with the columns and types that the cohort names."""
        ...

    def local(self, name: str, frame: pd.DataFrame) -> ir.Table:
        """A small table of this program, made known to the engine for joins."""
        ...

    def batches(self, query: ir.Table, of: str) -> Iterator[pd.DataFrame]:
        """Rows of a query in pieces, in any order; `of` is the table it reads."""
        ...


class FileSource:
    """CSV, CSV.GZ or Parquet files in a directory, read by DuckDB.

    Every column is read as text and converted explicitly, so that neither sniffing
    nor a first page of odd rows can change types, quoting or column names.
    """

    def __init__(
        self,
        directory: str | pathlib.Path,
        memory: str = "1GB",
        threads: int = 2,
        *,
        tables: files.Tables = files.TABLES,
        database: str = "MIMIC-III",
    ):
        """Opens the directory and checks every table.

        Args:
          directory: the directory.
          memory: DuckDB's memory limit.
          threads: DuckDB's threads.
          tables: the tables wanted.
          database: see `files.locate`.

        Raises:
          SourceError: naming file, column and remedy.
        """
        self._tables = tables
        self._paths = files.locate(directory, tables, database)
        self._connection = ibis.duckdb.connect(
            memory_limit=memory,
            threads=threads,
            temp_directory="",
            # Row order is restored by sorting small results; keeping it costs memory.
            preserve_insertion_order=False,
            # DuckDB takes a gzipped CSV for a few dozen rows and would build its hash
            # table from CHARTEVENTS. As written, the large table stands on the left
            # and is streamed past the small ones.
            disabled_optimizers="join_order,build_side_probe_side",
        )
        self._raw = {name: self._read(path) for name, path in self._paths.items()}
        for name in tables:
            self._check_types(name)

    def table(self, name: str) -> ir.Table:
        """The table `name` with the columns and types it was opened with.

        What cannot be converted becomes null.
        """
        raw = self._raw[name]
        actual = {column.strip().lower(): column for column in raw.columns}
        return raw.select(
            **{
                column: _converted(raw[actual[column]], kind)
                for column, kind in self._tables[name].items()
            }
        )

    def local(self, name: str, frame: pd.DataFrame) -> ir.Table:
        """A small table of this program, made known to the engine for joins."""
        self._connection.con.register(name, frame)
        with _quiet():
            return self._connection.table(name)

    def batches(self, query: ir.Table, of: str) -> Iterator[pd.DataFrame]:
        """Rows of a query in pieces, in any order.

        Args:
          query: the expression.
          of: name of the table it reads, for messages.

        Yields:
          Data frames of at most `BATCH_ROWS` rows; the first is empty and typed.

        Raises:
          SourceError: if the engine cannot read the file.
        """
        sql = str(ibis.to_sql(query, dialect="duckdb"))
        try:
            reader = self._connection.con.sql(sql).to_arrow_reader(BATCH_ROWS)
            yield reader.schema.empty_table().to_pandas()
            for batch in reader:
                yield batch.to_pandas()
        except (duckdb.Error, OSError) as error:
            raise self._unreadable(of, error) from None

    def _read(self, path: pathlib.Path) -> ir.Table:
        with _quiet():
            if path.name.lower().endswith(".parquet"):
                return self._connection.read_parquet(path)
            return self._connection.read_csv(
                path,
                columns={name: "VARCHAR" for name in files.header(path)},
                auto_detect=False,
                header=True,
                delim=",",
                quote='"',
                escape='"',
            )

    def _check_types(self, name: str) -> None:
        """Stops early where a whole column would silently become null."""
        raw, typed = self._raw[name].limit(_CHECKED_ROWS), self._tables[name]
        actual = {column.strip().lower(): column for column in raw.columns}
        lost = {
            column: (
                raw[actual[column]].notnull()
                & _converted(raw[actual[column]], kind).isnull()
            ).sum()
            for column, kind in typed.items()
            if kind != "string"
        }
        counts = pd.concat(self.batches(raw.aggregate(**lost), name)).iloc[0]
        for column, count in counts.fillna(0).items():
            if count:
                raise SourceError(
                    f"{self._paths[name].name}: column {str(column).upper()} holds "
                    f"values that are not {_EXPECTED[typed[str(column)]]} ({int(count)}"
                    f" of the first {_CHECKED_ROWS} rows); export it again unchanged"
                )

    def _unreadable(self, name: str, error: Exception) -> SourceError:
        # The engine's message quotes the row it stumbled over: it must not get out.
        remedy = (
            "raise --memory"
            if isinstance(error, duckdb.OutOfMemoryException)
            else "fetch the file again; it is cut off or not the original"
        )
        return SourceError(
            f"{self._paths[name].name}: reading failed ({type(error).__name__}); "
            f"{remedy}"
        )


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Ibis 12 still calls a method that DuckDB 2 has renamed."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "fetch_arrow_table", DeprecationWarning)
        yield


def _converted(column: ir.Value, kind: str) -> ir.Value:
    if kind == "string":
        return column.cast("string")
    return column.try_cast(kind)

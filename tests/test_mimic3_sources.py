"""Traps 14 and 15, faulty files, privacy, and the open demo subset as a whole."""

import csv
import gzip
import os
import pathlib
import stat
import subprocess
import sys

import duckdb
import ibis
import numpy as np
import pandas as pd
import pytest
from mimic3_records import Records

from data_prep import assemble, files, items, mimic3, people, selections, sources
from data_prep.clock import Clock
from omgrl_jax.data import dataset
from omgrl_jax.runtime import storage

_HERE = pathlib.Path(__file__).resolve().parent
_SHARED = _HERE.parents[1] / "shared" / "data" / "mimic-iii-demo"
DEMO = pathlib.Path(os.environ.get("OMGRL_MIMIC3_DEMO", _SHARED))
needs_demo = pytest.mark.skipif(
    not DEMO.is_dir(),
    reason=f"the open MIMIC-III demo is not at {DEMO}; set OMGRL_MIMIC3_DEMO",
)


def treated() -> Records:
    records = Records()
    for subject, gender in ((1, "F"), (2, "M")):
        stay = records.adult(subject, gender=gender)
        records.drip(stay, 0, 4, 1000.0)
    return records


def content(directory, **config) -> str:
    built = assemble.build(
        sources.FileSource(directory), assemble.Config(**{"bins": 2} | config)
    )
    return dataset.content_hash(built.schema, built.trajectories)


def test_trap_14_case_quotes_order_and_format_do_not_matter(tmp_path):
    plain = treated().write(tmp_path / "plain")
    expected = content(plain)
    upper = treated().write(tmp_path / "upper", upper=True)
    assert (upper / "CHARTEVENTS.csv").read_text().startswith('"ROW_ID","SUBJECT_ID"')
    assert content(upper) == expected

    backwards = treated()
    for rows in backwards.rows.values():
        rows.reverse()
    assert content(backwards.write(tmp_path / "backwards")) == expected

    zipped = tmp_path / "zipped"
    zipped.mkdir()
    for path in plain.iterdir():
        (zipped / f"{path.name.lower()}.gz").write_bytes(
            gzip.compress(path.read_bytes())
        )
    assert content(zipped) == expected
    assert content(_as_parquet(plain, tmp_path / "parquet")) == expected


def test_trap_14_text_with_commas_quotes_and_line_ends(tmp_path):
    expected = content(treated().write(tmp_path / "a"))
    directory = treated().write(tmp_path / "b")
    # As in the open demo, the first quoted text comes later than any sniffer looks.
    with (directory / "CHARTEVENTS.csv").open("a") as file:
        file.write("7,1,999,2150-06-01 08:00:00,plain,,,0,,,\n" * 30_000)
        file.write('8,1,999,2150-06-01 08:00:00,"Arm, ""Right""\nLower",,,0,,,\n')
    assert content(directory) == expected


def test_large_table_is_streamed_past_the_cohort(tmp_path):
    records = Records()
    for subject in range(1, 81):
        records.drip(records.adult(subject), 0, 4, 1000.0)
    directory = records.write(tmp_path)
    expected = content(directory)
    path = directory / "CHARTEVENTS.csv"
    # Relevant items of patients outside the cohort, some 100 MB of text: held instead
    # of streamed (as DuckDB would, left alone) they break the memory limit.
    duckdb.sql(
        "SELECT i AS row_id, 7 AS subject_id, 220210 AS itemid, '2150-06-01 08:00:00' "
        "AS charttime, repeat('x', 60) || i AS value FROM range(1000000) t(i) UNION "
        f"ALL BY NAME SELECT * FROM read_csv('{path}', all_varchar = true)"
    ).write_csv(str(directory / "chartevents.csv.gz"), compression="gzip")
    path.unlink()
    source = sources.FileSource(directory, memory="100MB", threads=1)
    built = assemble.build(source, assemble.Config(bins=2))
    assert dataset.content_hash(built.schema, built.trajectories) == expected


class Offline:
    """Typed tables without an engine: queries are only compiled."""

    def __init__(self, dialect):
        self.dialect, self.compiled = dialect, []

    def table(self, name):
        return ibis.table(files.TABLES[name], name=name)

    def local(self, name, frame):
        return ibis.memtable(frame)

    def batches(self, query, of):
        self.compiled.append(str(ibis.to_sql(query, dialect=self.dialect)))
        yield query.schema().to_pyarrow().empty_table().to_pandas()


@pytest.mark.filterwarnings("ignore:The 'future.infer_string' option")
@pytest.mark.parametrize("dialect", ["postgres", "bigquery", "duckdb"])
def test_one_definition_of_the_selections_serves_other_engines(dialect):
    engine = Offline(dialect)
    chosen = people.windows(
        pd.DataFrame({"subject_id": [1], "start": [0], "admission": [0]}),
        Clock(np.array([9])),
        28.0,
    )
    assert list(selections.stays(engine).columns)[:2] == ["subject_id", "icustay_id"]
    selections.heparin_carevue(engine)
    selections.heparin_metavision(engine)
    for table in ("chartevents", "labevents"):
        (frame,) = selections.measurements(engine, table, chosen, items.HEPARIN)
        assert frame.columns.tolist() == [
            "stay",
            "time",
            "known",
            "variable",
            "value",
            "unit",
            "text",
        ]
    assert len(engine.compiled) == 5
    assert all("SELECT" in text for text in engine.compiled)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("patients.csv", "subject_id,gender,anchor_age,anchor_year\n"),
        ("inputevents.csv", "subject_id,stay_id,itemid\n"),
        ("infusionDrug.csv", "infusiondrugid,patientunitstayid,drugname,drugrate\n"),
    ],
)
def test_trap_15_other_databases_are_refused(tmp_path, name, text):
    (tmp_path / name).write_text(text)
    with pytest.raises(files.SourceError, match="never pool them as independent"):
        files.locate(tmp_path)


def test_trap_15_a_mixture_is_refused(tmp_path):
    directory = treated().write(tmp_path)
    (directory / "inputevents.csv").write_text("subject_id,stay_id,itemid\n")
    with pytest.raises(files.SourceError, match="MIMIC-IV mixed with MIMIC-III"):
        sources.FileSource(directory)


def test_faulty_directories_are_named_before_any_work(tmp_path):
    directory = treated().write(tmp_path / "a")
    with pytest.raises(files.SourceError, match="no such directory"):
        files.locate(tmp_path / "nowhere")
    text = (directory / "LABEVENTS.csv").read_text()
    (directory / "LABEVENTS.csv").write_text(text.replace("valuenum", "number", 1))
    with pytest.raises(files.SourceError, match=r"LABEVENTS\.csv: column VALUENUM"):
        files.locate(directory)
    (directory / "LABEVENTS.csv").unlink()
    with pytest.raises(files.SourceError, match="table LABEVENTS is missing"):
        files.locate(directory)
    (directory / "LABEVENTS.csv").write_text(text)
    (directory / "patients.csv.gz").write_bytes(gzip.compress(b"subject_id,dob\n"))
    with pytest.raises(files.SourceError, match="PATIENTS is there 2 times"):
        files.locate(directory)


def test_times_in_another_format_stop_instead_of_vanishing(tmp_path):
    directory = treated().write(tmp_path)
    path = directory / "LABEVENTS.csv"
    path.write_text(path.read_text().replace("2150-06-01 07:30:00", "6/1/2150 7:30"))
    with pytest.raises(files.SourceError, match=r"LABEVENTS.csv: column CHARTTIME"):
        sources.FileSource(directory)


def test_messages_do_not_repeat_the_rows_they_are_about(tmp_path):
    directory = treated().write(tmp_path)
    path = directory / "CHARTEVENTS.csv"
    with path.open("a") as file:
        file.write('77,424242,"unfinished\n' * 3)
    with pytest.raises(files.SourceError, match=r"CHARTEVENTS.csv") as caught:
        content(directory)
    assert "424242" not in str(caught.value)
    assert caught.value.__suppress_context__
    broken = gzip.compress(path.read_bytes())[:-400]
    path.unlink()
    (directory / "CHARTEVENTS.csv.gz").write_bytes(broken)
    with pytest.raises(
        files.SourceError, match=r"fetch the file again|download complete"
    ):
        content(directory)


def test_output_is_refused_in_a_git_work_tree_and_closed_elsewhere(tmp_path):
    directory = treated().write(tmp_path / "source")
    config = assemble.Config(bins=2)
    tree = tmp_path / "tree"
    (tree / ".git").mkdir(parents=True)
    with pytest.raises(storage.WorktreeError, match="--allow_git_worktree"):
        mimic3.convert(directory, tree / "out", config)
    assert not (tree / "out").exists()
    out = tmp_path / "out"
    fingerprint = mimic3.convert(directory, out, config)
    assert stat.S_IMODE(out.stat().st_mode) == 0o700
    assert {path.name for path in out.iterdir()} == {
        "trajectories.npz",
        "schema.json",
        "cohort_flow.csv",
        "missingness.csv",
        "repairs.csv",
        "table1.csv",
    }
    assert dataset.load(out).hash == fingerprint
    first = (out / "trajectories.npz").read_bytes()
    mimic3.convert(directory, out, config)
    assert (out / "trajectories.npz").read_bytes() == first


def test_no_identifier_or_date_reaches_the_output(tmp_path):
    records = Records()
    for subject in (870001, 870002):
        stay = records.adult(subject)
        records.drip(stay, 0, 4, 1000.0)
    out = tmp_path / "out"
    mimic3.convert(records.write(tmp_path / "s"), out, assemble.Config(bins=2))
    texts = [path.read_text() for path in out.iterdir() if path.suffix != ".npz"]
    for text in texts:
        assert "87000" not in text and "2150" not in text and "8790" not in text
    loaded = dataset.load(out).trajectories
    assert sorted(loaded.patients.tolist()) == [0, 1]
    assert max(np.abs(loaded.observations).max(), loaded.amounts.max()) < 2000


def test_counts_of_few_patients_are_hidden(tmp_path):
    built = assemble.build(
        sources.FileSource(treated().write(tmp_path)), assemble.Config(bins=2)
    )
    rows = list(csv.DictReader(built.tables["cohort_flow"].splitlines()))
    assert {row["remaining"] for row in rows} == {"<=10"}
    table = dict(csv.reader(built.tables["table1"].splitlines()))
    assert table["stays"] == "<=10"
    assert table["female"] == "hidden (small group)"


def test_patients_are_split_whole_and_by_seed():
    patients = np.repeat(np.arange(100) * 7, 3)
    number, split = people.split_patients(patients, 0.1, 0.2, seed=3)
    assert np.bincount(split).tolist() == [210, 30, 60]
    assert sorted(set(number.tolist())) == list(range(100))
    for patient in range(100):
        assert len(set(split[number == patient].tolist())) == 1
    again = people.split_patients(patients, 0.1, 0.2, seed=3)
    other = people.split_patients(patients, 0.1, 0.2, seed=4)
    np.testing.assert_array_equal(split, again[1])
    assert (split != other[1]).any()


def test_nobody_left_says_at_which_rule(tmp_path):
    records = Records()
    records.adult()
    with pytest.raises(ValueError, match="intravenous heparin in the ICU: 0"):
        records.build(tmp_path)


def test_command_line_ends_in_one_line(tmp_path):
    command = [sys.executable, "-m", "data_prep.mimic3", f"--out={tmp_path / 'o'}"]
    run = subprocess.run(
        [*command, f"--source={tmp_path / 'none'}"],
        capture_output=True,
        text=True,
        cwd=_HERE.parent,
        check=False,
    )
    assert run.returncode == 1
    assert run.stderr.strip().endswith("no such directory")
    assert "Traceback" not in run.stderr


@needs_demo
@pytest.mark.slow
def test_demo_gives_the_same_content_in_every_format(tmp_path):
    config = assemble.Config()
    built = assemble.build(sources.FileSource(DEMO), config)
    dataset.validate(built.schema, built.trajectories)
    arrays = built.trajectories
    assert arrays.lengths.size >= 20
    assert arrays.lengths.min() >= 7 and arrays.lengths.max() <= 72
    assert set(arrays.split.tolist()) == {0, 1, 2}
    ages = arrays.observations[:, 0]
    assert ages.min() >= 18 and ages.max() <= 90
    assert len(built.schema.actions.amounts) == 6
    expected = dataset.content_hash(built.schema, built.trajectories)

    quoted = tmp_path / "quoted"
    quoted.mkdir()
    for name in files.TABLES:
        with (
            gzip.open(DEMO / f"{name.upper()}.csv.gz", "rt", newline="") as before,
            open(quoted / f"{name.upper()}.csv", "w", newline="") as after,
        ):
            rows = csv.reader(before)
            writer = csv.writer(after, quoting=csv.QUOTE_ALL, lineterminator="\n")
            writer.writerow([column.upper() for column in next(rows)])
            writer.writerows(rows)
    assert content(quoted, bins=6) == expected
    parquet = _as_parquet(quoted, tmp_path / "parquet")
    assert content(parquet, bins=6) == expected


def _as_parquet(directory: pathlib.Path, out: pathlib.Path) -> pathlib.Path:
    """Types as DuckDB finds them, which is how users convert."""
    out.mkdir()
    for path in directory.glob("*.csv"):
        duckdb.sql(
            f"SELECT * FROM read_csv('{path}', header = true, quote = '\"', "
            "escape = '\"', delim = ',', sample_size = -1)"
        ).write_parquet(str(out / f"{path.stem.lower()}.parquet"))
    return out

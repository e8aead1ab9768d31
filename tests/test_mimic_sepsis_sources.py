"""The command, its two databases, splits in time, memory and privacy."""

import pathlib
import stat
import subprocess
import sys

import duckdb
import numpy as np
import pytest
from mimic3_records import at
from sepsis_records import Outcome, Records, as_mimic4, build

from data_prep import files, hold, measurements, mimic_sepsis
from data_prep.clock import HOUR, Clock
from data_prep.sepsis import assemble, databases
from data_prep.sepsis.config import Config
from data_prep.sepsis.items import SEPSIS
from omgrl_jax.data import dataset
from omgrl_jax.runtime import storage

_HERE = pathlib.Path(__file__).resolve().parent


def test_temporal_split_needs_years(tmp_path):
    with pytest.raises(ValueError, match=r"--split=temporal.*use --split=patients"):
        build(tmp_path, (1, {}, None), config={"split": "temporal"})


def treated(count):
    records = Records()
    for subject in range(1, count + 1):
        records.septic(subject, treated=float(subject))
    return records


def test_temporal_split_tests_the_latest_patients(tmp_path):
    directory = as_mimic4(treated(6), tmp_path)
    path = directory / "hosp" / "patients.csv"
    lines = path.read_text().splitlines()
    groups = ["2011 - 2013", "2008 - 2010", "2014 - 2016"]
    for number in range(1, 7):
        lines[number] = lines[number].replace("2008 - 2010", groups[number % 3])
    path.write_text("\n".join([*lines, ""]))
    config = Config(split="temporal", validation=0.34, test=0.33)
    arrays = assemble.build(databases.open_directory(directory), config).trajectories
    starts = dataset.row_starts(arrays.lengths)
    subjects = arrays.observations[starts, 0].astype(int) - 30
    era = np.array([{0: 1, 1: 0, 2: 2}[s % 3] for s in subjects])
    # Subjects 2 and 5 came last, 3 and 6 before them.
    assert sorted(subjects[arrays.split == 2]) == [2, 5]
    assert era[arrays.split == 0].max() <= era[arrays.split == 1].min()


def test_mimic4_gives_the_same_as_mimic3(tmp_path):
    """The same records under the other database's names."""
    records = treated(3)
    third = records.build(tmp_path / "3")
    source = databases.open_directory(as_mimic4(records, tmp_path / "4"))
    config = Config(suppress_small_counts=False, validation=0.0, test=0.0)
    fourth = assemble.build(source, config)
    assert fourth.schema.name == "mimic-iv sepsis"
    for name, values in third.arrays._asdict().items():
        other = getattr(fourth.trajectories, name)
        if values is not None:
            np.testing.assert_array_equal(values, other, err_msg=name)


def reported(records, item, drawn, value, known):
    records.lab(2, item, drawn, value)
    records.rows["labevents"][-1]["storetime"] = at(known)


def test_a_result_is_known_once_it_was_reported(tmp_path):
    """The laboratory draws at hours -1, 7, 15 and 23 as well, and reports at once."""
    records = Records()
    for subject in (1, 2):
        records.septic(subject)
    reported(records, 50813, 10.0, 9.0, 18.0)  # overtaken by the draw of hour 15
    reported(records, 50813, 11.0, 5.0, 12.0)
    reported(records, 50885, 11.0, 7.0, 12 + 1 / 3600)  # bilirubin, 3 points
    reported(records, 50821, 11.0, 100.0, 13.0)  # PaO2 over .4, 2 points
    records.lab(2, 50800, 11.0, None, "ART")
    source = databases.open_directory(as_mimic4(records, tmp_path))
    config = Config(suppress_small_counts=False, validation=0.0, test=0.0)
    outcome = Outcome(assemble.build(source, config))
    plain, own = (outcome.stay_of(subject) for subject in (1, 2))
    for name, expected in {
        "lactate": [0, 3.5, 0, 0],
        "bilirubin": [0, 0, 0, 0],
        "pao2": [0, 0, 0, 0],
        "sofa": [0, 0, 5, 5],
    }.items():
        more = outcome.feature(name, own) - outcome.feature(name, plain)
        # Of the rows at hours 8, 12, 16 and 20.
        np.testing.assert_allclose(more[2:6], expected, atol=1e-6, err_msg=name)
    measured = outcome.channel("lactate", "measured", own)[2:6].tolist()
    assert measured == [True, True, True, False]
    assert outcome.channel("lactate", "ages", own)[2:6].tolist() == [0, 0, 0, 1]


def test_held_from_its_report_for_so_long_after_its_draw():
    """Lactate: 2 drawn at 0, known at 2; 3 drawn at 1, known at 4; then 9 for 10."""
    hours = np.array([[0, 2], [1, 4], [3, 6], [2, 8]]) * HOUR
    found = measurements.Measurements(
        *(np.zeros(4, np.int32), hours[:, 0]),
        np.full(4, SEPSIS.code("lactate"), np.int16),
        np.array([2.0, 3.0, 4.0, 5.0]),
        *(np.zeros(4, np.int8), np.zeros(4, bool), hours[:, 1]),
    )
    held = hold.hold(found, SEPSIS, Clock(np.array([12])), "lactate")
    nan = np.nan
    expected = [nan, nan, 2, 2, 3, 3, *[4] * 6, nan]
    np.testing.assert_array_equal(held.value, expected)
    # The one drawn at hour 2 and known at hour 8 is never the last one drawn.
    assert np.flatnonzero(held.fresh).tolist() == [2, 4, 6]
    np.testing.assert_array_equal(held.age[2:8], [0, 1, 0, 1, 0, 1])


def test_a_download_without_vital_signs_is_named(tmp_path):
    directory = as_mimic4(treated(1), tmp_path)
    (directory / "icu" / "chartevents.csv").unlink()
    with pytest.raises(files.SourceError, match="table icu/chartevents is missing"):
        databases.open_directory(directory)


def test_output_is_closed_refused_in_work_trees_and_the_same_each_time(tmp_path):
    directory = treated(4).write(tmp_path / "source")
    config = Config()
    tree = tmp_path / "tree"
    (tree / ".git").mkdir(parents=True)
    with pytest.raises(storage.WorktreeError, match="--allow_git_worktree"):
        mimic_sepsis.convert(directory, tree / "out", config)
    out = tmp_path / "out"
    fingerprint = mimic_sepsis.convert(directory, out, config)
    assert stat.S_IMODE(out.stat().st_mode) == 0o700
    names = {"cohort_flow", "missingness", "repairs", "table1", "doses"}
    written = {path.name for path in out.iterdir()}
    assert written == {f"{n}.csv" for n in names} | {"trajectories.npz", "schema.json"}
    assert dataset.load(out).hash == fingerprint
    for path in out.iterdir():
        if path.suffix != ".npz":
            text = path.read_text()
            assert "2150-" not in text and "9001" not in text and "5001" not in text
    for name in ("cohort_flow", "doses"):
        text = (out / f"{name}.csv").read_text()
        assert "<=10" in text
    assert mimic_sepsis.convert(directory, out, config) == fingerprint


def test_large_tables_are_streamed_past_the_cohort(tmp_path):
    records = Records()
    for subject in range(1, 51):
        records.septic(subject)
    directory = records.write(tmp_path)
    config = Config(validation=0.0, test=0.0)
    expected = assemble.build(databases.open_directory(directory), config).trajectories
    path = directory / "CHARTEVENTS.csv"
    # Relevant items of patients outside the cohort, some 100 MB of text.
    duckdb.sql(
        "SELECT i AS row_id, 7 AS subject_id, 220052 AS itemid, '2150-06-01 08:00:00' "
        "AS charttime, repeat('x', 60) || i AS value FROM range(1000000) t(i) UNION "
        f"ALL BY NAME SELECT * FROM read_csv('{path}', all_varchar = true)"
    ).write_csv(str(directory / "chartevents.csv.gz"), compression="gzip")
    path.unlink()
    source = databases.open_directory(directory, memory="100MB", threads=1)
    found = assemble.build(source, config).trajectories
    np.testing.assert_array_equal(found.observations, expected.observations)


def test_command_line_ends_in_one_line(tmp_path):
    run = subprocess.run(
        [
            *(sys.executable, "-m", "data_prep.mimic_sepsis"),
            *(f"--out={tmp_path / 'o'}", f"--source={tmp_path / 'none'}"),
        ],
        capture_output=True,
        text=True,
        cwd=_HERE.parent,
        check=False,
    )
    assert run.returncode == 1
    assert run.stderr.strip().endswith("no such directory")
    assert "Traceback" not in run.stderr

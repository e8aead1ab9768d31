"""The sepsis cohort on hand-made records: who, from when, knowing what, given what."""

import pathlib
import stat
import subprocess
import sys

import duckdb
import numpy as np
import pytest
from sepsis_records import Records, as_mimic4, table

from data_prep import files, mimic_sepsis
from data_prep.clock import Clock
from data_prep.sepsis import assemble, databases, rewards
from data_prep.sepsis.config import Config
from omgrl_jax.data import dataset
from omgrl_jax.runtime import storage

_HERE = pathlib.Path(__file__).resolve().parent


def build(directory, *patients, config=None):
    """Patients as (subject, what `septic` takes, rows that a function adds)."""
    records = Records()
    for subject, given, fill in patients:
        stay = records.septic(subject, **given)
        if fill:
            fill(records, subject, stay)
    return records.build(directory, **(config or {}))


def prescribed(drug, route, culture):
    """A suspicion in place of the one that came too late."""

    def fill(records, subject, stay):
        records.culture(subject, 2.0, culture)
        records.antibiotic(subject, 2.0, drug, route)

    return {"suspected": 500.0}, fill


def organs(records, subject, stay):
    records.lab(subject, 50885, 9.0, 7.0)  # bilirubin: 3 points
    records.lab(subject, 50912, 13.0, 2.5)  # creatinine: 2
    records.chart(subject, 220052, 17.0, 60)  # mean blood pressure: 1
    records.chart(subject, 223901, 21.0, 4, text="Flex-withdraws")  # GCS 13: 1


def devices(records, subject, stay):
    for hour, item, text in (
        (3.0, 226732, "Nasal cannula"),
        (7.0, 223849, "CMV/ASSIST"),
        (11.5, 226732, "Other"),
        (15.5, 226732, "Face tent"),
    ):
        records.chart(subject, item, hour, None, text=text)


WARD = (
    (1, {}, None),
    (2, {"hours": 90.0, "sick_at": 30.0, "suspected": 20.0, "treated": 0}, None),
    # Infection suspected 48 hours after the ICU; SOFA up an hour late; 7.9 hours.
    (3, {"suspected": 79.0}, None),
    (4, {"sick_at": 27.0, "hours": 40.0, "treated": 0}, None),
    (5, {"hours": 7.9, "sick_at": 1.0}, None),
    (6, {"sick_at": 26.0, "hours": 40.0, "treated": 0}, None),
    (7, *prescribed("CefePIME", "IV DRIP", "URINE")),
    (8, *prescribed("Vancomycin", "IV", "MRSA SCREEN")),
    (9, *prescribed("Erythromycin 0.5% Ophth Oint", "OU", "BLOOD CULTURE")),
    (10, *prescribed("Heparin", "IV", "BLOOD CULTURE")),
    # A second ICU stay of the same admission.
    (11, {"hours": 20.5}, lambda r, n, s: r.stay(n, 9500, 5011, 21.0, 50.0)),
    (12, {"treated": 0}, organs),
    (13, {"urine": 30.0}, None),
    (14, {}, lambda r, n, s: r.lab(n, 50813, 9.0, 5.0)),
    (15, {}, devices),
    (16, {"death": 13.0}, None),
    (17, {"dod": "2150-08-20 00:00:00"}, None),
)


@pytest.fixture(scope="module")
def ward(tmp_path_factory):
    """One cohort of many patients, each of whom shows one thing."""
    return build(tmp_path_factory.mktemp("ward"), *WARD)


def test_who_is_in(ward):
    dataset.validate(ward.built.schema, ward.arrays)
    assert ward.subjects() == [1, 2, 6, 7, 11, 12, 13, 14, 15, 16, 17]
    flow = list(ward.remaining().items())
    assert [(text.split(",")[0], *n) for text, n in flow] == [
        ("ICU stays", "0", "18"),
        ("age", "0", "18"),
        ("18 years or older", "0", "18"),
        ("infection suspected around the ICU stay", "4", "14"),
        ("alive and in the ICU around it", "0", "14"),
        ("SOFA 2 or more", "1", "13"),
        ("followed for 2 steps or more", "1", "12"),
        ("first such stay of the admission", "1", "11"),
    ]


def test_a_stay_from_its_onset(ward):
    stay = ward.stay_of(1)
    # Platelets fall at hour 4; the ICU admission lies less than 24 hours before, so it
    # is row 0; the unit is left after 30.5 hours: seven whole steps.
    assert ward.arrays.lengths[stay] == 7
    onset = ward.feature("onset_hours", stay)
    np.testing.assert_array_equal(onset, [-4, 0, 4, 8, 12, 16, 20, 24])
    assert ward.feature("sofa", stay)[:3].tolist() == [0, 2, 5]
    assert ward.feature("platelets", stay)[:3].tolist() == [200, 90, 90]
    assert ward.feature("gender", stay)[0] == 1
    # The single weight, charted at the ICU admission; PaO2 of 200 over FiO2 of .4.
    assert ward.feature("weight", stay).tolist() == [80] * 8
    np.testing.assert_allclose(ward.feature("pao2_fio2", stay), [500] * 8)
    np.testing.assert_allclose(ward.feature("shock_index", stay), [80 / 120] * 8)
    assert ward.feature("gcs", stay).tolist() == [15] * 8


def test_a_window_is_24_hours_before_to_48_after_the_onset(ward):
    onset = ward.feature("onset_hours", ward.stay_of(2))
    assert (onset[0], onset[-1]) == (-24, 48)
    # The last hour that counts lies 24 hours after the suspicion at hour 2.
    assert ward.feature("onset_hours", ward.stay_of(6))[0] == -24


def test_hourly_steps(tmp_path):
    outcome = build(tmp_path, (1, {}, None), config={"step_hours": 1})
    assert outcome.arrays.lengths.tolist() == [30]
    assert outcome.feature("onset_hours")[:6].tolist() == [-4, -3, -2, -1, 0, 1]
    assert outcome.built.schema.step_hours == 1.0
    np.testing.assert_allclose(outcome.given()[3:7, 0], [0, 200, 200, 0])


def test_no_record_reaches_a_row_before_it_was_charted(tmp_path, ward):
    """One second after a row's time is too late for it; at its time is not."""

    def charted(hour):
        def fill(records, subject, stay):
            records.chart(subject, 220045, hour, 133)
            records.passed(stay, hour, 300.0)
            records.lab(subject, 50813, hour, 7.0)
            records.sampled(stay, 30018, hour, amount=111.0, amountuom="ml")

        return fill

    outcome = build(
        tmp_path, (1, {}, None), (2, {}, charted(8.0)), (3, {}, charted(8 + 1 / 3600))
    )
    plain, known, late = (outcome.stay_of(subject) for subject in (1, 2, 3))
    row = 2
    for name in ("lactate", "urine_last", "fluid_last", "hr"):
        here = [outcome.feature(name, stay)[row] for stay in (plain, known, late)]
        assert here[0] == here[2] != here[1], name
    features = outcome.arrays.observations
    static = 2  # age and sex are those of other patients
    begin = [outcome.rows(stay).start for stay in (plain, late)]
    until_row = [features[b : b + row + 1, static:] for b in begin]
    np.testing.assert_array_equal(*until_row)
    for name in ("mbp", "lactate", "urine"):
        values = [outcome.channel(name, "values", stay) for stay in (plain, late)]
        np.testing.assert_array_equal(values[0][: row + 1], values[1][: row + 1])
    # What is given after a row is its action, and no part of its state.
    fluid = [outcome.given(stay)[:, 0] for stay in (plain, known, late)]
    np.testing.assert_allclose(fluid[1] - fluid[0], [0, 111, 0, 0, 0, 0, 0])
    np.testing.assert_allclose(fluid[2] - fluid[0], [0, 0, 111, 0, 0, 0, 0])


def test_actions_are_what_is_given_in_the_step_that_follows(tmp_path):
    outcome = build(tmp_path, (1, {}, None))
    # 400 mL and .1 ug/kg/min in the steps from hours 4, 12 and 20; 50 mL and .02 in
    # the last one; nothing between.
    fluid, pressor = outcome.given().T
    np.testing.assert_allclose(fluid, [0, 400, 0, 400, 0, 400, 50], rtol=1e-6)
    np.testing.assert_allclose(pressor, [0, 0.1, 0, 0.1, 0, 0.1, 0.02], rtol=1e-6)
    assert outcome.feature("fluid_total")[-1] == 1250
    actions = outcome.built.schema.actions
    assert [drug.name for drug in actions.drugs] == ["fluid", "pressor"]
    levels = outcome.levels()
    # The median of four doses, three of which are equal, leaves the small one below.
    assert levels == [[0, 0], [2, 2], [0, 0], [2, 2], [0, 0], [2, 2], [1, 1]]
    expected = [3 * f + v for f, v in levels]
    np.testing.assert_array_equal(outcome.arrays.actions, expected)
    doses = table(outcome.built.tables["doses"])
    assert doses["steps"].astype(int).tolist() == [3, 0, 0, 0, 1, 0, 0, 0, 3]


def test_level_edges_come_from_training_stays_alone(tmp_path):
    shares = {"validation": 0.2, "test": 0.2}
    doses = {subject: float(subject) for subject in range(1, 7)}

    def treated(directory):
        patients = [(n, {"treated": dose}, None) for n, dose in doses.items()]
        return build(directory, *patients, config=shares)

    plain = treated(tmp_path / "a")
    held_out = int(np.flatnonzero(plain.arrays.split == 2)[0])
    doses[int(plain.feature("age", held_out)[0]) - 30] *= 2.0
    moved = treated(tmp_path / "b")
    assert plain.built.schema.actions == moved.built.schema.actions
    np.testing.assert_allclose(
        moved.given(held_out), 2 * plain.given(held_out), rtol=1e-6
    )
    own = np.flatnonzero(plain.arrays.split == 0)
    training = np.concatenate([plain.given(stay) for stay in own])
    for drug, column in zip(plain.built.schema.actions.drugs, training.T, strict=True):
        given = np.sort(column[column > 0])
        # None, and half of the doses at or below the upper edge.
        assert drug.edges[0] == 0.0
        np.testing.assert_allclose(drug.edges[1], given[(given.size - 1) // 2])


def test_doses_are_cut_at_a_training_quantile(tmp_path):
    outcome = build(
        tmp_path,
        *((n, {"treated": float(n)}, None) for n in (1, 2, 3)),
        config={"actions": "doses", "dose_quantile": 0.5},
    )
    actions = outcome.built.schema.actions
    doses = np.concatenate([outcome.given(stay) for stay in range(3)])
    expected = [np.quantile(c[c > 0], 0.5) for c in doses.T]
    np.testing.assert_allclose(actions.high, expected, rtol=1e-6)
    np.testing.assert_allclose(
        outcome.arrays.actions, np.minimum(doses, expected), rtol=1e-6
    )
    cut = outcome.repaired("fluid", "dose above its bound")
    assert cut == int((doses[:, 0] > 1.001 * expected[0]).sum()) > 0
    bounds = table(outcome.built.tables["doses"])["bound"].astype(float)
    np.testing.assert_allclose(bounds, expected, rtol=1e-2)


def test_rewards_by_hand():
    """SOFA 2, 5, 4, 4 of a survivor and 3, 3 of a dead patient."""
    score = np.array([2, 5, 4, 4, 3, 3])
    clock, died = Clock(np.array([3, 1])), np.array([False, True])
    expected = {
        "sofa": [-0.75, 0.1, 15.0, -15.0],
        "terminal": [0.0, 0.0, 15.0, -15.0],
        "negative_sofa": [-5.0, -4.0, -4.0, -3.0],
    }
    for kind, wanted in expected.items():
        np.testing.assert_allclose(
            rewards.recorded(kind, score, died, clock), wanted, err_msg=kind
        )


def test_a_score_that_only_falls_earns_a_tenth_of_its_fall():
    score = np.array([9, 7, 7, 3, 0])
    found = rewards.recorded("sofa", score, np.array([False]), Clock(np.array([4])))
    np.testing.assert_allclose(found.sum(), 15 + 0.1 * 9)


def test_rewards_of_a_stay(ward):
    stay = ward.stay_of(1)
    change = np.diff(ward.feature("sofa", stay))
    expected = np.where(change < 0, -0.1 * change, -0.25 * change)
    expected[-1] += 15
    np.testing.assert_allclose(ward.rewards(stay), expected, rtol=1e-6)
    assert ward.arrays.terminals.all()
    # One patient died at hour 13; of another only a later date of death is known.
    assert ward.arrays.lengths[ward.stay_of(16)] == 3
    assert ward.rewards(ward.stay_of(16))[-1] < -14
    assert ward.rewards(ward.stay_of(17))[-1] > 14


def test_other_rewards_and_deaths(tmp_path):
    patients = [patient for patient in WARD if patient[0] in (1, 16, 17)]
    late = build(
        tmp_path / "a",
        *patients,
        config={"reward": "terminal", "mortality": "90_days"},
    )
    last = {n: late.rewards(late.stay_of(n))[-1] for n in (1, 16, 17)}
    # Of the one who died in hospital no date stands with the patients.
    assert last == {1: 15.0, 16: 15.0, 17: -15.0}
    negative = build(tmp_path / "b", *patients, config={"reward": "negative_sofa"})
    stay = negative.stay_of(1)
    sofa = negative.feature("sofa", stay)
    np.testing.assert_array_equal(negative.rewards(stay), -sofa[1:])
    # Without a reward for the outcome only death ends an episode.
    ended = [negative.arrays.terminals[negative.stay_of(n)] for n in (1, 16, 17)]
    assert ended == [False, True, False]


def test_organs_make_the_score(ward):
    # The last row no longer counts the platelets of 24 hours ago.
    score = ward.feature("sofa", ward.stay_of(12))
    assert score.tolist() == [0, 2, 2, 5, 7, 8, 9, 7]


def test_a_day_of_urine_counts_once_it_was_collected(ward):
    """30 mL every two hours: 3 points from hour 24 on, 60 mL in each step."""
    little, enough = ward.stay_of(13), ward.stay_of(1)
    change = ward.feature("sofa", little) - ward.feature("sofa", enough)
    assert change.tolist() == [0] * 6 + [3, 3]
    assert ward.feature("urine_last", little).tolist() == [0] + [60] * 7
    assert ward.feature("urine_total", little)[-1] == 420
    rate = ward.channel("urine", "values", little)
    np.testing.assert_allclose(rate[1:], 60 / 80 / 4, rtol=1e-6)
    measured = ward.channel("urine", "measured", little)
    assert measured.tolist() == [False] + [True] * 7


def test_channels_know_when_they_were_measured(ward):
    # Drawn at hours -1, 7, 9, 15 and 23; the rows stand at 0, 4, 8, 12, ...
    values, measured, ages = (
        ward.channel("lactate", field, ward.stay_of(14))[:5].tolist()
        for field in ("values", "measured", "ages")
    )
    assert values == [1.5, 1.5, 1.5, 5.0, 1.5]
    assert measured == [True, False, True, True, True]
    assert ages == [0, 1, 0, 0, 0]


def test_ventilation_from_devices_and_modes(ward):
    # "Other" says nothing; a mode stands for eight hours, a face tent ends it.
    found = ward.feature("ventilated", ward.stay_of(15))
    assert found.tolist() == [0, 0, 1, 1, 0, 0, 0, 0]


@pytest.mark.parametrize(
    ("policy", "score", "points"),
    [("charted", 11, 2), ("missing", 15, 0)],
)
def test_coma_score_of_intubated_patients(tmp_path, policy, score, points):
    def tube(records, subject, stay):
        records.chart(subject, 223900, 13.0, 1, text="No Response-ETT")

    outcome = build(
        tmp_path, (1, {}, None), (2, {}, tube), config={"intubated": policy}
    )
    plain, tubed = outcome.stay_of(1), outcome.stay_of(2)
    assert outcome.feature("gcs", tubed)[4] == score
    # A missing score is imputed from the other patient, and gives no points.
    found = outcome.feature("sofa", tubed)[4] - outcome.feature("sofa", plain)[4]
    assert found == points


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


@pytest.mark.slow
def test_large_tables_are_streamed_past_the_cohort(tmp_path):
    directory = treated(3).write(tmp_path)
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

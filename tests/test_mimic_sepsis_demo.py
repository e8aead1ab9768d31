"""The sepsis cohort on the open demo records, beside a few lines of pandas."""

import os
import pathlib
from collections import Counter

import numpy as np
import pandas as pd
import pytest

from data_prep import command, hold, mimic_sepsis, people
from data_prep.clock import HOUR, Clock, seconds, times
from data_prep.sepsis import databases, evidence, selections, volumes
from data_prep.sepsis.config import Config
from data_prep.sepsis.items import SEPSIS
from omgrl_jax.data import dataset

_HERE = pathlib.Path(__file__).resolve().parent
_SHARED = _HERE.parents[1] / "shared" / "data"
DEMO = pathlib.Path(os.environ.get("OMGRL_MIMIC3_DEMO", _SHARED / "mimic-iii-demo"))
DEMO4 = pathlib.Path(os.environ.get("OMGRL_MIMIC4_DEMO", _SHARED / "mimic-iv-demo"))
needs_demo = pytest.mark.skipif(
    not DEMO.is_dir(),
    reason=f"the open MIMIC-III demo is not at {DEMO}; set OMGRL_MIMIC3_DEMO",
)
needs_demo4 = pytest.mark.skipif(
    not DEMO4.is_dir(),
    reason=f"the open MIMIC-IV demo is not at {DEMO4}; set OMGRL_MIMIC4_DEMO",
)

# As mimic-code's pivoted_vital, pivoted_gcs and pivoted_uo name them.
MEAN_PRESSURE = [456, 52, 6702, 443, 220052, 220181, 225312]
COMA = {184: "e", 220739: "e", 723: "v", 223900: "v", 454: "m", 223901: "m"}
URINE = [
    *(40055, 43175, 40069, 40094, 40715, 40473, 40085, 40057, 40056, 40405, 40428),
    *(40096, 40651, 226559, 226560, 226561, 226584, 226563, 226564, 226565, 226567),
    *(226557, 226558, 227488, 227489),
]


@pytest.fixture(scope="module")
def read():
    """Hourly rows of the first three days of every adult ICU stay."""
    if not DEMO.is_dir():
        pytest.skip("no demo")
    source = databases.open_directory(DEMO)
    stays = selections.stays(source)
    stays = people.adults(stays, 18, people.Sieve("ICU stays", stays))
    stays = stays.sort_values("icustay_id", ignore_index=True)
    start = stays["admission"].to_numpy(np.int64)
    hours = (seconds(stays["outtime"]) - start) // HOUR
    clock = Clock(np.clip(hours, 1, 72))
    frame = stays.assign(start=start)
    windows = pd.DataFrame(
        {
            "stay": np.arange(len(frame)),
            "icustay_id": frame["icustay_id"],
            "since": times(start),
            "until": times(start + clock.steps * HOUR),
        }
    )
    catalogue = SEPSIS.only(
        *("weight", "specimen", "pao2", "fio2", "mbp", "intubated"),
        *("gcs", "gcs_eyes", "gcs_verbal", "gcs_motor", "pao2_fio2"),
    )
    silent = command.Stages(_Silent())
    found = evidence.read(source, catalogue, frame, clock, Counter(), silent)
    passed = volumes.urine(selections.urine(source, windows), Counter())
    chart = pd.read_csv(
        DEMO / "CHARTEVENTS.csv.gz",
        usecols=["subject_id", "itemid", "charttime", "value", "valuenum", "error"],
        parse_dates=["charttime"],
        low_memory=False,
    )
    chart = chart[chart["error"] != 1]
    return frame, clock, catalogue, found, passed, chart


class _Silent:
    def set_description(self, *given): ...
    def set_postfix(self, **given): ...
    def update(self): ...


def rows_of(frame, clock):
    """The rows as a frame: subject and time."""
    stay, step = clock.rows()
    at = frame["start"].to_numpy()[stay] + step * HOUR
    return pd.DataFrame(
        {
            "row": np.arange(stay.size),
            "subject_id": frame["subject_id"].to_numpy()[stay],
            "at": pd.to_datetime(at, unit="s").astype("datetime64[us]"),
        }
    ).sort_values("at")


def last_within(rows, charted, hours):
    """The last line of `charted` at or before each row, if recent enough."""
    charted = charted.assign(charttime=charted["charttime"].astype("datetime64[us]"))
    return pd.merge_asof(
        rows,
        charted.sort_values("charttime"),
        left_on="at",
        right_on="charttime",
        by="subject_id",
        tolerance=pd.Timedelta(hours=hours),
    ).sort_values("row", ignore_index=True)


@needs_demo
def test_mean_blood_pressure_agrees_with_pandas(read):
    frame, clock, catalogue, found, _, chart = read
    own = chart[chart["itemid"].isin(MEAN_PRESSURE)]
    own = own[(own["valuenum"] >= 10) & (own["valuenum"] <= 250)]
    grouped = own.groupby(["subject_id", "charttime"])["valuenum"]
    averaged = grouped.agg(["mean", "size"]).reset_index()
    expected = last_within(rows_of(frame, clock), averaged, 2)
    held = hold.hold(found, catalogue, clock, "mbp").value
    # Of several at one time the public concept takes the mean, we the arterial line.
    single = (expected["size"] == 1).to_numpy()
    several = (expected["size"] > 1).to_numpy()
    assert several.mean() < 0.05
    np.testing.assert_allclose(held[single], expected["mean"][single])
    assert np.isnan(held[~single & ~several]).all()
    assert single.sum() > 3000


@needs_demo
def test_coma_score_agrees_with_pandas(read):
    frame, clock, catalogue, found, _, chart = read
    own = chart[chart["itemid"].isin(COMA)].assign(part=chart["itemid"].map(COMA))
    tube = own["value"].isin(["1.0 ET/Trach", "No Response-ETT"])
    own["valuenum"] = own["valuenum"].mask(tube, 99.0)
    wide = own.pivot_table(
        index=["subject_id", "charttime"], columns="part", values="valuenum"
    ).reset_index()
    wide["score"] = wide["e"] + wide["v"] + wide["m"]
    # A verbal response that a tube hides stands for a normal score.
    wide["score"] = wide["score"].mask(wide["v"] == 99.0, 15.0)
    wide["whole"] = wide[["e", "v", "m"]].notna().all(axis=1)
    expected = last_within(rows_of(frame, clock), wide, 6)
    held, _ = hold.coma_score(found, catalogue, clock, "normal")
    # Charted in parts the public concept fills in by rules of its own.
    whole = expected["whole"].fillna(False).to_numpy(bool)
    assert whole.sum() > 3000
    agree = held.value[whole] == expected["score"][whole].to_numpy()
    assert agree.mean() > 0.995, agree.mean()


@needs_demo
def test_hourly_urine_agrees_with_pandas(read):
    frame, clock, _, _, passed, _ = read
    table = pd.read_csv(DEMO / "OUTPUTEVENTS.csv.gz", parse_dates=["charttime"])
    table = table[table["itemid"].isin(URINE) & table["value"].notna()]
    sign = np.where(table["itemid"] == 227488, -1, 1)
    place = pd.Series(np.arange(len(frame)), index=frame["icustay_id"])
    stay = table["icustay_id"].map(place)
    table = table.assign(value=table["value"] * sign, stay=stay).dropna(subset=["stay"])
    stay = table["stay"].astype(int)
    began = frame["intime"].to_numpy()[stay]
    hour = np.ceil((table["charttime"] - began) / pd.Timedelta(hours=1)).astype(int)
    # From the ICU admission on.
    inside = (table["charttime"] >= began) & (hour <= clock.steps[stay])
    table = table[inside].assign(hour=hour)
    # What was flushed in is owed until as much has come out.
    summed = table.groupby(["stay", "charttime"])[["value", "hour"]].agg(
        {"value": "sum", "hour": "first"}
    )
    owed, nets = Counter(), []
    for (own, _), value in summed["value"].items():
        nets.append(max(value - owed[own], 0.0))
        owed[own] = max(owed[own] - value, 0.0)
    summed = summed.assign(value=nets).reset_index()
    summed = summed.groupby(["stay", "hour"])["value"].sum()
    expected = np.zeros(clock.rows()[0].size)
    assert sum(owed.values()) < 0.02 * sum(nets)
    stays, hours = (summed.index.get_level_values(n).astype(int) for n in (0, 1))
    expected[clock.first_rows()[stays] + hours] = summed.to_numpy()
    found = volumes.flowed(passed, clock, frame["start"].to_numpy(np.int64))
    np.testing.assert_allclose(found.step, expected.round())
    assert (expected > 0).sum() > 2000


@needs_demo
def test_the_command_end_to_end(tmp_path):
    fingerprint = mimic_sepsis.convert(DEMO, tmp_path / "out", Config())
    loaded = dataset.load(tmp_path / "out")
    assert loaded.hash == fingerprint
    arrays = loaded.trajectories
    assert arrays.lengths.size >= 50
    assert arrays.lengths.min() >= 2 and arrays.lengths.max() <= 18
    assert set(arrays.split.tolist()) == {0, 1, 2}
    assert loaded.schema.actions.count == 9
    assert (np.bincount(arrays.actions, minlength=9) > 0).sum() >= 7
    names = [feature.name for feature in loaded.schema.features]
    assert arrays.observations[:, names.index("icu_hours")].min() >= 0
    # By definition the score stands at 2 or more in the 24 hours after the onset, which
    # comes within 24 hours of a stay's start (a short stay may end before a row does).
    sofa = arrays.observations[:, names.index("sofa")]
    for first, length in zip(
        dataset.row_starts(arrays.lengths), arrays.lengths, strict=True
    ):
        assert length < 7 or sofa[first : first + 8].max() >= 2
    last = np.cumsum(arrays.lengths) - 1
    assert (np.abs(arrays.rewards[last]) > 10).all()


@needs_demo4
def test_the_demo_of_mimic4_lacks_a_table():
    with pytest.raises(databases.files.SourceError, match=r"table icu/\w+ is missing"):
        databases.open_directory(DEMO4)

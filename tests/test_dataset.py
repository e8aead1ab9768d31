"""The dataset format: what goes in comes out, and every fault is one clear error."""

import dataclasses
import json
import zipfile

import numpy as np
import pytest
import tiny_dataset

from omgrl_jax.data import dataset

SCHEMA = tiny_dataset.schema()
ARRAYS = tiny_dataset.trajectories()


@pytest.fixture
def saved(tmp_path):
    dataset.save(tmp_path, SCHEMA, ARRAYS)
    return tmp_path


def test_what_is_saved_is_loaded(tmp_path):
    arrays = tiny_dataset.trajectories(rewards=True)
    simulator = {"name": "toy", "rates": [1, 2]}
    schema = dataclasses.replace(SCHEMA, simulator=simulator)
    fingerprint = dataset.save(tmp_path / "new" / "folder", schema, arrays)
    loaded = dataset.load(tmp_path / "new" / "folder")
    assert loaded.schema == schema
    assert loaded.hash == fingerprint == dataset.content_hash(schema, arrays)
    for name, array in loaded.trajectories._asdict().items():
        wanted = getattr(arrays, name)
        if wanted is None:
            assert array is None
            continue
        kind = {"f": np.float32, "i": np.int32, "b": np.bool_}[wanted.dtype.kind]
        assert array.dtype == kind
        np.testing.assert_array_equal(array, wanted.astype(kind), err_msg=name)


def test_nothing_clinical_is_required(tmp_path):
    schema = dataset.Schema("game", (dataset.Feature("x"),), dataset.Actions(2))
    arrays = dataset.Trajectories(
        observations=np.zeros((3, 1)),
        actions=np.array([0, 1]),
        lengths=np.array([2]),
        patients=np.array([0]),
        split=np.array([0], np.int8),
        terminals=np.array([True]),
    )
    dataset.save(tmp_path, schema, arrays)
    assert dataset.load(tmp_path).schema == schema


def test_the_hash_sees_every_array_and_the_schema():
    seen = {dataset.content_hash(SCHEMA, ARRAYS)}
    for name, array in ARRAYS._asdict().items():
        if array is not None:
            other = np.array(array)
            other.flat[0] = 1 - other.flat[0]
            seen.add(dataset.content_hash(SCHEMA, ARRAYS._replace(**{name: other})))
    seen.add(dataset.content_hash(dataclasses.replace(SCHEMA, name="b"), ARRAYS))
    assert len(seen) == 2 + sum(array is not None for array in ARRAYS)


def test_row_starts_by_hand():
    # Stays of 2, 1 and 3 actions have 3, 2 and 4 rows.
    np.testing.assert_array_equal(dataset.row_starts(np.array([2, 1, 3])), [0, 3, 5])


def changed(name, index, value):
    array = np.array(getattr(ARRAYS, name))
    array[index] = value
    return ARRAYS._replace(**{name: array})


ROWS = len(ARRAYS.observations)
SECOND = int(ARRAYS.lengths[0]) + 1  # first row of the second stay
LEAK = ARRAYS.split.copy()
LEAK[1] = 2  # stays 0 and 1 are one patient's

FAULTS = {
    "too few rows": (
        ARRAYS._replace(observations=ARRAYS.observations[:-1]),
        rf"observations: has shape \[{ROWS - 1}, 2\].*\[{ROWS}, 2\]",
    ),
    "too few columns": (
        ARRAYS._replace(observations=ARRAYS.observations[:, :1]),
        rf"observations: has shape \[{ROWS}, 1\].*\[{ROWS}, 2\]",
    ),
    "too few actions": (
        ARRAYS._replace(actions=ARRAYS.actions[1:]),
        "actions: has shape",
    ),
    "one column of actions": (
        ARRAYS._replace(actions=ARRAYS.actions[:, None]),
        "actions: has shape",
    ),
    "channels without axis": (
        ARRAYS._replace(channel_values=ARRAYS.channel_values[:, 0]),
        "channel_values: has shape",
    ),
    "float actions": (
        ARRAYS._replace(actions=ARRAYS.actions.astype(float)),
        "actions: has type float64, expected int32",
    ),
    "integer flags": (
        ARRAYS._replace(terminals=ARRAYS.terminals.astype(int)),
        "terminals: has type int64, expected bool",
    ),
    "integer observations": (
        ARRAYS._replace(observations=ARRAYS.observations.astype(int)),
        "observations: has type int64, expected float32",
    ),
    "NaN": (
        changed("observations", (5, 1), np.nan),
        "observations: row 5 holds NaN",
    ),
    "infinite dose": (changed("amounts", 3, np.inf), "amounts: row 3 holds NaN or an"),
    "NaN in a channel": (
        changed("channel_values", (4, 0), np.nan),
        "channel_values: row 4",
    ),
    "action too large": (changed("actions", 7, 3), r"actions: row 7 .*0\.\.2"),
    "negative action": (changed("actions", 2, -1), r"actions: row 2 .*0\.\.2"),
    "empty stay": (changed("lengths", 1, 0), "lengths: stay 1 has fewer than one"),
    "unknown split": (changed("split", 4, 3), "split: stay 4 is not 0, 1 or 2"),
    "nothing to train on": (
        ARRAYS._replace(split=np.ones_like(ARRAYS.split)),
        "split: there is no training stay",
    ),
    "leakage": (ARRAYS._replace(split=LEAK), "split: stay 1 .*patient.*leakage"),
    "static feature moves": (
        changed("observations", (SECOND + 1, 0), 99.0),
        f"observations: row {SECOND + 1}: static feature 'weight' changes",
    ),
    "log of zero": (
        changed("observations", (6, 1), 0.0),
        "observations: row 6: 'pulse' has scale log",
    ),
    "log of a negative channel": (
        changed("channel_values", (8, 0), -1.0),
        "channel_values: row 8: 'aptt' has scale log",
    ),
    "no channel": (
        ARRAYS._replace(channel_measured=None),
        "channel_measured: is missing",
    ),
    "no split": (ARRAYS._replace(split=None), "split: is missing"),
    "no lengths": (ARRAYS._replace(lengths=None), "lengths: needs shape"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_each_fault_is_named(fault):
    arrays, message = FAULTS[fault]
    with pytest.raises(dataset.DatasetError, match=rf"^trajectories.npz: {message}"):
        dataset.validate(SCHEMA, arrays)


def test_sound_arrays_pass():
    assert dataset.validate(SCHEMA, ARRAYS) is None  # raises on any fault


def test_wrong_stay_boundaries_show_in_static_features():
    """Two lengths exchanged: all shapes still fit."""
    lengths = np.array(ARRAYS.lengths)
    lengths[:2] = lengths[0] + 1, lengths[1] - 1
    with pytest.raises(dataset.DatasetError, match="stay boundaries"):
        dataset.validate(SCHEMA, ARRAYS._replace(lengths=lengths))


def test_recorded_reward_must_be_there():
    schema = tiny_dataset.schema("recorded")
    with pytest.raises(dataset.DatasetError, match="rewards: is missing"):
        dataset.validate(schema, ARRAYS)


def test_nothing_is_written_for_a_faulty_dataset(tmp_path):
    with pytest.raises(dataset.DatasetError):
        dataset.save(tmp_path / "out", SCHEMA, changed("observations", (5, 1), np.nan))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("name", "array"),
    [
        ("actions", ARRAYS.actions + 0.5),
        ("split", ARRAYS.split + 2**32),
        ("terminals", ARRAYS.terminals * 2),
    ],
)
def test_saving_never_changes_a_number(tmp_path, name, array):
    with pytest.raises(dataset.DatasetError, match=f"{name}: .*stored as"):
        dataset.save(tmp_path / "out", SCHEMA, ARRAYS._replace(**{name: array}))


def test_missing_files_are_named(saved):
    (saved / "trajectories.npz").unlink()
    with pytest.raises(dataset.DatasetError, match=r"trajectories\.npz: no such file"):
        dataset.load(saved)
    with pytest.raises(dataset.DatasetError, match=r"schema\.json: no such file"):
        dataset.load(saved / "elsewhere")


def plain_array(path):
    with path.open("wb") as file:
        np.save(file, np.zeros(3))


def flipped_byte(path):
    """One bit of one array turned, the archive's directory left as it is."""
    content = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as archive:
        item = archive.getinfo("observations.npy")
    content[item.header_offset + 400] ^= 1
    path.write_bytes(bytes(content))


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.write_bytes(path.read_bytes()[:-100]),
        lambda path: path.write_bytes(path.read_bytes()[:200]),
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(b"not an archive"),
        plain_array,
        flipped_byte,
    ],
    ids=["cut at the end", "cut early", "empty", "text", "one array", "bit"],
)
def test_damaged_arrays_are_one_clear_error(saved, damage):
    damage(saved / "trajectories.npz")
    with pytest.raises(dataset.DatasetError, match=r"^trajectories\.npz: cannot be re"):
        dataset.load(saved)


def rewrite(directory, **changes):
    with np.load(directory / "trajectories.npz") as archive:
        arrays = {name: archive[name] for name in archive.files}
    arrays = {k: v for k, v in {**arrays, **changes}.items() if v is not None}
    np.savez(directory / "trajectories.npz", **arrays)


def test_pickled_objects_are_refused(saved):
    rewrite(saved, patients=np.array([{"a": 1}] * len(ARRAYS.lengths), object))
    with pytest.raises(dataset.DatasetError, match=r"^trajectories.npz: cannot be re"):
        dataset.load(saved)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"extra": np.zeros(3)}, r"unknown array \['extra'\]"),
        ({"split": None}, r"missing array \['split'\]"),
        ({"actions": ARRAYS.actions[::-1]}, "content hash differs"),
    ],
)
def test_other_arrays_are_refused(saved, changes, message):
    rewrite(saved, **changes)
    with pytest.raises(dataset.DatasetError, match=f"^trajectories.npz: {message}"):
        dataset.load(saved)


def without(field):
    return lambda raw: {k: v for k, v in raw.items() if k != field}


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda raw: {**raw, "version": 2}, "version"),
        (lambda raw: {**raw, "colour": "red"}, "unknown field.*colour"),
        (without("features"), "missing or unknown field.*features"),
        (without("actions"), "missing or unknown field.*actions"),
        (lambda raw: {**raw, "features": [{"label": "x"}]}, "unknown field.*label"),
        (lambda raw: {**raw, "actions": [3]}, "unknown field"),
        (lambda raw: {**raw, "channels": ["aptt"]}, "unknown field"),
        (lambda raw: {**raw, "default_state": "none"}, "default_state: 'none'"),
        (lambda raw: [raw], "version"),
    ],
)
def test_faults_of_the_schema_file_are_named(saved, edit, message):
    raw = json.loads((saved / "schema.json").read_text())
    (saved / "schema.json").write_text(json.dumps(edit(raw)))
    with pytest.raises(dataset.DatasetError, match=rf"^schema\.json: .*{message}"):
        dataset.load(saved)


def test_text_that_is_no_json_is_named(saved):
    (saved / "schema.json").write_text("{")
    with pytest.raises(dataset.DatasetError, match=r"^schema\.json: not valid JSON"):
        dataset.load(saved)


TWICE = (dataset.Feature("pulse"), dataset.Feature("pulse"))
NO_TARGET = (dataset.Channel("aptt"),)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"features": ()}, "features: at least one"),
        ({"features": TWICE}, "features: a name appears twice"),
        ({"kind": "clinic"}, "kind: 'clinic'"),
        ({"features": (dataset.Feature("x", scale="sqrt"),)}, "'x': scale 'sqrt'"),
        ({"actions": dataset.Actions(1)}, "actions.count"),
        (
            {"actions": dataset.Actions(3, amounts=(1.0,))},
            "actions.amounts: 1 values for 3",
        ),
        ({"actions": dataset.Actions(3, labels=("a",))}, "actions.labels: 1 values"),
        ({"actions": dataset.Actions(3, edges=(1.0,))}, "actions.edges: 2 edges .*1 g"),
        ({"channels": ()}, "reads channel 'aptt'"),
        ({"states": {"a": ("pulse", "mass")}}, r"states.a: unknown .*\['mass'\]"),
        ({"default_state": "b"}, "default_state: 'b'"),
        ({"reward": {"kind": "guess"}}, "reward.kind: 'guess'"),
        ({"reward": {"kind": "range", "channel": "inr"}}, "reward.channel: .*'inr'"),
        ({"channels": NO_TARGET}, "reward.channel: .*no target"),
    ],
)
def test_faults_of_a_schema_are_named(changes, message):
    schema = dataclasses.replace(SCHEMA, **changes)
    with pytest.raises(dataset.DatasetError, match=rf"^schema\.json: .*{message}"):
        dataset.validate(schema, ARRAYS)


def test_a_state_that_lacks_a_partner_is_refused():
    """The rule needs the last value in the SAME state, not only in the dataset."""
    schema = dataclasses.replace(
        SCHEMA, states={"a": ("pulse", "aptt_previous")}, default_state="a"
    )
    with pytest.raises(dataset.DatasetError, match="'aptt_previous'"):
        dataset.validate(schema, ARRAYS)


def test_an_unknown_state_names_the_flag_and_what_there_is():
    with pytest.raises(ValueError, match=r"--state=all: .*full, history, paper"):
        SCHEMA.state("all")


def test_heparin_states_nest():
    tracked, states = dataset.heparin_states(["weight"], 3.0, 1)
    assert states["paper"] == ("weight",)
    assert states["full"] == ("weight", "aptt_last", "aptt_age", "dose_last")
    assert states["history"] == (
        *states["full"],
        "dose_average",
        "dose_average_at_draw",
        "aptt_previous",
    )
    assert set(states) == {"paper", "full", "history"}
    _, more = dataset.heparin_states(["weight"], indicators=["weight_missing"])
    assert more["full"] == states["full"]
    assert more["full_missing"] == ("weight_missing", *states["full"])
    halves = {t.name: t.half_life for t in tracked if t.half_life}
    assert halves == {"dose_average": 3.0, "dose_average_at_draw": 3.0}
    delayed = {t.name for t in tracked if t.delay}
    assert delayed == {"aptt_age", "dose_average_at_draw"}

"""The dataset format: `trajectories.npz` + `schema.json`, written and validated.

WORKSPACE.md describes the arrays. Whole stays are kept with their real lengths; the
last state is kept; nothing clinical is required. Everything here is numpy.
"""

import hashlib
import pathlib
import zipfile
import zlib
from typing import NamedTuple

import numpy as np

from omgrl_jax.data import schema as schema_lib
from omgrl_jax.data.schema import (
    APTT,
    HEPARIN_FEATURES,
    Actions,
    Channel,
    Drug,
    Feature,
    Schema,
    Tracked,
    heparin_states,
)
from omgrl_jax.runtime import storage

__all__ = [
    "APTT",
    "HEPARIN_FEATURES",
    "SPLITS",
    "Actions",
    "Channel",
    "Dataset",
    "DatasetError",
    "Drug",
    "Feature",
    "Schema",
    "Tracked",
    "Trajectories",
    "content_hash",
    "heparin_states",
    "load",
    "row_starts",
    "save",
    "validate",
]

SPLITS = ("train", "validation", "test")
_ARRAYS, _SCHEMA = "trajectories.npz", "schema.json"


class DatasetError(ValueError):
    """A fault in a dataset; the message names file, field and row."""


class Trajectories(NamedTuple):
    """The arrays of `trajectories.npz`; shapes in WORKSPACE.md, stays end to end."""

    observations: np.ndarray
    actions: np.ndarray
    lengths: np.ndarray
    patients: np.ndarray
    split: np.ndarray
    terminals: np.ndarray
    amounts: np.ndarray | None = None
    rewards: np.ndarray | None = None
    channel_values: np.ndarray | None = None
    channel_measured: np.ndarray | None = None
    channel_ages: np.ndarray | None = None
    channel_censored: np.ndarray | None = None


class Dataset(NamedTuple):
    """A validated dataset."""

    schema: Schema
    trajectories: Trajectories
    hash: str


# name -> (axes, numpy kind); axes: R rows, M actions, N stays, F features, C channels,
# P features of continuous actions
_FIELDS = {
    "observations": ("RF", "f"),
    "actions": ("M", "i"),  # or `_CONTINUOUS`
    "lengths": ("N", "i"),
    "patients": ("N", "i"),
    "split": ("N", "i"),
    "terminals": ("N", "b"),
    "amounts": ("M", "f"),
    "rewards": ("M", "f"),
    "channel_values": ("RC", "f"),
    "channel_measured": ("RC", "b"),
    "channel_ages": ("RC", "f"),
    "channel_censored": ("RC", "b"),
}
_CONTINUOUS = ("MP", "f")
_REQUIRED = ("observations", "actions", "lengths", "patients", "split", "terminals")
_DTYPES = {"f": np.float32, "i": np.int32, "b": np.bool_}


def row_starts(lengths: np.ndarray) -> np.ndarray:
    """First observation row of every stay, [N], from the numbers of actions [N]."""
    return np.concatenate([[0], np.cumsum(lengths + 1)[:-1]]).astype(np.int64)


def validate(schema: Schema, trajectories: Trajectories) -> None:
    """Checks that arrays and schema describe one sound dataset.

    Args:
      schema: the description.
      trajectories: the arrays.

    Raises:
      DatasetError: on the first fault, naming file, field and row.
    """
    try:
        schema_lib.check(schema)
    except ValueError as error:
        raise DatasetError(f"{_SCHEMA}: {error}") from error
    lengths = np.asarray(trajectories.lengths)
    _check_lengths(lengths)
    sizes = {
        "R": int(lengths.sum() + lengths.size),
        "M": int(lengths.sum()),
        "N": lengths.size,
        "F": len(schema.features),
        "C": len(schema.channels),
        "P": len(schema.actions.low),
    }
    for name, (axes, kind) in _fields(schema).items():
        array = getattr(trajectories, name)
        if array is None:
            _expect(name not in _REQUIRED, name, "is missing")
            continue
        _check_array(name, np.asarray(array), tuple(sizes[a] for a in axes), kind)
    if schema.channels:
        for name in ("channel_values", "channel_measured", "channel_ages"):
            _expect(
                getattr(trajectories, name) is not None,
                name,
                "is missing, but schema.json names channels",
            )
    if schema.reward.get("kind") == "recorded":
        _expect(
            trajectories.rewards is not None,
            "rewards",
            "is missing, but schema.json says reward.kind = recorded",
        )
    _check_values(schema, trajectories)
    _check_split(np.asarray(trajectories.patients), np.asarray(trajectories.split))


def save(directory: str | pathlib.Path, schema: Schema, arrays: Trajectories) -> str:
    """Validates and writes a dataset atomically.

    Args:
      directory: where to write; made when missing.
      schema: the description.
      arrays: the arrays; numbers are stored as float32, int32 and bool.

    Returns:
      The content hash.

    Raises:
      DatasetError: if the dataset is not sound; nothing is written then.
    """
    given = {k: v for k, v in arrays._asdict().items() if v is not None}
    kinds = {name: kind for name, (_, kind) in _fields(schema).items()}
    typed = arrays._replace(
        **{k: _typed(k, np.asarray(v), kinds[k]) for k, v in given.items()}
    )
    validate(schema, typed)
    directory = pathlib.Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    present = {k: v for k, v in typed._asdict().items() if v is not None}
    fingerprint = content_hash(schema, typed)
    storage.atomic_savez(directory / _ARRAYS, **present)
    storage.atomic_write(directory / _SCHEMA, schema_lib.to_json(schema, fingerprint))
    return fingerprint


def load(directory: str | pathlib.Path) -> Dataset:
    """Reads and validates a dataset.

    Args:
      directory: a directory that holds both files.

    Returns:
      The dataset.

    Raises:
      DatasetError: on a missing file, a fault in it, or arrays that do not match the
        content hash.
    """
    directory = pathlib.Path(directory)
    for name in (_SCHEMA, _ARRAYS):
        if not (directory / name).is_file():
            raise DatasetError(
                f"{directory / name}: no such file; make a dataset with "
                "'python -m data_prep.virtual --out=DIR' or see WORKSPACE.md"
            )
    try:
        schema, expected = schema_lib.from_json((directory / _SCHEMA).read_text())
    except ValueError as error:
        raise DatasetError(f"{_SCHEMA}: {error}") from error
    arrays = _read(directory / _ARRAYS)
    if unknown := sorted(set(arrays) - set(_FIELDS)):
        raise DatasetError(f"{_ARRAYS}: unknown array {unknown}")
    if absent := [name for name in _REQUIRED if name not in arrays]:
        raise DatasetError(f"{_ARRAYS}: missing array {absent}")
    trajectories = Trajectories(**arrays)
    validate(schema, trajectories)
    actual = content_hash(schema, trajectories)
    if expected and expected != actual:
        raise DatasetError(
            f"{_ARRAYS}: content hash differs from the one in {_SCHEMA}; the two files "
            "do not belong together, or one was changed after it was written"
        )
    return Dataset(schema, trajectories, actual)


def content_hash(schema: Schema, trajectories: Trajectories) -> str:
    """SHA-256 over the schema and every array, as hexadecimal text."""
    digest = hashlib.sha256(schema_lib.to_json(schema, "").encode())
    for name, (_, kind) in _fields(schema).items():
        array = getattr(trajectories, name)
        if array is not None:
            digest.update(name.encode())
            digest.update(np.ascontiguousarray(array, _DTYPES[kind]).tobytes())
    return digest.hexdigest()


def _fields(schema: Schema) -> dict[str, tuple[str, str]]:
    """The arrays of a dataset: name -> (axes, numpy kind)."""
    return _FIELDS if schema.actions.count else {**_FIELDS, "actions": _CONTINUOUS}


def _typed(name: str, array: np.ndarray, kind: str) -> np.ndarray:
    """The array as it is stored; only rounding to float32 may change a number."""
    with np.errstate(invalid="ignore", over="ignore"):
        typed = np.ascontiguousarray(array, _DTYPES[kind])
    _expect(
        kind == "f" or np.array_equal(typed, array),
        name,
        f"holds values that cannot be stored as {_DTYPES[kind].__name__}",
    )
    return typed


def _read(path: pathlib.Path) -> dict[str, np.ndarray]:
    try:
        # Opened here, since numpy leaves the file open where the archive is damaged.
        with path.open("rb") as file:
            archive = np.load(file, allow_pickle=False)
            if not isinstance(archive, np.lib.npyio.NpzFile):
                raise ValueError("a single array, not an archive of arrays")
            return {name: archive[name] for name in archive.files}
    except (ValueError, OSError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise DatasetError(f"{_ARRAYS}: cannot be read ({error})") from error


def _expect(holds: bool, field: str, message: str) -> None:
    if not holds:
        raise DatasetError(f"{_ARRAYS}: {field}: {message}")


def _check_lengths(lengths: np.ndarray) -> None:
    _expect(lengths.ndim == 1 and lengths.size > 0, "lengths", "needs shape [N], N > 0")
    _expect(lengths.dtype.kind in "iu", "lengths", "must be integers")
    short = np.flatnonzero(lengths < 1)
    _expect(
        short.size == 0, "lengths", f"stay {_first(short)} has fewer than one action"
    )


def _check_array(name: str, array: np.ndarray, shape: tuple, kind: str) -> None:
    _expect(
        array.shape == shape,
        name,
        f"has shape {list(array.shape)}, lengths and schema.json ask for {list(shape)}",
    )
    kinds = {"f": "f", "i": "iu", "b": "b"}[kind]
    _expect(
        array.dtype.kind in kinds,
        name,
        f"has type {array.dtype}, expected {_DTYPES[kind].__name__}",
    )
    if kind == "f":
        rows = np.argwhere(~np.isfinite(array))
        _expect(
            rows.size == 0, name, f"row {_first(rows)} holds NaN or an infinite value"
        )


def _check_values(schema: Schema, trajectories: Trajectories) -> None:
    actions = np.asarray(trajectories.actions)
    if schema.actions.count:
        low, high = 0, schema.actions.count - 1
        allowed = f"0..{high}"
    else:
        bounds = np.asarray([schema.actions.low, schema.actions.high], np.float32)
        low, high = bounds[:, None]
        allowed = "the bounds of schema.json"
    wrong = np.argwhere((actions < low) | (actions > high))
    _expect(wrong.size == 0, "actions", f"row {_first(wrong)} is outside {allowed}")
    split = np.asarray(trajectories.split)
    wrong = np.flatnonzero((split < 0) | (split >= len(SPLITS)))
    _expect(wrong.size == 0, "split", f"stay {_first(wrong)} is not 0, 1 or 2")
    _expect(bool((split == 0).any()), "split", "there is no training stay (0)")
    starts = row_starts(np.asarray(trajectories.lengths))
    stay_of_row = np.repeat(np.arange(starts.size), trajectories.lengths + 1)
    for column, feature in enumerate(schema.features):
        values = trajectories.observations[:, column]
        if feature.scale == "log":
            wrong = np.flatnonzero(values <= 0)
            _expect(
                wrong.size == 0,
                "observations",
                f"row {_first(wrong)}: '{feature.name}' has scale log and is not "
                "positive",
            )
        if feature.static:
            moved = np.flatnonzero(values != values[starts][stay_of_row])
            _expect(
                moved.size == 0,
                "observations",
                f"row {_first(moved)}: static feature '{feature.name}' changes within "
                "its stay (are stay boundaries and lengths right?)",
            )
    for column, channel in enumerate(schema.channels):
        values = np.asarray(trajectories.channel_values)[:, column]
        wrong = np.flatnonzero(values <= 0) if channel.scale == "log" else values[:0]
        _expect(
            wrong.size == 0,
            "channel_values",
            f"row {_first(wrong)}: '{channel.name}' has scale log and is not positive",
        )


def _check_split(patients: np.ndarray, split: np.ndarray) -> None:
    order = np.argsort(patients, kind="stable")
    same = patients[order][1:] == patients[order][:-1]
    leaks = np.flatnonzero(same & (split[order][1:] != split[order][:-1]))
    _expect(
        leaks.size == 0,
        "split",
        f"stay {order[1:][leaks][0] if leaks.size else 0} shares its patient with a "
        "stay of another split (leakage)",
    )


def _first(rows: np.ndarray) -> int:
    return int(rows.reshape(-1)[0]) if rows.size else 0

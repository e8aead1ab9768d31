"""Checks of decoded JSON values: each accepts a value or names its place.

A check takes a value and the path that leads to it (`results.json.policies[3].seed`)
and raises `ResultsError` with that path, what was expected and what was found.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

Check = Callable[[Any, str], None]


class ResultsError(ValueError):
    """A results file that cannot be reported, with the place and the remedy."""


def _fail(path: str, expected: str, value: Any) -> None:
    found = f"{value!r:.60}" if not isinstance(value, dict | list) else "a container"
    raise ResultsError(f"{path}: expected {expected}, found {found}")


def text(value: Any, path: str) -> None:
    """Accepts text or null."""
    if not isinstance(value, str | None):
        _fail(path, "text or null", value)


def name(value: Any, path: str) -> None:
    """Accepts text that is neither null nor empty."""
    if not isinstance(value, str) or not value:
        _fail(path, "a name", value)


def number(value: Any, path: str) -> None:
    """Accepts a number or null; bool is no number (finiteness is checked before)."""
    if isinstance(value, bool) or not isinstance(value, int | float | None):
        _fail(path, "a number or null", value)


def flag(value: Any, path: str) -> None:
    """Accepts true, false or null."""
    if not isinstance(value, bool | None):
        _fail(path, "true, false or null", value)


def scalar(value: Any, path: str) -> None:
    """Accepts anything that is no list and no object."""
    if isinstance(value, dict | list):
        _fail(path, "text, a number, true, false or null", value)


def anything(value: Any, path: str) -> None:
    """Accepts every value."""
    del value, path


def one_of(*choices: str) -> Check:
    """Accepts one of the given words."""

    def check(value: Any, path: str) -> None:
        if value not in choices:
            _fail(path, "one of " + ", ".join(choices), value)

    return check


def list_of(check_item: Check) -> Check:
    """Accepts a list whose every item passes."""

    def check(value: Any, path: str) -> None:
        if not isinstance(value, list):
            _fail(path, "a list", value)
        for index, item in enumerate(value):
            check_item(item, f"{path}[{index}]")

    return check


def map_of(check_item: Check) -> Check:
    """Accepts an object of any keys whose every value passes."""

    def check(value: Any, path: str) -> None:
        if not isinstance(value, dict):
            _fail(path, "an object", value)
        for key, item in value.items():
            check_item(item, f"{path}.{key}")

    return check


def record(required: Mapping[str, Check], others: Check = anything, **optional: Check):
    """Accepts an object with the required keys; `others` checks keys not named."""
    known = {**required, **optional}

    def check(value: Any, path: str) -> None:
        if not isinstance(value, dict):
            _fail(path, "an object", value)
        for key in required:
            if key not in value:
                raise ResultsError(
                    f"{path}: the key '{key}' is missing; write it, or null "
                    "where the quantity does not exist"
                )
        for key, item in value.items():
            known.get(key, others)(item, f"{path}.{key}")

    return check


def finite(value: Any, path: str) -> None:
    """Walks the whole document: NaN and infinity are faults wherever they stand."""
    if isinstance(value, float) and not math.isfinite(value):
        raise ResultsError(f"{path}: {value} is not finite; write null instead")
    if isinstance(value, dict):
        for key, item in value.items():
            finite(item, f"{path}.{key}")
    if isinstance(value, list):
        for index, item in enumerate(value):
            finite(item, f"{path}[{index}]")


def same_length(path: str, expected: int, lists: Mapping[str, Sequence]) -> None:
    """Checks that every one of `lists` holds `expected` values."""
    for name, values in lists.items():
        if len(values) != expected:
            raise ResultsError(
                f"{path}.{name}: expected {expected} values, found {len(values)}"
            )

"""The grid of a sweep: which settings are tried, and whether they mean anything."""

import dataclasses
import difflib
import hashlib
import itertools
import json
from collections.abc import Collection
from typing import Any, NamedTuple

from absl import flags

from experiments.config import ALGORITHMS, MODEL_FIELDS, Problem, RunConfig, flat
from omgrl_jax.runtime import flags as config_flags

# Settings of the run that reach every method, beside the models'.
_EVERYWHERE = ("state", "train_stays", "epochs")
_OF_THE_SWEEP = ("seeds", "first_seed", "interval")
# How members are judged.
_JUDGED_BY = ("patients", "hours", "shifted_patients", "model_hours")


class Setting(NamedTuple):
    """One point of the grid.

    Attributes:
      values: flag name -> value, of the settings that the grid changes.
      config: the configuration with these values, checked.
      hash: name of the configuration and its dataset, the same whatever the seeds.
    """

    values: dict[str, Any]
    config: RunConfig
    hash: str


class _Asking:
    """A configuration that remembers which of its parts a method asks for."""

    def __init__(self, config: RunConfig):
        self._config = config
        self.asked: set[str] = set()

    def __getattr__(self, name: str) -> Any:
        self.asked.add(name)
        return getattr(self._config, name)


def settings(
    config: RunConfig, method: str, grid: str, problem: Problem, dataset_hash: str
) -> list[Setting]:
    """The points of a grid, the last named setting changing first.

    Args:
      config: what they have in common.
      method: the method, a key of `ALGORITHMS`.
      grid: `name=value,value;name=value,...`; empty for the one point without changes.
      problem: what methods are built for.
      dataset_hash: content hash of the dataset.

    Returns:
      The settings; each combination of values once.

    Raises:
      ValueError: on a grid that cannot be read, a name that is no setting of the
        method, a value out of its limits, or a combination that stands there twice.
    """
    axes = _axes(grid, config, method, problem)
    found = []
    for words in itertools.product(*axes.values()):
        given = [f"--{n}={word}" for n, word in zip(axes, words, strict=True)]
        try:
            changed = config_flags.changed(config, given)
        except flags.Error as error:
            raise ValueError(f"--grid={grid}: {error}") from error
        plain = config_flags.flatten(changed)
        values = {name: plain[name] for name in axes}
        names = {"algorithms", *_JUDGED_BY, *reached(changed, method, problem)}
        found.append(
            Setting(values, changed, config_hash(changed, dataset_hash, names))
        )
    if len({one.hash for one in found}) < len(found):
        raise ValueError(f"--grid={grid}: a value is named twice")
    return found


def config_hash(config: RunConfig, dataset_hash: str, names: Collection[str]) -> str:
    """A name for all that a seed's result depends on, beside the seed.

    Args:
      config: the configuration.
      dataset_hash: content hash of the dataset.
      names: settings on which the result depends.
    """
    plain = {n: v for n, v in flat(config).items() if n in names}
    text = json.dumps({**plain, "dataset": dataset_hash}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def reached(config: RunConfig, method: str, problem: Problem) -> set[str]:
    """Flag names of the settings on which what a method learns depends.

    Args:
      config: the configuration.
      method: the method.
      problem: what methods are built for.
    """
    asking: Any = _Asking(config)
    ALGORITHMS[method](asking, problem)
    parts = set(asking.asked)
    held = {
        type(getattr(config, field.name)): field.name
        for field in dataclasses.fields(config)
    }
    for name in asking.asked:
        parts |= _shared_parts(getattr(config, name), held)
    parts |= {*_EVERYWHERE, *MODEL_FIELDS}
    return {name for name in config_flags.flatten(config) if _owner(name) in parts}


def _axes(
    grid: str, config: RunConfig, method: str, problem: Problem
) -> dict[str, list[str]]:
    known = reached(config, method, problem)
    axes: dict[str, list[str]] = {}
    for part in filter(None, (part.strip() for part in grid.split(";"))):
        short, equals, words = (word.strip() for word in part.partition("="))
        if not equals or not words:
            raise ValueError(f"--grid={grid}: write name=value,value;name=value,...")
        name = _full_name(short, config, method, known)
        if name in axes:
            raise ValueError(f"--grid={grid}: {name} is named twice")
        # Lists, such as widths, hold commas themselves.
        values = words.split("|" if isinstance(_value(config, name), tuple) else ",")
        axes[name] = [word.strip() for word in values]
    return axes


def _full_name(short: str, config: RunConfig, method: str, known: set[str]) -> str:
    every = config_flags.flatten(config)
    own = [short, *(n for n in known if n == f"{method}_{short}")]
    for name in own:
        if name in known:
            return name
    if short in _OF_THE_SWEEP:
        raise ValueError(f"--grid: {short} is a flag of the sweep: --{short}")
    if short in every:
        raise ValueError(f"--grid: what {method} learns does not depend on {short}")
    near = difflib.get_close_matches(short, sorted(known), 3, 0.5)
    hint = f"; near it: {', '.join(near)}" if near else ""
    raise ValueError(f"--grid: {method} has no setting called {short}{hint}")


def _value(config: RunConfig, name: str) -> Any:
    return config_flags.flatten(config)[name]


def _shared_parts(part: Any, held: dict[type, str]) -> set[str]:
    """Names of the run's own parts that a method's settings hold, however deep."""
    if not dataclasses.is_dataclass(part):
        return set()
    found: set[str] = set()
    for field in dataclasses.fields(part):
        inner = getattr(part, field.name)
        if dataclasses.is_dataclass(inner):
            found |= {held[type(inner)]} if type(inner) in held else set()
            found |= _shared_parts(inner, held)
    return found


def _owner(name: str) -> str:
    """The field of `RunConfig` to which a flag belongs: of several the longest."""
    fields = [field.name for field in dataclasses.fields(RunConfig)]
    owners = [f for f in fields if name == f or name.startswith(f"{f}_")]
    return max(owners, key=len)

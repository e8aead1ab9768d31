"""What every program shares that turns a database into a dataset."""

import dataclasses
import pathlib
import time
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import tqdm
from absl import flags

from omgrl_jax.data import dataset
from omgrl_jax.runtime import flags as config_flags
from omgrl_jax.runtime import storage


class Built(NamedTuple):
    """A dataset and what stands beside it.

    Attributes:
      schema: the dataset's description.
      trajectories: its arrays.
      tables: the small tables beside it, name -> CSV text.
      seconds: how long each stage took.
    """

    schema: dataset.Schema
    trajectories: dataset.Trajectories
    tables: dict[str, str]
    seconds: dict[str, float]


@dataclasses.dataclass
class Stages:
    """Shows which stage runs and takes its time.

    Attributes:
      bar: the progress bar, one step for each stage.
      begun: name and beginning of each stage; a name may come again.
    """

    bar: tqdm.tqdm
    begun: list[tuple[str, float]] = dataclasses.field(default_factory=list)

    def __call__(self, name: str) -> None:
        """The stage `name` begins."""
        self.begun.append((name, time.perf_counter()))
        self.bar.set_description(name)
        self.bar.update()

    def rows(self, count: int) -> None:
        """So many records of the stage have been read."""
        self.bar.set_postfix(records=f"{count:,}")

    @staticmethod
    def chunks(chunks: Iterable[Any]) -> Iterable[Any]:
        """Shows how far the parts of a long stage are, under the stage's own bar."""
        return tqdm.tqdm(chunks, "parts", leave=False, disable=None)

    def seconds(self) -> dict[str, float]:
        """How long each stage took, up to now."""
        ends = [*(begin for _, begin in self.begun[1:]), time.perf_counter()]
        took: dict[str, float] = {}
        for (name, begin), end in zip(self.begun, ends, strict=True):
            took[name] = took.get(name, 0.0) + end - begin
        return took


def define_flags(config_class: type, database: str) -> None:
    """Flags for the fields of a configuration, and for where to read and write.

    Args:
      config_class: what to extract.
      database: what --source holds.
    """
    flags.DEFINE_string("source", None, f"Directory with the tables of {database}.")
    flags.DEFINE_string("out", None, "Directory to write into; made with mode 0700.")
    flags.mark_flags_as_required(["source", "out"])
    flags.DEFINE_string("memory", "1GB", "Memory limit of the query engine.")
    flags.DEFINE_integer("threads", 2, "Threads of the query engine.", lower_bound=1)
    flags.DEFINE_bool(
        config_flags.ALLOW_GIT_WORKTREE,
        False,
        "Write patient-level data inside a git work tree all the same.",
    )
    config_flags.define(config_class)


def run(convert: Callable[..., Any], config_class: type) -> None:
    """Converts what the flags of `define_flags` name.

    Args:
      convert: `(source, out, config, *, memory, threads, allow_git_worktree)`.
      config_class: what to extract.
    """
    given = flags.FLAGS
    convert(
        given.source,
        given.out,
        config_flags.read(config_class),
        memory=given.memory,
        threads=given.threads,
        allow_git_worktree=given.allow_git_worktree,
    )


def write(built: Built, out: str | pathlib.Path) -> str:
    """Writes a dataset and its tables into a directory that only its owner may open.

    Args:
      built: what to write.
      out: the directory.

    Returns:
      The content hash of the dataset.
    """
    directory = storage.restricted_directory(out)
    fingerprint = dataset.save(directory, built.schema, built.trajectories)
    for name, text in built.tables.items():
        storage.atomic_write(directory / f"{name}.csv", text)
    return fingerprint

"""The paper's heparin cohort from MIMIC-III, written in the dataset format.

    python -m data_prep.mimic3 --source=DIR --out=DIR

DIR holds the tables as CSV, CSV.GZ or Parquet. Seconds on the open demo subset, some
minutes on the whole database, below 2 GB of memory. Writes trajectories.npz and
schema.json (patient-level: keep them where the database itself may be kept) beside
cohort_flow.csv, missingness.csv, repairs.csv and table1.csv, which hold no patient.
"""

import pathlib

from absl import flags, logging

from data_prep import assemble, sources
from data_prep import config as config_lib
from omgrl_jax.data import dataset
from omgrl_jax.runtime import flags as config_flags
from omgrl_jax.runtime import script, storage

_ALLOW = "allow_git_worktree"


def define_flags() -> None:
    """Flags for the fields of `config_lib.Config` and for this program."""
    flags.DEFINE_string("source", None, "Directory with the tables of MIMIC-III.")
    flags.DEFINE_string("out", None, "Directory to write into; made with mode 0700.")
    flags.mark_flags_as_required(["source", "out"])
    flags.DEFINE_string("memory", "1GB", "Memory limit of the query engine.")
    flags.DEFINE_integer("threads", 2, "Threads of the query engine.", lower_bound=1)
    flags.DEFINE_bool(
        _ALLOW, False, "Write patient-level data inside a git work tree all the same."
    )
    config_flags.define(config_lib.Config)


def convert(
    source: str | pathlib.Path,
    out: str | pathlib.Path,
    config: config_lib.Config,
    *,
    memory: str = "1GB",
    threads: int = 2,
    allow_git_worktree: bool = False,
) -> str:
    """Reads MIMIC-III and writes the dataset.

    Args:
      source: directory with the tables.
      out: directory to write into.
      config: what to extract.
      memory: memory limit of the query engine.
      threads: threads of the query engine.
      allow_git_worktree: consent to write inside a git work tree.

    Returns:
      The content hash of the dataset.

    Raises:
      SourceError: if the tables cannot be used.
      WorktreeError: if `out` lies in a git work tree and no consent is given.
      ValueError: if no usable cohort is left.
    """
    storage.refuse_git_worktree(out, allow_git_worktree, _ALLOW)
    built = assemble.build(sources.FileSource(source, memory, threads), config)
    directory = storage.restricted_directory(out)
    fingerprint = dataset.save(directory, built.schema, built.trajectories)
    for name, text in built.tables.items():
        storage.atomic_write(directory / f"{name}.csv", text)
    logging.info(
        "%d stays, %d hours in %s; dose bins (U/h): %s",
        built.trajectories.lengths.size,
        built.trajectories.lengths.sum(),
        out,
        ", ".join(built.schema.actions.labels),
    )
    return fingerprint


def main() -> None:
    """Converts what the flags name."""
    given = flags.FLAGS
    convert(
        given.source,
        given.out,
        config_flags.read(config_lib.Config),
        memory=given.memory,
        threads=given.threads,
        allow_git_worktree=given.allow_git_worktree,
    )


if __name__ == "__main__":
    script.run(main, define_flags)

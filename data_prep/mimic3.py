"""The paper's heparin cohort from MIMIC-III, written in the dataset format.

    python -m data_prep.mimic3 --source=DIR --out=DIR

DIR holds the tables as CSV, CSV.GZ or Parquet. Seconds on the open demo subset, some
minutes on the whole database, below 2 GB of memory. Writes trajectories.npz and
schema.json (patient-level: keep them where the database itself may be kept) beside
cohort_flow.csv, missingness.csv, repairs.csv and table1.csv, which hold no patient.
"""

import pathlib

from absl import logging

from data_prep import assemble, command, sources
from data_prep import config as config_lib
from omgrl_jax.runtime import flags as config_flags
from omgrl_jax.runtime import script, storage


def define_flags() -> None:
    """Flags for the fields of `config_lib.Config` and for this program."""
    command.define_flags(config_lib.Config, "MIMIC-III")


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
    storage.refuse_git_worktree(
        out, allow_git_worktree, config_flags.ALLOW_GIT_WORKTREE
    )
    built = assemble.build(sources.FileSource(source, memory, threads), config)
    fingerprint = command.write(built, out)
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
    command.run(convert, config_lib.Config)


if __name__ == "__main__":
    script.run(main, define_flags)

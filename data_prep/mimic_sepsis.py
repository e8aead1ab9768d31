"""A Sepsis-3 cohort from MIMIC-III or MIMIC-IV, written in the dataset format.

    python -m data_prep.mimic_sepsis --source=DIR --out=DIR

--source holds the tables of MIMIC-III, or the folders hosp and icu of MIMIC-IV, as CSV,
CSV.GZ or Parquet. Who is in, from when to when, and how that compares with published
cohorts: `data_prep/sepsis/__init__.py`; the features: `data_prep/sepsis/items.py`.

Stays of up to 72 hours in steps of four (or of one); actions are three levels of
intravenous fluid times three of vasopressor, or both doses; rewards are recorded. Mean
blood pressure, lactate, SpO2 and urine are channels. The large tables are read twice
(who is septic; their states). Measured on 16 and on 48 copies of the open demo subset
of MIMIC-III (1,300 and 4,000 stays): .71 and .88 GiB of memory at the peak; the
imputation takes longest. The whole databases have not been measured.

Writes trajectories.npz and schema.json (patient-level: keep them where the database
itself may be kept) beside cohort_flow.csv, missingness.csv, repairs.csv, table1.csv and
doses.csv, which hold no patient.
"""

import pathlib

from absl import logging

from data_prep import command
from data_prep.sepsis import assemble, databases
from data_prep.sepsis.config import Config
from omgrl_jax.runtime import flags as config_flags
from omgrl_jax.runtime import script, storage


def define_flags() -> None:
    """Flags for the fields of `Config` and for this program."""
    command.define_flags(Config, "MIMIC-III, or hosp and icu of MIMIC-IV")


def convert(
    source: str | pathlib.Path,
    out: str | pathlib.Path,
    config: Config,
    *,
    memory: str = "1GB",
    threads: int = 2,
    allow_git_worktree: bool = False,
) -> str:
    """Reads a database and writes the dataset.

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
      ValueError: if no usable cohort is left, or it cannot be split as asked.
    """
    storage.refuse_git_worktree(
        out, allow_git_worktree, config_flags.ALLOW_GIT_WORKTREE
    )
    opened = databases.open_directory(source, memory, threads)
    built = assemble.build(opened, config)
    fingerprint = command.write(built, out)
    lengths = built.trajectories.lengths
    logging.info(
        "%d stays, %d steps of %d h in %s",
        *(lengths.size, lengths.sum(), config.step_hours, out),
    )
    return fingerprint


def main() -> None:
    """Converts what the flags name."""
    command.run(convert, Config)


if __name__ == "__main__":
    script.run(main, define_flags)

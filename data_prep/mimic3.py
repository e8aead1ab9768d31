"""The paper's heparin cohort from MIMIC-III, written in the dataset format.

    python -m data_prep.mimic3 --source=DIR --out=DIR

DIR holds the tables as CSV, CSV.GZ or Parquet. Seconds on the open demo subset, some
minutes on the whole database, below 2 GB of memory. Writes trajectories.npz and
schema.json (patient-level: keep them where the database itself may be kept) beside
cohort_flow.csv, missingness.csv, repairs.csv and table1.csv, which hold no patient.
"""

import dataclasses
import pathlib
import sys

from absl import app, flags, logging

from data_prep import assemble, sources
from data_prep import config as config_lib
from omgrl_jax.data import dataset
from omgrl_jax.runtime import storage

FLAGS = flags.FLAGS
_ALLOW = "allow_git_worktree"
_HELP = {
    "state": "Default state: paper (16 variables), full (adds last aPTT, its age and "
    "the last dose) or history (adds dose average, that average at the last draw and "
    "the aPTT before). All three are described in the dataset.",
    "min_age": "Youngest patients, years.",
    "min_hours": "Shortest stay kept, hours from the first dose.",
    "max_hours": "Longer stays are cut there.",
    "tail_hours": "Cut a stay this many hours after its last infusion; negative keeps "
    "it to discharge.",
    "require_aptt": "Leave out stays without any aPTT.",
    "boluses": "Count MetaVision's boluses in the hour's dose (CareVue has none).",
    "intubated": "Coma score of intubated patients: charted, normal (15) or missing.",
    "arterial_co2": "The paper's 'arterial carbon dioxide': pressure (PaCO2, mmHg) or "
    "total (total CO2 of arterial blood, mEq/L).",
    "indicators": "Add features that say what was imputed and who was intubated.",
    "bins": "Number of dose bins.",
    "validation": "Share of patients for validation.",
    "test": "Share of patients for testing.",
    "seed": "Of split, patient numbers and imputation donors.",
    "donors": "Most rows from which a nearest neighbour is sought.",
    "suppress_small_counts": "Write counts of 1 to 10 as '<=10' in the tables.",
}
_CHOICES = {
    "state": config_lib.STATES,
    "intubated": config_lib.INTUBATED,
    "arterial_co2": tuple(config_lib.ARTERIAL_CO2),
}


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
    define = {
        bool: flags.DEFINE_bool,
        int: flags.DEFINE_integer,
        float: flags.DEFINE_float,
        str: flags.DEFINE_string,
    }
    for field in dataclasses.fields(config_lib.Config):
        name, text = field.name, _HELP[field.name]
        if name in _CHOICES:
            flags.DEFINE_enum(name, str(field.default), _CHOICES[name], text)
        else:
            define[type(field.default)](name, field.default, text)


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


def main(argv: list[str]) -> None:
    """Converts what the flags name; faults of the input end in one line."""
    del argv
    names = [field.name for field in dataclasses.fields(config_lib.Config)]
    try:
        convert(
            FLAGS.source,
            FLAGS.out,
            config_lib.Config(**{name: getattr(FLAGS, name) for name in names}),
            memory=FLAGS.memory,
            threads=FLAGS.threads,
            allow_git_worktree=FLAGS.allow_git_worktree,
        )
    except (ValueError, storage.WorktreeError) as error:
        sys.exit(f"data_prep.mimic3: {error}")


if __name__ == "__main__":
    define_flags()
    app.run(main)

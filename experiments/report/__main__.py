"""Draws the report of finished runs.

    python -m experiments.report --runs=DIR
    python -m experiments.report --runs=DIR1,DIR2,...

reads `results.json` in each directory and writes one self-contained page: of one run
to `DIR/report/index.html`; of several, with a comparison of their methods, to
`report/index.html` in the innermost directory that holds them all, or in `--out`. It
takes a few seconds for each run.
"""

from absl import flags

from experiments.report import page
from omgrl_jax.runtime import script


def define_flags() -> None:
    """The runs, and where to write."""
    flags.DEFINE_list(
        "runs", None, "Directories of runs: each holds results.json.", required=True
    )
    flags.DEFINE_string(
        "out", None, "Directory to write report/index.html to; see above by default."
    )


def main() -> None:
    """Writes the report and prints where it is."""
    print(f"report: {page.write(flags.FLAGS.runs, flags.FLAGS.out)}")


if __name__ == "__main__":
    script.run(main, define_flags)

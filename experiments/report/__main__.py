"""Draws the report of a finished run.

    python -m experiments.report --run=DIR

reads `DIR/results.json` and writes `DIR/report/index.html`, one self-contained page.
It takes a few seconds.
"""

from absl import flags

from experiments.report import page
from omgrl_jax.runtime import script


def define_flags() -> None:
    """The one flag."""
    flags.DEFINE_string(
        "run", None, "Directory of the run: holds results.json.", required=True
    )


def main() -> None:
    """Writes the report and prints where it is."""
    print(f"report: {page.write(flags.FLAGS.run)}")


if __name__ == "__main__":
    script.run(main, define_flags)

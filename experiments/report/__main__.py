"""Draws the report of a finished run.

    python -m experiments.report --run=DIR

reads `DIR/results.json` and writes `DIR/report/index.html`, one self-contained page.
It takes a few seconds.
"""

import sys
from collections.abc import Sequence

from absl import app, flags

from experiments.report import page
from experiments.report.fields import ResultsError

_RUN = flags.DEFINE_string(
    "run", None, "Directory of the run: holds results.json.", required=True
)


def main(argv: Sequence[str]) -> None:
    """Writes the report and prints where it is."""
    if len(argv) > 1:
        raise app.UsageError(f"unknown argument '{argv[1]}'; give --run=DIR")
    try:
        print(f"report: {page.write(_RUN.value)}")
    except ResultsError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    app.run(main)

"""All pieces by name."""

import pathlib
from collections.abc import Callable
from typing import Any, NamedTuple

from experiments.benchmark import (
    accelerator,
    ensemble,
    growth,
    guardian,
    iql,
    patients,
    planner,
    rollouts,
    schedule,
    seeds,
    startup,
    tables,
    update,
)
from experiments.benchmark.row import Row


class Piece(NamedTuple):
    """What is measured together.

    Attributes:
      measure: `(sizes, repeats) -> rows`.
      draw: `(rows, folder) -> path of a figure`; None where there is nothing to draw.
    """

    measure: Callable[[Any, int], list[Row]]
    draw: Callable[[list[Row], pathlib.Path], pathlib.Path | None] | None = None


PIECES = {
    "update": Piece(update.measure),
    "ensemble": Piece(ensemble.measure),
    "rollouts": Piece(rollouts.measure),
    "schedule": Piece(schedule.measure),
    "startup": Piece(startup.measure),
    "seeds": Piece(seeds.measure),
    "planner": Piece(planner.measure),
    "guardian": Piece(guardian.measure),
    "iql": Piece(iql.measure),
    "patients": Piece(patients.measure),
    "tables": Piece(tables.measure),
    "growth": Piece(growth.measure, growth.draw),
    "accelerator": Piece(accelerator.measure),
}

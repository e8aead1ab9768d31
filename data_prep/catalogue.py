"""What a cohort reads: its variables, and the ways in which each was charted.

A *reading* is one way in which a variable was charted (an arterial line and a cuff
both give `sbp`; CareVue and MetaVision number their items differently). Everything
that turns records into numbers takes a `Catalogue`, so that another cohort is another
catalogue and no other code.
"""

import dataclasses
import math
from collections.abc import Mapping

import numpy as np

POUND = 0.45359237
"""Kilograms in a pound."""


@dataclasses.dataclass(frozen=True)
class Variable:
    """Limits and holding time of one variable.

    Attributes:
      low: smallest credible value, in the variable's unit.
      high: largest credible value.
      hold_hours: how long a value stands for the present after it was charted;
        infinite for what is known once for the whole stay.
      ceiling: the laboratory reports no value above this one: such values, and those
        reported as "more than", are lower bounds. None where there is no ceiling.
    """

    low: float
    high: float
    hold_hours: float
    ceiling: float | None = None


@dataclasses.dataclass(frozen=True)
class Unit:
    """A unit as it was charted: `value = (charted + shift) / divisor`.

    Attributes:
      shift: see above.
      divisor: see above.
    """

    shift: float = 0.0
    divisor: float = 1.0

    def convert(self, charted: np.ndarray) -> np.ndarray:
        """Values in the variable's own unit."""
        return (charted + self.shift) / self.divisor


@dataclasses.dataclass(frozen=True)
class Mistaken:
    """Values that can only have been charted in another unit than their item's.

    Attributes:
      low: smallest such value as charted.
      high: largest one.
      unit: the unit they stand in.
      rule: what the repair is called.
    """

    low: float
    high: float
    unit: Unit
    rule: str


@dataclasses.dataclass(frozen=True)
class Reading:
    """One way in which a variable was charted.

    Attributes:
      name: name of the reading, unique.
      variable: a key of the catalogue's variables.
      table: "chartevents" or "labevents".
      items: the item numbers.
      rank: of readings charted at the same second the highest rank is taken.
      unit: the unit it is charted in.
      mistaken: values charted in another unit, or None.
      codes: where the text tells: (pattern, value) pairs, patterns as regular
        expressions of the text in capitals; the first that is found gives the value,
        and a text in which none is found says nothing.
    """

    name: str
    variable: str
    table: str
    items: tuple[int, ...]
    rank: int = 0
    unit: Unit = Unit()
    mistaken: Mistaken | None = None
    codes: tuple[tuple[str, float], ...] = ()


@dataclasses.dataclass(frozen=True)
class Catalogue:
    """The variables of a cohort and their readings.

    Attributes:
      variables: name -> limits and holding time.
      readings: the readings of these variables.
    """

    variables: Mapping[str, Variable]
    readings: tuple[Reading, ...]

    @property
    def names(self) -> list[str]:
        """Names of the variables; their positions are the codes of measurements."""
        return list(self.variables)

    @property
    def reach_hours(self) -> float:
        """How long before a row a record may lie that still counts there."""
        times = (v.hold_hours for v in self.variables.values())
        return max((t for t in times if math.isfinite(t)), default=0.0)

    def code(self, variable: str) -> int:
        """Number of a variable in `Measurements.variable`."""
        return self.names.index(variable)

    def of(self, table: str) -> tuple[Reading, ...]:
        """The readings of one table."""
        return tuple(r for r in self.readings if r.table == table)

    def only(self, *variables: str) -> "Catalogue":
        """The part of the catalogue that these variables make up."""
        return Catalogue(
            {name: self.variables[name] for name in variables},
            tuple(r for r in self.readings if r.variable in variables),
        )

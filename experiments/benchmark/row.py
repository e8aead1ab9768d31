"""One line of the table: what was measured, against which bound."""

import dataclasses
from typing import Any

from experiments.benchmark.timing import Spread, Times


@dataclasses.dataclass(frozen=True)
class Row:
    """What was measured.

    Attributes:
      piece: name of the piece.
      what: what was measured.
      unit: of the value.
      value: over the repeats; None where it could not be measured, which `note` then
        explains.
      target: what the value should reach; None for no such bound.
      at_most: whether the value should stay below the target instead.
      flops: floating-point operations of the matrix products of one unit of work.
      ceiling: FLOP/s of a large matrix product in the same repeats.
      share: share of the ceiling, by repeat.
      share_target: what the share should reach.
      against: of a curve, what it runs along.
      at: where on it.
      note: what a reader must know.
    """

    piece: str
    what: str
    unit: str
    value: Spread | None
    target: float | None = None
    at_most: bool = False
    flops: float | None = None
    ceiling: Spread | None = None
    share: Spread | None = None
    share_target: float | None = None
    against: str = ""
    at: float | None = None
    note: str = ""

    @property
    def met(self) -> bool | None:
        """Whether all its targets are met; None where there is none, or no value."""
        found = []
        if self.target is not None and self.value is not None:
            over = self.value.median >= self.target
            under = self.value.median <= self.target
            found.append(under if self.at_most else over)
        if self.share_target is not None and self.share is not None:
            found.append(self.share.median >= self.share_target)
        return all(found) if found else None

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON, without what does not apply."""
        found = {}
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if isinstance(value, Spread):
                value = value._asdict()
            left_out = value is None or value is False or value == ""
            if not left_out or field.name == "value":
                found[field.name] = value
        if self.met is not None:
            found["met"] = self.met
        return found


def bound_by_products(
    own: Times, ceiling: Times, units: float, flops: float, ceiling_flops: float
) -> dict[str, Any]:
    """Fields of a row whose work consists of matrix products.

    Args:
      own: times of the work.
      ceiling: times of the large product in the same repeats.
      units: units of work of one call.
      flops: floating-point operations of one unit.
      ceiling_flops: those of one call of the large product.

    Returns:
      `value`, `flops`, `ceiling` and `share`.
    """
    ratio = own.ratio(ceiling)
    per_call = units * flops / ceiling_flops
    return {
        "value": own.rate(units),
        "flops": flops,
        "ceiling": ceiling.rate(ceiling_flops),
        "share": Spread(*(per_call * part for part in ratio)),
    }

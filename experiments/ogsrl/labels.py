"""What the study's policies and measures are called, how they are drawn."""

from collections.abc import Mapping, Sequence
from typing import Any

from experiments.ogsrl.config import COSTLESS, FREE, LAGRANGIAN, OWN, UNGUARDED
from experiments.report import drawing
from experiments.report.words import Measure
from omgrl_jax.ops.safety import COSTS

Row = Mapping[str, Any]
LABELS = {
    OWN: "GMB-CPO (OGSRL)",
    UNGUARDED: "MB-CPO, no guardian",
    COSTLESS: "GMB-TRPO, no costs",
    FREE: "MB-TRPO, neither",
    LAGRANGIAN: "GMB-SAC, multipliers",
    "gccql": "GCCQL",
    "ccql": "CCQL, no guardian",
    "gcql": "GCQL, no costs",
    "cql": "CQL, neither",
    "clinicians": "Clinicians",
}
NOTES = {
    OWN: "a trust region step in the world model that keeps the guardian's limit and "
    "those of the safety costs",
    UNGUARDED: "the same with the costs' limits alone",
    COSTLESS: "the same with the guardian's limit alone",
    FREE: "the same under no limit",
    LAGRANGIAN: "a soft actor-critic in the world model, which multipliers hold to the "
    "limits of guardian and costs, of rollouts from anywhere in stays (COMBO)",
    "gccql": "conservative Q-learning on the records alone, which marks unseen doses "
    "down, and those outside of the guardian's region; multipliers weigh the costs",
    "ccql": "the same without the guardian",
    "gcql": "the same without costs",
    "cql": "the same with neither",
    "clinicians": "who made the records",
}
STYLES = {
    OWN: (drawing.BLUE, "o"),
    UNGUARDED: (drawing.ORANGE, "s"),
    COSTLESS: (drawing.GREEN, "^"),
    FREE: (drawing.RED, "X"),
    LAGRANGIAN: (drawing.SKY, "v"),
    "gccql": (drawing.PURPLE, "*"),
    "ccql": (drawing.OLIVE, "P"),
    "gcql": (drawing.BROWN, ">"),
    "cql": (drawing.VIOLET, "<"),
    "clinicians": (drawing.BLACK, "D"),
}
# Published for sepsis in MIMIC-III (arXiv 2505.16242, Table 1): MCR, AIR, ME.
PUBLISHED = {
    "cql": (0.789, 0.130, 0.0486),
    "gcql": (0.909, 0.305, 0.0553),
    COSTLESS: (0.571, 0.369, 0.0232),
    OWN: (0.549, 0.448, 0.0138),
    "clinicians": (None, None, 0.0632),
}
VALUE = Measure("Value", "discounted rewards of a stay", better=1)
OUTSIDE = Measure("Outside", "steps outside of the guardian's region", True, -1)
SPREAD = "Mean ± standard deviation over seeds."


def unsafe(cost: str) -> Measure:
    """The measure of a safety cost."""
    known = COSTS[cost]
    name = cost.replace("_", " ").capitalize().replace("aptt", "aPTT")
    return Measure(name, f"steps that end with {known.meaning}", True, -1)


def name_of(constraint: str) -> str:
    """What a constraint is called."""
    return "Outside" if constraint == "outside" else unsafe(constraint).label


def of(rows: Sequence[Row], policy: str, where: str) -> list[Row]:
    """The rows of one policy in one place."""
    return [r for r in rows if (r["policy"], r["where"]) == (policy, where)]


def shown(rows: Sequence[Row]) -> list[str]:
    """Policies of rows in the order of the page, without those of sweeps."""
    there = {row["policy"] for row in rows}
    return [name for name in LABELS if name in there]


def swept(rows: Sequence[Row], what: str) -> dict[float, str]:
    """Settings of a sweep in order -> the policy trained with each."""
    start = f"{OWN}_{what}_"
    there = {row["policy"] for row in rows}
    found = {float(p.removeprefix(start)): p for p in there if p.startswith(start)}
    return dict(sorted(found.items()))


def costs_in(rows: Sequence[Row]) -> list[str]:
    """Safety costs that rows tell of."""
    return [cost for cost in COSTS if any(f"unsafe_{cost}" in row for row in rows)]

"""What the study's policies are called, how they are drawn, whose a row is."""

from collections.abc import Mapping, Sequence
from typing import Any

from experiments.iql_multitask.config import (
    ALONE,
    AS_PUBLISHED,
    CLONED,
    NO_ENTROPY,
    OWN,
    SHARPENED,
)
from experiments.report import drawing
from experiments.report.words import Measure

Row = Mapping[str, Any]
LABELS = {
    "optimum": "Optimum",
    OWN: "IQL, multi-task",
    SHARPENED: "IQL, multi-task, sharpened",
    ALONE: "IQL, one task",
    NO_ENTROPY: "IQL, multi-task, no entropy",
    AS_PUBLISHED: "IQL, multi-task, as published",
    "iql": "IQL",
    "dueling_cql": "Dueling DQN + CQL",
    "ddqn": "Double DQN",
    "linear_q": "Linear Q",
    "boosted_q": "Boosted trees Q",
    CLONED: "Cloned clinicians",
    "clinicians": "Clinicians",
    "clinicians_rounded": "Clinicians, doses rounded",
    "random": "Random doses",
}
NOTES = {
    "optimum": "dynamic programming on the simulated body itself, which no chart "
    "shows: a bound",
    OWN: "implicit Q-learning whose network also foretells the next "
    "values of measured channels, pressure and lactate by default",
    SHARPENED: "the same policy drawn from at the sharpest temperature whose actions "
    "are still diverse on validation patients; no outcome is looked at",
    ALONE: "the same network without those heads",
    NO_ENTROPY: "the same with the heads and without its bonus for entropy",
    AS_PUBLISHED: "the same with the settings that were published with it",
    "iql": "implicit Q-learning, a network for each part",
    "dueling_cql": "values as state value and advantages, unseen doses marked down",
    "ddqn": "values with a maximum over all doses, held to nothing",
    "linear_q": "the same, linear in the state",
    "boosted_q": "fitted Q iteration with boosted trees",
    CLONED: "what the clinicians usually do in a state",
    "clinicians": "who made the records",
    "clinicians_rounded": "their doses rounded to those that policies may give",
    "random": "each of the nine actions alike",
}
STYLES = {
    "optimum": (drawing.PURPLE, "*"),
    OWN: (drawing.BLUE, "o"),
    SHARPENED: (drawing.BLUE, "*"),
    ALONE: (drawing.SKY, "h"),
    NO_ENTROPY: (drawing.SKY, "p"),
    AS_PUBLISHED: (drawing.VIOLET, "H"),
    "iql": (drawing.VIOLET, "<"),
    "dueling_cql": (drawing.ORANGE, "s"),
    "ddqn": (drawing.RED, "X"),
    "linear_q": (drawing.OLIVE, "P"),
    "boosted_q": (drawing.BROWN, ">"),
    CLONED: (drawing.GREEN, "^"),
    "clinicians": (drawing.BLACK, "D"),
    "clinicians_rounded": (drawing.BLACK, "d"),
    "random": (drawing.GREY, "v"),
}
MEASURES = {
    "value": Measure("Value", "discounted rewards of a stay", better=1),
    "survived": Measure("Survival", "who leaves the hospital alive", True, 1),
    "sofa": Measure("SOFA", "mean points while alive", better=-1),
    "low": Measure("Pressure < 65", "share of time, mmHg", True, -1),
    "fluid": Measure("Fluid, L", "in three days"),
    "pressor": Measure("Vasopressor", "mean, ug/kg/min"),
}
ESTIMATORS = {
    "wdr": "WDR",
    "wis": "WIS",
    "pdwis": "Per-decision WIS",
    "fqe": "FQE",
    "mean return": "Mean return",
}
DRAWN = "stochastic"
SPREAD = "Mean ± standard deviation over seeds."
ACTED = {"stochastic": "drawn", "greedy": "most likely", "-": ""}


def acting(policy: str, mode: str) -> str:
    """A policy's label with the way it acts."""
    way = ACTED[mode]
    return LABELS[policy] + (f", {way}" if way else "")


def of(rows: Sequence[Row], policy: str, mode: str) -> list[Row]:
    """The rows of one policy and way of acting; "-" where there is only one way."""
    return [r for r in rows if r["policy"] == policy and r["mode"] in (mode, "-")]


def exactly(rows: Sequence[Row], policy: str, mode: str) -> list[Row]:
    """The rows of one policy in one way of acting and no other."""
    return [r for r in rows if (r["policy"], r["mode"]) == (policy, mode)]


def shown(rows: Sequence[Row]) -> list[str]:
    """Policies of rows in the order of the page."""
    there = {row["policy"] for row in rows}
    return [name for name in LABELS if name in there]

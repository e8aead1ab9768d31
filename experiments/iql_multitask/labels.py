"""What the study's policies are called, what they are, how they are drawn."""

from experiments.iql_multitask.config import CLONED, SHARPENED
from experiments.report import drawing
from experiments.report.words import Measure

LABELS = {
    "optimum": "Optimum",
    "multitask_iql": "IQL, multi-task",
    SHARPENED: "IQL, multi-task, sharpened",
    "single_task_iql": "IQL, one task",
    "no_entropy": "IQL, multi-task, no entropy",
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
    "multitask_iql": "implicit Q-learning whose network also foretells the next "
    "pressure, lactate, oxygen saturation and urine",
    SHARPENED: "the same policy drawn from at the sharpest temperature whose actions "
    "are still diverse on validation patients; no outcome is looked at",
    "single_task_iql": "the same network without those heads",
    "no_entropy": "the same with the heads and without its bonus for entropy",
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
    "multitask_iql": (drawing.BLUE, "o"),
    SHARPENED: (drawing.BLUE, "*"),
    "single_task_iql": (drawing.SKY, "h"),
    "no_entropy": (drawing.SKY, "p"),
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
ACTED = {"stochastic": "drawn", "greedy": "most likely", "-": ""}


def acting(policy: str, mode: str) -> str:
    """A policy's label with the way it acts."""
    way = ACTED[mode]
    return LABELS[policy] + (f", {way}" if way else "")

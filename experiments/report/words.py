"""Names and explanations as the reader sees them: one place for every term."""

import re
from typing import NamedTuple

TARGET = (60.0, 100.0)

_POLICIES = {
    "omg_rl": "OMG-RL",
    "combo": "COMBO",
    "clinicians": "Clinicians",
    "behavioural_cloning": "Behavioural cloning",
    "random": "Random doses",
    "zero": "No heparin",
}

POLICY_NOTES = {
    "omg_rl": "learned a reward from what clinicians did, then a policy for it",
    "combo": "the same learner, given the clinical reward r_p instead",
    "clinicians": "the doses clinicians chose",
    "behavioural_cloning": "imitates clinicians, learns no reward",
    "random": "draws each dose by chance",
    "zero": "never gives heparin",
}

WORLDS = {
    "simulator": "True simulator",
    "model": "Learned model alone",
    "records": "Records",
}

WORLD_NOTES = {
    "simulator": (
        "Every policy treats the same new virtual patients in the simulator that "
        "produced the data. The simulator is the truth of this experiment; it is "
        "not a real ward."
    ),
    "model": (
        "Every policy is played inside the dynamics model that was learned from the "
        "data. These numbers say what the model believes and are not evidence: "
        "a policy can score well by using the model's mistakes."
    ),
    "records": (
        "What was recorded under the clinicians' own doses. No other policy can be "
        "measured this way, since nobody received its doses."
    ),
}


class Measure(NamedTuple):
    """How one measured quantity is called and shown.

    Attributes:
      label: column heading.
      note: what it is, in one sentence.
      percent: whether a fraction is shown in percent.
      better: 1 where more is better, -1 where less is, 0 where neither is said.
    """

    label: str
    note: str
    percent: bool = False
    better: int = 0


def measures(target: tuple[float, float]) -> dict[str, Measure]:
    """Returns the known measures, with the therapeutic range written into them."""
    low, high = (f"{limit:g}" for limit in target)
    span = f"{low}–{high}\u00a0s"
    return {
        "in_range": Measure(
            f"Time in {span}", "share of hours with aPTT in range", True, 1
        ),
        "above_100": Measure(
            "Time above 100\u00a0s", "share of hours with aPTT above 100 s", True, -1
        ),
        "above_150": Measure(
            "Time above 150\u00a0s", "share of hours with aPTT above 150 s", True, -1
        ),
        "above": Measure(
            f"Time above {high}\u00a0s", "share of hours above the range", True, -1
        ),
        "below": Measure(
            f"Time below {low}\u00a0s", "share of hours below the range", True, -1
        ),
        "success": Measure(
            "Treatment success",
            f"share of patients with 4 hours running in {span} within 24 hours",
            True,
            1,
        ),
        "r_p": Measure(
            "r_p per hour",
            "clinical reward: near +1 well inside the range, near −1 outside, "
            "0 at its limits",
            False,
            1,
        ),
        "r_psi": Measure(
            "r_psi per hour", "learned reward, in its own arbitrary unit", False, 0
        ),
    }


def policy(name: str) -> str:
    """Returns the name of a policy or algorithm as the reader sees it."""
    if constant := re.fullmatch(r"constant_(\w+)", name):
        return f"Constant dose, bin {constant[1]}"
    return _POLICIES.get(name, name.replace("_", " "))


def policy_order(name: str) -> int:
    """Returns where a policy stands in figures and tables: learned ones first."""
    names = list(_POLICIES)
    if name in names:
        return 10 + names.index(name)
    return 99 if name.startswith("constant_") else 0


def typeset(number: str) -> str:
    """Returns a number with a true minus sign, kept on one line with its unit."""
    return number.replace("-", "\u2212").replace(" ", "\u00a0")


def with_mode(name: str, mode: str) -> str:
    """Returns the name of a policy with how its actions were chosen."""
    return policy(name) + ("" if mode == "-" else f", {mode}")


def dose_unit(sections_dataset: dict | None) -> str:
    """Returns the unit of doses, empty where the data set does not give one."""
    actions = (sections_dataset or {}).get("actions") or {}
    return actions.get("unit") or ""


def target_of(sections_dataset: dict | None) -> tuple[float, float]:
    """Returns the therapeutic aPTT range in seconds."""
    low, high = (sections_dataset or {}).get("target") or TARGET
    return float(low), float(high)

"""Names and explanations as the reader sees them: one place for every term."""

import math
import re
from typing import NamedTuple

TARGET = (60.0, 100.0)

# Definitions of success that ask for a single hour: what r_p must reach in it.
SUCCESS_LEVELS = {"success_any_0.9": 0.9, "success_any_0.2": 0.2}

# What a method's own critic promises: they stand in a table of their own.
PROMISES = ("promised", "promised_psi")

_POLICIES = {
    "omg_rl": "OMG-RL",
    "combo": "COMBO",
    "clinicians": "Clinicians",
    "behavioural_cloning": "Behavioural cloning",
    "random": "Random doses",
    "zero": "No heparin",
    "clinicians_binned": "Clinicians, doses binned",
    "oracle": "Oracle",
    "airl": "AIRL",
    "cql": "CQL",
    "iql": "IQL",
    "bcq": "BCQ",
    "ddqn": "Double DQN",
    "iq_learn": "IQ-Learn",
    "mopo": "MOPO",
    "morel": "MOReL",
    "ml_irl": "ML-IRL",
    "reward_regression": "Reward regression",
    "omg_rl_authors": "OMG-RL, authors' settings",
    "sac": "Soft actor-critic",
    "dueling_cql": "Dueling double DQN, CQL",
    "linear_q": "Linear double DQN",
    "multitask_iql": "IQL, multi-task heads",
    "ogsrl": "OGSRL",
    "guarded_cql": "CQL, guarded",
}

# Policies nobody learned, in the order in which they are shown after the others.
REFERENCES = (
    "clinicians",
    "clinicians_binned",
    "behavioural_cloning",
    "random",
    "zero",
    "oracle",
)

POLICY_NOTES = {
    "omg_rl": "learned a reward from what clinicians did, then a policy for it",
    "combo": "the same learner, given the clinical reward r_p instead",
    "clinicians": "the doses clinicians chose",
    "behavioural_cloning": "imitates clinicians, learns no reward",
    "omg_rl_authors": (
        "OMG-RL as its authors' public code sets it, in a world model of its own"
    ),
    "airl": "learns a reward by telling its own stays from the clinicians'",
    "cql": "learns from recorded hours alone, without a model; given r_p",
    "iql": "learns from recorded hours alone, without a model; given r_p",
    "multitask_iql": (
        "as IQL, on a network that also foretells measurements; given r_p"
    ),
    "ogsrl": "learns in the model within limits: what records support, what is safe",
    "guarded_cql": "as CQL, doses that records do not support marked down too",
    "dueling_cql": "learns from recorded hours alone, unseen doses marked down",
    "linear_q": "learns a value linear in the state from recorded hours alone",
    "bcq": "learns from recorded hours, choosing only doses clinicians might give",
    "ddqn": "learns from recorded hours alone, held to nothing",
    "sac": "learns from recorded hours alone, held to nothing; given r_p",
    "mopo": "learns in the model, which costs reward where the model is unsure",
    "morel": "learns in the model, whose unsure states end the stay at a cost",
    "reward_regression": "the same learner, with a reward fitted to recorded r_p",
    "ml_irl": "learns a reward under which the clinicians' doses are likely",
    "iq_learn": "learns values that explain the clinicians' doses, without a model",
    "random": "draws each dose by chance",
    "zero": "never gives heparin",
    "clinicians_binned": (
        "what clinicians chose, rounded to the doses a policy may give"
    ),
    "oracle": "knows each virtual patient's true aPTT and response; no one can",
}

# Estimates of a policy from logged doses: name and what it does.
ESTIMATORS = {
    "is": (
        "Importance sampling",
        "weighs each stay by how much likelier its doses are under the policy than "
        "under clinicians",
    ),
    "wis": (
        "Weighted importance sampling",
        "weighs each stay by how much likelier its doses are under the policy than "
        "under clinicians; the weights are scaled to add up to 1",
    ),
    "pdis": (
        "Per-decision importance sampling",
        "weighs each hour by the doses up to then",
    ),
    "pdwis": (
        "Weighted per-decision importance sampling",
        "weighs each hour by the doses up to then; the weights are scaled to add up to "
        "1",
    ),
    "dr": (
        "Doubly robust",
        "a value learned from the log, corrected by weighted stays",
    ),
    "wdr": (
        "Weighted doubly robust",
        "a value learned from the log, corrected by stays whose weights add up to 1",
    ),
    "fqe": ("Fitted Q evaluation", "a value learned from the log, without weights"),
    "model": (
        "Rollouts of the learned model",
        "what the model believes; its own errors are not in the interval",
    ),
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
        "What held-out records say: what became of patients under the clinicians' own "
        "doses, and how likely these doses are under other policies. What another "
        "policy would have led to cannot be measured this way, since nobody received "
        "its doses."
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
        "extreme": Measure(
            "Top dose at high aPTT",
            "share of hours in which the highest dose is given although the last aPTT "
            "was above the range",
            True,
            -1,
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
        "agreement": Measure(
            "Same dose as clinicians",
            "share of recorded hours whose dose was the policy's likeliest",
            True,
        ),
        "log_prob": Measure(
            "Log-probability of their doses",
            "mean log-probability of the dose that clinicians gave; nearer 0 is more "
            "like them",
        ),
        "r_psi": Measure(
            "r_psi per hour",
            "the reward that the first method of this run learned, in its own "
            "arbitrary unit; policies that were not scored by it are left out",
        ),
        "promised": Measure(
            "Q under r_p", "promise of a critic that was given the clinical reward"
        ),
        "promised_psi": Measure(
            "Q under its own r_psi", "promise of a critic whose reward was learned"
        ),
        **{name: _any_hour(level, target) for name, level in SUCCESS_LEVELS.items()},
    }


def _any_hour(level: float, target: tuple[float, float]) -> Measure:
    """Returns success by one hour whose r_p reaches `level`, said in seconds too."""
    # r_p = 2 sigmoid(aPTT - low) - 1 near the lower end, and alike near the upper one.
    margin = math.log((1 + level) / (1 - level))
    low, high = target[0] + margin, target[1] - margin
    return Measure(
        f"Any hour with r_p ≥\u00a0{level:g}",
        f"share of patients with at least one hour in which r_p reaches {level:g}, "
        f"which is an aPTT of about {low:.1f}–{high:.1f} s",
        True,
        1,
    )


def policy(name: str) -> str:
    """Returns the name of a policy or algorithm as the reader sees it."""
    if constant := re.fullmatch(r"constant_(\w+)", name):
        return f"Constant dose, bin {constant[1]}"
    return _POLICIES.get(name, name.replace("_", " "))


def quantity(name: str) -> str:
    """Returns the name of a quantity the model predicts as the reader sees it."""
    return {"aptt": "aPTT", "state": "all state features"}.get(name, name)


def estimator(name: str) -> str:
    """Returns the name of an off-policy estimator as the reader sees it."""
    return ESTIMATORS.get(name.lower(), (name.replace("_", " "), ""))[0]


def inside(name: str) -> str:
    """Returns a name as it stands inside a sentence: its first letter small."""
    return name if name[:2].isupper() else name[:1].lower() + name[1:]


def policy_order(name: str) -> int:
    """Returns where a policy stands in figures and tables: learned ones first."""
    if name in REFERENCES:
        return 10 + REFERENCES.index(name)
    if name.startswith("constant_"):
        return 99
    return 0 if name == "omg_rl" else 1


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

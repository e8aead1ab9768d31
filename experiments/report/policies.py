"""Which rows speak for a policy, and which policies were learned."""

from collections.abc import Iterable, Sequence

from experiments.report import words
from experiments.report.estimates import Row
from experiments.report.results import WORLDS, Results


def rows_of(run: Results, world: str) -> list[Row]:
    """Returns the rows of section `policies` of one world, in the order of the report.

    Where the range ends at 100 s, the time above it is also the time above 100 s, under
    whichever of the two names the run wrote it.
    """
    rows: list[Row] = [r for r in run.get("policies") or [] if r["world"] == world]
    if words.target_of(run.get("dataset"))[1] == 100.0:
        rows = [{"above_100": r.get("above"), **r} for r in rows]
    return sorted(rows, key=lambda row: words.policy_order(row["policy"]))


def best_world(run: Results) -> str:
    """Returns the world that says most about policies, empty where there is none."""
    found = {row["world"] for row in run.get("policies") or ()}
    return next((world for world in WORLDS if world in found), "")


def pick(rows: Iterable[Row], policy: str) -> list[Row]:
    """Returns the rows of a policy as it was trained: stochastic before greedy."""
    named = [row for row in rows if row["policy"] == policy]
    for mode in ("stochastic", "-", "greedy"):
        found = [row for row in named if row.get("mode", "-") == mode]
        if found:
            return found
    return []


def learned(rows: Iterable[Row]) -> list[str]:
    """Returns the policies that were learned, without the imitation of clinicians."""
    names = dict.fromkeys(row["policy"] for row in rows)
    return [
        n for n in names if n not in words.REFERENCES and not n.startswith("constant_")
    ]


def subject_of(rows: Sequence[Row]) -> str:
    """Returns the policy the report is about: OMG-RL, or the first learned one."""
    names = list(dict.fromkeys(row["policy"] for row in rows))
    return "omg_rl" if "omg_rl" in names else (learned(rows) or names or [""])[0]


def reward_rows(run: Results) -> dict[str, list[Row]]:
    """Returns the rows of `reward_alignment` of each policy that learned a reward.

    The reward called "r_psi" is that of the first algorithm that learned one; others
    are called "r_psi of NAME". The imitation's log-probability counts as the reward of
    behavioural cloning. What cannot be told is left out.
    """
    found: dict[str, list[Row]] = {}
    rows = run.get("reward_alignment") or []
    named = {row["reward"].removeprefix("r_psi of ") for row in rows}
    first = _first_learner(run, named)
    for row in rows:
        reward = row["reward"]
        policy = {"log_mu": "behavioural_cloning", "r_psi": first}.get(
            reward, reward.removeprefix("r_psi of ")
        )
        if policy:
            found.setdefault(policy, []).append(row)
    return found


def _first_learner(run: Results, others: set[str]) -> str:
    learners = dict.fromkeys(
        row["algorithm"]
        for row in run.get("learning") or ()
        if row["metric"] in ("return/r_psi", "reward/ess")
    )
    candidates = [name for name in learners if name not in others]
    if candidates:
        return candidates[0]
    names = learned(run.get("policies") or ())
    return names[0] if len(names) == 1 else ""

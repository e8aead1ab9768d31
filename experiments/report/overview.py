"""The first screen of several runs: what was compared, and what came of it."""

from collections.abc import Sequence
from typing import NamedTuple

from experiments.report import comparison, estimates, policies, tables, words
from experiments.report.comparison import Group, Line, Member
from experiments.report.estimates import Row

_MANY = 3
_ORIGINS = {
    "simulator": "Judged in the true simulator, on new virtual patients.",
    "model": (
        "Judged inside the learned model alone: this shows what each model believes "
        "and is not evidence that a policy is good or safe. Each run has its own model."
    ),
    "records": "Only what clinicians did was recorded; no policy was judged.",
    "": "No policy was evaluated.",
}


class Summary(NamedTuple):
    """What the first screen says of one group.

    Attributes:
      name: the data set.
      world: where policies were judged, one of the worlds or empty.
      origin: the sentence that says so.
      findings: sentences made from the numbers.
    """

    name: str
    world: str
    origin: str
    findings: Sequence[str]


def title(members: Sequence[Member]) -> str:
    """Returns the heading of the page."""
    return f"Comparison of {len(members)} runs"


def scope(members: Sequence[Member], groups: Sequence[Group]) -> str:
    """Returns what is on the page, in one or two sentences."""
    methods = dict.fromkeys(
        words.policy(name)
        for member in members
        for name in policies.learned(member.run.get("policies") or ())
    )
    learned = f" Learned methods: {', '.join(methods)}." if methods else ""
    if len(groups) == 1:
        return f"{len(members)} runs on {groups[0].name}.{learned}"
    return (
        f"{len(members)} runs that fall into {len(groups)} groups, by data set and by "
        "where policies were judged. Numbers of different groups are not comparable: "
        f"other patients, other difficulty, another yardstick.{learned}"
    )


def summary(group: Group) -> Summary:
    """Returns the first screen of one group."""
    found = comparison.lines(group)
    findings = [f"Runs: {', '.join(member.label for member in group.members)}."]
    findings += _findings(group, found)
    return Summary(group.name, group.world, _ORIGINS[group.world], findings)


def _findings(group: Group, found: Sequence[Line]) -> list[str]:
    ranked = [
        (mean.mean, line)
        for line in found
        if line.policy not in words.REFERENCES
        and (mean := estimates.over_seeds(line.rows, "r_p"))
    ]
    if not ranked:
        return []
    ranked.sort(key=lambda pair: -pair[0])
    sentences = []
    if len(ranked) > 1:
        order = "; ".join(
            f"{line.label} {tables.show(estimates.over_seeds(line.rows, 'r_p'))}"
            for _, line in ranked
        )
        sentences.append(f"Learned policies by r_p an hour: {order}.")
    best = ranked[0][1]
    sentences += _against(best, "clinicians", best.doctors, group.world)
    for line in found:
        own = set(best.runs) <= set(line.runs)
        if line.policy == "behavioural_cloning" and own:
            sentences += _against(best, line.policy, line.rows, group.world)
            break
    if len(ranked) >= _MANY:
        sentences.append(
            f"The first of {len(ranked)} is partly first by luck: chosen after seeing "
            "these numbers, it would do less well on new seeds."
        )
    return sentences


def _against(line: Line, policy: str, rows: Sequence[Row], world: str) -> list[str]:
    gap = estimates.difference(line.rows, rows, "r_p")
    if gap is None:
        return []
    whom = words.inside(words.policy(policy))
    shown = words.typeset(f"{gap.mean:+.3f}")
    text = f"{line.label} against {whom}, r_p an hour: {shown}"
    if gap.low is None or gap.high is None:
        return [f"{text} (one seed, no interval)."]
    text += f" (95 % interval {tables.show_interval(gap)}, {gap.n} seeds)"
    if gap.low <= 0 <= gap.high:
        return [f"{text}: no clear difference."]
    if world != "simulator":  # a model cannot tell which policy is better
        return [f"{text}."]
    return [f"{text}: {'better' if gap.mean > 0 else 'worse'}."]

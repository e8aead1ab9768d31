"""Several runs side by side: which can be compared, and how their methods do.

Runs are compared within one data set alone, told by its content hash. Methods stand
beside clinicians seed by seed: seeds decide which new patients are treated.
"""

import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from experiments.report import blocks, estimates, forest, policies, words
from experiments.report.blocks import Block
from experiments.report.estimates import Row
from experiments.report.results import Results
from experiments.report.tables import Table, show, show_interval
from experiments.report.words import Measure

MEASURES = ("in_range", "r_p", "above_100", "success")
RANKS = Measure(
    "r_psi ranks doses",
    "rank correlation of the learned reward (for behavioural cloning: of its "
    "log-probability) with the clinical reward, over the doses of one state",
    False,
    1,
)
_NOTE = (
    "Mean ± standard deviation over seeds; in brackets the 95 % interval of the mean; "
    "n is the number of seeds. Policies as they were trained: stochastic where they "
    "draw their doses."
)
_PAIRED = (
    "Each seed's number minus that of the clinicians who treated the same patients in "
    "the same run, with its 95 % interval over seeds; n is the number of such pairs. "
    "An interval that holds 0 shows no clear difference. Differences of shares are "
    "given in points: 2.0 from 40 % to 42 %."
)


class Member(NamedTuple):
    """A run and what it is called on the page."""

    label: str
    run: Results


class Group(NamedTuple):
    """Runs that can be compared: one data set, policies judged in one world.

    Attributes:
      name: what the data set is called on the page.
      world: where its policies are judged; empty where none is.
      members: the runs.
    """

    name: str
    world: str
    members: Sequence[Member]


class Line(NamedTuple):
    """One method of the comparison.

    Attributes:
      policy: its key.
      label: its name with the run, without where all runs agree on it.
      runs: the runs that have it, with these very numbers.
      rows: its measures by seed.
      doctors: clinicians on the same patients.
      rewards: how its reward ranks doses, by seed.
    """

    policy: str
    label: str
    runs: Sequence[str]
    rows: Sequence[Row]
    doctors: Sequence[Row]
    rewards: Sequence[Row]


def labels(folders: Sequence[str | os.PathLike[str]]) -> list[str]:
    """Returns short names of folders: as many last parts as tell them apart.

    Whole paths would name users and machines on a page made to be shared.
    """
    parts = [pathlib.Path(os.path.abspath(folder)).parts for folder in folders]
    for count in range(1, max(map(len, parts)) + 1):
        short = ["/".join(part[-count:]) for part in parts]
        if len(set(short)) == len(short):
            break
    return short


def groups(members: Sequence[Member]) -> list[Group]:
    """Returns the runs grouped by what can be compared, in order of appearance."""
    found: dict[tuple, list[Member]] = {}
    for member in members:
        dataset = member.run.get("dataset") or {}
        # A run that does not say which data it used can be compared with no other.
        data = (dataset.get("name"), dataset.get("hash") or member.label)
        key = (*data, policies.best_world(member.run))
        found.setdefault(key, []).append(member)
    return [
        Group(_title(*key[:2], members[0]), key[2], members)
        for key, members in found.items()
    ]


def _title(name: str | None, code: str, member: Member) -> str:
    if not (member.run.get("dataset") or {}).get("hash"):
        return f"an unnamed data set (run {member.label} does not say which)"
    return f"data set {name or '?'} ({code[:12]})"


def lines(group: Group) -> list[Line]:
    """Returns the methods of a group: learned ones first, each run's by itself.

    A method on whose numbers several runs agree seed by seed (clinicians, who were
    the same in each) stands once. Constant doses are left to each run's own section.
    """
    found: dict[tuple, Line] = {}
    for member in group.members:
        rows = policies.rows_of(member.run, group.world)
        doctors = _doctors(group, member)
        rewards = policies.reward_rows(member.run)
        for policy in dict.fromkeys(row["policy"] for row in rows):
            if policy.startswith("constant_"):
                continue
            chosen = policies.pick(rows, policy)
            ranks = rewards.get(policy, [])
            same = (policy, *_numbers(chosen), *_numbers(ranks))
            new = Line(policy, words.policy(policy), (), chosen, doctors, ranks)
            line = found.setdefault(same, new)
            found[same] = line._replace(runs=(*line.runs, member.label))
    count = len(group.members)
    named = [
        line._replace(label=f"{line.label} [{', '.join(line.runs)}]")
        if len(line.runs) < count
        else line
        for line in found.values()
    ]
    return sorted(named, key=lambda line: words.policy_order(line.policy))


def _doctors(group: Group, member: Member) -> list[Row]:
    """Returns clinicians on the patients of a run: its own, or those of a like run.

    A seed decides on the patients as long as their number and the hours are the same.
    """

    def clinicians(run: Results) -> list[Row]:
        return policies.pick(policies.rows_of(run, group.world), "clinicians")

    def patients(run: Results) -> tuple:
        config = run.get("config") or {}
        return tuple(config.get(name) for name in ("patients", "hours"))

    own = clinicians(member.run)
    if own or group.world != "simulator":
        return own
    like = [m.run for m in group.members if patients(m.run) == patients(member.run)]
    return next(filter(None, map(clinicians, like)), [])


def _numbers(rows: Sequence[Row]) -> list[tuple]:
    """Returns the measures of rows in a form that can be compared for equality."""
    return [tuple(sorted((k, str(v)) for k, v in row.items())) for row in rows]


def target_of(group: Group) -> tuple[float, float]:
    """Returns the therapeutic range of the group's data set."""
    return words.target_of(group.members[0].run.get("dataset"))


def block(group: Group) -> Block:
    """Returns forest plots and tables of one group."""
    found, known = lines(group), words.measures(target_of(group))
    if not found:
        return blocks.block(absent=["No policy was evaluated in these runs."])
    pictures = [_forest(found, name, known[name], group.world) for name in MEASURES]
    shown = [("Methods", _methods(found, known))]
    if paired := _paired(found, known):
        shown.append(("Difference to clinicians", paired))
    if settings := _settings(group):
        shown.append(("What differs between the runs", settings))
    return blocks.block(pictures, shown)


def _forest(found: Sequence[Line], name: str, measure: Measure, world: str):
    """Draws one measure, with clinicians and their imitation as lines to read against.

    Where runs have clinicians of their own, the line is the mean over all of them.
    """
    beside: dict[str, list[Row]] = {"clinicians": [], "behavioural_cloning": []}
    for line in found:
        if line.policy in beside:
            beside[line.policy] += line.rows
    entries = [forest.entry(one.label, one.rows, name, one.policy) for one in found]
    known = {policy: words.policy(policy) for policy in beside}
    caption = (
        f"{measure.label}: {measure.note}. {words.WORLDS[world]}. Upright lines: means "
        "over all runs."
    )
    references = forest.references_of(beside, name, known)
    return forest.picture(entries, measure, caption, references)


def _methods(found: Sequence[Line], known: Mapping[str, Measure]) -> Table:
    cells = []
    for line in found:
        means = [estimates.over_seeds(line.rows, name) for name in MEASURES]
        values = [
            with_interval(mean, known[name].percent)
            for name, mean in zip(MEASURES, means, strict=True)
        ]
        rank = estimates.over_seeds(line.rewards, "within_state")
        seeds = max((mean.n for mean in means if mean), default=0)
        cells.append([line.label, *values, with_interval(rank), str(seeds)])
    headings = [known[name].label for name in MEASURES]
    notes = [_NOTE, f"{RANKS.label}: {RANKS.note}."]
    columns = ["Method", *headings, RANKS.label, "n"]
    return Table(columns, cells, " ".join(notes))


def with_interval(mean: estimates.Estimate | None, percent: bool = False) -> str:
    """Returns mean and spread with the interval on a second line."""
    ends = show_interval(mean, percent)
    return show(mean, percent) + (f"\n[{ends}]" if ends else "")


def _paired(found: Sequence[Line], known: Mapping[str, Measure]) -> Table | None:
    cells = []
    for line in found:
        if line.policy == "clinicians":
            continue
        gaps = [estimates.difference(line.rows, line.doctors, n) for n in MEASURES]
        if not any(gaps):
            continue
        values = [
            with_interval(gap, known[name].percent)
            for name, gap in zip(MEASURES, gaps, strict=True)
        ]
        pairs = max(gap.n for gap in gaps if gap)
        cells.append([line.label, *values, str(pairs)])
    headings = [known[name].label for name in MEASURES]
    return Table(["Method", *headings, "n"], cells, _PAIRED) if cells else None


def _settings(group: Group) -> Table | None:
    """Returns the settings in which the runs of a group differ, a row for each run."""
    configs = [member.run.get("config") or {} for member in group.members]
    keys = sorted({key for config in configs for key in config})
    differ = [k for k in keys if len({str(c.get(k)) for c in configs}) > 1]
    if len(configs) < 2 or not differ:
        return None
    cells = []
    for member, config in zip(group.members, configs, strict=True):
        texts = [f"{key} = {config.get(key, '–')}" for key in differ]
        cells.append([member.label, "; ".join(texts)])
    note = "All other settings are the same; they stand in each run's own section."
    return Table(["Run", "Settings"], cells, note)

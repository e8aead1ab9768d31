"""Tables of the report: texts in cells, spread over seeds, small counts hidden."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from experiments.report import estimates, words
from experiments.report.estimates import Estimate, Row
from experiments.report.results import SPLITS
from experiments.report.words import Measure

SPREAD_NOTE = (
    "Mean ± standard deviation over seeds; n is the number of seeds (independent "
    "repetitions of the whole training)."
)
_SUCCESS_NOTE = (
    "The authors of OMG-RL judged clinicians and their agent by different levels: "
    "clinicians succeed where r_p exceeds 0.9 in any hour, the agent where a predicted "
    "r_p reaches 0.2 in any hour, which is easier. Their two figures can therefore not "
    "be set against each other. Here each definition is applied to everybody."
)
# Numbers of people or stays among the measures of a policy, hidden where small.
_COUNTS = ("patients", "stays")
_LARGE = 1e5  # from here on numbers are written with a power of ten
# More would break words on a desktop.
_MOST_COLUMNS = 6


class Table(NamedTuple):
    """A table of texts.

    Attributes:
      columns: headings.
      rows: one list of cells for each row, the first cell naming the row.
      note: what a reader needs to read it, below the table.
    """

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    note: str = ""


def show(mean: Estimate | None, percent: bool = False) -> str:
    """Returns `mean ± sd` as text, in percent where asked, a dash without values."""
    if mean is None:
        return "–"
    scale, unit, digits = (100.0, " %", 1) if percent else (1.0, "", 3)
    spread = "" if mean.sd is None else f" ± {_written(scale * mean.sd, digits)}"
    return words.typeset(f"{_written(scale * mean.mean, digits)}{spread}{unit}")


def show_interval(mean: Estimate | None, percent: bool = False) -> str:
    """Returns the 95 % interval as text, empty where a single seed gives none."""
    if mean is None or mean.low is None or mean.high is None:
        return ""
    return show_ends(mean.low, mean.high, percent)


def show_ends(low: float, high: float, percent: bool = False) -> str:
    """Returns the two ends of an interval as text."""
    scale, unit, digits = (100.0, " %", 1) if percent else (1.0, "", 3)
    ends = (_written(scale * end, digits) for end in (low, high))
    return words.typeset(f"{' to '.join(ends)}{unit}")


def _written(value: float, digits: int) -> str:
    """A number; where weights explode and digits would fill the cell, its size."""
    return f"{value:.{digits}f}" if abs(value) < _LARGE else f"{value:.1e}"


def show_apart(gap: Estimate, other: str) -> str:
    """Returns where a value lies beside `other`, in words that follow "it lies".

    Args:
      gap: the value minus that of the other.
      other: what it is compared with.

    Returns:
      A distance and its side, or, where the 95 % interval holds 0, that the two are
      not clearly apart.
    """
    size, side = f"{abs(gap.mean):.3f}", "above" if gap.mean > 0 else "below"
    if gap.low is None or gap.high is None:
        return f"{size} {side} {other} (one seed, no interval)"
    if gap.low <= 0 <= gap.high:
        signed = words.typeset(f"{gap.mean:+.3f}")
        return (
            f"not clearly apart from {other} ({signed} "
            f"[{show_ends(gap.low, gap.high)}])"
        )
    ends = sorted((abs(gap.low), abs(gap.high)))
    return f"{size} [{show_ends(*ends)}] {side} {other}"


def policies(
    rows: Sequence[Row], known: Mapping[str, Measure], hide: bool
) -> list[Table]:
    """Returns every measure of every policy in one world, in tables of a few columns.

    Args:
      rows: rows of section `policies` of ONE world.
      known: the measures that have a name; others keep their key as heading.
      hide: whether numbers of one to ten people are hidden.
    """
    extra = dict.fromkeys(key for row in rows for key in row)
    fixed = ("policy", "mode", "world", "seed")
    names = [name for name in (*known, *extra) if name not in fixed]
    names = [
        name
        for name in dict.fromkeys(names)
        # These stand in tables of their own.
        if name not in (*words.SUCCESS_LEVELS, *words.PROMISES)
        and any(row.get(name) is not None for row in rows)
    ]
    same = all(row.get("above") == row.get("above_100") for row in rows)
    if same and "above" in names:  # one quantity under two names
        names.remove("above")
    groups = estimates.group(rows, "policy", "mode")
    return [
        _policies(groups, names[first : first + _MOST_COLUMNS], known, hide)
        for first in range(0, len(names), _MOST_COLUMNS)
    ]


def successes(
    rows: Sequence[Row], known: Mapping[str, Measure], published: Sequence[Row] = ()
) -> Table | None:
    """Returns success by each definition, None where only the sustained one is known.

    Args:
      rows: rows of section `policies` of ONE world.
      known: the measures that have a name.
      published: section `published`; its rows on success are quoted below the table.
    """
    names = ("success", *words.SUCCESS_LEVELS)
    if not any(row.get(name) is not None for row in rows for name in names[1:]):
        return None
    table = _policies(estimates.group(rows, "policy", "mode"), names, known, False)
    quoted = [
        f"{row['figure']}, {row['quantity'] or 'success'}: {_plain(row['value'])} "
        f"({row['source'] or 'source not stated'})"
        for row in published
        if row.get("measure") in names
    ]
    said = f" Published, on other patients: {'; '.join(quoted)}." if quoted else ""
    return table._replace(note=f"{_SUCCESS_NOTE}{said} {table.note}")


def _policies(
    groups: Mapping[tuple, Sequence[Row]],
    names: Sequence[str],
    known: Mapping[str, Measure],
    hide: bool,
) -> Table:
    columns = [known[n].label if n in known else n.replace("_", " ") for n in names]
    cells = []
    for (policy, mode), members in groups.items():
        seeds = max(len(estimates.by_seed(members, name)) for name in names)
        values = [_measure(members, name, known, hide) for name in names]
        cells.append([words.with_mode(policy, mode), *values, str(seeds)])
    notes = [f"{known[n].label}: {known[n].note}." for n in names if n in known]
    return Table(["Policy", *columns, "n"], cells, " ".join([SPREAD_NOTE, *notes]))


def _measure(
    rows: Sequence[Row], name: str, known: Mapping[str, Measure], hide: bool
) -> str:
    mean = estimates.over_seeds(rows, name)
    if name in _COUNTS:
        return estimates.show_count(mean and mean.mean, hide)
    return show(mean, percent=name in known and known[name].percent)


def dataset(section: Mapping[str, Any], hide: bool) -> Table:
    """Returns the data set: its numbers, its state and its actions."""
    stays = estimates.hide_counts(section.get("stays") or {}, hide)
    rows = [["name", _plain(section.get("name"))]]
    rows += [[f"stays, {split}", count] for split, count in stays.items()]
    for key in ("patients", "steps"):
        value = section.get(key)
        rows.append([key, estimates.show_count(value, hide)])
    actions = section.get("actions") or {}
    features = ", ".join(_plain(name) for name in section.get("state_features") or ())
    labels = ", ".join(_plain(label) for label in actions.get("labels") or ())
    rows += [
        ["state", _plain(section.get("state"))],
        ["what a policy sees", features or "–"],
        [f"doses ({actions.get('unit') or 'no unit'})", labels or "–"],
        ["content hash", _plain(section.get("hash"))],
    ]
    return Table(["", "Value"], rows, "A step is one hour unless said otherwise.")


def cohort(rows: Sequence[Row], hide: bool) -> Table:
    """Returns the cohort flow; rules that removed few stays are counted together."""
    flow = estimates.merge_flow(rows, hide)
    cells = [[row["rule"], row["removed"], row["remaining"]] for row in flow]
    note = "Rules that removed one to ten stays are counted together." if hide else ""
    return Table(["Rule", "Removed", "Remaining"], cells, note)


def table_one(rows: Sequence[Row], stays: Mapping[str, Any], hide: bool) -> Table:
    """Returns the characteristics of the splits; splits of 1-10 stays are left out."""
    splits = [s for s in SPLITS if not (hide and estimates.small(stays.get(s)))]
    cells = [
        [
            f"{row['variable']} ({row['unit']})" if row["unit"] else row["variable"],
            *(_plain(row[split]) for split in splits),
        ]
        for row in rows
    ]
    note = "Median [lower quartile, upper quartile]. The splits share no patient."
    if len(splits) < len(SPLITS):
        note += " Splits of one to ten stays are not shown."
    return Table(["Variable", *splits], cells, note)


def missingness(rows: Sequence[Row]) -> Table:
    """Returns the share of missing values before and after imputation."""
    cells = [
        [row["variable"], *(show(estimates.estimate([row[k]]), True) for k in keys)]
        for row in rows
        for keys in [("before", "after")]
    ]
    note = "Share of hours without a value, before and after it was filled in."
    return Table(["Variable", "Before", "After"], cells, note)


def dynamics(rows: Sequence[Row]) -> Table:
    """Returns the error of the model beside that of persistence, by hours ahead."""
    cells = []
    for (quantity, horizon), members in estimates.group(
        rows, "quantity", "horizon"
    ).items():
        model = estimates.over_seeds(members, "model")
        still = estimates.over_seeds(members, "persistence")
        gain = "–"
        if model and still and still.mean:
            gain = words.typeset(f"{100 * (model.mean / still.mean - 1):+.0f} %")
        n = str(model.n if model else 0)
        name = f"{words.quantity(quantity)}, {horizon:g} h ahead"
        cells.append([name, show(model), show(still), gain, n])
    columns = ["Error", "Model", "Persistence", "Model against persistence", "n"]
    return Table(columns, cells, f"{SPREAD_NOTE} Below zero, the model is better.")


def measured(rows: Sequence[Row], label: str, names: Mapping[str, str]) -> Table:
    """Returns one row for each of `names` (key: heading) with spread over seeds."""
    cells = []
    for key, heading in names.items():
        mean = estimates.over_seeds(rows, key)
        if mean:
            cells.append([heading, show(mean), str(mean.n)])
    return Table([label, "Value", "n"], cells, SPREAD_NOTE)


def alignment(rows: Sequence[Row]) -> Table:
    """Returns rank correlations of learned reward and imitation with the outcome."""
    names = {"r_psi": "learned reward r_psi", "log_mu": "behavioural cloning log mu"}
    names |= {
        reward: f"r_psi of {words.policy(reward.removeprefix('r_psi of '))}"
        for reward in (row["reward"] for row in rows)
        if reward.startswith("r_psi of ")
    }
    keys = ("within_state", "all_pairs", "recorded_pairs")
    cells = []
    for (reward,), members in estimates.group(rows, "reward").items():
        means = [estimates.over_seeds(members, key) for key in keys]
        n = max((mean.n for mean in means if mean), default=0)
        cells.append([names.get(reward, reward), *map(show, means), str(n)])
    columns = ["Reward", "Within a state", "All pairs", "Recorded pairs", "n"]
    return Table(columns, cells, SPREAD_NOTE)


def settings(section: Mapping[str, Any], label: str) -> Table:
    """Returns an object as a table of its keys and values."""
    cells = [[key, _plain(value)] for key, value in sorted(section.items())]
    return Table([label, "Value"], cells)


def _plain(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, float):
        return f"{value:.6g}"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)

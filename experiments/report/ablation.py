"""What changing one setting changes: ablations, and the number of experts' stays."""

from collections.abc import Sequence

from experiments.report import blocks, drawing, estimates, forest, words
from experiments.report.blocks import Block
from experiments.report.drawing import Picture
from experiments.report.estimates import Row
from experiments.report.results import Results
from experiments.report.tables import SPREAD_NOTE, Table, show, show_interval
from experiments.report.words import Measure

DRAWN = ("r_p", "in_range", "within_state")
_MOST_COLUMNS = 6
# What names a row; everything else is a measure.
_STUDY = ("setting", "value", "seed", "stays", "policy", "name")
_MEASURES = {
    "within_state": Measure(
        "Reward ranks doses",
        "rank correlation of the learned with the clinical reward over the doses of a "
        "state: 1 is the same order, 0 none",
        False,
        1,
    ),
    "recorded_pairs": Measure(
        "Reward ranks records",
        "the same over recorded states with the doses that were given",
        False,
        1,
    ),
    "ess": Measure(
        "Effective sample", "share of the imagined stays that carry weight", True
    ),
    "return_r_p_model": Measure(
        "Return under r_p in the model",
        "sum of the clinical reward over a stay imagined by the learned model",
        False,
        1,
    ),
}


def block(run: Results) -> Block:
    """Returns both studies of one run."""
    return blocks.join(
        _ablation(run.get("ablation") or [], run),
        _experts(run.get("expert_stays") or [], run),
    )


def name_of(row: Row) -> str:
    """Returns a setting with its value as one text."""
    value, policy = row["value"], row.get("policy", "omg_rl")
    text = row["setting"] if value in (None, "") else f"{row['setting']} = {value}"
    return text if policy == "omg_rl" else f"{text}, {words.policy(policy)}"


def _known(run: Results) -> dict[str, Measure]:
    return {**words.measures(words.target_of(run.get("dataset"))), **_MEASURES}


def _present(rows: Sequence[Row]) -> list[str]:
    """Returns the measures of a study that have values, in order of appearance."""
    names = dict.fromkeys(key for row in rows for key in row if key not in _STUDY)
    return [
        name
        for name in names
        if any(isinstance(row.get(name), int | float) for row in rows)
    ]


def _ablation(rows: Sequence[Row], run: Results) -> Block:
    if not rows:
        return blocks.block(absent=[blocks.lacks("Ablation of settings", "ablation")])
    known = _known(run)
    groups = estimates.group([{**row, "name": name_of(row)} for row in rows], "name")
    first = next(iter(groups))[0]
    pictures = []
    for name in DRAWN:
        measure = known[name]
        entries = [
            forest.entry(label, members, name, "omg_rl", hollow=label == first)
            for (label,), members in groups.items()
        ]
        base = {"base": groups[first,]}
        lines = forest.references_of(base, name, {"base": first})
        caption = (
            f"{measure.label}: {measure.note}. One setting changed at a time, on the "
            f"same patients; hollow and upright line: {first}."
        )
        pictures.append(forest.picture(entries, measure, caption, lines))
    table = _ablation_table(groups, known, first)
    return blocks.block(pictures, [("What each setting changes", table)])


def _ablation_table(groups, known, first: str) -> Table:
    names = _present([row for members in groups.values() for row in members])
    names = names[:_MOST_COLUMNS]
    cells = []
    for (label,), members in groups.items():
        gap = estimates.difference(members, groups[first,], "r_p")
        ends = show_interval(gap)
        paired = "–" if label == first else show(gap) + (f"\n[{ends}]" if ends else "")
        means = [estimates.over_seeds(members, name) for name in names]
        values = [
            show(m, n in known and known[n].percent)
            for n, m in zip(names, means, strict=True)
        ]
        seeds = max((mean.n for mean in means if mean), default=0)
        cells.append([label, *values, paired, str(seeds)])
    headings = [known[n].label if n in known else n.replace("_", " ") for n in names]
    note = (
        f"r_p against first: difference to '{first}', paired by seed, with its 95 % "
        "interval over seeds. Among many settings some differ by chance."
    )
    columns = ["Setting", *headings, "r_p against first", "n"]
    return Table(columns, cells, f"{note} {SPREAD_NOTE}")


def _experts(rows: Sequence[Row], run: Results) -> Block:
    if not rows:
        reason = blocks.lacks("Table II, number of stays to learn from", "expert_stays")
        return blocks.block(absent=[reason])
    known = _known(run)
    names = _present(rows)
    pictures = [experts(rows, name, known[name]) for name in names if name in known]
    cells = []
    for (stays,), members in sorted(estimates.group(rows, "stays").items()):
        means = [estimates.over_seeds(members, name) for name in names[:_MOST_COLUMNS]]
        values = [
            show(m, n in known and known[n].percent)
            for n, m in zip(names, means, strict=False)
        ]
        seeds = max((mean.n for mean in means if mean), default=0)
        cells.append([f"{stays:g}", *values, str(seeds)])
    headings = [known[n].label if n in known else n.replace("_", " ") for n in names]
    columns = ["Stays", *headings[:_MOST_COLUMNS], "n"]
    table = Table(columns, cells, SPREAD_NOTE)
    return blocks.block(pictures, [("Table II. Number of stays to learn from", table)])


def experts(rows: Sequence[Row], name: str, measure: Measure) -> Picture | None:
    """Draws one measure against the number of stays that the reward learned from."""
    points = [
        (stays, mean, list(estimates.by_seed(members, name).values()))
        for (stays,), members in sorted(estimates.group(rows, "stays").items())
        if (mean := estimates.over_seeds(members, name))
    ]
    if not points:
        return None
    scale = 100.0 if measure.percent else 1.0
    with drawing.canvas(2.9) as (figure, (axes,)):
        stays = [n for n, *_ in points]
        axes.plot(
            stays, [scale * m.mean for _, m, _ in points], color=drawing.BLUE,
            marker="o", ms=5,
        )  # fmt: skip
        for count, mean, seeds in points:
            dots = [scale * value for value in seeds]
            axes.plot([count] * len(dots), dots, ".", color=drawing.BLUE, alpha=0.35)
            if mean.low is not None and mean.high is not None:
                ends = [scale * mean.low, scale * mean.high]
                axes.plot([count] * 2, ends, color=drawing.BLUE)
        unit = " (%)" if measure.percent else ""
        axes.set(
            xlabel="Stays the reward learned from", ylabel=f"{measure.label}{unit}"
        )
        axes.set_title("Table II. More stays, better policy?")
        values = ", ".join(f"{m.mean:.3g} from {n:g} stays" for n, m, _ in points)
        caption = f"{measure.label}: {measure.note}. {forest.LEGEND}"
        return drawing.finish(figure, f"{measure.label}: {values}.", caption)

"""The sections of a benchmark's page: returns by method, known policies, logs."""

from experiments.public_tasks.found import CLONED, Found
from experiments.public_tasks.labels import MEASURES, label, published_label
from experiments.report import blocks, drawing, estimates, forest
from experiments.report.blocks import Block
from experiments.report.drawing import Picture
from experiments.report.tables import Table

_LINES = (":", "--", "-.")
_ONE_SET = (
    "All seeds learn from one set of logs. Others of the same kind would give other "
    "returns, and logs often differ more than seeds do: the spread shown is too small. "
    "Several sets can be given to --dataset."
)


def methods(found: Found) -> Block:
    """Returns of trained methods: greedy, drawn, less cloning, and as published."""
    measure, cells = MEASURES[found.task], []
    cloned = found.of(CLONED)
    for name in found.names(known=False):
        greedy = estimates.over_seeds(found.of(name), "value")
        gap = estimates.difference(found.of(name), cloned, "value")
        same = [one for one in found.published if one.policy.split(",")[0] == name]
        cells.append(
            [
                label(name),
                found.show(greedy),
                "" if name == CLONED else found.show(gap, signed=True),
                found.show(estimates.over_seeds(found.of(name, "stochastic"), "value")),
                ", ".join(f"{one.value:g}" for one in same) or "–",
                str(greedy.n if greedy else 0),
            ]
        )
    note = (
        f"{measure.label}: {measure.note}. Mean ± standard deviation over "
        f"{found.unit}; in brackets the 95 % interval of the mean; n: number of "
        f"{found.unit}. Less cloning: the difference on the same {found.unit}. Where "
        "published numbers stand, and for what: see below. An interval from few values "
        "may leave the range of possible ones."
    )
    columns = ["Method", "Greedy", "Less cloning", "Drawn", "Published", "n"]
    title = f"{measure.label} by method"
    warned = [] if found.unit == "logs" else [_ONE_SET]
    shown = [(title, Table(columns, cells, note))]
    return blocks.block([_picture(found)], shown, warnings=warned)


def _picture(found: Found) -> Picture | None:
    """Greedy returns, with known and published ones as lines to read against."""
    measure = MEASURES[found.task]
    entries = [
        forest.entry(label(name), found.of(name), "value", name)
        for name in found.names(known=False)
    ]
    known = {label(name): found.of(name)[0]["value"] for name in found.names(True)}
    lines = known | {
        f"{label(one.policy.split(',')[0])}, published": one.value
        for one in found.outside()
    }
    colours = (drawing.PURPLE, drawing.BLACK, drawing.GREY, drawing.BROWN)
    references = [
        forest.Reference(name, value, colours[k % 4], _LINES[k % 3])
        for k, (name, value) in enumerate(lines.items())
    ]
    each = "" if found.unit == "seeds" else " Here a dot is a set of logs, not a seed."
    caption = (
        f"{measure.label}: {measure.note}. Policies take their most likely action."
        f"{each}"
    )
    return forest.picture(entries, measure, caption, references)


def known_policies(found: Found) -> Block:
    """Values of policies that nobody learned, and every published number's source."""
    cells = []
    published = {one.policy: one for one in found.published}
    for name in found.names(known=True):
        row, one = found.of(name)[0], published.pop(name, None)
        value = found.number(row["value"])
        if row["error"] > 0:
            value += f" ± {found.number(row['error'])}"
        said = [f"{one.value:g}", one.source] if one else ["–", "–"]
        cells.append([label(name), value, *said])
    cells += [
        [published_label(one.policy), "see above", f"{one.value:g}", one.source]
        for one in published.values()
    ]
    note = (
        "This run: ± standard error over the episodes that were played; none where the "
        "value is exact or all episodes ended alike. Published numbers come from other "
        "logs or episodes: they say what can be reached, not what must be."
    )
    columns = ["Policy", "This run", "Published", "Source"]
    return blocks.block(shown=[("Known and published", Table(columns, cells, note))])


def by_logs(found: Found) -> Block:
    """Greedy returns from each set of logs, with their spread over seeds."""
    frame = found.frame[found.frame["mode"] == "greedy"]
    sets = list(dict.fromkeys(frame["logs"]))
    cells = []
    for name in found.names(known=False):
        own = frame[frame["policy"] == name]
        means = [
            estimates.over_seeds(own[own["logs"] == one].to_dict("records"), "value")
            for one in sets
        ]
        cells.append([label(name), *map(found.show, means)])
    note = (
        "Mean ± standard deviation over seeds, in brackets the 95 % interval of the "
        "mean over seeds; logs in the order of --dataset."
    )
    columns = ["Method", *(f"Logs {one}" for one in sets)]
    return blocks.block(shown=[("Greedy, by logs", Table(columns, cells, note))])

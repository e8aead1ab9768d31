"""Policies estimated from logged doses: estimate, interval and what it rests on.

Nobody received the doses of a learned policy. Such estimates weigh the recorded stays
by how likely the policy was to give the same doses; often a handful of stays carries
all the weight. No number is shown without its interval, its effective sample size and
its largest weight.
"""

from collections.abc import Sequence

from experiments.report import blocks, drawing, estimates, words
from experiments.report.blocks import Block
from experiments.report.drawing import Picture
from experiments.report.estimates import Row
from experiments.report.results import Results
from experiments.report.tables import SPREAD_NOTE, Table, show, show_ends
from experiments.report.words import Measure

# Below this many effective patients an estimate is called too thin to be read: with as
# many, the standard error of a mean is a seventh of the spread between patients.
LEAST_ESS = 50.0
_DEFAULT = "return"


def block(run: Results) -> Block:
    """Returns the estimates from the log, with warnings where they rest on little."""
    every, rows = run.get("off_policy") or [], shown(run)
    absent = []
    if not every:
        absent.append(blocks.lacks("Estimates from logged doses", "off_policy"))
    elif len(rows) < len(every):
        absent.append(
            f"{len(every) - len(rows)} of {len(every)} estimates from logged doses are "
            "not shown: they, or their intervals, do not exist. No recorded stay may "
            "have followed the policy."
        )
    if not rows:
        return blocks.block(absent=absent)
    known = words.measures(words.target_of(run.get("dataset")))
    rows.sort(key=lambda row: words.policy_order(row["policy"]))
    pictures, tables = [], []
    for (measure,), members in estimates.group(_named(rows), "measure").items():
        how = known.get(measure) or Measure(measure.replace("_", " ").capitalize(), "")
        for (estimator,), chosen in estimates.group(members, "estimator").items():
            pictures.append(_picture(chosen, estimator, how))
        title = f"{how.label}, estimated from logged doses"
        tables.append((title, _table(members, blocks.hides(run))))
    warnings = [*_warnings(rows), *_what(run)]
    return blocks.block(pictures, tables, absent, warnings)


def shown(run: Results) -> list[Row]:
    """Returns the estimates that may be shown: those that have an interval."""
    return [
        row
        for row in run.get("off_policy") or ()
        if not any(row[key] is None for key in ("value", "low", "high"))
    ]


def thin(rows: Sequence[Row]) -> bool:
    """Whether estimates rest on fewer effective patients than can be read."""
    ess = estimates.over_seeds(rows, "ess")
    return ess is not None and ess.mean < LEAST_ESS


def _named(rows: Sequence[Row]) -> list[Row]:
    return [{**row, "measure": row.get("measure") or _DEFAULT} for row in rows]


def _warnings(rows: Sequence[Row]) -> list[str]:
    """Names the policies whose estimates rest on too few patients."""
    found = []
    for (policy, mode), members in estimates.group(rows, "policy", "mode").items():
        groups = estimates.group(members, "estimator").values()
        sizes = [estimates.over_seeds(g, "ess") for g in groups if thin(g)]
        least = [size.mean for size in sizes if size]
        if least:
            name = words.with_mode(policy, mode)
            span = " to ".join(f"{n:.1f}" for n in sorted({min(least), max(least)}))
            found.append(f"{name} ({span}, {len(least)} of {len(groups)} estimators)")
    if not found:
        return []
    return [
        f"Not to be believed, fewer than {LEAST_ESS:g} effective patients: "
        f"{'; '.join(found)}. A narrow interval there is no precision: the few "
        "patients who count may simply agree."
    ]


def _what(run: Results) -> list[str]:
    """Says which policy was estimated, and over what time, where the run gives it."""
    config = run.get("config") or {}
    found = []
    if share := config.get("soften"):
        found.append(
            f"Estimated are softened policies, which do as clinicians do in "
            f"{100 * share:g} % of their decisions; their truth, too, is that of the "
            "softened policy."
        )
    if hours := config.get("off_policy_horizon"):
        rate = config.get("off_policy_discount")
        tail = "" if rate is None else f"; each hour counts {rate:g} times the last"
        found.append(f"A return is the sum of rewards over {hours:g} hours{tail}.")
    return [" ".join(found)] if found else []


def _picture(rows: Sequence[Row], estimator: str, measure: Measure) -> Picture:
    """Draws the interval of every seed, and the truth where it is known."""
    scale = 100.0 if measure.percent else 1.0
    groups = estimates.group(rows, "policy", "mode")
    name, note = words.ESTIMATORS.get(estimator.lower(), (estimator, ""))
    height = 1.35 + 0.22 * len(groups) + 0.09 * len(rows)
    with drawing.canvas(height) as (figure, (axes,)):
        place, ticks, notes = 0.0, [], []
        for (policy, mode), members in groups.items():
            start = place
            for row in members:
                _mark(axes, place, row, policy, scale)
                place += 0.09
            ticks.append((start + place - 0.09) / 2)
            place += 0.22
            notes.append(_said(words.with_mode(policy, mode), members, scale))
        labels = [words.with_mode(policy, mode) for policy, mode in groups]
        axes.set_yticks(ticks, labels)
        axes.set_ylim(place - 0.12, -0.12)
        axes.set_xlabel(measure.label + (" (%)" if measure.percent else ""))
        axes.set_title(name)
        drawing.legend_below(figure, axes, columns=3)
        caption = (
            f"{name}{f' ({note})' if note else ''}. One line for each seed: the "
            "estimate and its 95 % interval over resampled patients. Hollow: fewer "
            f"than {LEAST_ESS:g} effective patients."
        )
        if any(row["truth"] is not None for row in rows):
            caption += " Cross: the truth, known from the simulator."
        alt = f"{name} of {measure.label.lower()} by policy: {'; '.join(notes)}."
        return drawing.finish(figure, alt, caption)


def _mark(axes, place: float, row: Row, policy: str, scale: float) -> None:
    colour, marker = drawing.policy_style(policy)
    ends = [scale * row["low"], scale * row["high"]]
    axes.plot(ends, [place] * 2, color=colour, linewidth=1.3, solid_capstyle="butt")
    face = "white" if thin([row]) else colour
    axes.plot(
        scale * row["value"], place, marker, color=colour, ms=5, markerfacecolor=face
    )
    if row["truth"] is not None:
        first = "truth" not in axes.get_legend_handles_labels()[1]
        axes.plot(
            scale * row["truth"], place, "x", color=drawing.BLACK, ms=5, zorder=4,
            label="truth" if first else "_",
        )  # fmt: skip


def _said(name: str, rows: Sequence[Row], scale: float) -> str:
    value = estimates.over_seeds(rows, "value")
    truth = estimates.over_seeds(rows, "truth")
    shown = f"{name} {scale * value.mean:.3g}" if value else name
    return shown + (f", truth {scale * truth.mean:.3g}" if truth else "")


def _table(rows: Sequence[Row], hide: bool) -> Table:
    cells = []
    groups = estimates.group(rows, "policy", "mode", "estimator")
    for (policy, mode, estimator), members in groups.items():
        how = words.inside(words.estimator(estimator))
        name = f"{words.with_mode(policy, mode)}: {how}"
        cells.append([name, *_cells(members, hide)])
    columns = (
        "Estimate [interval]", "Truth", "Truth inside", "Effective patients",
        "Largest weight", "n",
    )  # fmt: skip
    return Table(["Policy and estimator", *columns], cells, f"{_NOTE} {SPREAD_NOTE}")


def _cells(rows: Sequence[Row], hide: bool) -> list[str]:
    value = estimates.over_seeds(rows, "value")
    low, high = (estimates.over_seeds(rows, key) for key in ("low", "high"))
    ends = show_ends(low.mean, high.mean) if low and high else ""
    known = [row for row in rows if row["truth"] is not None]
    inside = sum(row["low"] <= row["truth"] <= row["high"] for row in known)
    return [
        f"{show(value)}\n[{ends}]",
        show(estimates.over_seeds(rows, "truth")),
        f"{inside} of {len(known)}" if known else "–",
        _effective(rows, hide),
        show(estimates.over_seeds(rows, "largest"), percent=True),
        str(value.n if value else 0),
    ]


def _effective(rows: Sequence[Row], hide: bool) -> str:
    ess = estimates.over_seeds(rows, "ess")
    if ess is None:
        return "no weights"
    whole = next((row["patients"] for row in rows if row.get("patients")), None)
    of_all = "" if whole is None else f" of {estimates.show_count(whole, hide)}"
    shown = f"{ess.mean:.1f}{of_all}"
    return shown + (f"\n(below {LEAST_ESS:g})" if thin(rows) else "")


_NOTE = (
    "In brackets: the 95 % interval over resampled patients, its ends averaged over "
    "seeds; it does not cover a wrong estimate of how clinicians dose. Truth inside: "
    "in how many seeds the interval holds the truth. Effective patients: how many "
    "equally weighted patients would be as informative; largest weight: the share of "
    "the whole that one single patient carries."
)

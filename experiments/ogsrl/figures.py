"""The page's pictures: constraints in training, the frontier, coverage, tolerance."""

from collections.abc import Sequence

import numpy as np

from experiments.config import RunConfig
from experiments.ogsrl.config import COSTLESS, DISCRETE, OWN, ROLLED_OUT, UNGUARDED
from experiments.ogsrl.labels import (
    LABELS,
    STYLES,
    Row,
    name_of,
    of,
    shown,
    swept,
    unsafe,
)
from experiments.ogsrl.scores import TOLERANCES
from experiments.report import blocks, drawing, estimates
from experiments.report.blocks import Block
from experiments.report.drawing import Picture

_COLOURS = (
    drawing.BLUE,
    drawing.ORANGE,
    drawing.GREEN,
    drawing.RED,
    drawing.VIOLET,
    drawing.BROWN,
)


def constraints(config: RunConfig, rows: Sequence[Row]) -> Block:
    """Each constraint's share and multiplier over the epochs."""
    own = config.limits
    wanted = dict(zip(own.costs, own.most, strict=True))
    wanted["outside"] = own.outside
    rolled = [r for r in rows if r["policy"] in ROLLED_OUT]
    weighed = [r for r in rows if r["policy"] in DISCRETE]
    # Where no step could meet the limits there was no multiplier.
    met = [r for r in rolled if r.get("actor/feasible", 0.0) >= 1.0]
    pictures: list[Picture | None] = []
    for name, limit in wanted.items():
        label = name_of(name)
        pictures.append(
            _over_epochs(
                rolled,
                name,
                f"{label}, % of steps",
                "In the world where policies are learned; mean over seeds and spread.",
                limit,
            )
        )
        title = f"Multiplier of {label.lower()}"
        for some, unit in (
            (met, "in the unit of standardised advantages, where limits can be met"),
            (weighed, "in the unit of the rewards"),
        ):
            note = f"{unit[0].upper()}{unit[1:]}; mean over seeds and spread."
            pictures.append(_over_epochs(some, f"dual_{name}", title, note))
    if not any(pictures):
        return blocks.block(absent=["Not shown: no method under limits was run."])
    return blocks.block(pictures)


def _over_epochs(
    rows: Sequence[Row], name: str, title: str, caption: str, limit: float | None = None
) -> Picture | None:
    policies = [p for p in shown(rows) if any(name in r for r in _of(rows, p))]
    if not policies:
        return None
    scale = 1.0 if limit is None else 100.0
    with drawing.canvas(3.0) as (figure, (axes,)):
        said = []
        for policy in policies:
            mine = [r for r in _of(rows, policy) if r.get(name) is not None]
            grouped = estimates.group(mine, "epoch")
            epochs = sorted(epoch for (epoch,) in grouped)
            values = [scale * np.array([r[name] for r in grouped[e,]]) for e in epochs]
            mean = np.array([v.mean() for v in values])
            spread = np.array([v.std() for v in values])
            colour, _ = STYLES[policy]
            axes.plot(epochs, mean, color=colour, label=LABELS[policy])
            axes.fill_between(
                epochs, mean - spread, mean + spread, color=colour, alpha=0.15
            )
            said.append(f"{LABELS[policy]} ends at {mean[-1]:.3g}")
        if limit is not None:
            line = {"color": drawing.BLACK, "linestyle": "--", "label": "limit"}
            axes.axhline(scale * limit, **line)
        axes.set(xlabel="epoch", title=title)
        drawing.legend_below(figure, axes)
        return drawing.finish(figure, f"{title}: {'; '.join(said)}.", caption)


def _of(rows: Sequence[Row], policy: str) -> list[Row]:
    return [r for r in rows if r["policy"] == policy]


def frontier(config: RunConfig, rows: Sequence[Row]) -> Block:
    """Value against the first cost, for several limits of it."""
    runs = swept(rows, "limit")
    if not runs or not config.limits.costs:
        return blocks.block(absent=["Not shown: no other limit was tried."])
    cost = config.limits.costs[0]
    found = {f"limit {100 * limit:g} %": policy for limit, policy in runs.items()}
    found[f"limit {100 * config.limits.most[0]:g} %"] = OWN
    for policy in (COSTLESS, "clinicians"):
        found[LABELS[policy]] = policy
    caption = (
        "Each point is a setting, mean over its seeds with spread; up and to the left "
        "is better. Only the limit of this cost differs."
    )
    label = f"{unsafe(cost).label}, % of steps"
    return blocks.block([_scatter(rows, found, f"unsafe_{cost}", label, caption)])


def coverages(rows: Sequence[Row]) -> Block:
    """Value against steps outside, for several coverages of the guardian."""
    runs = swept(rows, "coverage")
    if not runs:
        return blocks.block(absent=["Not shown: no other coverage was tried."])
    found = {f"coverage {100 * share:g} %": policy for share, policy in runs.items()}
    found[LABELS[OWN]] = OWN
    found[LABELS[UNGUARDED]] = UNGUARDED
    caption = (
        "Guardians that hold a larger share of recorded steps inside leave more room. "
        "Steps outside are counted by one guardian for all."
    )
    return blocks.block(
        [_scatter(rows, found, "outside", "Outside, % of steps", caption)]
    )


def _scatter(
    rows: Sequence[Row], found: dict[str, str], name: str, label: str, caption: str
) -> Picture | None:
    where = "truth" if any(r["where"] == "truth" for r in rows) else "judging"
    points = []
    for text, policy in found.items():
        own = of(rows, policy, where)
        x, y = (estimates.over_seeds(own, key) for key in (name, "value"))
        if x is not None and y is not None:
            points.append((text, x, y))
    if not points:
        return None
    with drawing.canvas(3.4) as (figure, (axes,)):
        said = []
        for place, (text, x, y) in enumerate(points):
            axes.errorbar(
                100 * x.mean,
                y.mean,
                xerr=100 * (x.sd or 0.0),
                yerr=y.sd or 0.0,
                fmt="o",
                color=_COLOURS[place % len(_COLOURS)],
                label=text,
            )
            said.append(f"{text} {100 * x.mean:.1f} %, value {y.mean:.2f}")
        place = "in truth" if where == "truth" else "in the held-out patients' world"
        axes.set(xlabel=label, ylabel="value", title=f"Value and safety, {place}")
        drawing.legend_below(figure, axes)
        return drawing.finish(figure, f"{'; '.join(said)}.", caption)


def tolerances(rows: Sequence[Row]) -> Block:
    """MCR by the tolerance that it allows."""
    policies = [p for p in shown(rows) if p != "clinicians"]
    with drawing.canvas(3.0) as (figure, (axes,)):
        said = []
        for policy in policies:
            own = of(rows, policy, "records")
            means = [estimates.over_seeds(own, f"mcr_{t:g}") for t in TOLERANCES]
            known = [(t, m.mean) for t, m in zip(TOLERANCES, means, strict=True) if m]
            if not known:
                continue
            colour, marker = STYLES[policy]
            axes.plot(*zip(*known, strict=True), color=colour, marker=marker,
                      label=LABELS[policy])  # fmt: skip
            said.append(f"{LABELS[policy]} {known[0][1]:.2f} to {known[-1][1]:.2f}")
        axes.set(xlabel="tolerance, share of the range", ylabel="MCR", ylim=(0, 1))
        axes.set_title("Decisions that are the clinicians'")
        if not said:
            return blocks.block(absent=["Not shown: no policy was judged."])
        drawing.legend_below(figure, axes)
        picture = drawing.finish(
            figure,
            f"MCR from the smallest to the largest tolerance: {'; '.join(said)}.",
            "The more a dose may differ, the more policies agree; of levels, only "
            "tolerances of a whole level count.",
        )
    return blocks.block([picture])

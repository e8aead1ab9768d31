"""The page's scores: what held-out stays say of policies, and methods of themselves."""

from collections.abc import Sequence

import numpy as np

from experiments.iql_multitask.labels import (
    DRAWN,
    ESTIMATORS,
    LABELS,
    SPREAD,
    STYLES,
    Row,
    of,
    shown,
)
from experiments.report import blocks, drawing, estimates, forest, tables
from experiments.report.blocks import Block
from experiments.report.drawing import Picture
from experiments.report.tables import Table
from experiments.report.words import Measure
from omgrl_jax.evaluation import off_policy as off_policy_lib


def off_policy(rows: Sequence[Row], judged: Sequence[Row]) -> Block:
    """Estimates from held-out stays, beside the truth.

    Args:
      rows: the estimates.
      judged: what policies did to new virtual patients; empty for records.
    """
    learned = [r for r in rows if r["policy"] != "clinicians"]
    known = [r for r in learned if r.get("truth") is not None]
    cells = []
    for policy in shown(learned):
        own = [r for r in learned if r["policy"] == policy]
        row = [LABELS[policy]]
        for estimator in ("wdr", "wis", "fqe"):
            part = [r for r in own if r["estimator"] == estimator]
            text = tables.show(estimates.over_seeds(part, "value"))
            low, high = (np.mean([r[end] for r in part]) for end in ("low", "high"))
            row.append(f"{text} [{tables.show_ends(float(low), float(high))}]")
        part = [r for r in own if r["estimator"] == "wdr"]
        few = sum(off_policy_lib.few(r["ess"]) for r in part)
        text = tables.show(estimates.over_seeds(part, "ess"))
        row.append(f"{text} (too few in {few} of {len(part)})" if few else text)
        row.append(tables.show(estimates.over_seeds(part, "truth")))
        cells.append(row)
    for r in rows:
        if r["policy"] == "clinicians":
            ends = tables.show_ends(r["low"], r["high"])
            text = f"{r['value']:.3f} [{ends}]"
            real = estimates.over_seeds(of(judged, "clinicians", "-"), "value")
            cells.append([LABELS["clinicians"], text, "–", "–", "–", tables.show(real)])
    head = ["Policy, softened", "WDR", "WIS", "FQE", "Effective patients", "Truth"]
    note = (
        f"{SPREAD} In brackets: 95 % bootstrap interval over patients, averaged over "
        "seeds. Softened: a share of the decisions is the clinicians'. Values for WDR "
        "are fitted to the policy itself (fitted Q evaluation), never its own. "
        "Effective patients: of the step where they are fewest; with too "
        f"few, fewer than {off_policy_lib.LEAST_PATIENTS:g}, do not believe the line. "
        "Clinicians: mean return of the held-out stays."
    )
    pictures = [_scatter(known)] if known else []
    return blocks.block(pictures, [("Estimates", Table(head, cells, note))])


def _scatter(rows: Sequence[Row]) -> Picture:
    """Estimates against the truth, a point for each policy, seed and estimator."""
    with drawing.canvas(3.4) as (figure, (axes,)):
        looks = {"wdr": (drawing.BLUE, "o"), "wis": (drawing.ORANGE, "s")}
        looks["fqe"] = (drawing.GREEN, "^")
        for estimator, (colour, marker) in looks.items():
            own = [r for r in rows if r["estimator"] == estimator]
            x, y = ([r[key] for r in own] for key in ("truth", "value"))
            label = ESTIMATORS[estimator]
            axes.plot(x, y, marker, color=colour, ms=4, alpha=0.6, label=label)
        ends = [min(r["truth"] for r in rows), max(r["truth"] for r in rows)]
        axes.plot(ends, ends, "--", color=drawing.GREY, linewidth=1)
        axes.set(xlabel="true value", ylabel="estimate")
        axes.set_title("Estimates and the truth")
        drawing.legend_below(figure, axes, columns=3)
        drawn = [r for r in rows if r["estimator"] in looks]
        off = np.mean([abs(r["value"] - r["truth"]) for r in drawn])
        return drawing.finish(
            figure,
            f"Estimates differ from the truth by {off:.2f} on average.",
            "Each point is a policy of one seed, softened towards the clinicians, "
            "estimated from held-out stays and judged on new virtual patients. On the "
            "line an estimate is right.",
        )


def belief(rows: Sequence[Row], judged: Sequence[Row]) -> Block:
    """What methods promise of themselves."""
    if not rows:
        return blocks.block(
            absent=["Not shown: no method has values of whole stays to compare."]
        )
    cells, entries = [], []
    for policy in shown(rows):
        own = [r for r in rows if r["policy"] == policy]
        real = estimates.over_seeds(of(judged, policy, DRAWN), "value")
        texts = [
            tables.show(estimates.over_seeds(own, key))
            for key in ("promised", "highest", "best_return")
        ]
        cells.append([LABELS[policy], texts[0], tables.show(real), *texts[1:]])
        entries.append(forest.styled(LABELS[policy], own, "promised", STYLES[policy]))
    head = ["Method", "Promised", "True", "Highest value", "Best return"]
    note = (
        f"{SPREAD} Promised: mean of the method's own values over the first states of "
        "held-out patients; true: what the policy earns; highest value: of any action "
        "in a training state; best return: the largest sum of rewards still to come in "
        "one: the true value of no state and action is larger."
    )
    measure = Measure("What methods promise of themselves", "value")
    picture = forest.picture(entries, measure, "Mean value of held-out first states.")
    return blocks.block([picture], [("Own values", Table(head, cells, note))])

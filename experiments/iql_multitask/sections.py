"""The page's sections: what policies do, whether they pass, what estimates say."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from experiments.iql_multitask import clinical
from experiments.iql_multitask.config import CLONED, OWN, SHARPENED
from experiments.iql_multitask.labels import (
    ACTED,
    ESTIMATORS,
    LABELS,
    MEASURES,
    STYLES,
    acting,
)
from experiments.report import blocks, drawing, estimates, forest, tables
from experiments.report.blocks import Block
from experiments.report.drawing import Picture
from experiments.report.tables import Table
from experiments.report.words import Measure
from omgrl_jax.data.schema import Actions

Row = Mapping[str, Any]
_SPREAD = "Mean ± standard deviation over seeds."
_DRAWN = "stochastic"
_WITH_BAND = (OWN, "single_task_iql")  # more would hide each other


def of(rows: Sequence[Row], policy: str, mode: str) -> list[Row]:
    """The rows of one policy and way of acting; "-" where there is only one way."""
    return [r for r in rows if r["policy"] == policy and r["mode"] in (mode, "-")]


def shown(rows: Sequence[Row]) -> list[str]:
    """Policies of rows in the order of the page."""
    there = {row["policy"] for row in rows}
    return [name for name in LABELS if name in there]


def outcomes(rows: Sequence[Row], patients: int) -> Block:
    """What policies do to new virtual patients."""
    if not rows:
        return blocks.block(
            absent=["Not known: these are records; only a simulator knows the truth."]
        )
    caption = (
        f"{patients} new virtual patients a seed, the same for every policy; doses "
        "drawn from the policy."
    )
    pictures: list[Picture | None] = [
        forest.picture(
            [
                forest.styled(LABELS[p], of(rows, p, _DRAWN), key, STYLES[p])
                for p in shown(rows)
            ],
            MEASURES[key],
            caption,
        )
        for key in ("value", "survived")
    ]
    cells = []
    usual = of(rows, "clinicians", "-")
    for policy in shown(rows):
        for mode in ACTED:
            own = [r for r in rows if (r["policy"], r["mode"]) == (policy, mode)]
            if not own:
                continue
            gap = estimates.difference(own, usual, "value")
            texts = [
                tables.show(estimates.over_seeds(own, k), m.percent)
                for k, m in MEASURES.items()
            ]
            apart = "" if policy == "clinicians" else tables.show_interval(gap)
            cells.append([acting(policy, mode), texts[0], apart, *texts[1:]])
    labels = [m.label for m in MEASURES.values()]
    head = ["Policy", labels[0], "less clinicians'", *labels[1:]]
    note = (
        f"{_SPREAD} Value: discounted rewards of a stay. Less clinicians': 95 % "
        "interval of the difference, seed by seed. "
        + "; ".join(f"{m.label}: {m.note}" for k, m in MEASURES.items() if k != "value")
        + "."
    )
    return blocks.block(pictures, [("Outcomes", Table(head, cells, note))])


def tests(rows: Sequence[Row]) -> Block:
    """Which policies pass the clinical tests."""
    cells = []
    for policy in shown(rows):
        for mode in clinical.MODES:
            own = [r for r in rows if (r["policy"], r["mode"]) == (policy, mode)]
            if not own:
                continue
            passed = [clinical.passes(row) for row in own]
            counts = [
                f"{sum(one[test] for one in passed)}/{len(passed)}"
                for test in ("pressure", "lactate", "diversity")
            ]
            every = sum(all(one.values()) for one in passed)
            texts = [
                tables.show(estimates.over_seeds(own, key))
                for key in ("pressure", "lactate", "used", "entropy")
            ]
            texts[2] += f" [{_ends(own, 'used')}]"
            texts[3] += f" [{_ends(own, 'entropy')}]"
            pairs = [f"{texts[k]} ({counts[k]})" for k in (0, 1)]
            spread = f"{texts[2]}; {texts[3]} ({counts[2]})"
            all_three = f"{every}/{len(passed)}"
            cells.append([acting(policy, mode), *pairs, spread, all_three])
    note = (
        f"{_SPREAD} In brackets: seeds that pass. Pressure: rank correlation of mean "
        "pressure and vasopressor level while that sign alone is swept over two "
        f"standard deviations, the others at their mean (below {_limit('pressure')}); "
        f"lactate: the same with the level of treatment (above {_limit('lactate')}); "
        "actions: how many of the nine have at least 1 % of the decisions of held-out "
        f"patients (at least {_limit('used')}), and their entropy in nats (above "
        f"{_limit('entropy')}), with their 95 % intervals over patients, averaged over "
        f"seeds. Clinicians' own actions: {_clinicians(rows)}. A rank correlation says "
        "nothing of size, and a policy that is nearly flat can pass: see the sizes "
        "below."
    )
    head = ["Policy", "Pressure", "Lactate", "Actions; entropy", "All three"]
    real = _real_table(rows)
    found = [("Clinical tests", Table(head, cells, note)), ("Around real states", real)]
    return blocks.block(shown=found)


def _ends(rows: Sequence[Row], name: str) -> str:
    """Ends of an interval over patients, averaged over seeds."""
    low, high = (
        float(np.mean([row[f"{name}_{end}"] for row in rows]))
        for end in ("low", "high")
    )
    return tables.show_ends(low, high)


def _limit(name: str) -> str:
    return f"{clinical.LIMITS[name]:g}".replace("-", "−")


def _clinicians(rows: Sequence[Row]) -> str:
    for row in rows:
        if row["policy"] == "clinicians":
            return f"{row['used']:.0f}, {row['entropy']:.2f}"
    return "not known"


def _real_table(rows: Sequence[Row]) -> Table:
    """Sensitivities around held-out states, with intervals over patients."""
    cells = []
    for policy in shown(rows):
        for mode in clinical.MODES:
            own = [r for r in rows if (r["policy"], r["mode"]) == (policy, mode)]
            if not own:
                continue
            texts = []
            for test in ("pressure", "pressures", "lactate"):
                mean = float(np.mean([row[f"{test}_real"] for row in own]))
                size = float(np.mean([row[f"{test}_size"] for row in own]))
                ends = _ends(own, f"{test}_real")
                texts.append(f"{mean:.2f} [{ends}]; {size:+.2f}".replace("-", "−"))
            agree = tables.show(estimates.over_seeds(own, "agreement"), percent=True)
            cells.append([acting(policy, mode), *texts, agree])
    note = (
        "The sign is swept around each of many held-out states, the rest of the state "
        "as it was; mean rank correlation with its 95 % interval over patients, both "
        "averaged over seeds; then the size: levels more at one deviation above the "
        "mean than at one below, at the mean state. All pressures: systolic, mean and "
        "diastolic swept together, as they move in a patient. Agreement: held-out "
        "decisions in which the policy does what the clinician did."
    )
    head = ["Policy", "Mean pressure → vasopressor", "All pressures → vasopressor"]
    return Table([*head, "Lactate → treatment", "Agreement"], cells, note)


def off_policy(rows: Sequence[Row]) -> Block:
    """Estimates from held-out stays, beside the truth."""
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
        row.append(tables.show(estimates.over_seeds(part, "ess")))
        row.append(tables.show(estimates.over_seeds(part, "truth")))
        cells.append(row)
    for r in rows:
        if r["policy"] == "clinicians":
            ends = tables.show_ends(r["low"], r["high"])
            text = f"{r['value']:.3f} [{ends}]"
            cells.append([LABELS["clinicians"], text, "–", "–", "–", "–"])
    head = ["Policy, softened", "WDR", "WIS", "FQE", "Effective patients", "Truth"]
    note = (
        f"{_SPREAD} In brackets: 95 % bootstrap interval over patients, averaged over "
        "seeds. Softened: a share of the decisions is the clinicians'. Values for WDR "
        "are fitted to the policy itself (fitted Q evaluation), never its own. "
        "Effective patients: of the step where they are fewest; with fewer than 50 do "
        "not believe the line. Clinicians: mean return of the held-out stays."
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
    cells, entries = [], []
    for policy in shown(rows):
        own = [r for r in rows if r["policy"] == policy]
        real = estimates.over_seeds(of(judged, policy, _DRAWN), "value")
        texts = [
            tables.show(estimates.over_seeds(own, key))
            for key in ("promised", "highest", "best_return")
        ]
        cells.append([LABELS[policy], texts[0], tables.show(real), *texts[1:]])
        entries.append(forest.styled(LABELS[policy], own, "promised", STYLES[policy]))
    head = ["Method", "Promised", "True", "Highest value", "Best return"]
    note = (
        f"{_SPREAD} Promised: mean of the method's own values over the first states of "
        "held-out patients; true: what the policy earns; highest value: of any action "
        "in a training state; best return: the largest sum of rewards still to come in "
        "one, which no value can exceed without being wrong."
    )
    measure = Measure("What methods promise of themselves", "value")
    picture = forest.picture(entries, measure, "Mean value of held-out first states.")
    return blocks.block([picture], [("Own values", Table(head, cells, note))])


def actions(rows: Sequence[Row], known: Actions) -> Block:
    """Shares of the nine actions, as grids of both drugs."""
    pictures = []
    for policy in ("clinicians", OWN, SHARPENED, CLONED, "ddqn", "boosted_q"):
        for mode in clinical.MODES:
            own = [r for r in rows if (r["policy"], r["mode"]) == (policy, mode)]
            if own and (policy == OWN or mode == _DRAWN):
                pictures.append(_grid(acting(policy, mode), own, known))
        if policy == "clinicians" and (own := of(rows, policy, "-")):
            pictures.append(_grid(LABELS[policy], own, known))
    if not pictures:
        return blocks.block(absent=["Not shown: no policy was judged."])
    return blocks.block(pictures)


def _grid(name: str, rows: Sequence[Row], known: Actions) -> Picture:
    first, second = known.drugs
    shares = np.array(
        [np.mean([r[f"share_{a}"] for r in rows]) for a in range(known.count)]
    ).reshape(first.levels, second.levels)
    with drawing.canvas(2.9) as (figure, (axes,)):
        axes.grid(visible=False)
        axes.imshow(shares, cmap="Blues", vmin=0.0, vmax=max(0.3, float(shares.max())))
        for (y, x), share in np.ndenumerate(shares):
            dark = share > 0.5 * max(0.3, float(shares.max()))
            colour = "white" if dark else drawing.BLACK
            text = f"{100 * share:.0f} %"
            axes.text(x, y, text, ha="center", va="center", color=colour)
        for drug, axis in ((first, axes.yaxis), (second, axes.xaxis)):
            axis.set_ticks(range(drug.levels), [f"{x:.3g}" for x in drug.amounts])
            axis.set_label_text(f"{drug.name}, {drug.unit}")
        axes.set_title(name)
        return drawing.finish(
            figure,
            f"{name}: {100 * shares.max():.0f} % of decisions are the most "
            "frequent action.",
            "Share of held-out decisions by fluid (down) and vasopressor (across), the "
            "usual dose of each level; averaged over seeds.",
        )


def curves(rows: Sequence[Row]) -> Block:
    """Dose levels along the sweeps at the mean state."""
    titles = {
        "pressure": ("mean pressure, SD", "vasopressor level"),
        "lactate": ("lactate, SD", "fluid + vasopressor level"),
    }
    pictures = []
    for test, (x_label, y_label) in titles.items():
        own = [r for r in rows if r["test"] == test]
        if not own:
            continue
        with drawing.canvas(3.4) as (figure, (axes,)):
            said = []
            for policy in shown(own):
                part = [r for r in own if r["policy"] == policy]
                seeds = {r["seed"] for r in part}
                levels = np.array(
                    [[r["level"] for r in part if r["seed"] == s] for s in seeds]
                )
                colour, _ = STYLES[policy]
                mean, spread = levels.mean(axis=0), levels.std(axis=0)
                axes.plot(clinical.SWEEP, mean, color=colour, label=LABELS[policy])
                if policy in _WITH_BAND:
                    band = (mean - spread, mean + spread)
                    axes.fill_between(clinical.SWEEP, *band, color=colour, alpha=0.15)
                said.append(f"{LABELS[policy]} {mean[0]:.2f} to {mean[-1]:.2f}")
            axes.set(xlabel=x_label, ylabel=y_label)
            axes.set_title(f"{y_label[0].upper()}{y_label[1:]}")
            drawing.legend_below(figure, axes)
            caption = (
                "Mean level of each policy while that sign alone is swept, the others "
                "at their mean; mean over seeds, and the spread of some."
            )
            pictures.append(drawing.finish(figure, f"{'; '.join(said)}.", caption))
    return blocks.block(pictures)

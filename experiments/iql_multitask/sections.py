"""The page's tables: what policies do, which tests they pass, what their parts add."""

from collections.abc import Sequence

import numpy as np

from experiments.iql_multitask import clinical
from experiments.iql_multitask.config import ALONE, NO_ENTROPY, OWN
from experiments.iql_multitask.labels import (
    ACTED,
    DRAWN,
    LABELS,
    MEASURES,
    SPREAD,
    STYLES,
    Row,
    acting,
    exactly,
    of,
    shown,
)
from experiments.report import blocks, estimates, forest, tables
from experiments.report.blocks import Block
from experiments.report.drawing import Picture
from experiments.report.tables import Table

_TESTED = ("entropy", "pressures_size", "lactate_size")
_LEFT_OUT = {ALONE: "Auxiliary heads", NO_ENTROPY: "Entropy term"}


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
                forest.styled(LABELS[p], of(rows, p, DRAWN), key, STYLES[p])
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
            own = exactly(rows, policy, mode)
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
        f"{SPREAD} Value: discounted rewards of a stay. Less clinicians': 95 % "
        "interval of the difference, paired by seed on the same patients. "
        + "; ".join(f"{m.label}: {m.note}" for k, m in MEASURES.items() if k != "value")
        + "."
    )
    return blocks.block(pictures, [("Outcomes", Table(head, cells, note))])


def tests(rows: Sequence[Row]) -> Block:
    """Which policies pass the clinical tests."""
    cells = []
    for policy in shown(rows):
        for mode in clinical.MODES:
            own = exactly(rows, policy, mode)
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
        f"{SPREAD} In brackets: seeds that pass. Pressure: rank correlation of mean "
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
            own = exactly(rows, policy, mode)
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


def parts(policies: Sequence[Row], tested: Sequence[Row]) -> Block:
    """What the auxiliary heads and the entropy term add, seed by seed."""
    cells = []
    for policy in (ALONE, NO_ENTROPY):
        for mode in clinical.MODES:
            pairs = [
                (key, of(rows, OWN, mode), of(rows, policy, mode))
                for rows, keys in ((policies, ("value", "survived")), (tested, _TESTED))
                for key in keys
            ]
            gaps = [estimates.difference(own, other, key) for key, own, other in pairs]
            if any(gap is not None for gap in gaps):
                cells.append([_LEFT_OUT[policy], ACTED[mode], *_shown(gaps)])
    if not cells:
        return blocks.block(absent=["Not compared: no method without them was run."])
    note = (
        f"{LABELS[OWN]} less the same method without this part: mean difference over "
        "seeds with its 95 % interval; seeds share patients and held-out stays. Sizes: "
        "levels more at one deviation above the mean than at one below, at the mean "
        "state; a stronger reaction to pressure is a more negative one."
    )
    head = ["Part", "Acting", "Value", "Survival", "Entropy", "Size, pressures"]
    return blocks.block(
        shown=[("Added by parts", Table([*head, "Size, lactate"], cells, note))]
    )


def _shown(gaps: Sequence[estimates.Estimate | None]) -> list[str]:
    return ["–" if gap is None else _with_mean(gap) for gap in gaps]


def _with_mean(gap: estimates.Estimate) -> str:
    ends = tables.show_interval(gap)
    mean = f"{gap.mean:+.3f}".replace("-", "−")
    return f"{mean} [{ends}]" if ends else mean

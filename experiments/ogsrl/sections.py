"""The page's tables."""

from collections.abc import Sequence

import numpy as np

from experiments.config import RunConfig
from experiments.ogsrl.config import OWN, ROLLED_OUT, StudyConfig
from experiments.ogsrl.labels import (
    LABELS,
    OUTSIDE,
    PUBLISHED,
    SPREAD,
    STYLES,
    VALUE,
    Row,
    costs_in,
    name_of,
    of,
    shown,
    unsafe,
)
from experiments.report import blocks, estimates, forest, tables
from experiments.report.blocks import Block
from experiments.report.tables import Table

PLACES = {
    "learned": "where learned",
    "judging": "held-out patients' world",
    "truth": "truth",
}


def truth(rows: Sequence[Row]) -> Block:
    """What policies do to new virtual patients."""
    own = [r for r in rows if r["where"] == "truth"]
    if not own:
        return blocks.block(
            absent=["Not known: no simulator of this study made these data."]
        )
    measures = {"value": VALUE, "outside": OUTSIDE}
    measures |= {f"unsafe_{cost}": unsafe(cost) for cost in costs_in(own)}
    caption = "New virtual patients, the same for every policy; doses drawn from it."
    pictures = [
        forest.picture(
            [
                forest.styled(LABELS[p], of(rows, p, "truth"), key, STYLES[p])
                for p in shown(own)
            ],
            measure,
            caption,
        )
        for key, measure in measures.items()
    ]
    usual = of(rows, "clinicians", "truth")
    cells = []
    for policy in shown(own):
        mine = of(rows, policy, "truth")
        gap = estimates.difference(mine, usual, "value")
        apart = "" if policy == "clinicians" else tables.show_interval(gap)
        texts = [
            tables.show(estimates.over_seeds(mine, k), m.percent)
            for k, m in measures.items()
        ]
        died = tables.show(estimates.over_seeds(mine, "mortality"), percent=True)
        cells.append([LABELS[policy], texts[0], apart, died, *texts[1:]])
    head = ["Policy", "Value", "less clinicians'", "Died"]
    head += [m.label for m in list(measures.values())[1:]]
    note = (
        f"{SPREAD} Less clinicians': 95 % interval of the difference, paired by seed "
        "on the same patients. The rest: shares of steps; outside by one guardian, "
        "the same for all policies."
    )
    return blocks.block(pictures, [("Outcomes", Table(head, cells, note))])


def limits(config: RunConfig, rows: Sequence[Row]) -> Block:
    """Shares of steps against their limits, where learned, where judged, in truth."""
    own = config.limits
    wanted = dict(zip(own.costs, own.most, strict=True))
    cells = []
    for policy in ROLLED_OUT:
        for where, place in PLACES.items():
            mine = of(rows, policy, where)
            if not mine:
                continue
            usual = of(rows, "clinicians", "truth" if where == "truth" else "judging")
            texts = [
                _against(mine, usual, f"unsafe_{cost}", limit)
                for cost, limit in wanted.items()
            ]
            texts.append(_against(mine, usual, "outside", own.outside))
            cells.append([LABELS[policy], place, *texts])
    head = ["Policy", "Where", *(_with_limit(k, x) for k, x in wanted.items())]
    head.append(_with_limit("outside", own.outside))
    note = (
        f"{SPREAD} Then the share of the limit that is used and, where they are known, "
        "the change against the clinicians'. What trust region steps limit is the "
        "discounted sum over rollouts and what values say of the time after them, what "
        "multipliers limit the share of steps of rollouts that start anywhere in "
        "stays; elsewhere the error of the world model is added."
    )
    return blocks.block(shown=[("Limits", Table(head, cells, note))])


def _with_limit(constraint: str, limit: float) -> str:
    return f"{name_of(constraint)}, limit {100 * limit:g} %"


def _against(rows: Sequence[Row], usual: Sequence[Row], name: str, limit: float) -> str:
    mean, before = (estimates.over_seeds(r, name) for r in (rows, usual))
    text = tables.show(mean, percent=True)
    if mean is None:
        return text
    if limit:
        text += f"; {100 * mean.mean / limit:.0f} % of limit"
    if before is not None and before.mean:
        text += f"; {100 * (mean.mean / before.mean - 1):+.0f} %".replace("-", "−")
    return text


def published(rows: Sequence[Row], study: StudyConfig) -> Block:
    """MCR, AIR, ME and ACP beside the published ones."""
    cells = []
    for policy in shown(rows):
        asked, judged = of(rows, policy, "records"), of(rows, policy, "judging")
        theirs = PUBLISHED.get(policy, (None, None, None))
        pairs = [
            (asked, "mcr", theirs[0]),
            (asked, "air", theirs[1]),
            (judged, "mortality", theirs[2]),
            (judged, "acp", None),
        ]
        texts = []
        for own, name, said in pairs:
            mean = estimates.over_seeds(_finite(own, name), name)
            text = tables.show(mean)
            texts.append(text if said is None else f"{text} (published {said:g})")
        cells.append([LABELS[policy], *texts])
    note = (
        f"{SPREAD} MCR: held-out decisions in which every dose lies within "
        f"{study.tolerance:g} of its range of the clinicians'. AIR: held-out unsafe "
        "states in which a dose moves as medicine would, by more than a tenth of its "
        "range or to its end. ME: patients who die in the world of held-out "
        "patients, by a classifier of their last state. ACP: mean change of a dose "
        "between steps there, as a share of its range. The published figures are of "
        "sepsis in MIMIC-III, of continuous doses and other definitions of AIR: they "
        "stand here for orientation, not for comparison."
    )
    head = ["Policy", "MCR", "AIR", "ME", "ACP"]
    return blocks.block(shown=[("Published metrics", Table(head, cells, note))])


def _finite(rows: Sequence[Row], name: str) -> list[Row]:
    return [r for r in rows if r.get(name) is not None and np.isfinite(r[name])]


def guarantees(
    config: RunConfig, rows: Sequence[Row], guardian: Sequence[Row]
) -> Block:
    """What theory promises, what it assumes, and what was seen."""
    shown_tables = []
    if guardian:
        one = guardian[0]
        note = (
            "Threshold set on validation patients, coverage seen on test patients. "
            "By patient: the mean of patients' own shares. Guaranteed: what of that "
            "holds of the population but with probability .05 (Hoeffding), a patient "
            "being one observation, since steps of one are alike. Needed: patients "
            f"for a guarantee {100 * one['margin']:g} points below the wanted "
            "coverage, log(1/δ) / (2 margin²)."
        )
        cells = [
            [
                *(
                    f"{100 * one[k]:.1f} %"
                    for k in ("wanted", "seen", "by_patient", "guaranteed")
                ),
                str(one["patients"]),
                str(one["needed"]),
            ]
        ]
        head = ["Wanted", "Seen", "By patient", "Guaranteed", "Patients", "Needed"]
        shown_tables.append(("Coverage", Table(head, cells, note)))
    shown_tables.append(("Guarantees", _assumptions(config, rows)))
    return blocks.block(shown=shown_tables)


def _assumptions(config: RunConfig, rows: Sequence[Row]) -> Table:
    def gap(name: str) -> str:
        learned, true = (
            estimates.over_seeds(of(rows, OWN, where), name)
            for where in ("learned", "truth")
        )
        if learned is None or true is None:
            return "not known here"
        return f"{100 * learned.mean:.1f} % where learned, {100 * true.mean:.1f} % true"

    costs = [
        f"{name_of(cost)}: {gap(f'unsafe_{cost}')}" for cost in config.limits.costs
    ]
    values = [
        estimates.over_seeds(of(rows, OWN, where), "value")
        for where in ("learned", "truth")
    ]
    told = (
        "not known here"
        if any(v is None for v in values)
        else "promised {:.2f}, true {:.2f}".format(*(v.mean for v in values if v))
    )
    cells = [
        [
            "Few steps leave the supported region",
            "The world model moves states as the world does",
            gap("outside"),
        ],
        [
            "Unsafe steps stay below their limits",
            "Costs are seen in the state, and the model is right inside the region",
            "; ".join(costs) or "no cost is limited",
        ],
        [
            "The value is near the best within the region",
            "As above; rewards are bounded, the policy class is rich enough",
            told,
        ],
        [
            "No step of learning breaks a limit by much",
            "The trust region is small enough for linear costs",
            "see the curves of training",
        ],
    ]
    note = "arXiv 2505.16242 and 1705.10528 state the guarantees; last column: here."
    return Table(["Guarantee", "Assumption", "Seen"], cells, note)


def signed(gap: estimates.Estimate) -> str:
    """A difference with its interval, and whether that excludes zero."""
    ends = ""
    if gap.low is not None and gap.high is not None:
        clear = "clear" if gap.low > 0 or gap.high < 0 else "not clear"
        ends = f" [{gap.low:+.2f} to {gap.high:+.2f}], {clear}"
    return f"{gap.mean:+.2f}{ends}".replace("-", "−")

"""One table of all policies, beside the published one that the study follows.

The published figures are those of a project's page (IQL with multi-task learning on
sepsis records of MIMIC); its data are not public, so that only shapes compare.
"""

from collections.abc import Sequence

from experiments.iql_multitask import clinical
from experiments.iql_multitask.config import OWN
from experiments.iql_multitask.labels import DRAWN, LABELS, SPREAD, Row, of, shown
from experiments.report import blocks, estimates, tables
from experiments.report.blocks import Block
from experiments.report.tables import Table

# Estimate; clinical tests passed; actions used.
PUBLISHED = {
    "clinicians": "7.56 [7.37 to 7.75]",
    OWN: "aims: 7 to 9; 3/3; 7 of 9",
    "ddqn": "149.2; 0/3; 6 of 20",
    "dueling_cql": "no estimate; 1/3; 9 of 20",
    "linear_q": "5.639; 0/3; 1 of 9",
    "boosted_q": "6.704; 0/3; 2 of 9",
}


def block(tested: Sequence[Row], estimated: Sequence[Row]) -> Block:
    """Estimate, tests, actions and agreement of each policy, drawn from.

    Args:
      tested: rows of clinical tests.
      estimated: rows of off-policy estimates.
    """
    cells = []
    for policy in shown([*tested, *estimated]):
        row = _row(policy, of(tested, policy, DRAWN), of(estimated, policy, DRAWN))
        cells.append([LABELS[policy], *row, PUBLISHED.get(policy, "–")])
    if not cells:
        return blocks.block(absent=["Nothing was judged."])
    head = ["Policy", "WDR, softened", "Tests passed", "Actions; entropy", "Agreement"]
    head.append("Published")
    note = (
        f"{SPREAD} Policies as they are drawn from; WDR of the softened policy, of "
        "clinicians the mean return of held-out stays; tests passed: mean of three "
        "over seeds; agreement: held-out decisions in which the policy does as the "
        "clinician did. Published: estimate, tests passed and actions used, on other "
        "data; aims are those that were published with the method."
    )
    return blocks.block(shown=[("All policies", Table(head, cells, note))])


def _row(policy: str, tested: Sequence[Row], estimated: Sequence[Row]) -> list[str]:
    wanted = "mean return" if policy == "clinicians" else "wdr"
    own = [row for row in estimated if row["estimator"] == wanted]
    wdr = tables.show(estimates.over_seeds(own, "value"))
    judged = [row for row in tested if "pressure" in row]
    passed = [sum(clinical.passes(row).values()) for row in judged]
    tests = f"{sum(passed) / len(passed):.1f}/3" if passed else "–"
    used, entropy, agreement = (
        tables.show(estimates.over_seeds(tested, key), percent=key == "agreement")
        for key in ("used", "entropy", "agreement")
    )
    return [wdr, tests, f"{used}; {entropy}" if tested else "–", agreement]

"""What the learned reward is worth in each condition: its ranks, and its regret."""

from experiments.conditions.rows import (
    CLONED,
    PAIRED,
    SPREAD,
    Rows,
    conditions_of,
    learner_of,
    of,
    show_gap,
    title,
)
from experiments.report import (
    blocks,
    comparison,
    drawing,
    estimates,
    panels,
    tables,
    words,
)
from experiments.report.blocks import Block
from experiments.report.drawing import Picture
from experiments.report.tables import Table
from experiments.report.words import Measure

REGRET = Measure(
    "Regret",
    "true r_p an hour lost where the dose is given that the reward puts first, not the "
    "best one of that state; each dose is held for six hours",
    better=-1,
)


def block(rows: Rows) -> Block:
    """How r_psi ranks doses, and what is lost by believing it."""
    learner = learner_of(rows)
    if not learner:
        return blocks.block(absent=["Not studied: no method learned a reward."])
    shown = [
        ("Does it rank doses as the true reward does?", _ranks(rows, learner)),
        ("What is lost by believing it?", _losses(rows, learner)),
    ]
    return blocks.block(_reward_pictures(rows, learner), shown)


def _reward_pictures(rows: Rows, learner: str) -> list[Picture | None]:
    """Ranks and regret of r_psi and of the clinicians' log-probability."""
    both = {
        learner: f"r_psi of {words.policy(learner)}",
        CLONED: "log mu of clinicians",
    }
    series = [
        panels.Series(label, *drawing.policy_style(name))
        for name, label in both.items()
    ]
    levels = {
        title(condition): [of(rows, condition, name) for name in both]
        for condition in conditions_of(rows)
    }
    drawn = []
    for key, measure in (("within_state", comparison.RANKS), ("regret", REGRET)):
        caption = f"{measure.label}: {measure.note}. {panels.LEGEND}"
        named = f"{measure.label} by condition"
        drawn.append(panels.picture(levels, series, {key: measure}, named, caption))
    return drawn


def _ranks(rows: Rows, learner: str) -> Table:
    """Rank correlations of r_psi and of log mu, by condition."""
    columns = [
        (f"{who}, {where}", policy, key)
        for who, policy in (("r_psi", learner), ("log mu", CLONED))
        for where, key in (
            ("within a state", "within_state"),
            ("recorded pairs", "recorded_pairs"),
        )
    ]
    cells = [
        [
            title(condition),
            *(
                tables.show(estimates.over_seeds(of(rows, condition, policy), key))
                for _, policy, key in columns
            ),
        ]
        for condition in conditions_of(rows)
    ]
    note = (
        f"{SPREAD} Rank correlation with the true r_p of the next six hours; 1 is the "
        "same order, 0 none. Within a state: over its doses. Recorded pairs: "
        "over pairs of a state and the dose that clinicians gave in it."
    )
    return Table(["Condition", *(label for label, _, _ in columns)], cells, note)


def _losses(rows: Rows, learner: str) -> Table:
    """Regret of r_psi beside that of log mu, and what OMG-RL earns less than COMBO."""
    cells = []
    for condition in conditions_of(rows):
        own, cloned = (of(rows, condition, name) for name in (learner, CLONED))
        cells.append(
            [
                title(condition),
                tables.show(estimates.over_seeds(own, "regret")),
                tables.show(estimates.over_seeds(cloned, "regret")),
                show_gap(estimates.difference(own, cloned, "regret")),
                tables.show(estimates.over_seeds(own, "behind_combo")),
            ]
        )
    note = (
        f"{SPREAD} Regret: {REGRET.note}; 0 is best. Less log mu's: "
        f"{PAIRED} Behind COMBO: r_p an hour that OMG-RL earns less than COMBO, which "
        "is told r_p, on the same patients; this is no regret of the reward, for both "
        "methods lose by learning in a model."
    )
    columns = ["Condition", "Regret of r_psi", "Regret of log mu", "Less log mu's"]
    return Table([*columns, "Behind COMBO"], cells, note)

"""The page of the study of worse data: what each condition costs each policy."""

import pathlib
from collections.abc import Mapping

import pandas as pd

from experiments.conditions import costs, rewards
from experiments.conditions import rows as rows_lib
from experiments.conditions.rows import Rows
from experiments.config import RunConfig
from experiments.report import estimates, tables, view, words
from experiments.report import page as page_lib
from omgrl_jax.runtime import storage

TERMS = (
    (
        "Changes",
        "against the usual condition, seed by seed, with the 95 % interval over seeds; "
        "not clearly: the interval holds 0",
    ),
    ("r_p", words.measures(words.TARGET)["r_p"].note),
    ("r_psi", "the reward that is learned from what clinicians did"),
    (
        "log mu",
        "log-probability of a dose under cloned clinicians: what imitation alone knows",
    ),
    ("Regret", rewards.REGRET.note),
)


def write(
    out: pathlib.Path, config: RunConfig, table: pd.DataFrame, notes: Mapping[str, str]
) -> pathlib.Path:
    """Draws the page.

    Args:
      out: where the study lies; the page goes to `report/index.html` there.
      config: what the conditions share.
      table: of `ground_truth.run`.
      notes: condition -> what is different in it, in the order of the page.

    Returns:
      The page.
    """
    html = page_lib.render_study(make(config, table, notes))
    return storage.atomic_write(out / "report" / "index.html", html)


def make(
    config: RunConfig, table: pd.DataFrame, notes: Mapping[str, str]
) -> page_lib.Study:
    """The page before it is put into its template."""
    rows = rows_lib.rows_of(table)
    conditions = [(rows_lib.title(name), note) for name, note in notes.items()]
    return page_lib.Study(
        title="What worse data cost: virtual patients, whose truth is known",
        scope=(
            f"Each policy treats {config.patients} new virtual patients a seed for "
            f"{config.hours} hours in the true simulator; doses are drawn from the "
            f"policy. Seeds: {config.seeds}."
        ),
        findings=findings(rows),
        terms=[*conditions, *TERMS, *view.policy_notes(rows)],
        sections=[
            (
                "cost",
                "What does each condition cost each policy?",
                costs.block(rows),
            ),
            (
                "reward",
                "Does the learned reward still tell good doses from bad ones?",
                rewards.block(rows),
            ),
        ],
        beside="ground_truth.csv (every figure by condition, policy and seed)",
    )


def findings(rows: Rows) -> list[str]:
    """The first screen."""
    conditions = rows_lib.conditions_of(rows)
    said = [_outcome(rows, conditions[0])]
    if rows_lib.USUAL in conditions:
        others = [name for name in conditions if name != rows_lib.USUAL]
        said += [_change(rows, name) for name in others]
    said += _regrets(rows, conditions)
    return [sentence for sentence in said if sentence]


def _outcome(rows: Rows, condition: str) -> str:
    """What the main policies earn in one condition."""
    parts = [
        f"{words.policy(policy)} {tables.show(mean)}"
        for policy in rows_lib.main_policies(rows)
        if (mean := estimates.over_seeds(rows_lib.of(rows, condition, policy), "r_p"))
    ]
    return (
        f"{rows_lib.title(condition)}: the clinical reward r_p an hour is "
        f"{', '.join(parts)}."
    )


def _change(rows: Rows, condition: str) -> str:
    """How far the main policies move from the usual condition."""
    parts = []
    for policy in rows_lib.main_policies(rows):
        own, usual = (
            rows_lib.of(rows, name, policy) for name in (condition, rows_lib.USUAL)
        )
        if gap := estimates.difference(own, usual, "r_p"):
            parts.append(f"{_moved(gap)} for {words.inside(words.policy(policy))}")
    if not parts:
        return ""
    return f"{rows_lib.title(condition)}: r_p an hour changes {', '.join(parts)}."


def _moved(gap: estimates.Estimate) -> str:
    """A change in words that follow "it changes"; its interval where it is clear."""
    if rows_lib.nothing(gap):
        return "not at all"
    size = words.typeset(f"{gap.mean:+.3f}")
    if gap.low is None or gap.high is None:
        return f"by {size} (one seed, no interval)"
    if gap.low <= 0 <= gap.high:
        return "not clearly"
    return f"by {size} [{tables.show_ends(gap.low, gap.high)}]"


def _regrets(rows: Rows, conditions: list[str]) -> list[str]:
    """What is lost by believing the learned reward, where the most is."""
    learner = rows_lib.learner_of(rows)
    found = {
        name: mean
        for name in conditions
        if (mean := estimates.over_seeds(rows_lib.of(rows, name, learner), "regret"))
    }
    if not found:
        return []
    worst = max(found, key=lambda name: found[name].mean)
    first = conditions[0]
    said = (
        f"To give the dose that the learned reward puts first, not the best one, loses "
        f"{tables.show(found.get(first))} r_p an hour ({rows_lib.title(first)})"
    )
    beside = estimates.over_seeds(rows_lib.of(rows, first, rows_lib.CLONED), "regret")
    if beside:
        said += f", the clinicians' likeliest dose {tables.show(beside)}"
    if worst != first:
        said += f"; most, {tables.show(found[worst])}: {rows_lib.title(worst)}"
    return [f"{said}."]

"""Three questions on the method, each answered in a sentence made from the numbers."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from experiments.report import (
    blocks,
    estimates,
    fidelity,
    forest,
    policies,
    shifted,
    words,
)
from experiments.report.blocks import Block
from experiments.report.comparison import RANKS
from experiments.report.estimates import Row
from experiments.report.results import Results
from experiments.report.tables import (
    SPREAD_NOTE,
    Table,
    show,
    show_apart,
    show_interval,
)
from experiments.report.words import Measure

SUBJECT = "omg_rl"
# Other ways to a policy from the same records, in the order in which they are named.
OTHERS = ("behavioural_cloning", "reward_regression", "combo")
_MEASURES = ("r_p", "in_range", "above")
_PLACES = {
    "simulator": "In the true simulator",
    "model": "Inside the learned model alone (not evidence)",
    "records": "In the records",
}


class Question(NamedTuple):
    """One question.

    Attributes:
      heading: the question.
      terms: what a reader needs to understand the answer.
      answer: one sentence, empty where the run cannot tell.
      block: figures and tables behind it, and what is lacking.
      see: section of the page with more on it, empty where there is none.
    """

    heading: str
    terms: str
    answer: str
    block: Block
    see: str = ""


def questions(run: Results) -> list[Question]:
    """Returns the questions with the answers of one run."""
    return [_reward(run), _model(run), _patients(run)]


def _reward(run: Results) -> Question:
    world = policies.best_world(run)
    rows = policies.rows_of(run, world)
    found = {
        name: members
        for name in (SUBJECT, *OTHERS)
        if (members := policies.pick(rows, name))
    }
    terms = (
        "OMG-RL learns from what clinicians did which reward they seem to follow, and "
        "then a policy for it. Three others learn from the same records without that "
        "step: behavioural cloning copies the doses; reward regression is told the "
        "clinical reward r_p of every recorded hour and fits it; COMBO is given r_p "
        "itself, also where nothing was recorded. In brackets: the 95 % interval of "
        "the difference, seed by seed."
    )
    answer = _beside(found, world)
    heading = "Is it worth learning a reward?"
    return Question(heading, terms, answer, _reward_block(run, found))


def _beside(found: Mapping[str, Sequence[Row]], world: str) -> str:
    """Returns how far r_p of OMG-RL lies from that of the others."""
    parts = [
        show_apart(gap, words.inside(words.policy(name)))
        for name in OTHERS
        if (gap := _gap(found, name))
    ]
    if not parts:
        return ""
    return f"{_PLACES[world]}, r_p per hour of OMG-RL lies {'; '.join(parts)}."


def _gap(found: Mapping[str, Sequence[Row]], other: str):
    return estimates.difference(found.get(SUBJECT, ()), found.get(other, ()), "r_p")


def _reward_block(run: Results, found: Mapping[str, Sequence[Row]]) -> Block:
    name = "OMG-RL beside other ways to learn"
    if not run.get("policies"):
        return blocks.block(absent=[blocks.lacks(name, "policies")])
    if SUBJECT not in found:
        return blocks.block(absent=[f"{name}: not shown, OMG-RL was not run."])
    known = words.measures(words.target_of(run.get("dataset")))
    missing = [words.policy(other) for other in OTHERS if other not in found]
    absent = [
        f"{other}: not shown, since the run did not train it." for other in missing
    ]
    if not run.get("reward_alignment"):
        absent.append(blocks.lacks("How well rewards rank doses", "reward_alignment"))
    entries = [
        forest.entry(words.policy(policy), members, "r_p", policy)
        for policy, members in found.items()
    ]
    caption = (
        f"{known['r_p'].label}: {known['r_p'].note}. Policies as they were trained "
        "(stochastic)."
    )
    picture = forest.picture(entries, known["r_p"], caption)
    table = _reward_table(found, policies.reward_rows(run), known)
    return blocks.block([picture], [(name, table)], absent)


def _reward_table(
    found: Mapping[str, Sequence[Row]],
    rewards: Mapping[str, Sequence[Row]],
    known: Mapping[str, Measure],
) -> Table:
    cells = []
    for policy, members in found.items():
        means = [estimates.over_seeds(members, name) for name in _MEASURES]
        values = [
            show(mean, known[name].percent)
            for name, mean in zip(_MEASURES, means, strict=True)
        ]
        gap = None if policy == SUBJECT else _gap(found, policy)
        ends = show_interval(gap)
        ranks = estimates.over_seeds(rewards.get(policy, ()), "within_state")
        seeds = max((mean.n for mean in means if mean), default=0)
        paired = show(gap) + (f"\n[{ends}]" if ends else "")
        cells.append([words.policy(policy), *values, paired, show(ranks), str(seeds)])
    labels = [known[name].label for name in _MEASURES]
    columns = ["Policy", *labels, "OMG-RL minus it, r_p", RANKS.label, "n"]
    notes = [f"{known[name].label}: {known[name].note}." for name in _MEASURES]
    notes.append(
        "OMG-RL minus it: difference in r_p per hour, paired by seed, with its 95 % "
        f"interval. {RANKS.label}: {RANKS.note}; 1 is the same order, 0 none; a dash "
        "where the run ranked no reward of that policy."
    )
    return Table(columns, cells, f"{SPREAD_NOTE} {' '.join(notes)}")


def _model(run: Results) -> Question:
    terms = (
        "Policies learn on stays that a model imagines. It can err in two ways: by "
        "predicting wrongly (above all, what a dose does), and by wandering off to "
        "patients that nobody ever saw, where nothing holds it to the truth."
    )
    parts, absent = [], []
    if error := fidelity.aptt_error(run):
        parts.append(
            f"the model's aPTT error {error.horizon:g} hours ahead lies "
            f"{fidelity.beside_persistence(error)}"
        )
    else:
        absent.append(blocks.lacks("Error of the model", "dynamics"))
    # Records hold no truth that an effect could be compared with.
    if run.kind != "records":
        if effect := fidelity.dose_effect(run):
            parts.append(
                f"its effect of a dose on aPTT is {show(effect)} times the true one"
            )
        else:
            absent.append(blocks.lacks("Effect of a dose", "intervention"))
    if drift := fidelity.drift(run):
        parts.append(
            f"{drift.horizon:g} hours ahead, imagined patients lie {drift.value:.2g} "
            "times as far from those of the records as later recorded ones do"
        )
    else:
        absent.append(blocks.lacks("Distance of imagined patients", "drift"))
    said = "; ".join(parts)
    answer = f"{said[:1].upper()}{said[1:]}." if said else ""
    heading = "Do imagined patients behave like recorded ones?"
    return Question(heading, terms, answer, blocks.block(absent=absent), "model")


def _patients(run: Results) -> Question:
    new = "new virtual patients" if run.kind == "virtual" else "made-up patients"
    terms = (
        f"Every policy treats {new} of the kind it learned from (usual), and {new} "
        "who differ from them as named in the figure. What to look for: less r_p, and "
        "doses that nobody should give, such as the highest one when aPTT is already "
        "too high."
    )
    heading = "What if patients differ from those it learned from?"
    return Question(heading, terms, shifted.answer(run), shifted.block(run))

"""The first screen: what was learned, in sentences made from the numbers alone.

Numbers of the learned model alone are never offered as evidence: where there is no
true simulator, the first screen says so before any number.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from experiments.report import estimates, fidelity, policies, tables, words
from experiments.report.estimates import Estimate, Row
from experiments.report.results import Results
from experiments.report.words import Measure

# Shown as cards, in this order.
CARDS = ("in_range", "above_100", "r_p", "success")
_BESIDE = ("clinicians", "behavioural_cloning", "random")
_ORIGINS = {
    "simulator": (
        "The numbers on this screen come from the true simulator, in which every "
        "policy treated new virtual patients."
    ),
    "model": (
        "The numbers on this screen come from the learned model alone. They show what "
        "the model believes and are not evidence that a policy is good or safe."
    ),
    "records": "The numbers on this screen describe what clinicians did, no policy.",
    "": "No policy was evaluated in this run.",
}


class Card(NamedTuple):
    """One headline number: label, value with spread, and those it stands beside."""

    label: str
    value: str
    note: str
    others: Sequence[tuple[str, str]]


class Headline(NamedTuple):
    """The first screen.

    Attributes:
      world: where the numbers come from, one of the worlds or empty.
      origin: the sentence that says so.
      subject: whose numbers the cards show.
      cards: headline numbers.
      findings: sentences.
    """

    world: str
    origin: str
    subject: str
    cards: Sequence[Card]
    findings: Sequence[str]


def headline(results: Results) -> Headline:
    """Returns the first screen of the report."""
    world = policies.best_world(results)
    rows = policies.rows_of(results, world)
    known = words.measures(words.target_of(results.get("dataset")))
    subject = policies.subject_of(rows)
    findings = [
        *_reward_findings(results),
        *_policy_findings(rows, subject, known, world),
        *_model_findings(results),
    ]
    name = words.policy(subject) if subject else ""
    mode = policies.pick(rows, subject)[0]["mode"] if rows else "-"
    label = name if mode == "-" else f"{name} ({mode} policy)"
    return Headline(
        world, _ORIGINS[world], label, _cards(rows, subject, known), findings
    )


def _cards(rows: Sequence[Row], subject: str, known: Mapping[str, Measure]):
    cards = []
    for name in CARDS:
        measure = known[name]
        mean = estimates.over_seeds(policies.pick(rows, subject), name)
        if mean is None:
            continue
        others = [
            (words.policy(other), tables.show(beside, measure.percent))
            for other in _BESIDE
            if other != subject
            and (beside := estimates.over_seeds(policies.pick(rows, other), name))
        ]
        value = tables.show(mean, measure.percent)
        cards.append(Card(measure.label, value, _spread_note(mean), others))
    return cards


def _spread_note(mean: Estimate) -> str:
    if mean.n == 1:
        return "one seed: no spread is known"
    return f"mean ± standard deviation over {mean.n} seeds"


def _policy_findings(
    rows: Sequence[Row], subject: str, known: Mapping[str, Measure], world: str
) -> list[str]:
    sentences = []
    place = {"model": "Inside the learned model only: "}.get(world, "")
    for other in ("clinicians", "behavioural_cloning"):
        parts = []
        for name in ("in_range", "above_100"):
            if other == subject:
                continue
            gap = estimates.difference(
                policies.pick(rows, subject), policies.pick(rows, other), name
            )
            if gap:
                label = known[name].label
                parts.append(f"{label.lower()} {_gap(gap, known[name], world)}")
        if parts:
            sentences.append(
                f"{place}{words.policy(subject)} against "
                f"{words.inside(words.policy(other))}: {'; '.join(parts)}."
            )
    return sentences


def _gap(gap: Estimate, measure: Measure, world: str) -> str:
    """Returns a paired difference in words, with a verdict only where it is clear."""
    points = words.typeset(f"{100 * gap.mean:+.1f} points")
    if gap.low is None or gap.high is None:
        return f"{points} (one seed, no interval)"
    ends = (words.typeset(f"{100 * end:+.1f}") for end in (gap.low, gap.high))
    interval = f"95 % interval {' to '.join(ends)}"
    if gap.low <= 0 <= gap.high:
        return f"{points} ({interval}): no clear difference"
    if world != "simulator":  # a model cannot tell which policy is better
        return f"{points} ({interval})"
    verdict = "better" if measure.better * gap.mean > 0 else "worse"
    return f"{points} ({interval}): {verdict}"


def _reward_findings(results: Results) -> list[str]:
    sentences = []
    curve = results.get("reward_curve")
    if curve and (peak := reward_peak(curve)) is not None:
        low, high = words.target_of(results.get("dataset"))
        place = "inside" if low <= peak <= high else "outside"
        sentences.append(
            f"The reward learned from the clinicians' doses is highest at an aPTT of "
            f"{peak:g} s, {place} the target of {low:g}–{high:g} s."
        )
    ranks = estimates.group(results.get("reward_alignment") or [], "reward")
    learned, imitated = ranks.get(("r_psi",), []), ranks.get(("log_mu",), [])
    gap = estimates.difference(learned, imitated, "within_state")
    if gap:
        truth = "" if results.kind == "virtual" else ", as the model predicts it"
        clear = gap.low is not None and gap.low > 0
        shown = words.typeset(f"{gap.mean:+.2f}")
        verdict = "adds to" if clear else "adds nothing clear to"
        sentences.append(
            f"In ranking doses, the learned reward {verdict} plain imitation "
            f"(difference in rank correlation with the clinical reward{truth}: "
            f"{shown})."
        )
    return sentences


def reward_peak(curve: Mapping[str, Any]) -> float | None:
    """Returns the aPTT at which the mean reward is highest, where data exist."""
    mean = curve.get("mean") or []
    density = curve.get("density") or [1.0] * len(mean)
    floor = 0.05 * max((d for d in density if d is not None), default=0.0)
    known = (
        [
            (value, aptt)
            for value, aptt, share in zip(mean, curve["aptt"], density, strict=True)
            if value is not None and share is not None and share >= floor
        ]
        if mean
        else []
    )
    return max(known)[1] if known else None


def _model_findings(results: Results) -> list[str]:
    sentences = []
    passed = (results.get("intervention") or {}).get("passed")
    # Records hold no truth a test could be passed against.
    if passed is not None and results.kind != "records":
        verdict = "passed" if passed else "failed"
        tail = "" if passed else " Policies trained in it deserve distrust."
        sentences.append(
            f"The learned model {verdict} the intervention test (does it know what a "
            f"held dose does to aPTT?).{tail}"
        )
    if error := fidelity.aptt_error(results):
        sentences.append(
            f"Its aPTT error {error.horizon:g} hours ahead lies "
            f"{fidelity.beside_persistence(error)}."
        )
    return sentences

"""The model card: what was made, from what, for what use, with which measured limits.

Every sentence on limits is computed from the results; what was not measured is listed
as not measured, so that silence is never read as safety.
"""

from collections.abc import Sequence
from typing import NamedTuple

from experiments.report import (
    blocks,
    estimates,
    fidelity,
    off_policy,
    policies,
    shifted,
    subgroups,
    support,
    words,
)
from experiments.report.results import Results
from experiments.report.tables import show


class Part(NamedTuple):
    """One heading of the card with its sentences."""

    heading: str
    sentences: Sequence[str]


def card(run: Results) -> list[Part]:
    """Returns the model card of a run."""
    measured, missing = limits(run)
    open_ends = f"Not measured in this run: {', '.join(missing)}." if missing else ""
    return [
        Part("What it is", _what(run)),
        Part("Made from", _data(run)),
        Part("Intended use", _USE),
        Part("Limits measured in this run", [*measured, *filter(None, [open_ends])]),
        Part("Privacy: which files may be shared", _PRIVACY[run.kind]),
    ]


_USE = (
    "Research on offline and inverse reinforcement learning: comparing methods, and "
    "asking what a learned reward has understood.",
    "Not for clinical use: not for choosing, checking or timing a dose of any patient, "
    "and not for judging clinicians.",
)
_FREE = "report/, results.json, summary.json, metrics.csv"
_PRIVACY = {
    "virtual": (
        "Every patient is simulated: all files of the run may be shared.",
        "The same program on real records writes a folder restricted/ that may not.",
    ),
    "records": (
        f"{_FREE}: no patient's row, no date, no identifier; counts of one to ten "
        "people are hidden. Made to be shared.",
        "model/ (weights, scales, bin edges): holds no recorded row; ask the licence "
        "of the data whether models made from them may be passed on.",
        "restricted/ (recorded states, experts' stays, checkpoints): as confidential "
        "as the records themselves; never to be shared.",
    ),
    "other": (
        f"{_FREE}: no single row of the data; counts of one to ten are hidden, since "
        "the data may be about people.",
        "restricted/ (recorded states, checkpoints): as confidential as the data.",
    ),
}


def _what(run: Results) -> list[str]:
    rows = run.get("policies") or []
    names = [words.policy(name) for name in policies.learned(rows)]
    seeds = {row.get("seed") for row in rows}
    dataset = run.get("dataset") or {}
    doses = (dataset.get("actions") or {}).get("labels") or ()
    seen = dataset.get("state_features") or ()
    made = "For one seed" if len(seeds) == 1 else f"For each of {len(seeds)} seeds"
    found = [
        f"{made} a dynamics model, an imitation of clinicians and a policy of each "
        f"method: {', '.join(names)}."
        if names
        else "A run without a learned policy.",
    ]
    if doses and seen:
        found.append(
            f"A policy sees {len(seen)} quantities at the start of an hour and chooses "
            f"one of {len(doses)} doses."
        )
    return found


def _data(run: Results) -> list[str]:
    kinds = {
        "virtual": "Virtual patients of a simulator of heparin.",
        "records": "Records of real patients.",
        "other": "Logs of another kind.",
    }
    dataset = run.get("dataset") or {}
    found = [kinds[run.kind]]
    if dataset:
        hide = blocks.hides(run)
        stays = estimates.hide_counts(dataset.get("stays") or {}, hide)
        counts = ", ".join(f"{split} {count}" for split, count in stays.items())
        found.append(
            f"Data set '{dataset.get('name') or '?'}', content hash "
            f"{dataset.get('hash') or '?'}" + (f"; stays: {counts}." if counts else ".")
        )
    if run.kind != "virtual":
        found.append("When, where and on whom they were collected is not written here.")
    return found


def limits(run: Results) -> tuple[list[str], list[str]]:
    """Returns what this run measured of its limits, and what it did not measure."""
    measured, missing = [], []
    for name, find in _LIMITS.items():
        sentence = find(run)
        if sentence:
            measured.append(sentence)
        else:
            missing.append(name)
    return measured, missing


def _spread(run: Results) -> str:
    seeds = {row.get("seed") for row in run.get("policies") or ()}
    if not seeds:
        return ""
    if len(seeds) == 1:
        return "One seed: how much chance is in these numbers is unknown."
    return (
        f"{len(seeds)} seeds: intervals cover the chance of training, not of cohorts."
    )


def _truth(run: Results) -> str:
    world = policies.best_world(run)
    rows = policies.rows_of(run, world)
    subject = policies.subject_of(rows)
    if not world:
        return ""
    if world != "simulator":
        return "No truth is known: no policy was tried on anybody, real or virtual."
    gap = estimates.difference(
        policies.pick(rows, subject), policies.pick(rows, "clinicians"), "r_p"
    )
    if gap is None:
        return ""
    return (
        f"{words.policy(subject)} against clinicians in the true simulator, r_p an "
        f"hour: {show(gap)}. The simulator is no ward."
    )


def _dose_effect(run: Results) -> str:
    ratio = fidelity.dose_effect(run)
    if ratio is None:
        return ""
    return (
        f"The model's effect of a dose on aPTT is {show(ratio)} times the true one "
        "(1 = right)."
    )


def _reward_weights(run: Results) -> str:
    rows = [r for r in run.get("learning") or () if r["metric"] == "reward/ess"]
    if not rows:
        return ""
    last = max(row["step"] for row in rows)
    mean = estimates.over_seeds([r for r in rows if r["step"] == last], "value")
    if mean is None:
        return ""
    return (
        f"At the end the learned reward rests on {show(mean, True)} of the imagined "
        "stays (effective sample size)."
    )


def _estimates(run: Results) -> str:
    rows = off_policy.shown(run)
    sizes = [row["ess"] for row in rows if row["ess"] is not None]
    if not rows:
        return ""
    known = [row for row in rows if row["truth"] is not None]
    inside = sum(row["low"] <= row["truth"] <= row["high"] for row in known)
    found = "Estimates from logged doses"
    if sizes:
        found += (
            f" rest on {min(sizes):.1f} to {max(sizes):.1f} effective patients (not to "
            f"be believed below {off_policy.LEAST_ESS:g})"
        )
    else:
        found += " carry no weights"
    tail = f"; {inside} of {len(known)} intervals hold the truth" if known else ""
    return f"{found}{tail}."


def _off_support(run: Results) -> str:
    rows = run.get("support") or []
    parts = [
        f"{words.policy(name)} {show(mean, True)}"
        for name in policies.learned(rows)
        if (mean := estimates.over_seeds(policies.pick(rows, name), support.SHARE))
    ]
    return f"Doses that were hardly ever recorded: {', '.join(parts)}." if parts else ""


def _groups(run: Results) -> str:
    rows, _ = subgroups.visible(run)
    rows = policies.pick(rows, policies.subject_of(rows)) if rows else []
    means = [
        (mean.mean, f"{group}, {level}")
        for (group, level), members in estimates.group(rows, "group", "level").items()
        if (mean := estimates.over_seeds(members, "in_range"))
    ]
    if not means:
        return ""
    worst, best = min(means), max(means)
    return (
        f"Time in range by group of patients: from {100 * worst[0]:.1f} % ({worst[1]}) "
        f"to {100 * best[0]:.1f} % ({best[1]})."
    )


def _drift(run: Results) -> str:
    ratio = fidelity.drift(run)
    if ratio is None:
        return ""
    return (
        f"{ratio.horizon:g} hours ahead, imagined states lie {ratio.value:.2g} times "
        "as far from the data as recorded ones do."
    )


_LIMITS = {
    "spread over seeds": _spread,
    "truth in a simulator": _truth,
    "effect of a dose in the model": _dose_effect,
    "weights of the learned reward": _reward_weights,
    "estimates from logged doses": _estimates,
    "doses outside the data": _off_support,
    "groups of patients": _groups,
    "patients of another kind": shifted.answer,
    "drift of imagined states": _drift,
}

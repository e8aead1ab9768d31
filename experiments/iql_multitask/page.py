"""The study's page: is the policy good, does it dose as asked, are scores true?"""

import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from experiments.config import RunConfig
from experiments.iql_multitask import clinical, dosing, overview, scores, sections
from experiments.iql_multitask.config import ALONE, CLONED, OWN, SHARPENED
from experiments.iql_multitask.labels import DRAWN, LABELS, NOTES, acting, of
from experiments.report import estimates
from experiments.report import page as page_lib
from omgrl_jax.data.schema import Schema
from omgrl_jax.evaluation import off_policy
from omgrl_jax.runtime import storage


def write(
    out: pathlib.Path,
    config: RunConfig,
    schema: Schema,
    found: Mapping[str, Sequence[Mapping[str, Any]]],
) -> pathlib.Path:
    """Draws the page.

    Args:
      out: where the study lies; the page goes to `report/index.html` there.
      config: settings of the methods.
      schema: of the dataset.
      found: of `study.run`.

    Returns:
      The page.
    """
    html = page_lib.render_study(make(config, schema, found))
    return storage.atomic_write(out / "report" / "index.html", html)


def make(
    config: RunConfig,
    schema: Schema,
    found: Mapping[str, Sequence[Mapping[str, Any]]],
) -> page_lib.Study:
    """The page before it is put into its template."""
    shown = {row["policy"] for rows in found.values() for row in rows}
    return page_lib.Study(
        title=f"Fluids and vasopressors: IQL with multi-task heads on {schema.name}",
        scope=(
            f"Nine actions every {schema.step_hours:g} hours, three levels of each "
            f"drug. Seeds: {config.seeds}."
        ),
        findings=findings(found),
        terms=[(LABELS[name], note) for name, note in NOTES.items() if name in shown],
        sections=[
            (
                "outcomes",
                "What do they do to patients?",
                sections.outcomes(found["policies"], config.patients),
            ),
            (
                "all",
                "All policies at a glance",
                overview.block(found["clinical"], found["off_policy"]),
            ),
            ("tests", "Do they dose as asked?", sections.tests(found["clinical"])),
            (
                "parts",
                "What do the auxiliary heads and the entropy term add?",
                sections.parts(found["policies"], found["clinical"]),
            ),
            (
                "curves",
                "Doses by pressure and lactate",
                dosing.curves(found["curves"]),
            ),
            (
                "actions",
                "Which actions?",
                dosing.actions(found["clinical"], schema.actions),
            ),
            (
                "estimates",
                "What do held-out stays say?",
                scores.off_policy(found["off_policy"], found["policies"]),
            ),
            (
                "belief",
                "What do methods promise of themselves?",
                scores.belief(found["belief"], found["policies"]),
            ),
        ],
        beside="policies.csv, clinical.csv, curves.csv, off_policy.csv, belief.csv",
    )


def findings(found: Mapping[str, Sequence[Mapping[str, Any]]]) -> list[str]:
    """The first screen."""
    said = []
    policies, tested = found["policies"], found["clinical"]
    usual = of(policies, "clinicians", "-")
    for policy in (OWN, SHARPENED):
        for mode in clinical.MODES if policy == OWN else (DRAWN,):
            own = of(policies, policy, mode)
            name = acting(policy, mode)
            gap = estimates.difference(own, usual, "value")
            cloned = of(policies, CLONED, mode)
            alike = estimates.difference(own, cloned, "value")
            if gap is not None and alike is not None:
                said.append(
                    f"{name}: value {_signed(gap)} against the clinicians', "
                    f"{_signed(alike)} against cloned ones who act so too."
                )
            rows = of(tested, policy, mode)
            if rows:
                passed = sum(all(clinical.passes(row).values()) for row in rows)
                said.append(
                    f"{name}: all three clinical tests passed by {passed} of "
                    f"{len(rows)} seeds."
                )
    alone = estimates.difference(
        of(policies, OWN, DRAWN),
        of(policies, ALONE, DRAWN),
        "value",
    )
    if alone is not None:
        said.append(f"What the auxiliary heads add to the value: {_signed(alone)}.")
    said += [
        text
        for name in (OWN, SHARPENED)
        if (text := _estimate(found["off_policy"], name))
    ]
    return said or ["Nothing was judged."]


def _unproved(own: Sequence[Mapping[str, Any]], policy: str) -> str:
    """What held-out stays say where no simulator knows better."""
    value, low, high = (
        float(np.mean([r[key] for r in own])) for key in ("value", "low", "high")
    )
    return (
        f"{LABELS[policy]}, softened: WDR from held-out stays "
        f"{_with_ends(value, low, high)}, resting on {_patients(own)}."
    )


def _patients(own: Sequence[Mapping[str, Any]]) -> str:
    """On how many effective patients estimates rest, and whether that is too few."""
    ess = [r["ess"] for r in own]
    doubt = ", too few to be believed" if any(map(off_policy.few, ess)) else ""
    return f"{min(ess):.0f} effective patients or more{doubt}"


def _usual(rows: Sequence[Mapping[str, Any]]) -> str:
    for r in rows:
        if r["estimator"] == "mean return":
            ends = _with_ends(r["value"], r["low"], r["high"])
            return f" Clinicians' stays returned {ends}."
    return ""


def _with_ends(value: float, low: float, high: float) -> str:
    return f"{value:.2f} [{low:.2f} to {high:.2f}]".replace("-", "−")


def _signed(gap: estimates.Estimate) -> str:
    ends = ""
    if gap.low is not None and gap.high is not None:
        clear = "clear" if gap.low > 0 or gap.high < 0 else "not clear"
        ends = f" [{gap.low:+.2f} to {gap.high:+.2f}], {clear}"
    return f"{gap.mean:+.2f}{ends}".replace("-", "−")


def _estimate(rows: Sequence[Mapping[str, Any]], policy: str) -> str:
    own = [r for r in rows if (r["policy"], r["estimator"]) == (policy, "wdr")]
    if not own:
        return ""
    if any(r["truth"] is None for r in own):
        return _unproved(own, policy) + _usual(rows)
    off = np.mean([r["value"] - r["truth"] for r in own])
    near = sum(abs(r["value"] - r["truth"]) <= 0.1 * abs(r["truth"]) for r in own)
    held = sum(r["low"] <= r["truth"] <= r["high"] for r in own)
    return (
        f"{LABELS[policy]}, softened: WDR from held-out stays is {abs(off):.2f} "
        f"{'above' if off > 0 else 'below'} the true value on average, within 10 % of "
        f"it in {near} of {len(own)} seeds; the interval holds the truth in {held}. It "
        f"rests on {_patients(own)}."
    )

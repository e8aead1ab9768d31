"""The study's page: is the policy better, is it safe, does it stay within the known?"""

import pathlib
from collections.abc import Mapping, Sequence

from experiments.config import RunConfig
from experiments.ogsrl import figures, sections
from experiments.ogsrl.config import OWN, StudyConfig
from experiments.ogsrl.labels import LABELS, NOTES, Row, of, unsafe
from experiments.report import estimates
from experiments.report import page as page_lib
from omgrl_jax.data.schema import Schema
from omgrl_jax.runtime import storage


def write(
    out: pathlib.Path,
    study: StudyConfig,
    config: RunConfig,
    schema: Schema,
    found: Mapping[str, Sequence[Row]],
) -> pathlib.Path:
    """Draws the page.

    Args:
      out: where the study lies; the page goes to `report/index.html` there.
      study: what was compared.
      config: settings of the methods.
      schema: of the dataset.
      found: of `study.run`.

    Returns:
      The page.
    """
    html = page_lib.render_study(make(study, config, schema, found))
    return storage.atomic_write(out / "report" / "index.html", html)


def make(
    study: StudyConfig,
    config: RunConfig,
    schema: Schema,
    found: Mapping[str, Sequence[Row]],
) -> page_lib.Study:
    """The page before it is put into its template."""
    rows = found["policies"]
    there = {row["policy"] for row in rows}
    actions = schema.actions.count or "any dose of each drug"
    return page_lib.Study(
        title=f"Guarded and safe: OGSRL on {schema.name}",
        scope=(
            f"Actions: {actions}, every {schema.step_hours:g} hours. Learned in a "
            f"world of training patients ({study.learn_in}), judged in one of "
            f"held-out patients ({study.judge_in}). Seeds: {config.seeds}."
        ),
        findings=findings(config, rows),
        terms=[(LABELS[name], note) for name, note in NOTES.items() if name in there],
        sections=[
            ("truth", "What do they do to patients?", sections.truth(rows)),
            ("held", "Are the limits kept?", sections.limits(config, rows)),
            ("table", "The published table", sections.published(rows, study)),
            (
                "training",
                "Constraints and multipliers in training",
                figures.constraints(config, found["constraints"]),
            ),
            ("frontier", "Return against safety", figures.frontier(config, rows)),
            ("coverage", "Coverage of the guardian", figures.coverages(rows)),
            ("tolerance", "How near is the clinicians'?", figures.tolerances(rows)),
            (
                "guarantees",
                "What is guaranteed, and on what assumption?",
                sections.guarantees(config, rows, found["guardian"]),
            ),
        ],
        beside="policies.csv, constraints.csv, guardian.csv",
    )


def findings(config: RunConfig, rows: Sequence[Row]) -> list[str]:
    """The first screen."""
    truth = any(row["where"] == "truth" for row in rows)
    where = "truth" if truth else "judging"
    place = "in truth" if truth else "in the world of held-out patients"
    own, usual = of(rows, OWN, where), of(rows, "clinicians", where)
    said = []
    gap = estimates.difference(own, usual, "value")
    if gap is not None:
        said.append(
            f"{LABELS[OWN]}: value {sections.signed(gap)} against the clinicians', "
            f"{place}."
        )
    for cost, limit in zip(config.limits.costs, config.limits.most, strict=True):
        name = f"unsafe_{cost}"
        mean, before = (estimates.over_seeds(r, name) for r in (own, usual))
        if mean is None or before is None:
            continue
        said.append(
            f"{unsafe(cost).label}: {100 * mean.mean:.1f} % of steps {place}, limit "
            f"{100 * limit:g} %, clinicians {100 * before.mean:.1f} %."
        )
    outside = estimates.over_seeds(own, "outside")
    if outside is not None:
        said.append(
            f"Outside of the guardian's region: {100 * outside.mean:.1f} % of steps "
            f"{place}, limit {100 * config.limits.outside:g} %."
        )
    return said or [f"{LABELS[OWN]} was not among the methods."]

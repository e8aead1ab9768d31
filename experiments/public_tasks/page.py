"""The page of a public benchmark: returns by method, beside published numbers."""

import json
import pathlib
from collections.abc import Sequence
from typing import Any

import pandas as pd

from experiments.config import RunConfig
from experiments.public_tasks import found as found_lib
from experiments.public_tasks import sections
from experiments.public_tasks.found import CLONED, Found
from experiments.public_tasks.labels import (
    MEASURES,
    NOTES,
    TITLES,
    label,
    published_label,
)
from experiments.report import estimates, words
from experiments.report import page as page_lib
from omgrl_jax.runtime import storage


def write(
    out: pathlib.Path,
    task: str,
    frame: pd.DataFrame,
    published: Sequence[Any],
    scope: str,
) -> pathlib.Path:
    """Draws the page.

    Args:
      out: where the benchmark lies; the page goes to `report/index.html` there.
      task: its name.
      frame: the rows of `benchmarks.run_all`.
      published: figures with `policy`, `value` and `source`.
      scope: what was learned from, and how often.

    Returns:
      The page.
    """
    html = page_lib.render_study(make(task, frame, published, scope))
    return storage.atomic_write(out / "report" / "index.html", html)


def make(
    task: str, frame: pd.DataFrame, published: Sequence[Any], scope: str
) -> page_lib.Study:
    """The page before it is put into its template."""
    found = found_lib.of(task, frame, published)
    names = [*found.names(known=False), *found.names(known=True)]
    shown = [
        ("methods", "What does each method earn?", sections.methods(found)),
        ("known", "What is known and published?", sections.known_policies(found)),
    ]
    if found.unit == "logs":
        shown.append(("logs", "From which logs?", sections.by_logs(found)))
    measure = MEASURES[task]
    return page_lib.Study(
        title=f"{TITLES[task]}: methods on a public task",
        scope=scope,
        findings=findings(found),
        terms=[
            (measure.label, measure.note),
            ("Greedy", "takes the policy's most likely action; drawn: one by chance"),
            *((label(name), NOTES[name]) for name in names if name in NOTES),
        ],
        sections=shown,
        beside="benchmark.csv (every figure by policy, way of acting and seed)",
    )


def findings(found: Found) -> list[str]:
    """The first screen."""
    means = {
        name: mean
        for name in found.names(known=False)
        if (mean := estimates.over_seeds(found.of(name), "value"))
    }
    best = max(means, key=lambda name: means[name].mean)
    measure = MEASURES[found.task].label.lower()
    said = [
        f"{label(best)} has the highest {measure}, greedy: "
        f"{found.show(means[best]).replace(chr(10), ' ')}, over "
        f"{found.count(means[best].n)}."
    ]
    known = {name: found.of(name)[0]["value"] for name in found.names(known=True)}
    said.append(
        f"Known policies: {', '.join(_beside(found, *one) for one in known.items())}."
    )
    if {"clinicians", "optimal"} <= known.keys():
        won = means[best].mean - known["clinicians"]
        share = won / (known["optimal"] - known["clinicians"])
        text = words.typeset(f"{100 * share:.0f} %")
        said.append(
            f"Of what lies between clinicians and the optimal policy it wins {text}."
        )
    said += [
        f"Published: {published_label(one.policy)}: {one.value:g} ({one.source})."
        for one in found.outside()
    ]
    return [*said, *_against_cloning(found)]


def _beside(found: Found, policy: str, value: float) -> str:
    """A known policy's value, and the published one."""
    text = f"{words.inside(label(policy))} {found.number(value)}"
    same = [one for one in found.published if one.policy == policy]
    return text + "".join(f" (published {one.value:g})" for one in same)


def _against_cloning(found: Found) -> list[str]:
    """Which methods are clearly better than imitation, which clearly worse."""
    sides: dict[str, list[str]] = {"more": [], "less": [], "no clear difference": []}
    for name in found.names(known=False):
        gap = estimates.difference(found.of(name), found.of(CLONED), "value")
        if name == CLONED or gap is None or gap.low is None or gap.high is None:
            continue
        clear = gap.low > 0 or gap.high < 0
        side = ("more" if gap.mean > 0 else "less") if clear else "no clear difference"
        sides[side].append(label(name))
    parts = [f"{side}: {', '.join(names)}" for side, names in sides.items() if names]
    if not parts:
        return []
    return [f"Against behavioural cloning (95 % intervals): {'; '.join(parts)}."]


def scope(config: RunConfig, directories: Sequence[str]) -> str:
    """What was learned from, and how often, in a sentence.

    Args:
      config: the setting of the methods.
      directories: the logs.
    """
    runs = []
    for directory in directories:
        schema = json.loads((pathlib.Path(directory) / "schema.json").read_text())
        runs.append((schema["simulator"] or {}).get("run") or {})
    names = dict.fromkeys(name for one in runs for name in one)
    values = {n: dict.fromkeys(str(one.get(n, "?")) for one in runs) for n in names}
    texts = [f"{n.replace('_', ' ')} {', '.join(v)}" for n, v in values.items()]
    return f"Learned off-line from logs ({'; '.join(texts)}). Seeds: {config.seeds}."

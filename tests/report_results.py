"""A small results document with known numbers, for the tests of the report."""

import copy
import functools
from typing import Any

from report_made_data import data_sections, record_sections
from report_made_models import model_sections
from report_made_policies import ood_safety, policy_rows, policy_sections, subgroups
from report_made_studies import study_sections

from experiments.report import comparison, page, results


def build(kind: str = "virtual") -> dict[str, Any]:
    """Returns a complete document of the given kind, every section present."""
    document = {
        "title": "OMG-RL on virtual patients",
        "kind": kind,
        **data_sections(),
        **model_sections(),
        **policy_sections(),
        **record_sections(),
        **study_sections(),
        "ood_safety": ood_safety(),
        "subgroups": subgroups("simulator" if kind != "records" else "model"),
        "config": {
            "learning_rate": 5e-4,
            "reward_mode": "paper",
            "member_sizes": [4],
            "model_hours": 24,
        },
        "versions": {"jax": "0.10.2", "numpy": "2.4.0"},
        "commands": ["python -m experiments.omg_rl --dataset=runs/demo --seeds=3"],
        "timing": {"dynamics_seconds": 12.5, "total_seconds": 100},
    }
    if kind == "records":
        for row in document["ood_safety"]:
            row["world"] = "model"
        rows = [row for row in policy_rows("model")]
        rows += [
            {**row, "world": "records"}
            for row in policy_rows("model")
            if row["policy"] == "clinicians"
        ]
        document["policies"] = rows
        document["intervention"]["curves"]["truth"] = None
        for row in document["off_policy"]:
            row["truth"] = None
    return copy.deepcopy(document)


def checked(kind: str = "virtual", **changes: Any) -> dict[str, Any]:
    """Returns the document with some sections changed, as a report would read it."""
    return results.check({**build(kind), **changes})


def members() -> list[comparison.Member]:
    """Returns three runs: two that differ in one setting, and one on other data."""
    changed, elsewhere = build(), build("records")
    changed["title"] = "OMG-RL, published state"
    few = ("title", "kind", "dataset", "policies", "reward_alignment", "config")
    changed = {name: changed[name] for name in (*few, "learning")}
    elsewhere = {name: elsewhere[name] for name in few}
    changed["config"]["reward_mode"] = "step"
    for row in changed["policies"]:
        if row["policy"] in ("omg_rl", "behavioural_cloning"):
            row["r_p"] += 0.2
    elsewhere["dataset"]["hash"] = "7a" * 32
    names = ("first", "second", "elsewhere")
    runs = map(results.check, (build(), changed, elsewhere))
    return list(map(comparison.Member, names, runs))


@functools.cache
def html(kind: str = "virtual") -> str:
    """Returns the page of the complete document, drawn once."""
    return page.render(results.check(build(kind)))

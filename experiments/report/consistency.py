"""Checks of `results.json` across fields: lengths that agree, claims that can be true.

What each field may hold is checked in `results`; here stand the rules that tie fields
together, each of which protects a reader from a figure that would mislead.
"""

from collections.abc import Mapping
from typing import Any

from experiments.report.fields import ResultsError, same_length


def check(path: str, kind: str, sections: Mapping[str, Any]) -> None:
    """Checks all sections of one document.

    Args:
      path: name of the document, for messages.
      kind: where the patients come from.
      sections: the known sections, each checked by itself.

    Raises:
      ResultsError: naming the place at fault.
    """
    _check_shapes(path, sections)
    _check_world(path, kind, sections)
    _check_intervals(f"{path}.off_policy", sections.get("off_policy") or ())


def _check_shapes(path: str, sections: Mapping[str, Any]) -> None:
    """Checks lengths that must agree: a figure from ragged lists would mislead."""
    if losses := sections.get("member_losses"):
        _check_losses(f"{path}.member_losses", losses)
    if curves := (sections.get("intervention") or {}).get("curves"):
        lists = {k: curves[k] for k in ("model", "truth") if curves.get(k)}
        same_length(f"{path}.intervention.curves", len(curves["dose"]), lists)
    if heatmap := sections.get("dose_heatmap"):
        _check_heatmap(f"{path}.dose_heatmap", heatmap)
    if curve := sections.get("reward_curve"):
        doses = len(curve["dose_labels"])
        same_length(f"{path}.reward_curve", doses, {"values": curve["values"]})
        lists = {f"values[{d}]": row for d, row in enumerate(curve["values"])}
        lists |= {k: curve[k] for k in ("mean", "density") if curve.get(k)}
        same_length(f"{path}.reward_curve", len(curve["aptt"]), lists)
    for index, example in enumerate(sections.get("examples") or ()):
        for who in ("clinicians", "agent"):
            if who in example:
                place = f"{path}.examples[{index}].{who}"
                same_length(place, len(example["hours"]), example[who])


def _check_losses(path: str, losses: Mapping[str, Any]) -> None:
    members = len(losses["validation"])
    same_length(path, members, {"train": losses["train"]})
    for part in ("train", "validation"):
        lists = {f"{part}[{m}]": row for m, row in enumerate(losses[part])}
        same_length(path, len(losses["epochs"]), lists)
    if any(index not in range(members) for index in losses["elites"]):
        raise ResultsError(
            f"{path}.elites: expected indices of the {members} "
            f"members, found {losses['elites']}"
        )


def _check_heatmap(path: str, heatmap: Mapping[str, Any]) -> None:
    edges, doses = len(heatmap["aptt_edges"]), len(heatmap["dose_labels"])
    for name, grid in heatmap["policies"].items():
        # Either the bins between the edges, or these and an open one at each end.
        if len(grid) not in (edges - 1, edges + 1):
            raise ResultsError(
                f"{path}.policies.{name}: {edges} edges make {edges - 1} bins "
                f"({edges + 1} with open ends), found {len(grid)} rows"
            )
        lists = {f"policies.{name}[{b}]": row for b, row in enumerate(grid)}
        same_length(path, doses, lists)


def _check_world(path: str, kind: str, sections: Mapping[str, Any]) -> None:
    """Real patients have no simulator, and no policy but theirs has a known truth."""
    if kind != "records":
        return
    for name in ("policies", "subgroups", "off_policy", "ood_safety"):
        for index, row in enumerate(sections.get(name) or ()):
            if row.get("world") == "simulator":
                raise ResultsError(
                    f"{path}.{name}[{index}].world: records of real patients have no "
                    "simulator; write 'model' or 'records'"
                )
    for index, row in enumerate(sections.get("off_policy") or ()):
        if row["truth"] is not None and row["policy"] != "clinicians":
            raise ResultsError(
                f"{path}.off_policy[{index}].truth: what another policy than the "
                "clinicians' would have done to real patients is unknown; write null"
            )


def _check_intervals(path: str, rows: Any) -> None:
    for index, row in enumerate(rows):
        low, high = row["low"], row["high"]
        if low is not None and high is not None and low > high:
            raise ResultsError(
                f"{path}[{index}].low: expected at most high = {high}, found {low}"
            )

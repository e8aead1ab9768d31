"""`results.json`: the one file a report is drawn from, read and checked.

The experiment writes it, the report reads nothing else. `title` and `kind` are
required; every other section may be absent or null, and the report then says so.
Fractions lie in 0..1, doses carry the unit of `dataset.actions`, aPTT is in
seconds, and every number is finite or null.

| section | content |
|---|---|
| `title`, `kind` | text; "virtual" (simulated patients), "records" or "other" |
| `dataset` | name, hash, stays by split, patients, steps, state, actions, target |
| `cohort_flow` | rule, removed, remaining: one row for each rule, in order |
| `table1` | variable, unit, and one text for each of train, validation, test |
| `missingness` | variable, share missing before and after imputation |
| `member_losses` | epochs [E], train and validation [members, E], elites |
| `dynamics` | seed, quantity, horizon (hours), error of model and persistence |
| `calibration` | nominal and observed coverage of prediction intervals |
| `intervention` | rows per seed, thresholds, passed, dose-response curves |
| `learning` | algorithm, seed, step, metric, value: the learning curves |
| `policies` | policy, mode, world, seed and any number of measures |
| `dose_heatmap` | per policy, probability [aPTT bin, dose] |
| `reward_curve` | learned reward [dose, aPTT], its mean, density of recorded aPTT |
| `reward_alignment` | seed, reward, rank correlations with the true reward |
| `examples` | single virtual patients: hours, aPTT and dose by hour |
| `config`, `versions`, `timing`, `commands` | how to repeat the run |
"""

import json
import os
import pathlib
from collections.abc import Mapping
from typing import Any, NamedTuple

from experiments.report.fields import (
    Check,
    ResultsError,
    anything,
    finite,
    flag,
    list_of,
    map_of,
    number,
    one_of,
    record,
    same_length,
    scalar,
    text,
)

KINDS = ("virtual", "records", "other")
MODES = ("stochastic", "greedy", "-")
WORLDS = ("simulator", "model", "records")
SPLITS = ("train", "validation", "test")
FILE_NAME = "results.json"


class Results(NamedTuple):
    """A checked results file.

    Attributes:
      title: heading of the report.
      kind: where the patients come from, one of `KINDS`.
      sections: the known sections that are present, by name.
      unknown: names of sections this version does not know.
    """

    title: str
    kind: str
    sections: Mapping[str, Any]
    unknown: tuple[str, ...] = ()

    def get(self, name: str) -> Any:
        """Returns the section called `name`, or None where it is absent or empty."""
        return self.sections.get(name) or None


def _rows(**columns: Check) -> Check:
    return list_of(record(columns))


_numbers = list_of(number)
_grid = list_of(_numbers)
_course = record({"aptt": _numbers, "dose": _numbers})
_actions = record({}, labels=list_of(text), amounts=_numbers, unit=text)

SECTIONS: Mapping[str, Check] = {
    "dataset": record(
        {},
        name=text,
        hash=text,
        stays=map_of(scalar),
        patients=scalar,
        steps=scalar,
        state=scalar,
        state_features=list_of(text),
        actions=_actions,
        target=_numbers,
    ),
    "cohort_flow": _rows(rule=text, removed=scalar, remaining=scalar),
    "table1": _rows(variable=text, unit=text, **dict.fromkeys(SPLITS, scalar)),
    "missingness": _rows(variable=text, before=number, after=number),
    "member_losses": record(
        {"epochs": _numbers, "train": _grid, "validation": _grid, "elites": _numbers},
        persistence=number,
    ),
    "dynamics": _rows(
        seed=number, quantity=text, horizon=number, model=number, persistence=number
    ),
    "calibration": _rows(nominal=number, observed=number),
    "intervention": record(
        {"rows": list_of(record({"seed": number}, others=scalar, monotone=scalar))},
        thresholds=map_of(number),
        passed=flag,
        curves=record({"dose": _numbers, "model": _numbers}, truth=anything),
    ),
    "learning": _rows(
        algorithm=text, seed=number, step=number, metric=text, value=number
    ),
    "policies": list_of(
        record(
            {"policy": text, "mode": one_of(*MODES), "world": one_of(*WORLDS)},
            others=number,
        )
    ),
    "dose_heatmap": record(
        {
            "aptt_edges": _numbers,
            "dose_labels": list_of(text),
            "policies": map_of(_grid),
        }
    ),
    "reward_curve": record(
        {"aptt": _numbers, "dose_labels": list_of(text), "values": _grid},
        mean=_numbers,
        density=_numbers,
    ),
    "reward_alignment": list_of(record({"seed": number, "reward": text}, number)),
    "examples": list_of(record({"hours": _numbers}, clinicians=_course, agent=_course)),
    "config": map_of(anything),
    "versions": map_of(scalar),
    "commands": list_of(text),
    "timing": map_of(anything),
}


def _check_shapes(path: str, sections: Mapping[str, Any]) -> None:
    """Checks lengths that must agree: a figure from ragged lists would mislead."""
    if losses := sections.get("member_losses"):
        members = len(losses["validation"])
        same_length(f"{path}.member_losses", members, {"train": losses["train"]})
        for part in ("train", "validation"):
            lists = {f"{part}[{m}]": row for m, row in enumerate(losses[part])}
            same_length(f"{path}.member_losses", len(losses["epochs"]), lists)
        if any(index not in range(members) for index in losses["elites"]):
            raise ResultsError(
                f"{path}.member_losses.elites: expected indices of the {members} "
                f"members, found {losses['elites']}"
            )
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
    if kind != "records":
        return
    for index, row in enumerate(sections.get("policies") or ()):
        if row["world"] == "simulator":
            raise ResultsError(
                f"{path}.policies[{index}].world: records of real patients have no "
                "simulator; write 'model' or 'records'"
            )


def check(document: Any, name: str = FILE_NAME) -> Results:
    """Checks a decoded results document.

    Args:
      document: what `json.loads` returned.
      name: how error messages call the document.

    Returns:
      The checked results.

    Raises:
      ResultsError: naming the place at fault and what was expected there.
    """
    record({"title": text, "kind": one_of(*KINDS)})(document, name)
    finite(document, name)
    sections = {k: v for k, v in document.items() if k in SECTIONS and v is not None}
    for section, value in sections.items():
        SECTIONS[section](value, f"{name}.{section}")
    _check_shapes(name, sections)
    _check_world(name, document["kind"], sections)
    unknown = sorted(set(document) - set(SECTIONS) - {"title", "kind"})
    title = document["title"] or "Untitled run"
    return Results(title, document["kind"], sections, tuple(unknown))


def load(run: str | os.PathLike[str]) -> Results:
    """Reads and checks `results.json` of the run directory `run`.

    Raises:
      ResultsError: where the file is missing, no JSON, or breaks the format above.
    """
    path = pathlib.Path(run) / FILE_NAME
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ResultsError(
            f"{path}: no such file; give --run the output directory of an experiment"
        ) from None
    except ValueError as error:
        raise ResultsError(f"{path}: not valid JSON ({error})") from None
    return check(document, FILE_NAME)

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
| `off_policy` | policies estimated from logged doses alone (1) |
| `behaviour_calibration` | predicted and observed frequency of doses, count |
| `support` | policy, share_out_of_support; optional mode, seed, threshold (2) |
| `drift` | seed, horizon (hours), model, recorded; optional policy (3) |
| `subgroups` | policy, world, seed, group, level, n, any measures; optional mode (4) |
| `ood_safety` | policy, mode, seed, shift; optional measures (5): other patients |
| `ablation` | setting, value, seed and any measures; first row: what is compared to |
| `expert_stays` | stays, seed and any measures, such as return_r_p_model, r_p |
| `published` | figure, quantity, value, source, and what is ours beside it (6) |
| `config`, `versions`, `timing`, `commands` | how to repeat the run |

A policy's `success` asks for hours in range in a row; `success_any_0.9` and
`success_any_0.2` for one hour in which r_p reaches that level. `r_psi` is the one
reward of the run, by which all rows that have it are scored; `promised` is Q of a
method's own critic where its reward is known, `promised_psi` where it learned it.

(1) policy, mode, estimator, world ("records": the log), seed, value, its 95 % interval
`low`..`high` over resampled patients, `ess` (effective number of patients), `largest`
(the share of one patient in all weights), `truth` where a simulator knows it.
`ess` and `largest` are null for estimators without weights; a row whose value or
interval is null is not shown. Optional: `measure` (what is estimated; default the
return), `patients` (how many there are).
(2) Over recorded states, the mean probability that a policy puts on doses to which the
behaviour model gives less than `threshold`.
(3) Mean distance of the states of model rollouts (`model`) and of later recorded states
(`recorded`) from the recorded states known in training, in one unit of any kind.
(4) `group` is sex, age, creatinine, weight or another; `n` counts patients or stays.
(5) `shift` is "usual" for new patients of the kind learned from, else what differs,
such as "older, heavier". Measures: r_p, in_range, above, `extreme` (share of hours at
the highest dose while the last aPTT is above range), `support` (as in 2, their states).
(6) Ours is `ours` itself, or is looked up: the return at `stays` in `expert_stays`, or
the `measure` of `policy` in `policies`.
"""

import json
import os
import pathlib
from collections.abc import Mapping
from typing import Any, NamedTuple

from experiments.report import consistency
from experiments.report.fields import (
    Check,
    ResultsError,
    anything,
    finite,
    flag,
    list_of,
    map_of,
    name,
    number,
    one_of,
    record,
    scalar,
    text,
)

KINDS = ("virtual", "records", "other")
MODES = ("stochastic", "greedy", "-")
WORLDS = ("simulator", "model", "records")
SPLITS = ("train", "validation", "test")
# The `shift` of patients of the kind that policies learned from.
USUAL = "usual"
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

    def get(self, section: str) -> Any:
        """Returns the section of that name, or None where it is absent or empty."""
        return self.sections.get(section) or None


def _rows(**columns: Check) -> Check:
    return list_of(record(columns))


_numbers = list_of(number)
_grid = list_of(_numbers)
_course = record({"aptt": _numbers, "dose": _numbers})
_ESTIMATE = ("seed", "value", "low", "high", "ess", "largest", "truth")
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
        squared_error=_numbers,
        persistence_squared=number,
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
            {"policy": name, "mode": one_of(*MODES), "world": one_of(*WORLDS)},
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
    "off_policy": list_of(
        record(
            {
                "policy": name,
                "mode": one_of(*MODES),
                "estimator": name,
                "world": one_of(*WORLDS),
                **dict.fromkeys(_ESTIMATE, number),
            },
            measure=name,
            patients=scalar,
        )
    ),
    "behaviour_calibration": _rows(predicted=number, observed=number, count=scalar),
    "support": list_of(
        record(
            {"policy": name, "share_out_of_support": number},
            mode=one_of(*MODES),
            seed=number,
            threshold=number,
        )
    ),
    "drift": list_of(
        record(
            dict.fromkeys(("seed", "horizon", "model", "recorded"), number), policy=name
        )
    ),
    "subgroups": list_of(
        record(
            {
                "policy": name,
                "world": one_of(*WORLDS),
                "seed": number,
                "group": name,
                "level": scalar,
                "n": scalar,
            },
            others=number,
            mode=one_of(*MODES),
        )
    ),
    "ood_safety": list_of(
        record(
            {"policy": name, "mode": one_of(*MODES), "seed": number, "shift": name},
            others=number,
            world=one_of(*WORLDS),
        )
    ),
    "ablation": list_of(
        record(
            {"setting": name, "value": scalar, "seed": number},
            others=number,
            policy=name,
        )
    ),
    "expert_stays": list_of(record({"stays": number, "seed": number}, others=number)),
    "published": list_of(
        record(
            {"figure": name, "quantity": text, "value": scalar, "source": text},
            ours=scalar,
            stays=number,
            policy=name,
            measure=name,
        )
    ),
    "config": map_of(anything),
    "versions": map_of(scalar),
    "commands": list_of(text),
    "timing": map_of(anything),
}


def check(document: Any, path: str = FILE_NAME) -> Results:
    """Checks a decoded results document.

    Args:
      document: what `json.loads` returned.
      path: how error messages call the document.

    Returns:
      The checked results.

    Raises:
      ResultsError: naming the place at fault and what was expected there.
    """
    record({"title": text, "kind": one_of(*KINDS)})(document, path)
    finite(document, path)
    sections = {k: v for k, v in document.items() if k in SECTIONS and v is not None}
    for section, value in sections.items():
        SECTIONS[section](value, f"{path}.{section}")
    consistency.check(path, document["kind"], sections)
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
            f"{path}: no such file; give --runs output directories of experiments"
        ) from None
    except ValueError as error:
        raise ResultsError(f"{path}: not valid JSON ({error})") from None
    return check(document, FILE_NAME)

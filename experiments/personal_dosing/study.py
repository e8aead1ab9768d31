"""The study: units judged one after the other, each kept when it is done."""

import json
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import tqdm

from experiments import truth as truth_lib
from experiments.personal_dosing import (
    factors,
    fitting,
    predicting,
    rewards,
    suggesting,
    treating,
)
from experiments.personal_dosing.config import REFERENCES, Config
from experiments.personal_dosing.factors import Truth
from experiments.personal_dosing.fitting import Ready
from omgrl_jax.runtime import mappings, storage

Row = dict[str, Any]
_AVERAGE = "_average"


class Unit(NamedTuple):
    """What is judged with one seed.

    Attributes:
      method: a model, with "_average" behind it where every patient keeps the average
        factors; "persistence", or one of `config.REFERENCES`.
      seed: the seed.
    """

    method: str
    seed: int

    @property
    def name(self) -> str:
        """What its file is called."""
        return f"{self.method}_{self.seed}"

    @property
    def model(self) -> str:
        """The model that is fitted for it."""
        return self.method.removesuffix(_AVERAGE)


class Map(NamedTuple):
    """Factors of the first seed beside the truth, for a picture.

    Attributes:
      factors: [N, R] of one member.
      truth: of the same patients.
    """

    factors: np.ndarray
    truth: Truth


def units(config: Config, virtual: bool) -> list[Unit]:
    """All units in order: whole studies of single seeds, one after the other."""
    methods = ["persistence"]
    for model in config.models:
        methods.append(model)
        if model != "population":
            methods.append(model + _AVERAGE)
    if virtual:
        methods += REFERENCES
    return [Unit(name, seed) for seed in config.seed_list for name in methods]


def run(ready: Ready) -> pd.DataFrame:
    """Fits and judges what is not there yet.

    Args:
      ready: of `fitting.prepare`.

    Returns:
      A row for each figure: section ("prediction", "dosing", "probe", "doses"), method,
      seed, about (a band or a parameter), measure, value.
    """
    virtual = truth_lib.known(ready.task)
    judge = Judge(ready, virtual)
    rows: list[Row] = []
    with tqdm.tqdm(units(ready.config, virtual), "units", disable=None) as bar:
        for unit in bar:
            bar.set_postfix_str(unit.name)
            path = ready.out / "units" / f"{unit.name}.json"
            if not path.is_file():
                storage.atomic_write(path, json.dumps(judge(unit)))
                mappings.forget_programs()
            rows += json.loads(path.read_text())
    return frame(rows)


def frame(rows: list[Row]) -> pd.DataFrame:
    """Rows as a table that has its columns also where there is no row."""
    columns = ["section", "method", "seed", "about", "measure", "value"]
    return pd.DataFrame(rows, columns=columns)


class Judge:
    """Judges units; what is compiled for one serves the others."""

    def __init__(self, ready: Ready, virtual: bool):
        """Builds the forecasters and the goal of planning."""
        self._ready, self._virtual = ready, virtual
        config, task = ready.config, ready.task
        self._forecasters = fitting.forecasters(ready)
        self._goal = rewards.of_task(task)
        if config.reward_run:
            self._goal = rewards.of_run(config.reward_run, task, config.train_stays)
        self._truth = (
            {split: factors.truth(ready, split) for split in ("train", "test")}
            if virtual
            else {}
        )

    def __call__(self, unit: Unit) -> list[Row]:
        """Fits what the unit needs and judges it."""
        ready, method = self._ready, unit.method
        if method in REFERENCES:
            found = treating.reference(ready, self._goal, method, unit.seed)
            return _rows("dosing", unit, "", found)
        if method == "persistence":
            return self._predicted(unit, None)
        params = fitting.fitted(ready, unit.model, unit.seed)
        rows = self._predicted(unit, params)
        if self._virtual:
            who = self._forecasters[method]
            found = treating.planned(ready, self._goal, who, params, unit.seed)
            rows += _rows("dosing", unit, "", found)
        if method == "population" or method.endswith(_AVERAGE):
            return rows
        if self._truth:
            known = []
            for split, truth in self._truth.items():
                inferred = factors.after_stays(
                    ready.personal, ready.task.scales, params, ready.draws[split]
                )
                known += [inferred, truth]
            for name, values in factors.probes(*known).items():
                rows += _rows("probe", unit, name, values)
        if method == "persim":
            for row in suggesting.rows(ready, self._goal, params):
                rows += _rows("doses", unit, row.pop("band"), row)
        return rows

    def _predicted(self, unit: Unit, params: Any) -> list[Row]:
        rows = []
        for row in predicting.rows(self._ready, unit.method, params):
            rows += _rows("prediction", unit, row.pop("band"), row)
        return rows


def map_of_first_seed(ready: Ready) -> Map | None:
    """PerSim's factors beside the truth; None without either."""
    if not truth_lib.known(ready.task) or "persim" not in ready.config.models:
        return None
    params = fitting.fitted(ready, "persim", ready.config.first_seed)
    inferred = factors.after_stays(
        ready.personal, ready.task.scales, params, ready.draws["train"]
    )
    return Map(np.asarray(inferred[0]), factors.truth(ready))


def _rows(section: str, unit: Unit, about: str, values: dict[str, float]) -> list[Row]:
    same = {"section": section, **unit._asdict(), "about": about}
    return [{**same, "measure": k, "value": v} for k, v in values.items()]


def summarise(rows: pd.DataFrame) -> pd.DataFrame:
    """Mean and standard deviation over seeds of every figure."""
    names = ["section", "method", "about", "measure"]
    grouped = rows.groupby(names, sort=False)["value"]
    return grouped.agg(mean="mean", deviation="std", seeds="count").reset_index()

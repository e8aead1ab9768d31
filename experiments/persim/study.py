"""The study: units judged one after the other, each kept when it is done."""

import json
import math
from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import tqdm

from experiments.persim import factors, judging, methods, playing, policies, predicting
from experiments.persim.units import Ready, Unit, fitted, simulators, units
from omgrl_jax.models import low_rank
from omgrl_jax.runtime import mappings, storage
from omgrl_jax.types import Array, Params

Row = dict[str, Any]

# A model that runs away to infinity is the worst, not one that is left out.
_WORST = {"r2": -math.inf, "rmse": math.inf}


class Factors(NamedTuple):
    """PerSim's factors beside the hidden physics.

    Attributes:
      agents: [N, R] of one member.
      covariates: name -> [N], on their natural scales.
    """

    agents: np.ndarray
    covariates: dict[str, np.ndarray]


def run(ready: Ready) -> pd.DataFrame:
    """Fits and judges what is not there yet.

    Args:
      ready: of `units.prepare`.

    Returns:
      A row for each figure: section ("prediction", "return", "probe", "unseen"),
      method, count, seed, agent (-1 for all), measure, value.
    """
    rows: list[Row] = []
    with tqdm.tqdm(units(ready.config), "simulators", disable=None) as bar:
        for unit in bar:
            bar.set_postfix_str(unit.name)
            path = ready.out / "units" / f"{unit.name}.json"
            if not path.is_file():
                storage.atomic_write(path, json.dumps(judge(ready, unit)))
                mappings.forget_programs()
            rows += json.loads(path.read_text())
    return pd.DataFrame(rows)


def factors_of_first_seed(ready: Ready) -> Factors | None:
    """What PerSim learned of the agents it was fitted to; None without PerSim."""
    if "persim" not in ready.config.methods:
        return None
    params = fitted(ready, Unit("persim", ready.seen.size, ready.config.first_seed))
    physics = factors.covariates(ready.cohort)
    return Factors(
        np.asarray(params.agents[0][ready.seen]),
        {name: values[ready.seen] for name, values in physics.items()},
    )


def judge(ready: Ready, unit: Unit) -> list[Row]:
    """Fits one unit, where it is not there yet, and judges it."""
    if unit.method == "truth":
        earned = playing.control_in_truth(
            ready.world,
            ready.config.judge,
            ready.planner,
            unit.key("control"),
            ready.physics(ready.judged),
            ready.scales,
        )
        return _returns(unit, earned)
    if policies.is_learned(unit.method):
        return _returns(unit, policies.returns(ready, unit))
    params = fitted(ready, unit)
    rows = _judged(ready, unit, params)
    whole = unit.count == ready.seen.size
    if unit.method in methods.KNOW_NO_AGENT and whole and ready.unseen.size:
        own = simulators(ready, unit.method, params, ready.unseen, ready.seen)
        key = unit.key("unseen")
        rows += _predicted(ready, unit, "unseen", key, ready.unseen, *own)
    if unit.method == "persim" and whole:
        average = unit._replace(method="persim_average")
        rows += _judged(ready, average, methods.averaged(params, ready.seen))
        for name, values in factors.probes(params, ready.cohort, ready.seen).items():
            rows += _rows("probe", unit, [-1], name, [np.mean(values)])
        if ready.unseen.size:
            rows += _unseen(ready, unit, params)
    return rows


def _judged(ready: Ready, unit: Unit, params: Params) -> list[Row]:
    """Prediction and planning for the judged agents."""
    method = unit.method.removesuffix("_average")
    fitted_to = ready.seen[: unit.count]
    given, personalise = simulators(ready, method, params, ready.judged, fitted_to)
    rows = _predicted(
        ready, unit, "prediction", unit.key("predict"), ready.judged, given, personalise
    )
    earned = playing.control(
        ready.world,
        personalise,
        ready.config.judge,
        ready.planner,
        unit.key("control"),
        ready.physics(ready.judged),
        given,
        ready.scales,
    )
    return rows + _returns(unit, earned)


def _unseen(ready: Ready, unit: Unit, params: Params) -> list[Row]:
    """Prediction for agents whose factors come from elsewhere."""
    config = ready.config
    model = low_rank.make(config.low_rank, *ready.shape)
    given = (params, ready.cohort, ready.seen, ready.unseen)
    ways = {
        "from_log": factors.from_logs(model, *given, config.unseen_steps, config.ridge),
        "from_covariates": factors.from_covariates(*given),
        "average": methods.averaged(params, ready.seen),
    }
    rows = []
    for way, found in ways.items():
        own = simulators(ready, "persim", found, ready.unseen, ready.unseen)
        named = unit._replace(method=way)
        key = unit.key("unseen")
        rows += _predicted(ready, named, "unseen", key, ready.unseen, *own)
    return rows


def _predicted(
    ready: Ready,
    unit: Unit,
    section: str,
    key: Array,
    agents: np.ndarray,
    given: Any,
    personalise: judging.Personalise,
) -> list[Row]:
    accuracy = predicting.predict(
        ready.world,
        personalise,
        ready.config.judge,
        key,
        ready.physics(agents),
        given,
        ready.scales,
    )
    rows = []
    for measure, values in accuracy._asdict().items():
        numbers = np.asarray(values, np.float64)
        worst = _WORST.get(measure, math.nan)
        sane = np.where(np.isfinite(numbers), numbers, worst)
        rows += _rows(section, unit, agents, measure, sane)
    return rows


def _returns(unit: Unit, earned: Array) -> list[Row]:
    means = np.asarray(earned).mean(axis=1)
    return _rows("return", unit, range(means.size), "mean", means)


def _rows(
    section: str,
    unit: Unit,
    agents: Iterable[int],
    measure: str,
    values: Iterable[float],
) -> list[Row]:
    same = {"section": section, **unit._asdict(), "measure": measure}
    return [
        {**same, "agent": int(agent), "value": float(value)}
        for agent, value in zip(agents, values, strict=True)
    ]

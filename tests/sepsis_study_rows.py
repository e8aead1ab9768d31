"""Made-up rows of the sepsis study, of every method, for tests of its page."""

import dataclasses

import numpy as np
import tiny_dataset

from data_prep import levels
from experiments.iql_multitask import clinical
from experiments.iql_multitask.config import CLONED, METHODS
from experiments.iql_multitask.labels import MEASURES

REFERENCES = ("clinicians", "random", "optimum")
ESTIMATORS = ("wdr", "wis", "pdwis", "fqe")
DOSES = np.array([[0, 0], [100, 0.01], [300, 0.12], [900, 0.5]])


def schema():
    actions = levels.fit((("fluid", "mL"), ("pressor", "ug/kg/min")), DOSES)
    return dataclasses.replace(tiny_dataset.schema(), actions=actions)


def _sweeps():
    row = {}
    for test in clinical.TESTS:
        row |= {test: -0.5, f"{test}_size": -0.25, f"{test}_real": -0.4}
        row |= {f"{test}_real_low": -0.6, f"{test}_real_high": -0.2}
    return row


def _tested():
    row = {"used": 8.0, "used_low": 7.0, "used_high": 9.0, "agreement": 0.4}
    row |= {"entropy": 1.75, "entropy_low": 1.7, "entropy_high": 1.8}
    return row | {f"share_{a}": 1 / 9 for a in range(9)}


def found(truth=True):
    """Section -> rows, as `study.run` returns them; of records, without the truth."""
    rng = np.random.default_rng(0)
    policies, tested, curves, estimated, belief = [], [], [], [], []
    for name in (*REFERENCES, CLONED, *METHODS):
        known = name in REFERENCES
        for mode in ("-",) if known else clinical.MODES:
            for seed in range(2):
                same = {"policy": name, "mode": mode, "seed": seed}
                worth = {key: float(rng.uniform(0.2, 0.9)) for key in MEASURES}
                policies.append({**same, **worth})
                if not known:
                    tested.append({**same, **_sweeps(), **_tested(), "passed": 2.0})
        if known:
            continue
        for seed in range(2):
            same = {"policy": name, "mode": "stochastic", "seed": seed}
            for test in clinical.TESTS:
                points = zip(clinical.SWEEP, np.linspace(2, 0, 41), strict=True)
                curves += [
                    {**same, "test": test, "deviations": x, "level": y}
                    for x, y in points
                ]
            for estimator in ESTIMATORS:
                row = {**same, "estimator": estimator, "value": float(rng.normal(7))}
                row |= {
                    "low": 6.0,
                    "high": 8.0,
                    "ess": 30.0 if name == "iql" else 400.0,
                }
                estimated.append({**row, "truth": 7.0 if truth else None})
            belief.append(
                {**same, "promised": 8.0, "highest": 12.0, "best_return": 15.0}
            )
    usual = {"policy": "clinicians", "mode": "-", "seed": None}
    tested.append({**usual, **_tested()})
    mean = {"estimator": "mean return", "value": 6.8, "low": 6.5, "high": 7.1}
    estimated.append({**usual, **mean})
    return {
        "policies": policies if truth else [],
        "clinical": tested,
        "curves": curves,
        "off_policy": estimated,
        "belief": belief,
    }

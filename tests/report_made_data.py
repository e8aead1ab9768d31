"""Made-up rows of the data: cohort, tables, single stays."""

from typing import Any

from report_made_known import DOSES, OFFSETS


def data_sections() -> dict[str, Any]:
    return {
        "dataset": {
            "name": "virtual-600",
            "hash": "3f" * 32,
            "stays": {"train": 480, "validation": 60, "test": 60},
            "patients": 590,
            "steps": 24_512,
            "state": "history",
            "state_features": ["age", "weight", "aptt_last", "dose_average_at_draw"],
            "actions": {
                "labels": DOSES,
                "amounts": [0.0, 500.0, 900.0, 1200.0, 1500.0, 2000.0],
                "unit": "U/h",
            },
        },
        "cohort_flow": [
            {"rule": "stays with intravenous heparin", "removed": 0, "remaining": 800},
            {"rule": "younger than 18 years", "removed": 4, "remaining": 796},
            {"rule": "shorter than 7 hours", "removed": 150, "remaining": 646},
            {"rule": "no aPTT measured", "removed": 46, "remaining": 600},
        ],
        "table1": [
            {
                "variable": variable,
                "unit": unit,
                "train": "64 [55, 73]",
                "validation": "65 [56, 72]",
                "test": "63 [54, 74]",
            }
            for variable, unit in (("age", "years"), ("weight", "kg"), ("aPTT", "s"))
        ],
        "missingness": [
            {"variable": "creatinine", "before": 0.31, "after": 0.0},
            {"variable": "bilirubin", "before": 0.62, "after": 0.0},
        ],
    }


def record_sections() -> dict[str, Any]:
    """What the log says: estimates, their weights, doses outside the data."""
    numbers = {"omg_rl": (-0.2, 12.0, 0.3), "behavioural_cloning": (-0.3, 55.0, 0.04)}
    return {
        "off_policy": [
            {
                "policy": policy,
                "mode": "stochastic",
                "estimator": estimator,
                "world": "records",
                "seed": seed,
                "value": value + offset,
                "low": value + offset - 0.25,
                "high": value + offset + 0.25,
                "ess": None if estimator == "fqe" else ess,
                "largest": None if estimator == "fqe" else largest,
                # Outside the interval of the first seed: -.2 - .01 + .25 = .04.
                "truth": 0.045 if policy == "omg_rl" else value,
                "measure": "r_p",
                "patients": 60,
            }
            for policy, (value, ess, largest) in numbers.items()
            for estimator in ("wis", "fqe")
            for seed, offset in enumerate(OFFSETS)
        ],
        "behaviour_calibration": [
            {"predicted": p / 10, "observed": p / 10 + 0.02, "count": 400 - 49 * p}
            for p in range(9)
        ],
        "support": [
            {
                "policy": policy,
                "mode": "stochastic",
                "seed": seed,
                "share_out_of_support": share + offset,
                "threshold": 0.02,
            }
            for policy, share in (("omg_rl", 0.08), ("behavioural_cloning", 0.02))
            for seed, offset in enumerate(OFFSETS)
        ],
        "drift": [
            {
                "policy": "omg_rl",
                "seed": seed,
                "horizon": horizon,
                "model": 1.0 + 0.1 * horizon + offset,
                "recorded": 1.0,
            }
            for seed, offset in enumerate(OFFSETS)
            for horizon in (1, 5, 10, 20)
        ],
    }

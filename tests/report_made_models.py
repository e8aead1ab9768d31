"""Made-up rows of what was learned: losses, curves of training, parts of models."""

from typing import Any

from report_made_known import OFFSETS


def learning() -> list[dict[str, Any]]:
    metrics = {
        "return/r_psi": (0.0, 4.0),
        "return/r_p": (-10.0, 0.1),
        "reward/ess": (0.5, -0.01),
        "reward/largest_weight": (0.1, 0.01),
        "critic/bellman": (2.0, -0.05),
        "actor/entropy": (1.7, -0.03),
        "actor/other": (0.0, 0.0),
    }
    return [
        {
            "algorithm": algorithm,
            "seed": seed,
            "step": step,
            "metric": metric,
            "value": start + slope * step + 10 * offset,
        }
        for algorithm in ("omg_rl", "combo")
        for seed, offset in enumerate(OFFSETS)
        for metric, (start, slope) in metrics.items()
        for step in range(0, 25, 5)
    ]


def model_sections() -> dict[str, Any]:
    epochs, members = list(range(1, 7)), range(7)
    return {
        "member_losses": {
            "epochs": epochs,
            "train": [[1 / e + 0.01 * m for e in epochs] for m in members],
            "validation": [[1 / e + 0.02 * m + 0.05 for e in epochs] for m in members],
            "elites": [0, 1, 2, 3, 4],
            "persistence": 0.4,
        },
        "dynamics": [
            {
                "seed": seed,
                "quantity": quantity,
                "horizon": horizon,
                "model": 0.05 * horizon**0.5 + offset,
                "persistence": 0.10 * horizon**0.5,
            }
            for seed, offset in enumerate(OFFSETS)
            for quantity in ("aptt", "state")
            for horizon in (1, 5, 10, 20)
        ],
        "calibration": [
            {"nominal": n / 10, "observed": n / 10 - 0.03} for n in range(1, 10)
        ],
        "intervention": {
            "rows": [
                {
                    "seed": seed,
                    "slope_model": 0.40 + offset,
                    "slope_truth": 0.61,
                    "ratio": 0.65 + offset,
                    "rank": 0.95 + offset,
                    "monotone": 0.9,
                }
                for seed, offset in enumerate(OFFSETS)
            ],
            "thresholds": {"ratio": 0.6, "rank": 0.9},
            "passed": True,
            "curves": {
                "dose": [0, 500, 900, 1200, 1500, 2000],
                "model": [42.0, 52.0, 61.0, 70.0, 80.0, 95.0],
                "truth": [33.0, 47.0, 60.0, 72.0, 86.0, 112.0],
            },
        },
    }

"""Made-up rows of studies that train many settings."""

from typing import Any

from report_made_known import OFFSETS


def study_sections() -> dict[str, Any]:
    settings = (("as given", None, -0.10), ("state", "paper", -0.30))
    stays = ((100, 4.0), (300, 6.0), (500, 7.0))
    return {
        "ablation": [
            {
                "setting": setting,
                "value": value,
                "seed": seed,
                "r_p": r_p + offset,
                "in_range": 0.5 + r_p + offset,
                "above": 0.1,
                "within_state": 0.6 + offset,
                "recorded_pairs": 0.3,
                "ess": 0.02,
            }
            for setting, value, r_p in settings
            for seed, offset in enumerate(OFFSETS)
        ],
        "expert_stays": [
            {
                "stays": count,
                "seed": seed,
                "return_r_p_model": value + offset,
                "r_p": value / 10 - 1 + offset,
            }
            for count, value in stays
            for seed, offset in enumerate(OFFSETS)
        ],
        "published": [
            {
                "figure": "Table II",
                "quantity": f"return from {count} stays",
                "value": value,
                "source": "arXiv 2409.13299",
                "stays": count,
            }
            for count, value in ((100, 11.7), (500, 19.5))
        ]
        + [
            {
                "figure": "Text",
                "quantity": "time in range",
                "value": "not given",
                "source": "arXiv 2409.13299",
                "policy": "omg_rl",
                "measure": "in_range",
            },
            {
                "figure": "Text",
                "quantity": "treatment success",
                "value": 0.6,
                "source": "arXiv 2409.13299",
                "policy": "omg_rl",
                "measure": "success",
            },
        ],
    }

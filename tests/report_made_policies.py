"""Made-up rows of policies: what they do, to whom, and what estimates say."""

from typing import Any

from report_made_known import APTT, DOSES, OFFSETS, POLICIES
from report_made_models import learning

# What critics promise in the model: one knows its reward, the other learned it.
PROMISES = {"combo": {"promised": 5.0}, "omg_rl": {"promised_psi": -3.0}}


def policy_rows(world: str) -> list[dict[str, Any]]:
    rows = []
    for name, (mode, r_p, in_range, above) in POLICIES.items():
        modes = ("stochastic", "greedy") if mode == "stochastic" else ("-",)
        for how in modes:
            for seed, offset in enumerate(OFFSETS):
                shift = offset - (0.02 if how == "greedy" else 0.0)
                rows.append(
                    {
                        "policy": name,
                        "mode": how,
                        "world": world,
                        "seed": seed,
                        "r_p": r_p + shift,
                        "r_psi": 1.0 + shift,
                        "success": 0.6 + shift,
                        "success_any_0.9": 0.8 + shift,
                        "success_any_0.2": 0.9 + shift,
                        "in_range": max(in_range + shift, 0.0),
                        "below": 1.0 - in_range - above,
                        "above": above,
                        "above_100": above,
                    }
                )
                if world == "model":
                    rows[-1] |= PROMISES.get(name, {})
    return rows


def policy_sections() -> dict[str, Any]:
    ramp = [[(1 + (b + d) % 6) / 21 for d in range(6)] for b in range(5)]
    hours = [float(hour) for hour in range(24)]
    return {
        "learning": learning(),
        "policies": policy_rows("simulator") + policy_rows("model"),
        "dose_heatmap": {
            "aptt_edges": [20.0, 40.0, 60.0, 80.0, 100.0, 150.0],
            "dose_labels": DOSES,
            "policies": {"clinicians": ramp, "omg_rl": ramp[::-1]},
        },
        "reward_curve": {
            "aptt": APTT,
            "dose_labels": DOSES,
            "values": [[0.1 * d - abs(a - 75) / 40 for a in APTT] for d in range(6)],
            "mean": [0.25 - abs(a - 75) / 40 for a in APTT],
            "density": [0.1, 0.25, 0.3, 0.2, 0.1, 0.05],
        },
        "reward_alignment": [
            {
                "seed": seed,
                "reward": reward,
                "within_state": within + offset,
                "all_pairs": 0.4 + offset,
                "recorded_pairs": 0.1 + offset,
            }
            for seed, offset in enumerate(OFFSETS)
            for reward, within in (("r_psi", 0.60), ("log_mu", 0.53))
        ],
        "examples": [
            {
                "hours": hours,
                "clinicians": {
                    "aptt": [40 + 2 * h for h in hours],
                    "dose": [900.0 + 100 * (h % 6 == 0) for h in hours],
                },
                "agent": {
                    "aptt": [35 + 1.8 * h for h in hours],
                    "dose": [1200.0 - 300 * (h > 12) for h in hours],
                },
            }
            for _ in range(3)
        ],
    }


def ood_safety() -> list[dict[str, Any]]:
    """Two policies on two kinds of patients: what a shift costs is known."""
    usual, other = "usual", "older, heavier, renal"
    numbers = {
        ("omg_rl", usual): (-0.10, 0.44, 0.12, 0.010, 0.08),
        ("omg_rl", other): (-0.22, 0.36, 0.25, 0.030, 0.20),
        ("clinicians", usual): (0.04, 0.52, 0.11, 0.000, None),
        ("clinicians", other): (-0.06, 0.47, 0.20, 0.001, None),
    }
    names = ("r_p", "in_range", "above", "extreme", "support")
    return [
        {
            "policy": policy,
            "mode": "-" if policy == "clinicians" else "stochastic",
            "world": "simulator",
            "seed": seed,
            "shift": shift,
            **dict(zip(names, (values[0] + offset, *values[1:]), strict=True)),
        }
        for (policy, shift), values in numbers.items()
        for seed, offset in enumerate(OFFSETS)
    ]


def subgroups(world: str) -> list[dict[str, Any]]:
    levels = {
        "sex": {"female": (180, 0.40), "male": (220, 0.46)},
        "age": {"under 50 years": (8, 0.30), "50 years or more": (392, 0.45)},
    }
    return [
        {
            "policy": policy,
            "mode": mode,
            "world": world,
            "seed": seed,
            "group": group,
            "level": level,
            "n": n,
            "r_p": in_range - 0.5 + offset,
            "in_range": in_range + offset + 0.05 * (policy == "clinicians"),
            "above": 0.1 + offset,
        }
        for policy, mode in (("omg_rl", "stochastic"), ("clinicians", "-"))
        for group, members in levels.items()
        for level, (n, in_range) in members.items()
        for seed, offset in enumerate(OFFSETS)
    ]

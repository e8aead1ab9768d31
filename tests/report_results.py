"""A small results document with known numbers, for the tests of the report."""

import copy
import functools
from typing import Any

from experiments.report import comparison, page, results

DOSES = ["0", "500", "900", "1200", "1500", "2000"]
APTT = [30.0, 50.0, 70.0, 90.0, 110.0, 130.0]

# Offsets of three seeds: their mean is 0, their standard deviation exactly 0.01.
OFFSETS = (-0.01, 0.0, 0.01)

# policy -> (mode, r_p per hour, time in range, time above 100 s)
POLICIES = {
    "omg_rl": ("stochastic", -0.10, 0.44, 0.12),
    "combo": ("stochastic", 0.05, 0.53, 0.18),
    "clinicians": ("-", 0.04, 0.52, 0.11),
    "behavioural_cloning": ("stochastic", -0.28, 0.36, 0.22),
    "random": ("-", -0.54, 0.23, 0.33),
    "zero": ("-", -0.98, 0.01, 0.0),
    "constant_2": ("-", -0.48, 0.26, 0.31),
}


def _policy_rows(world: str) -> list[dict[str, Any]]:
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
    return rows


def _learning() -> list[dict[str, Any]]:
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


def _model_sections() -> dict[str, Any]:
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


def _policy_sections() -> dict[str, Any]:
    ramp = [[(1 + (b + d) % 6) / 21 for d in range(6)] for b in range(5)]
    hours = [float(hour) for hour in range(24)]
    return {
        "learning": _learning(),
        "policies": _policy_rows("simulator") + _policy_rows("model"),
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


def _data_sections() -> dict[str, Any]:
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


def _record_sections() -> dict[str, Any]:
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


def _ood_safety() -> list[dict[str, Any]]:
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


def _subgroups(world: str) -> list[dict[str, Any]]:
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


def _study_sections() -> dict[str, Any]:
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


def build(kind: str = "virtual") -> dict[str, Any]:
    """Returns a complete document of the given kind, every section present."""
    document = {
        "title": "OMG-RL on virtual patients",
        "kind": kind,
        **_data_sections(),
        **_model_sections(),
        **_policy_sections(),
        **_record_sections(),
        **_study_sections(),
        "ood_safety": _ood_safety(),
        "subgroups": _subgroups("simulator" if kind != "records" else "model"),
        "config": {"learning_rate": 5e-4, "reward_mode": "paper", "member_sizes": [4]},
        "versions": {"jax": "0.10.2", "numpy": "2.4.0"},
        "commands": ["python -m experiments.omg_rl --dataset=runs/demo --seeds=3"],
        "timing": {"dynamics_seconds": 12.5, "total_seconds": 100},
    }
    if kind == "records":
        for row in document["ood_safety"]:
            row["world"] = "model"
        rows = [row for row in _policy_rows("model")]
        rows += [
            {**row, "world": "records"}
            for row in _policy_rows("model")
            if row["policy"] == "clinicians"
        ]
        document["policies"] = rows
        document["intervention"]["curves"]["truth"] = None
        for row in document["off_policy"]:
            row["truth"] = None
    return copy.deepcopy(document)


def checked(kind: str = "virtual", **changes: Any) -> dict[str, Any]:
    """Returns the document with some sections changed, as a report would read it."""
    return results.check({**build(kind), **changes})


def members() -> list[comparison.Member]:
    """Returns three runs: two that differ in one setting, and one on other data."""
    changed, elsewhere = build(), build("records")
    changed["title"] = "OMG-RL, published state"
    few = ("title", "kind", "dataset", "policies", "reward_alignment", "config")
    changed = {name: changed[name] for name in (*few, "learning")}
    elsewhere = {name: elsewhere[name] for name in few}
    changed["config"]["reward_mode"] = "step"
    for row in changed["policies"]:
        if row["policy"] in ("omg_rl", "behavioural_cloning"):
            row["r_p"] += 0.2
    elsewhere["dataset"]["hash"] = "7a" * 32
    names = ("first", "second", "elsewhere")
    runs = map(results.check, (build(), changed, elsewhere))
    return list(map(comparison.Member, names, runs))


@functools.cache
def html(kind: str = "virtual") -> str:
    """Returns the page of the complete document, drawn once."""
    return page.render(results.check(build(kind)))

"""Gathers what a run found into results.json, metrics.csv and summary.json."""

import csv
import json
import math
import pathlib
from typing import Any

import numpy as np
import pandas as pd

from experiments import curves, judging, losses
from experiments.config import RunConfig, flat
from experiments.fitting import Models
from experiments.report import estimates
from experiments.task import Task
from experiments.training import Trained
from omgrl_jax.data import dataset as dataset_lib
from omgrl_jax.runtime import metrics, storage

SHOWN = (
    "return/r_psi",
    "return/r_p",
    "reward/ess",
    "reward/largest_weight",
    "reward/expert",
    "reward/sampled",
    "critic/bellman",
    "critic/conservative_gap",
    "actor/entropy",
)


def figures(
    config: RunConfig, task: Task, models: Models, trained: dict[str, Trained]
) -> dict[str, Any]:
    """Member losses, dose heatmap and reward curve of the first seed."""
    out = {
        "member_losses": losses.member_losses(task, models),
        "dose_heatmap": curves.dose_heatmap(task, judging.learned_policies(trained, 0)),
    }
    learned = judging.learned_rewards(trained, 0)
    if "r_psi" in learned:
        out["reward_curve"] = curves.reward_curve(task, models, *learned["r_psi"])
    return out


def dataset_sections(task: Task, directory: pathlib.Path) -> dict[str, Any]:
    """What the report says about the data: counts, flow, table 1, missingness."""
    arrays, schema = task.arrays, task.schema
    stays: dict[str, Any] = {
        name: int((arrays.split == i).sum())
        for i, name in enumerate(dataset_lib.SPLITS)
    }
    target = None if task.space.target is None else list(task.space.target[1:])
    patients: Any = int(np.unique(arrays.patients).size)
    if schema.kind != "virtual":
        # results.json is made to be shared: few people are not counted in it either.
        patients = estimates.HIDDEN if estimates.small(patients) else patients
        texts = estimates.hide_counts(stays, True)
        plain = {f"{n:,}": n for n in stays.values()}
        stays = {name: plain.get(text, text) for name, text in texts.items()}
    return {
        "dataset": {
            "name": schema.name,
            "hash": task.hash[:12],
            "stays": stays,
            "patients": patients,
            "steps": int(arrays.lengths.sum()),
            "state": task.state,
            "state_features": list(task.space.names),
            "actions": {
                "labels": judging.labels(task),
                "amounts": [float(x) for x in np.asarray(task.scales.amounts)],
                "unit": schema.actions.unit,
            },
            **({} if target is None else {"target": target}),
        },
        "cohort_flow": _csv_rows(directory / "cohort_flow.csv"),
        "missingness": _csv_rows(directory / "missingness.csv"),
        "table1": table_one(task),
    }


def table_one(task: Task) -> list[dict[str, str]]:
    """Median and quartiles of every stored feature at the start of the stays."""
    arrays = task.arrays
    starts = dataset_lib.row_starts(arrays.lengths)
    first = arrays.observations[starts]
    rows = []
    for column, feature in enumerate(task.schema.features):
        row = {"variable": feature.name, "unit": feature.unit}
        for index, split in enumerate(dataset_lib.SPLITS):
            values = first[arrays.split == index, column]
            row[split] = _quartiles(values)
        rows.append(row)
    return rows


def learning_rows(
    config: RunConfig, trained: dict[str, Trained], every: int = 5
) -> list[dict[str, Any]]:
    """Training metrics, each `every` epochs (the paper evaluates every five)."""
    rows = []
    for name, one in trained.items():
        for metric, values in one.history.history.metrics.items():
            if metric not in SHOWN:
                continue
            for index, seed in enumerate(config.seed_list):
                for step in range(every - 1, values.shape[1], every):
                    rows.append(
                        {
                            "algorithm": name,
                            "seed": seed,
                            "step": step + 1,
                            "metric": metric,
                            "value": float(values[index, step]),
                        }
                    )
    return rows


def write(
    out: pathlib.Path,
    config: RunConfig,
    trained: dict[str, Trained],
    results: dict[str, Any],
) -> None:
    """Writes results.json, metrics.csv and summary.json atomically."""
    frames = [
        metrics.tidy(name, one.history.history.metrics, config.seed_list)
        for name, one in trained.items()
    ]
    metrics.write_csv(out / "metrics.csv", pd.concat(frames, ignore_index=True))
    clean = finite(results)
    storage.atomic_write(out / "results.json", json.dumps(clean, allow_nan=False))
    metrics.write_summary(
        out / "summary.json",
        {
            "config": flat(config),
            "dataset": clean["dataset"],
            "policies": summary_rows(results["policies"]),
            "intervention": (clean.get("intervention") or {}).get("rows", []),
            "reward_alignment": clean.get("reward_alignment") or [],
            "timing": clean["timing"],
            "versions": clean["versions"],
        },
    )


def summary_rows(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Mean and standard deviation over seeds of every measure of every policy."""
    frame = pd.DataFrame(rows)
    if frame.empty:
        return []
    grouped = frame.drop(columns="seed").groupby(
        ["world", "policy", "mode"], sort=False
    )
    mean, spread = grouped.mean(), grouped.std(ddof=1)
    out = []
    for key in mean.index:
        row = dict(zip(("world", "policy", "mode"), key, strict=True))
        for name in mean.columns:
            row[name] = float(mean.loc[key, name])
            row[f"{name}_sd"] = float(spread.loc[key, name])
        out.append(row)
    return finite(out)


def table(rows: list[dict[str, Any]], world: str) -> str:
    """The short table that ends a run."""
    lines = [f"{'policy':<22}{'mode':<12}{'r_p/h':>16}{'in range':>10}{'above':>8}"]
    for row in summary_rows([r for r in rows if r["world"] == world]):
        if row["policy"].startswith("constant") or row.get("r_p") is None:
            continue
        spread = row.get("r_p_sd")
        r_p = f"{row['r_p']:+.3f}" + ("" if spread is None else f" ± {spread:.3f}")
        others = [row.get("in_range"), row.get("above")]
        shown = ["-" if x is None else f"{x:.2f}" for x in others]
        lines.append(
            f"{row['policy']:<22}{row['mode']:<12}{r_p:>16}{shown[0]:>10}{shown[1]:>8}"
        )
    where = "new virtual patients" if world == "simulator" else "the model: no evidence"
    return "\n".join(["", f"Policies in {where}", *lines])


def gate_text(section: dict[str, Any]) -> str:
    """One line on the intervention test."""
    rows = section["rows"]
    means = {
        name: float(np.mean([row[name] for row in rows]))
        for name in ("slope_model", "slope_truth", "ratio", "rank", "monotone")
    }
    verdict = "passed" if section["passed"] else "NOT PASSED"
    return (
        f"Intervention test {verdict}: slope of log aPTT per 1000 U/h "
        f"{means['slope_model']:.2f} against {means['slope_truth']:.2f} in truth "
        f"(ratio {means['ratio']:.2f}), rank {means['rank']:.2f}, monotone "
        f"{means['monotone']:.2f}"
    )


def _csv_rows(path: pathlib.Path) -> list[dict[str, Any]]:
    if not path.is_file():
        return []
    with path.open(newline="") as file:
        return [{k: _number(v) for k, v in row.items()} for row in csv.DictReader(file)]


def _number(text: str) -> Any:
    try:
        return float(text) if "." in text else int(text)
    except ValueError:
        return text


def _quartiles(values: np.ndarray) -> str:
    if values.size <= 10:
        return "too few stays"
    low, middle, high = np.percentile(values, [25, 50, 75])
    return f"{middle:.3g} [{low:.3g}, {high:.3g}]"


def finite(value: Any) -> Any:
    """The same structure with numbers that JSON cannot hold replaced by None."""
    if isinstance(value, dict):
        return {k: finite(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [finite(v) for v in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value

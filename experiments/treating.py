"""Policies treat new virtual patients, the same ones for all: the truth of a run."""

import dataclasses
import functools
import itertools
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from experiments import judging, ward
from experiments.config import RunConfig
from experiments.fitting import Models
from experiments.task import Task
from experiments.training import Trained
from experiments.truth import TREATMENT
from omgrl_jax.envs import heparin, stays
from omgrl_jax.evaluation import simulation
from omgrl_jax.types import Array

SHIFT = "older, heavier, renal impairment"
EXAMPLES = 4  # patients whose courses are kept
# Lower ends of the bands into which patients fall, by feature at the start of the stay.
BANDS = {
    "age": ("years", (50.0, 65.0, 80.0)),
    "weight": ("kg", (70.0, 90.0)),
    "creatinine": ("mg/dL", (1.2, 2.0)),
}


class Treated(NamedTuple):
    """What became of the patients of one policy and seed.

    Attributes:
      policy: its name.
      mode: "stochastic", "greedy", or "-" where there is one way only.
      seed: the seed.
      features: [N, F] observed features at the start of the stay.
      outcomes: `ops.clinical.treatment_outcomes` by name, [N] each, and `extreme`
        (`simulation.extreme`).
      courses: true aPTT (s) and dose (U/h) of the first few patients by hour, [C, H].
    """

    policy: str
    mode: str
    seed: int
    features: np.ndarray
    outcomes: dict[str, np.ndarray]
    courses: dict[str, np.ndarray]


def treat_all(
    config: RunConfig,
    task: Task,
    models: Models,
    trained: dict[str, Trained],
    baselines: bool = True,
) -> list[Treated]:
    """Every policy on new virtual patients, the same ones for all, by seed.

    Args:
      config: the run's configuration.
      task: the task.
      models: fitted models.
      trained: trained algorithms.
      baselines: also treat by the simple policies, clinicians and the oracle.

    Returns:
      One element for each seed, policy and mode.
    """
    place = ward.of(task, config.hours)
    edges = jnp.asarray(task.schema.actions.edges)
    done = []
    for index, seed in enumerate(config.seed_list):
        patients = ward.admit(config, task, seed, TREATMENT, config.shifted_patients)
        features = np.asarray(patients.observation.features)
        named = judging.learned_policies(trained, index)
        if baselines:
            named |= judging.baseline_policies(task, models, index)
        given = {
            (name, mode): ward.treat(
                place,
                task.space,
                policy,
                task.scales,
                params,
                mode == "greedy",
                patients,
            )
            for name, (policy, params) in named.items()
            for mode in judging.ways(name)
        }
        if baselines:
            given |= {
                (name, "-"): ward.treat_by_reference(
                    place, name, task.scales, edges, patients
                )
                for name in ward.REFERENCES
            }
        for (name, mode), treated in given.items():
            judged = jax.device_get(_judge(treated, edges, place.target))
            done.append(Treated(name, mode, seed, features, *judged))
    return done


@functools.partial(jax.jit, static_argnums=2)
def _judge(
    treated: stays.Stays, edges: Array, target: tuple[float, float]
) -> tuple[dict[str, Array], dict[str, Array]]:
    """`outcomes` and `courses` of `Treated`."""
    outcomes = simulation.outcomes(treated, *target)
    outcomes["extreme"] = simulation.extreme(treated, edges, target[1])
    courses = {"aptt": treated.truth.aptt, "dose": treated.orders.total}
    return outcomes, jax.tree.map(lambda x: x[:EXAMPLES], courses)


def policy_rows(treated: Sequence[Treated]) -> list[dict[str, Any]]:
    """Means over patients, a row for each seed, policy and mode."""
    return [
        {
            "policy": one.policy,
            "mode": one.mode,
            "world": "simulator",
            "seed": one.seed,
            **_means(one.outcomes, slice(None)),
        }
        for one in treated
    ]


def safety_rows(
    config: RunConfig,
    task: Task,
    models: Models,
    trained: dict[str, Trained],
    usual: Sequence[Treated],
    baselines: bool = True,
) -> list[dict[str, Any]]:
    """Patients like those of the records, and others that no record shows.

    Args:
      config: the run's configuration.
      task: the task.
      models: fitted models.
      trained: trained algorithms.
      usual: `treat_all` of this setting.
      baselines: as given there.

    Returns:
      The report's rows `ood_safety`: outcomes by population, policy and seed; none
      where the whole run is judged on the other patients already.
    """
    if config.shifted_patients:
        return []
    other = dataclasses.replace(config, shifted_patients=True)
    shifted = treat_all(other, task, models, trained, baselines)
    return [
        {**row, "shift": shift}
        for shift, every in (("usual", usual), (SHIFT, shifted))
        for row in policy_rows(every)
        if row["mode"] != "greedy" and not judging.simple(row["policy"])
    ]


def subgroup_rows(treated: Sequence[Treated]) -> list[dict[str, Any]]:
    """Means within groups of patients, for policies as they were trained.

    Args:
      treated: `treat_all`.

    Returns:
      A row for each seed, policy, group and level, with `n` patients; levels without a
      patient are left out.
    """
    rows = []
    for one in treated:
        if one.mode == "greedy" or one.policy.startswith("constant_"):
            continue
        for group, levels in groups(one.features).items():
            for level, members in levels.items():
                if members.any():
                    row = {"policy": one.policy, "mode": one.mode, "seed": one.seed}
                    row |= {"world": "simulator", "group": group, "level": level}
                    n = int(members.sum())
                    rows.append({**row, "n": n, **_means(one.outcomes, members)})
    return rows


def groups(features: np.ndarray) -> dict[str, dict[str, np.ndarray]]:
    """Who belongs where: group -> level -> [N] bool.

    Args:
      features: [N, F] observed features of virtual patients, raw units.
    """
    female = features[:, heparin.FEATURE_NAMES.index("gender")] > 0.5
    found = {"sex": {"female": female, "male": ~female}}
    for name, (unit, lower) in BANDS.items():
        values = features[:, heparin.FEATURE_NAMES.index(name)]
        band = np.searchsorted(lower, values, side="right")
        texts = [
            f"under {lower[0]:g} {unit}",
            *(f"{a:g} to {b:g} {unit}" for a, b in itertools.pairwise(lower)),
            f"{lower[-1]:g} {unit} or more",
        ]
        found[name] = {text: band == i for i, text in enumerate(texts)}
    return found


def _means(outcomes: dict[str, np.ndarray], members: Any) -> dict[str, float]:
    return {name: float(np.mean(x[members])) for name, x in outcomes.items()}


def examples(treated: Sequence[Treated], algorithm: str) -> list[dict[str, Any]]:
    """The first virtual patients under an algorithm and under clinicians, first seed.

    Args:
      treated: `treat_all`, with its baselines.
      algorithm: the algorithm, its policy drawn from.

    Returns:
      An element for each patient: `hours`, and `aptt` and `dose` of both by hour.
    """
    first = treated[0].seed
    by = {(t.policy, t.mode): t.courses for t in treated if t.seed == first}
    both = {"agent": by[algorithm, "stochastic"], "clinicians": by["clinicians", "-"]}
    count, length = both["agent"]["aptt"].shape
    hours = [float(h) for h in range(1, length + 1)]
    return [
        {
            "hours": hours,
            **{
                who: {name: x[i].astype(float).tolist() for name, x in courses.items()}
                for who, courses in both.items()
            },
        }
        for i in range(count)
    ]

"""Policies treat new virtual patients, the same ones for all: the truth of a run."""

import dataclasses
import functools
import itertools
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from experiments import judging
from experiments.config import RunConfig
from experiments.fitting import Models
from experiments.task import Task
from experiments.training import Trained
from experiments.truth import evaluation_key, population, target
from omgrl_jax.envs import heparin, stays
from omgrl_jax.evaluation import simulation
from omgrl_jax.types import Key

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
      outcomes: `ops.clinical.treatment_outcomes` by name, [N] each, and `extreme`
        (`simulation.extreme`).
      features: [N, F] observed features at the start of the stay.
      courses: true aPTT (s) and dose (U/h) of the first few patients by hour, [C, H].
    """

    policy: str
    mode: str
    seed: int
    outcomes: dict[str, np.ndarray]
    features: np.ndarray
    courses: dict[str, np.ndarray]


def treat_all(
    config: RunConfig,
    task: Task,
    models: Models,
    trained: dict[str, Trained],
    baselines: bool = True,
    brief: bool = False,
) -> list[Treated]:
    """Every policy on new virtual patients, the same ones for all, by seed.

    Args:
      config: the run's configuration.
      task: the task.
      models: fitted models.
      trained: trained algorithms.
      baselines: also treat by the simple policies, clinicians and the oracle.
      brief: each policy in one way only, drawn from where it is learned, and no simple
        ones.

    Returns:
      One element for each seed, policy and mode.
    """
    distribution, practice = population(config, task)
    low, high = target(task)
    edges = jnp.asarray(task.schema.actions.edges)
    doctors = stays.clinician_policy(practice)
    done = []

    def run(policy: stays.Policy, key: Key) -> tuple:
        outcomes, treated = simulation.outcomes(
            distribution, policy, key, config.patients, config.hours, low, high
        )
        outcomes["extreme"] = simulation.extreme(treated, edges, high)
        courses = {"aptt": treated.truth.aptt, "dose": treated.orders.total}
        shown = jax.tree.map(lambda x: x[:EXAMPLES], courses)
        return outcomes, treated.observations.features[:, 0], shown

    @functools.cache
    def compiled(log_probs: Any) -> Any:
        """One compilation for each kind of policy, not for each policy and seed."""

        def treat(params: Any, key: Key, greedy: bool) -> tuple:
            policy = simulation.learned_policy(
                task.space, task.scales, log_probs, params, greedy
            )
            return run(policy, key)

        return jax.jit(treat)

    references = {
        "clinicians": doctors,
        "clinicians_binned": simulation.binned(doctors, edges, task.scales.amounts),
        "oracle": simulation.oracle(distribution, task.scales.amounts, low, high),
    }
    known = {k: jax.jit(functools.partial(run, p)) for k, p in references.items()}
    for index, seed in enumerate(config.seed_list):
        key = evaluation_key(seed, 3)
        named = judging.learned_policies(trained, index)
        if baselines:
            named |= judging.baseline_policies(task, models, index)
        for name, (policy, params) in named.items():
            if brief and judging.simple(name):
                continue
            for mode in judging.ways(name)[: 1 if brief else None]:
                found = compiled(policy.log_probs)(params, key, mode == "greedy")
                done.append(Treated(name, mode, seed, *jax.device_get(found)))
        for name, treat in known.items() if baselines else ():
            if brief and name not in ("clinicians", "oracle"):
                continue
            done.append(Treated(name, "-", seed, *jax.device_get(treat(key))))
    return done


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
) -> list[dict[str, Any]]:
    """Patients like those of the records, and others that no record shows.

    Args:
      config: the run's configuration.
      task: the task.
      models: fitted models.
      trained: trained algorithms.
      usual: `treat_all` of this setting.

    Returns:
      The report's rows `ood_safety`: outcomes by population, policy and seed; none
      where the whole run is judged on the other patients already.
    """
    if config.shifted_patients:
        return []
    other = dataclasses.replace(config, shifted_patients=True)
    shifted = treat_all(other, task, models, trained, brief=True)
    rows = []
    wanted = {(one.policy, one.mode) for one in shifted}
    for shift, every in (("usual", usual), (SHIFT, shifted)):
        for row in policy_rows(every):
            if (row["policy"], row["mode"]) in wanted:
                rows.append({**row, "shift": shift})
    return rows


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

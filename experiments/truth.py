"""Judges models and policies where the truth is known: in the virtual patients."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from experiments import judging
from experiments.config import RunConfig
from experiments.fitting import Models
from experiments.task import Task
from experiments.training import Trained
from omgrl_jax.envs import clinicians, heparin, stays
from omgrl_jax.envs import population as population_lib
from omgrl_jax.evaluation import alignment, dynamics, intervention, simulation
from omgrl_jax.types import Key

GATE = {"ratio": 0.6, "rank": 0.9}
CASES = 300


def known(task: Task) -> bool:
    """Whether the virtual patients of this package made the dataset."""
    return {"population", "practice"} <= set(task.schema.simulator or {})


def target(task: Task) -> tuple[float, float]:
    """The therapeutic range, also where the dataset hides the reward from learners."""
    return task.schema.channels[0].target or (60.0, 100.0)


def population(
    task: Task, shifted: bool
) -> tuple[heparin.PatientDistribution, clinicians.Practice]:
    """The simulator that made the dataset, from its schema.

    Args:
      task: the task.
      shifted: whether patients are others: see `population.shifted`.

    Returns:
      The patients and how clinicians dose them.
    """
    made_by = task.schema.simulator or {}
    distribution = population_lib.from_dict(made_by["population"])
    if shifted:
        distribution = population_lib.shifted(distribution)
    return distribution, clinicians.from_dict(made_by["practice"])


# What new patients are for: those of one question are not those of another.
INTERVENTION, COURSES, TREATMENT, ESTIMATION = 1, 2, 3, 5


def evaluation_key(seed: int, purpose: int) -> Key:
    """Keys of new patients: the same patients for every policy of a seed."""
    return jax.random.fold_in(jax.random.fold_in(jax.random.key(seed), 991), purpose)


def intervention_cases(config: RunConfig, task: Task) -> list[intervention.Cases]:
    """Moments of new patients at which doses are compared, for each seed."""
    distribution, practice = population(task, config.shifted_patients)
    return [
        intervention.cases(
            distribution,
            practice,
            task.space,
            task.scales,
            evaluation_key(seed, INTERVENTION),
            CASES,
        )
        for seed in config.seed_list
    ]


def intervention_section(
    config: RunConfig, task: Task, models: Models, cases: list[intervention.Cases]
) -> dict[str, Any]:
    """Holds each dose for six hours in model and truth: the gate before any policy.

    Args:
      config: the run's configuration.
      task: the task.
      models: fitted models.
      cases: `intervention_cases`.

    Returns:
      The report's section.
    """
    distribution, _ = population(task, config.shifted_patients)
    rows, tests = [], []
    for seed, fitted, at in zip(config.seed_list, models.fitted, cases, strict=True):
        test = intervention.run(
            distribution, models.world.dynamics, fitted.world, task.scales, at
        )
        whole, test = test, intervention.as_reported(test, distribution.aptt_limit)
        names = ("slope_model", "slope_truth", "ratio", "rank", "rank_all", "monotone")
        row = {name: getattr(test, name) for name in names}
        row |= {f"{name}_unlimited": getattr(whole, name) for name in names[:3]}
        rows.append({"seed": seed, **row})
        tests.append(test)
    passed = all(
        np.mean([row[name] for row in rows]) >= least for name, least in GATE.items()
    )
    curves = {
        "dose": tests[0].doses.tolist(),
        "model": np.median(np.concatenate([t.model for t in tests]), axis=0).tolist(),
        "truth": np.median(np.concatenate([t.truth for t in tests]), axis=0).tolist(),
    }
    return {"rows": rows, "thresholds": GATE, "passed": passed, "curves": curves}


def dynamics_rows(config: RunConfig, task: Task, models: Models) -> list[dict]:
    """Open-loop error of the aPTT against the truth on new stays, by seed."""
    distribution, practice = population(task, config.shifted_patients)
    horizon = config.rollout.horizon
    edges = jnp.asarray(task.schema.actions.edges)
    rows = []
    for seed, fitted in zip(config.seed_list, models.fitted, strict=True):
        given = _true_courses(
            task, distribution, practice, edges, evaluation_key(seed, COURSES), horizon
        )
        found = dynamics.horizon_errors(
            task.space,
            models.world.dynamics,
            fitted.world,
            given,
            ceiling=distribution.aptt_limit,
        )
        rows += [
            {"seed": seed, **row, "quantity": "true aPTT", "unit": "s"}
            for row in found
            if row["quantity"] != "state"
        ]
    return rows


def _true_courses(
    task: Task,
    distribution: heparin.PatientDistribution,
    practice: clinicians.Practice,
    edges: jax.Array,
    key: Key,
    horizon: int,
    patients: int = 300,
    begin: int = 12,
) -> dynamics.Courses:
    """New clinicians' stays from hour `begin`, with the true aPTT of every hour."""
    treated = stays.simulate(distribution, practice, key, patients, begin + horizon)

    states_of = functools.partial(simulation.recorded_states, task.space, task.scales)
    amounts = treated.orders.total
    states = jax.jit(jax.vmap(states_of))(treated.observations, amounts)
    states = states[:, begin:]
    scale = task.scales.channel
    given = amounts[:, begin:]
    return dynamics.Courses(
        states=states,
        actions=simulation.dose_bins(edges, given),
        amounts=given,
        value=scale.apply(treated.truth.aptt[:, begin:, None])[..., 0],
        known=jnp.ones(given.shape, bool),
        last=scale.apply(treated.observations.channel_value[:, begin])[:, 0],
    )


def alignment_rows(
    config: RunConfig,
    task: Task,
    models: Models,
    trained: dict[str, Trained],
    cases: list[intervention.Cases],
) -> list[dict[str, Any]]:
    """r_psi, and the behaviour model's log-probability, against the true reward.

    Args:
      config: the run's configuration.
      task: the task.
      models: fitted models.
      trained: trained algorithms.
      cases: `intervention_cases`.

    Returns:
      The report's rows: for each seed and reward the rank correlations of `Alignment`,
      and `regret`, the true reward (r_p an hour, over the hours for which a dose is
      held) lost by giving the dose that the reward puts first; none where no reward was
      learned.
    """
    if not judging.learned_rewards(trained, 0):
        return []
    distribution, _ = population(task, config.shifted_patients)
    low, high = target(task)
    edges = jnp.asarray(task.schema.actions.edges)
    rows = []
    for index, seed in enumerate(config.seed_list):
        at = cases[index]
        truth = alignment.true_reward(distribution, at, task.scales.amounts, low, high)
        tables = {}
        for label, (reward, params) in judging.learned_rewards(trained, index).items():
            tables[label], _ = alignment.reward_table(
                reward,
                params,
                models.world.dynamics,
                models.fitted[index].world,
                at.states,
                task.space.num_actions,
            )
        tables["log_mu"] = np.asarray(
            judging.log_probs(
                models.behaviour, models.fitted[index].behaviour, at.states
            )
        )
        chosen = np.asarray(simulation.dose_bins(edges, at.doses))
        for name, table in tables.items():
            found = alignment.correlate(table, truth, chosen)._asdict()
            found["regret"] = alignment.regret(table, truth)
            rows.append({"seed": seed, "reward": name, **found})
    return rows

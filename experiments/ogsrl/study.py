"""The study: every method trained over all seeds, judged, and kept when it is done."""

import dataclasses
import pathlib
from typing import Any

import jax
import numpy as np

from experiments import study_script, training
from experiments.config import RunConfig, claim
from experiments.ogsrl import scores, true_worlds, worlds
from experiments.ogsrl.config import (
    DISCRETE,
    OWN,
    RECORDED,
    REFERENCES,
    StudyConfig,
    variant,
    with_coverage,
    with_limit,
)
from experiments.study_script import Rows
from experiments.task import Task
from omgrl_jax.data import dataset as dataset_lib
from omgrl_jax.data import records as records_lib
from omgrl_jax.data import space as space_lib
from omgrl_jax.learners import safety
from omgrl_jax.learners.guardian import guardian as guardian_lib
from omgrl_jax.ops import coverage
from omgrl_jax.types import Params, Policy, Transition

Row = dict[str, Any]
SECTIONS = ("policies", "constraints", "guardian")
PURPOSE = 87  # folded into a seed: what is drawn when policies are judged
_DOUBT = 0.05  # probability with which a coverage that is guaranteed may not hold


def units(study: StudyConfig, config: RunConfig) -> dict[str, RunConfig | None]:
    """What is judged, by name; without a configuration, the clinicians."""
    found: dict[str, RunConfig | None] = {REFERENCES: None}
    found |= {name: variant(config, name) for name in study.methods}
    fewer = dataclasses.replace(config, seeds=min(study.swept_seeds, config.seeds))
    if OWN not in study.methods:
        return found
    if config.limits.costs:
        found |= {
            f"{OWN}_limit_{limit:g}": with_limit(fewer, limit)
            for limit in study.limits_swept
        }
    return found | {
        f"{OWN}_coverage_{share:g}": with_coverage(fewer, share)
        for share in study.coverages
    }


def run(study: StudyConfig, config: RunConfig, task: Task, out: pathlib.Path) -> Rows:
    """Trains and judges what is not there yet.

    Args:
      study: what is compared.
      config: settings of the methods.
      task: the task.
      out: where to write.

    Returns:
      Section -> rows of all policies and seeds.

    Raises:
      ValueError: if the dataset cannot be judged so, or a folder holds another setting.
    """
    require(study, config, task)
    judge = Judge(study, config, task, out)
    wanted = units(study, config)
    return study_script.kept(
        wanted, lambda name: judge(name, wanted[name]), SECTIONS, out
    )


def require(study: StudyConfig, config: RunConfig, task: Task) -> None:
    """Stops where the study cannot be made.

    Args:
      study: what is compared.
      config: settings of the methods.
      task: the task.

    Raises:
      ValueError: naming the flag, or what the dataset lacks.
    """
    asked = [name for name in study.methods if name in DISCRETE]
    if asked and not task.space.num_actions:
        rest = ",".join(name for name in study.methods if name not in DISCRETE)
        raise ValueError(
            f"--methods: {', '.join(asked)} need discrete actions, and this dataset "
            f"has continuous ones; use --methods={rest}"
        )
    asked = [name for name in study.methods if name in RECORDED]
    if asked and config.guardian.kind == "disagreement":
        raise ValueError(
            f"--guardian_kind=disagreement asks a world model, and {', '.join(asked)} "
            f"have none; use another kind, or leave them out of --methods"
        )
    known = scores.costs_of(task)
    for name in config.limits.costs:
        if name not in known:
            raise ValueError(
                f"--limits_costs={name}: this dataset tells nothing of it; it tells of "
                f"{', '.join(known) or 'no safety cost'}"
            )


class Judge:
    """Trains and judges; what is compiled for one seed serves the others."""

    def __init__(
        self, study: StudyConfig, config: RunConfig, task: Task, out: pathlib.Path
    ):
        """Fits the worlds and the guardian that judges."""
        self._study, self._config, self._task, self._out = study, config, task, out
        self._models = worlds.learning(study.learn_in, config, task, out / "worlds")
        self._judging = worlds.judging(study.judge_in, config, task, out / "worlds")
        self._truth = true_worlds.of(config, task)
        self._costs = scores.costs_of(task)
        self._held = scores.decisions(task, self._costs)
        self._mortality = scores.mortality(task)
        guard = guardian_lib.make(
            config.guardian,
            task.space,
            space_lib.action_numbers(task.space),
            self._models.world.dynamics,
            config.rollout.horizon,
        )
        first = self._models.fitted[0].world
        fitted = guard.fit(first, task.train, task.validation)
        self._guard = scores.Guard(guard, fitted, first)

    def __call__(self, name: str, config: RunConfig | None) -> Rows:
        """The rows of one method, or of what the others are measured by."""
        found: Rows = {section: [] for section in SECTIONS}
        if config is None:
            return found | self._references()
        out = self._out / "methods" / name
        claim(out, config, self._task.hash)
        own = self._models._replace(fitted=self._models.fitted[: config.seeds])
        (algorithm,) = config.algorithms
        trained = training.train_all(config, self._task, own, out)[algorithm]
        states = jax.device_get(trained.states)
        for index, seed in enumerate(config.seed_list):
            state = jax.tree.map(lambda x, i=index: x[i], states)
            params = trained.algorithm.policy_params(state)
            row = {"policy": name, "seed": seed}
            for where, seen in self._seen(trained.algorithm.policy, params, index):
                found["policies"].append({**row, "where": where, **seen})
            history = trained.history.history.metrics
            for epoch in range(config.epochs):
                values = {
                    key.removeprefix("safety/"): float(x[index, epoch])
                    for key, x in history.items()
                    if key.startswith(("safety/", "return/r_p", "actor/feasible"))
                }
                if any(key.startswith("dual_") for key in values):
                    found["constraints"].append({**row, "epoch": epoch, **values})
        return found

    def _seen(self, policy: Policy, params: Params, index: int) -> list:
        """(where, measures) of one policy: on held-out records, and in each world."""
        task, config = self._task, self._config
        seed, patients = config.seed_list[index], config.patients
        dose_key, own_key, other_key = jax.random.split(
            jax.random.fold_in(jax.random.key(seed), PURPOSE), 3
        )
        chosen = scores.drawn(policy, params, dose_key, self._held.states)
        doses = scores.shares(task, chosen)
        tolerance = self._study.tolerance
        given = (task, self._held, doses, self._costs, tolerance)
        found = [("records", scores.of_doses(*given))]
        places = {
            "learned": (
                *(self._models.world.dynamics, self._models.fitted[index].world),
                *(own_key, task.train),
            ),
            "judging": (*self._judging, other_key, task.test),
        }
        for where, (dynamics, world, key, records) in places.items():
            start_key, run_key = jax.random.split(key)
            rows = records_lib.sample_admissions(records, start_key, patients)
            starts = records.states[rows]
            steps = scores.rolled_out(
                *(dynamics, policy, world, params, run_key, starts),
                config.rollout.horizon,
            )
            found.append((where, self._of(steps)))
        if self._truth is not None:
            came = self._truth.treated(policy, params, seed)
            found.append(("truth", self._of_truth(came)))
        return found

    def _of(self, steps: Transition) -> Row:
        discount = self._config.off_policy.discount
        row = scores.of_rollouts(self._task, self._guard, steps, self._costs, discount)
        if self._mortality is not None:
            row["mortality"] = self._mortality.of(steps)
        return row

    def _of_truth(self, came: true_worlds.Came) -> Row:
        row = self._of(came.steps)
        if came.died is not None:
            # What really came of them is known: nothing is to be estimated.
            row["mortality"] = float(np.mean(came.died))
        return row

    def _references(self) -> Rows:
        task, config = self._task, self._config
        given = (task, self._held, self._held.given, self._costs, self._study.tolerance)
        clinicians = scores.of_doses(*given)
        # They agree with themselves.
        clinicians = {k: x for k, x in clinicians.items() if not k.startswith("mcr")}
        row: Row = {"policy": "clinicians"}
        rows = [{**row, "where": "records", **clinicians}, self._recorded()]
        if self._truth is not None:
            for seed in config.seed_list:
                own = self._of_truth(self._truth.by_clinicians(seed))
                rows.append({**row, "seed": seed, "where": "truth", **own})
        return {"policies": rows, "guardian": [self._coverage()]}

    def _recorded(self) -> Row:
        """Shares of unsafe steps of test records."""
        rows = self._task.test.transitions
        steps = records_lib.transition_at(self._task.test, rows)
        unsafe = safety.make(self._task.space, self._costs)(self._task.scales, steps)
        shares = np.asarray(unsafe).mean(axis=1)
        row: Row = {"policy": "clinicians", "where": "judging"}
        return row | {
            f"unsafe_{name}": float(share)
            for name, share in zip(self._costs, shares, strict=True)
        }

    def _coverage(self) -> Row:
        """Coverage of test patients' steps, and what holds of the population."""
        task, guard = self._task, self._guard
        score = guard.functions.of_records(guard.fitted, guard.world, task.test)
        inside = ~np.asarray(guardian_lib.outside(guard.fitted, score))
        stay = np.asarray(task.test.stay)[np.asarray(task.test.transitions)]
        split = dataset_lib.SPLITS.index("test")
        patients = np.asarray(task.arrays.patients)[task.arrays.split == split]
        _, person = np.unique(patients[stay], return_inverse=True)
        shares = np.bincount(person, inside) / np.bincount(person)
        wanted = self._config.guardian.coverage
        margin = 0.02
        return {
            "wanted": wanted,
            "seen": float(inside.mean()),
            "by_patient": float(shares.mean()),
            "patients": int(shares.size),
            # One bounded number for each patient: their steps are alike.
            "guaranteed": coverage.guaranteed(
                _DOUBT, float(shares.mean()), shares.size
            ),
            "margin": margin,
            "needed": coverage.least_samples(_DOUBT, wanted, wanted - margin),
        }

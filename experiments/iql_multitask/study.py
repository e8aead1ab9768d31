"""The study: every method trained over all seeds, judged, and kept when it is done."""

import pathlib
from typing import Any

from experiments import estimating, fitting, judging, study_script
from experiments import sepsis_truth as truth
from experiments.config import RunConfig
from experiments.fitting import Models
from experiments.iql_multitask import clinical, estimates, learning
from experiments.iql_multitask.config import CLONED, REFERENCES, StudyConfig
from experiments.iql_multitask.learning import Learned
from experiments.study_script import Rows
from experiments.task import Task
from omgrl_jax.evaluation import off_policy

SECTIONS = ("policies", "clinical", "curves", "off_policy", "belief")


def run(
    study: StudyConfig, config: RunConfig, task: Task, out: pathlib.Path
) -> dict[str, list[dict[str, Any]]]:
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
    clinical.require(task)
    estimates.require(config, task)
    folder = out / "models" / fitting.key(config)
    models = fitting.fit_all(config, task, folder, with_world=False)
    judge = Judge(study, config, task, models, out)
    units = (REFERENCES, CLONED, *study.methods)
    found = study_script.kept(units, judge, SECTIONS, out)
    estimating.warn(
        row["policy"]
        for row in found["off_policy"]
        if row["estimator"] == "wdr" and off_policy.few(row["ess"])
    )
    return found


class Judge:
    """Judges policies; what is compiled for one seed serves the others."""

    def __init__(
        self,
        study: StudyConfig,
        config: RunConfig,
        task: Task,
        models: Models,
        out: pathlib.Path,
    ):
        """Gathers the held-out decisions and stays."""
        self._study, self._config, self._task = study, config, task
        self._models, self._out = models, out
        self._held = clinical.held_out(task)
        self._stays = estimates.stays_of(config, task)

    def __call__(self, unit: str) -> Rows:
        """The rows of one policy, or of what the others are measured by."""
        if unit == REFERENCES:
            return self._references()
        found: Rows = {name: [] for name in SECTIONS}
        for index, one in enumerate(self._learned(unit)):
            for name, rows in self._seed(unit, one, index).items():
                found[name] += rows
        return found

    def _learned(self, unit: str) -> list[Learned]:
        if unit == CLONED:
            shared = (self._task, self._models)
            return [
                Learned(*estimating.calibrated(*shared, index), None)
                for index in range(self._config.seeds)
            ]
        given = (self._study, self._config, self._task, self._models)
        return learning.learn(*given, unit, self._out / "methods")

    def _seed(self, name: str, one: Learned, index: int) -> Rows:
        config, task, seed = self._config, self._task, self._config.seed_list[index]
        policy = one.policy, one.params
        found: Rows = {
            "clinical": clinical.rows(
                task, self._held, name, policy, seed, self._study.swept_states
            ),
            "curves": clinical.curves(task, name, policy, seed),
        }
        if truth.known(task):
            found["policies"] = [
                {"policy": name, "mode": mode, "seed": seed, **truth.row(came)}
                for mode in judging.MODES
                for came in [self._treated(one, mode == "greedy", index)]
            ]
        if not self._study.estimated_seeds or index < self._study.estimated_seeds:
            shared = (config, task, self._models, self._stays)
            found["off_policy"] = estimates.rows(*shared, name, policy, index)
        settled = bool(task.arrays.terminals.all())
        belief = estimates.belief_row(config, self._stays, name, one, seed, settled)
        return {**found, "belief": [belief] if belief else []}

    def _treated(self, one: Learned, greedy: bool, index: int) -> truth.Outcome:
        config, task = self._config, self._task
        usual = estimating.calibrated(task, self._models, index)
        given = truth.acting(task, one.params, usual[1], greedy)
        seed, both = config.seed_list[index], (one.policy, usual[0])
        discount = config.off_policy.discount
        return truth.learned(task, both, given, seed, config.patients, discount)

    def _references(self) -> Rows:
        config, task = self._config, self._task
        rows = []
        if truth.known(task):
            given = (config.patients, config.off_policy.discount)
            for seed in config.seed_list:
                for name, came in truth.references(task, seed, *given).items():
                    row = {"policy": name, "mode": "-", "seed": seed}
                    rows.append({**row, **truth.row(came)})
        return {
            "policies": rows,
            "clinical": [clinical.clinicians_row(task, self._held)],
            "off_policy": [estimates.clinicians_row(config, self._stays)],
        }

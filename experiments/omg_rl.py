"""OMG-RL beside COMBO, clinicians and behavioural cloning, on any dataset.

    python -m experiments.omg_rl --dataset=DIR --out=DIR --seeds=10

Trains the world model and the behaviour policy of each seed, tests what the model knows
about doses, trains the algorithms over all seeds as one batch, judges them and writes
report/index.html, metrics.csv, summary.json and results.json. Killed at any moment, the
same command goes on where it stopped and ends with the same numbers.

One seed on 600 virtual stays takes two to six minutes on two cores.
"""

import pathlib
from typing import Any

from absl import flags

from experiments import repeating
from experiments.config import ALGORITHMS, Problem, RunConfig, claim, flat
from omgrl_jax.runtime import devices, script, storage
from omgrl_jax.runtime import flags as config_flags


def define_flags() -> None:
    """Flags for the fields of `RunConfig` and for this program."""
    config_flags.define_study_script([RunConfig])


def main() -> None:
    """Runs the experiment that the flags describe."""
    config = config_flags.read(RunConfig)
    devices.configure_host_devices()
    out = pathlib.Path(flags.FLAGS.out)
    report = run(config, flags.FLAGS.dataset, out, flags.FLAGS.allow_git_worktree)
    print(f"\nReport: {report}")


def run(
    config: RunConfig,
    directory: str,
    out: pathlib.Path,
    allow_git_worktree: bool,
    model_folder: pathlib.Path | None = None,
) -> pathlib.Path:
    """The whole experiment.

    Args:
      config: the configuration.
      directory: where the dataset lies.
      out: where to write.
      allow_git_worktree: whether records may be written inside a git work tree.
      model_folder: where fitted models lie or go; `out/model` unless other runs share
        them.

    Returns:
      The path of the report.

    Raises:
      DatasetError: if the dataset is not sound.
      ValueError: if a setting does not fit the dataset or the run begun in `out`.
      WorktreeError: if `out` lies in a git work tree and may not.
    """
    # JAX starts with these imports, after the host devices were configured.
    from experiments import collect, fitting, judging, training, truth
    from experiments import task as task_lib
    from experiments.report import page

    clock = repeating.Clock()
    task = task_lib.load(
        directory, config.state, config.rollout.horizon, config.train_stays
    )
    if task.schema.kind == "records":
        storage.refuse_git_worktree(
            out, allow_git_worktree, config_flags.ALLOW_GIT_WORKTREE
        )
    try_algorithms(config, task)
    claim(out, config, task.hash)
    virtual = truth.known(task)

    models = fitting.fit_all(config, task, model_folder or out / "model")
    clock.lap("models")
    sections = judging.dynamics_rows(task, models, config.seed_list)
    cases: list[Any] = []
    if virtual:
        sections["dynamics"] += truth.dynamics_rows(config, task, models)
        cases = truth.intervention_cases(config, task)
        sections["intervention"] = truth.intervention_section(
            config, task, models, cases
        )
        print(collect.gate_text(sections["intervention"]))
    clock.lap("dynamics")

    trained = training.train_all(config, task, models, out)
    clock.lap("training")
    sections |= judge(config, task, models, trained, cases)
    clock.lap("evaluation")

    results = {
        "title": f"{', '.join(config.algorithms)} on {task.schema.name}",
        "kind": task.schema.kind,
        **collect.dataset_sections(task, pathlib.Path(directory)),
        **sections,
        "learning": collect.learning_rows(config, trained),
        "config": {**flat(config), "state": task.state},
        **repeating.sections(clock),
    }
    collect.write(out, config, trained, results)
    report = page.write(out)
    print(collect.table(results["policies"], "simulator" if virtual else "model"))
    return report


def judge(
    config: RunConfig, task: Any, models: Any, trained: Any, cases: list[Any]
) -> dict[str, Any]:
    """What the trained policies and rewards come to, wherever it can be asked.

    Args:
      config: the configuration.
      task: the loaded task.
      models: fitted models.
      trained: trained algorithms.
      cases: moments at which doses are compared; none but for virtual patients.

    Returns:
      Sections of the results.
    """
    from experiments import collect, estimating, held_out, judging, treating, truth

    shared = (config, task, models, trained)
    sections: dict[str, Any] = {
        "policies": judging.model_policy_rows(*shared) + held_out.policy_rows(*shared),
        "support": held_out.support_rows(*shared),
        "drift": held_out.drift_rows(*shared),
        "off_policy": estimating.off_policy_rows(*shared),
        "behaviour_calibration": estimating.calibration_rows(task, models),
    }
    if truth.known(task):
        treated = treating.treat_all(*shared)
        sections["policies"] += treating.policy_rows(treated)
        sections["ood_safety"] = treating.safety_rows(*shared, treated)
        sections["subgroups"] = treating.subgroup_rows(treated)
        sections["reward_alignment"] = truth.alignment_rows(*shared, cases)
        sections["examples"] = treating.examples(treated, config.algorithms[0])
    return sections | collect.figures(*shared)


def try_algorithms(config: RunConfig, task: Any) -> None:
    """Builds every algorithm once: what cannot learn here stops before the fits.

    Args:
      config: the configuration.
      task: the loaded task.

    Raises:
      ValueError: naming the algorithm and what the dataset lacks.
    """
    from experiments import fitting

    world, behaviour, _ = fitting.make(config, task.space)
    problem = Problem(task.space, world.dynamics, behaviour)
    for name in config.algorithms:
        try:
            ALGORITHMS[name](config, problem)
        except ValueError as error:
            given = ",".join(config.algorithms)
            raise ValueError(
                f"--algorithms={given}: {error}; or leave out {name}"
            ) from error


if __name__ == "__main__":
    script.run(main, define_flags)

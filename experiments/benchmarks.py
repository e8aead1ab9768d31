"""The methods on two public tasks, beside published numbers.

    python -m experiments.benchmarks --task=cartpole --seeds=5 --out=DIR \
        --flagfile=experiments/presets/cartpole.flags

cartpole: mean return in Gymnasium's CartPole-v1 after learning off-line from one expert
episode of which every 20th step is kept (500 is the most there is). icu_sepsis: exact
probability that a patient survives ICU-Sepsis, after learning from 2,000 stays under
the clinicians' policy. Logs are made under --out unless --dataset names others, made by
`data_prep.cartpole` or `data_prep.icu_sepsis`; of several (--dataset=DIR,DIR) each is
learned from alone, and spread is over them. Writes benchmark.csv (a row for each
policy, way of acting, drawn from the policy or its most likely action, and seed) and
report/index.html.

A world model is fitted only for methods that roll one out. They need logs of whole
episodes (`data_prep.cartpole --subsample=1`), and are not for ICU-Sepsis, whose states
are 716 one-hot columns. Other methods see single transitions: --rollout_horizon has no
effect on them.

Each method trains in a folder of its own and goes on where it stopped; the same --out
takes further methods later. Three seeds of four methods take two minutes on two cores.

The published figure of CartPole comes from another expert's episode, and returns differ
more between episodes than between seeds: it says what can be reached, not what must be.
"""

import functools
import pathlib
from collections.abc import Sequence
from typing import Any

import pandas as pd
from absl import flags

from experiments.config import RunConfig
from experiments.public_tasks import learning
from omgrl_jax.runtime import devices, metrics, script
from omgrl_jax.runtime import flags as config_flags

TASKS = ("cartpole", "icu_sepsis")
# Unless others are named: methods that learn from single transitions.
METHODS = ("iq_learn", "cql", "bcq", "iql")
COLUMNS = ["policy", "mode", "seed", "value", "error"]


def judged(
    benchmark: Any, episodes: int, task: Any, policies: dict[str, Any], seed: int
) -> list[tuple]:
    """Rows of trained policies (name -> policy and parameters) of one seed."""
    from experiments.benchmark_tasks import greedy

    rows = []
    for name, (policy, params) in policies.items():
        drawn = learning.probabilities(task, policy, params)
        for mode, acting in (("stochastic", drawn), ("greedy", greedy(drawn))):
            score = benchmark.judge(acting, episodes, seed)
            rows.append((name, mode, seed, *score))
    return rows


def run(
    name: str, config: RunConfig, directory: str, out: pathlib.Path, episodes: int
) -> pd.DataFrame:
    """Trains and judges every method.

    Args:
      name: the task.
      config: the setting.
      directory: the logs; empty to have them made.
      out: where to write.
      episodes: episodes by which a policy is judged where that is not exact.

    Returns:
      The table of benchmark.csv.

    Raises:
      ValueError: if a method cannot learn from these logs, or `out` holds another run.
    """
    from experiments import judging
    from experiments.benchmark_tasks import BENCHMARKS, check

    benchmark = BENCHMARKS[name]
    judge = functools.partial(judged, benchmark, episodes)
    directory = directory or made(benchmark, out)
    plain = learning.prepare(config, directory, with_world=False)
    check(benchmark, plain.task.schema)
    rolling = learning.kinds(name, benchmark.world, plain)
    prepared = {False: plain}
    if any(rolling.values()):
        prepared[True] = learning.prepare(config, directory, with_world=True)
    models = {kind: learning.fit(logs, out) for kind, logs in prepared.items()}

    rows: list[tuple] = []
    for policy, known in benchmark.references().items():
        rows.append((policy, "-", -1, *benchmark.judge(known, episodes, 0)))
    for seed, fitted in zip(config.seed_list, models[False].fitted, strict=True):
        cloned = {"behavioural_cloning": (models[False].behaviour, fitted.behaviour)}
        rows += judge(plain.task, cloned, seed)
    for one, kind in rolling.items():
        trained = learning.train(prepared[kind], models[kind], one, out)
        for index, seed in enumerate(config.seed_list):
            learned = judging.learned_policies(trained, index)
            rows += judge(prepared[kind].task, learned, seed)
        metrics.write_csv(out / "benchmark.csv", pd.DataFrame(rows, columns=COLUMNS))
    return pd.DataFrame(rows, columns=COLUMNS)


def made(benchmark: Any, out: pathlib.Path) -> str:
    """The directory of the logs under `out`, made where they are not there yet."""
    directory = out / "dataset"
    if not (directory / "schema.json").is_file():  # written last
        benchmark.write(directory)
    return str(directory)


def run_all(
    name: str,
    config: RunConfig,
    directories: Sequence[str],
    out: pathlib.Path,
    episodes: int,
) -> pd.DataFrame:
    """Trains and judges every method on every set of logs.

    Args:
      name: the task.
      config: the setting.
      directories: the logs; none to have one set made.
      out: where to write; with several sets, each has a folder of its own there.
      episodes: episodes by which a policy is judged where that is not exact.

    Returns:
      The table of `run`; with several sets `logs` numbers them, from 1.
    """
    if len(directories) < 2:
        return run(name, config, "".join(directories), out, episodes)
    frames = []
    for number, directory in enumerate(directories, start=1):
        found = run(name, config, directory, out / f"logs_{number}", episodes)
        if number > 1:  # known policies do not depend on the logs
            found = found[found["mode"] != "-"]
        frames.append(found.assign(logs=number))
    frame = pd.concat(frames, ignore_index=True)
    metrics.write_csv(out / "benchmark.csv", frame)
    return frame


def main() -> None:
    """Runs the benchmark that the flags describe."""
    config = config_flags.read(RunConfig)
    devices.configure_host_devices()
    given = flags.FLAGS
    out = pathlib.Path(given.out)
    frame = run_all(given.task, config, given.dataset, out, given.episodes)
    # Not at the top: they start JAX.
    from experiments.benchmark_tasks import BENCHMARKS
    from experiments.public_tasks import page, summary

    published = BENCHMARKS[given.task].published
    print(summary.table(frame, published))
    logs = given.dataset or [str(out / "dataset")]
    said = page.scope(config, logs)
    print(f"\nReport: {page.write(out, given.task, frame, published, said)}")


def define_flags() -> None:
    """The task, where to read and write, and every field of the configuration."""
    flags.DEFINE_enum("task", None, TASKS, "The benchmark.")
    flags.DEFINE_list(
        "dataset",
        [],
        "Directories of its logs, each learned from alone; none: made with --out.",
    )
    flags.DEFINE_string("out", None, "Directory to write to; made when missing.")
    flags.DEFINE_integer(
        "episodes", 20, "Episodes of each policy in CartPole.", lower_bound=1
    )
    flags.mark_flags_as_required(["task", "out"])
    config_flags.define(RunConfig)
    flags.FLAGS.set_default("algorithms", METHODS)


if __name__ == "__main__":
    script.run(main, define_flags)

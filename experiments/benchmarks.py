"""The methods on two public tasks, beside published numbers.

    python -m experiments.benchmarks --task=cartpole --seeds=5 --out=DIR \
        --flagfile=experiments/presets/cartpole.flags

cartpole: mean return in Gymnasium's CartPole-v1 after learning off-line from one expert
episode of which every 20th step is kept (500 is the most there is). icu_sepsis: exact
probability that a patient survives ICU-Sepsis, after learning from 2,000 stays under
the clinicians' policy. Logs are made under --out unless --dataset names others, made by
`data_prep.cartpole` or `data_prep.icu_sepsis`. Writes benchmark.csv: a row for each
policy, way of acting (drawn from the policy, or its most likely action) and seed.

A world model is fitted only for methods that roll one out. They need logs of whole
episodes (`data_prep.cartpole --subsample=1`), and are not for ICU-Sepsis, whose states
are 716 one-hot columns. Other methods see single transitions: --rollout_horizon has no
effect on them.

Each method trains in a folder of its own and goes on where it stopped; the same --out
takes further methods later. Three seeds of four methods take two minutes on two cores.

The published figure of CartPole comes from another expert's episode, and returns differ
more between episodes than between seeds: it says what can be reached, not what must be.
"""

import dataclasses
import functools
import pathlib
from collections.abc import Callable
from typing import Any, NamedTuple

import pandas as pd
from absl import flags

from experiments import config as config_lib
from experiments.config import RunConfig, claim
from omgrl_jax.runtime import devices, metrics, script
from omgrl_jax.runtime import flags as config_flags

TASKS = ("cartpole", "icu_sepsis")
# Unless others are named: methods that learn from single transitions.
METHODS = ("iq_learn", "cql", "bcq", "iql")
COLUMNS = ["policy", "mode", "seed", "value", "error"]


class Prepared(NamedTuple):
    """What methods of one kind train on.

    Attributes:
      config: the setting.
      task: the logs, prepared for it.
      with_world: whether the methods roll out a world model.
    """

    config: RunConfig
    task: Any
    with_world: bool


def prepare(config: RunConfig, directory: str, with_world: bool) -> Prepared:
    """Loads the logs for one kind of method.

    Args:
      config: the setting of the run.
      directory: where the logs lie.
      with_world: for methods that roll out a world model.

    Returns:
      What they train on.

    Raises:
      ValueError: if rollouts are longer than the logs' stays.
    """
    from experiments import task as task_lib

    if not with_world:
        # Without rollouts, logs of single steps will do.
        alone = dataclasses.replace(config.rollout, horizon=1)
        config = dataclasses.replace(config, rollout=alone)
    horizon, stays = config.rollout.horizon, config.train_stays
    task = task_lib.load(directory, config.state, horizon, stays)
    return Prepared(config, task, with_world)


def rolls_out(prepared: Prepared, name: str) -> bool:
    """Whether a method is built from the dynamics of a world model.

    Args:
      prepared: the logs, without a world.
      name: the method.

    Raises:
      ValueError: if the method cannot learn from these logs.
    """
    from experiments import fitting

    config, space = prepared.config, prepared.task.space
    _, behaviour, _ = fitting.make(config, space)
    try:
        return config_lib.rolls_out(name, config, space, behaviour)
    except ValueError as error:
        raise ValueError(f"--algorithms: {name}: {error}") from error


def fit(prepared: Prepared, out: pathlib.Path) -> Any:
    """The models that methods of one kind start from, fitted where they are not yet."""
    from experiments import fitting

    config, task, with_world = prepared
    kind = "with_world" if with_world else "without_world"
    folder = out / "models" / kind / fitting.key(config)
    return fitting.fit_all(config, task, folder, with_world)


def train(
    prepared: Prepared, models: Any, name: str, out: pathlib.Path
) -> dict[str, Any]:
    """Trains one method over all seeds, in a folder of its own."""
    from experiments import training

    config = dataclasses.replace(prepared.config, algorithms=(name,))
    claim(out / name, config, prepared.task.hash)
    return training.train_all(config, prepared.task, models, out / name)


def probabilities(task: Any, policy: Any, params: Any) -> Callable[[Any], Any]:
    """A trained policy as a function of raw observations [N, F], numpy in and out."""
    import numpy as np

    run = _compiled(policy.log_probs)
    scale = task.scales.state
    return lambda observations: np.asarray(run(params, scale, observations))


@functools.cache
def _compiled(log_probs: Any) -> Any:
    import jax
    import jax.numpy as jnp

    def run(params: Any, scale: Any, observations: Any) -> Any:
        return jnp.exp(log_probs(params, scale.apply(observations)))

    return jax.jit(run)


def kinds(name: str, world: bool, prepared: Prepared) -> dict[str, bool]:
    """Which methods of a setting roll out a world model.

    Args:
      name: the task.
      world: whether one can be fitted to its states.
      prepared: the logs, without a world.

    Returns:
      Method -> whether it does, in order.

    Raises:
      ValueError: if one does where none can be fitted, or cannot learn at all.
    """
    found = {one: rolls_out(prepared, one) for one in prepared.config.algorithms}
    if any(found.values()) and not world:
        refused = ", ".join(one for one, rolling in found.items() if rolling)
        raise ValueError(
            f"--task={name}: no world model is fitted to its states; leave out what "
            f"would roll one out ({refused})"
        )
    return found


def judged(
    benchmark: Any, episodes: int, task: Any, policies: dict[str, Any], seed: int
) -> list[tuple]:
    """Rows of trained policies (name -> policy and parameters) of one seed."""
    from experiments.benchmark_tasks import greedy

    rows = []
    for name, (policy, params) in policies.items():
        drawn = probabilities(task, policy, params)
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
    plain = prepare(config, directory, with_world=False)
    check(benchmark, plain.task.schema)
    rolling = kinds(name, benchmark.world, plain)
    prepared = {False: plain}
    if any(rolling.values()):
        prepared[True] = prepare(config, directory, with_world=True)
    models = {kind: fit(logs, out) for kind, logs in prepared.items()}

    rows: list[tuple] = []
    for policy, known in benchmark.references().items():
        rows.append((policy, "-", -1, *benchmark.judge(known, episodes, 0)))
    for seed, fitted in zip(config.seed_list, models[False].fitted, strict=True):
        cloned = {"behavioural_cloning": (models[False].behaviour, fitted.behaviour)}
        rows += judge(plain.task, cloned, seed)
    for one, kind in rolling.items():
        trained = train(prepared[kind], models[kind], one, out)
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


def table(frame: pd.DataFrame, published: Any) -> str:
    """Means with their spread over seeds, then the published numbers.

    Args:
      frame: the rows of `run`.
      published: figures with `policy`, `value` and `source`.

    Returns:
      Text of several lines.
    """
    lines = [f"{'policy':<22}{'mode':<12}{'return':>10}{'sd of seeds':>13}{'seeds':>7}"]
    for row in metrics.summarise(frame, ["policy", "mode"]).itertuples():
        spread = "" if row.count < 2 else f"{row.deviation:.4g}"
        lines.append(
            f"{row.policy:<22}{row.mode:<12}{row.mean:>10.4g}{spread:>13}{row.count:>7}"
        )
    lines += ["", "published:"]
    lines += [f"  {one.policy}: {one.value:g} ({one.source})" for one in published]
    return "\n".join(lines)


def main() -> None:
    """Runs the benchmark that the flags describe."""
    config = config_flags.read(RunConfig)
    devices.configure_host_devices()
    devices.enable_compilation_cache()
    given = flags.FLAGS
    out = pathlib.Path(given.out)
    frame = run(given.task, config, given.dataset, out, given.episodes)
    from experiments.benchmark_tasks import BENCHMARKS

    print(table(frame, BENCHMARKS[given.task].published))


def define_flags() -> None:
    """The task, where to read and write, and every field of the configuration."""
    flags.DEFINE_enum("task", None, TASKS, "The benchmark.")
    flags.DEFINE_string("dataset", "", "Directory of its logs; empty: made with --out.")
    flags.DEFINE_string("out", None, "Directory to write to; made when missing.")
    flags.DEFINE_integer(
        "episodes", 20, "Episodes of each policy in CartPole.", lower_bound=1
    )
    flags.mark_flags_as_required(["task", "out"])
    config_flags.define(RunConfig)
    flags.FLAGS.set_default("algorithms", METHODS)


if __name__ == "__main__":
    script.run(main, define_flags)

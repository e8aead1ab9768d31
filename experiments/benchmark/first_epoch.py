"""One fresh process up to its first epoch of OMG-RL: seconds by stage, as JSON.

    python -m experiments.benchmark.first_epoch --dataset=DIR

With the recommended settings, on networks that nobody fitted. `startup` runs it.
"""

import json
import time

_BEGUN = time.perf_counter()  # before anything heavy is imported

from absl import flags  # noqa: E402

from experiments.config import PRESETS, RunConfig  # noqa: E402
from omgrl_jax.runtime import devices, script  # noqa: E402
from omgrl_jax.runtime import flags as config_flags  # noqa: E402


def define_flags() -> None:
    """Flags of a run, the recommended preset underneath."""
    flags.DEFINE_string("dataset", None, "Directory of the dataset.", required=True)
    config_flags.define(RunConfig)
    preset = config_flags.flatten(recommended())
    for name, value in preset.items():
        flags.FLAGS.set_default(name, value)


def recommended() -> RunConfig:
    """The recommended settings."""
    argument = f"--flagfile={PRESETS / 'recommended.flags'}"
    return config_flags.changed(RunConfig(), [argument])


def main() -> None:
    """Prints one line: seconds to import, to load, and of the first epoch."""
    config = config_flags.read(RunConfig)
    devices.configure_host_devices()
    # JAX starts with these imports, after the host devices were configured.
    import jax

    from experiments import fitting
    from experiments import task as task_lib
    from experiments.benchmark import interval, problem
    from omgrl_jax.learners import dyna
    from omgrl_jax.runtime import train

    imported = time.perf_counter()
    task = task_lib.load(flags.FLAGS.dataset, config.state, config.rollout.horizon)
    world, behaviour, _ = fitting.make(config, task.space)
    params = problem.random_world(world, config.fit.elites, task.scales, task.train)
    mu = problem.random_behaviour(config, task.space)
    data = dyna.Data(task.train, params, mu, validation=task.validation)
    jax.block_until_ready(data)
    loaded = time.perf_counter()
    made = problem.Made(task.space, world, behaviour, data)
    algorithm = problem.omg_rl(config, made)
    keys = interval.members(config.seeds)
    _, state, run_key, data, _, _ = train._prepare(algorithm, keys, data, None, None)
    seconds = []
    for step in (0, config.epochs):
        begun = time.perf_counter()
        state, metrics = train.run_interval(
            algorithm, state, run_key, jax.numpy.int32(step), data, config.epochs
        )
        jax.device_get(metrics)
        seconds.append(time.perf_counter() - begun)
        if not step:
            first = time.perf_counter() - loaded
    found = {
        "imports": imported - _BEGUN,
        "load": loaded - imported,
        "first": first,
        "compile": first - seconds[1],
    }
    print(json.dumps(found))


if __name__ == "__main__":
    script.run(main, define_flags)

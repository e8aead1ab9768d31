"""What methods learn from on a public task: logs, models, training, and the policy."""

import dataclasses
import functools
import pathlib
from collections.abc import Callable
from typing import Any, NamedTuple

from experiments import config as config_lib
from experiments.config import RunConfig, claim


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

"""How well the networks of the world model fit: Fig. 1 of the OMG-RL paper."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from experiments.fitting import Models
from experiments.task import Task
from omgrl_jax.models.example import examples
from omgrl_jax.types import Array, Params


def member_losses(task: Task, models: Models) -> dict[str, Any]:
    """Losses of every member of the first seed, and what persistence would score.

    Args:
      task: the task.
      models: fitted models.

    Returns:
      The report's section. `train`, `validation` and `persistence` are Gaussian
      negative log-likelihoods; `squared_error`, of each elite, and
      `persistence_squared` are mean squared errors of the standardised change.
    """
    losses = models.fitted[0].losses
    given = examples(task.validation)
    dynamic = np.array(task.space.dynamic, int)
    change = np.asarray(given.next_state - given.state)[:, dynamic]
    # The best Gaussian that predicts no change: its likelihood at the observed spread.
    variance = np.maximum(np.mean(change**2, axis=0), 1e-8)
    persistence = float(np.mean(0.5 * (np.log(2 * np.pi * variance) + 1.0)))
    validation = losses["features.validation"].T
    return {
        "epochs": list(range(1, validation.shape[1] + 1)),
        "train": losses["features.train"].T.tolist(),
        "validation": validation.tolist(),
        "elites": [int(i) for i in losses["features.elites"]],
        "persistence": persistence,
        "squared_error": squared_errors(task, models),
        "persistence_squared": float(np.mean(change**2)),
    }


def squared_errors(task: Task, models: Models) -> list[float]:
    """Mean squared error of the change that each elite of the first seed predicts.

    Args:
      task: the task; its validation stays are used, as for the losses.
      models: fitted models.

    Returns:
      The errors, standardised, in the order of the elites.
    """
    params, given = models.fitted[0].world, examples(task.validation)
    dynamic = np.array(task.space.dynamic, int)

    def error(features: Params, outcomes: Params) -> Array:
        both = jax.tree.map(lambda x: x[None], (features, outcomes))
        alone = params._replace(features=both[0], outcomes=both[1])
        said = models.world.dynamics.mean(
            alone, given.state, given.action, given.amount
        )
        return jnp.mean(jnp.square((said.state - given.next_state)[:, dynamic]))

    found = jax.jit(jax.vmap(error))(params.features, params.outcomes)
    return [float(x) for x in found]

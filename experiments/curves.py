"""Figures of policies and rewards on held-out records: which dose, worth how much."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from experiments.fitting import Models
from experiments.judging import Reward, labels, log_probs
from experiments.task import Task, last_values
from omgrl_jax.data import scales as scales_lib
from omgrl_jax.evaluation import alignment
from omgrl_jax.types import Params, Policy


def dose_heatmap(task: Task, named: dict[str, tuple[Policy, Params]]) -> Any:
    """Probability of each dose by last measured value, clinicians beside the agents.

    Args:
      task: the task.
      named: policies to show.

    Returns:
      The report's section, None where the task has no monitored channel. Bins with ten
      rows or fewer stay empty.
    """
    if task.space.target is None:
        return None
    channel, low, high = task.space.target
    z = jnp.asarray(last_values(task, "test", channel))[:, None]
    scale = jax.tree.map(lambda x: x[channel : channel + 1], task.scales.channel)
    value = np.asarray(scales_lib.Standardiser(*scale).invert(z))[:, 0]
    rows = np.asarray(task.test.transitions)
    edges = np.round(low + (high - low) * np.array([-1, -0.5, -0.25, 0, 0.5, 1, 1.5]))
    bins = np.digitize(value[rows], edges)
    states = task.test.states[rows]
    actions = np.asarray(task.test.actions[rows])
    shown = {"clinicians": np.eye(task.space.num_actions)[actions]}
    for name, (policy, params) in named.items():
        shown[name] = np.exp(log_probs(policy, params, states))

    def cells(probabilities: np.ndarray) -> list[list[float | None]]:
        table: list[list[float | None]] = []
        for b in range(edges.size + 1):
            here = bins == b
            count = int(here.sum())
            mean = probabilities[here].mean(axis=0) if count > 10 else None
            empty: list[float | None] = [None] * task.space.num_actions
            table.append(empty if mean is None else [float(x) for x in mean])
        return table

    return {
        "aptt_edges": edges.tolist(),
        "dose_labels": labels(task),
        "policies": {name: cells(p) for name, p in shown.items()},
    }


def reward_curve(
    task: Task, models: Models, reward: Reward, params: Params
) -> dict[str, Any] | None:
    """r_psi against the predicted channel, by dose, over held-out states.

    Args:
      task: the task.
      models: fitted models; the first seed's world is used.
      reward: r_psi, `(params, transitions) -> rewards`.
      params: its parameters.

    Returns:
      The report's section, None without a monitored channel.
    """
    if task.space.target is None:
        return None
    channel, low, high = task.space.target
    rows = np.asarray(task.test.transitions)[:4000]
    values, outcome = alignment.reward_table(
        reward,
        params,
        models.world.dynamics,
        models.fitted[0].world,
        task.test.states[rows],
        task.space.num_actions,
    )
    raw = np.asarray(task.scales.channel.invert(jnp.asarray(outcome)))[..., channel]
    width = (high - low) / 8
    edges = np.arange(low - 8 * width, high + 12 * width, width)
    centres = 0.5 * (edges[1:] + edges[:-1])
    where = np.digitize(raw, edges) - 1

    def mean_at(table: np.ndarray, index: np.ndarray) -> list[float | None]:
        found = [table[index == b] for b in range(centres.size)]
        return [float(x.mean()) if x.size > 10 else None for x in found]

    recorded = where[np.arange(rows.size), np.asarray(task.test.actions[rows])]
    counts = np.array([(recorded == b).sum() for b in range(centres.size)], float)
    counts[counts <= 10] = 0.0  # few hours are few people: as if there were none
    return {
        "aptt": centres.tolist(),
        "dose_labels": labels(task),
        "values": [
            mean_at(values[:, a], where[:, a]) for a in range(task.space.num_actions)
        ],
        "mean": mean_at(values, where),
        "density": (counts / max(counts.sum(), 1.0)).tolist(),
    }

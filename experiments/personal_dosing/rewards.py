"""What plans are made for: the clinical reward r_p, or a learned r_psi."""

import json
import pathlib
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from experiments.task import Task
from omgrl_jax.data.scales import Scales
from omgrl_jax.data.space import Space
from omgrl_jax.learners import reward_network
from omgrl_jax.learners.reward_network import RewardConfig
from omgrl_jax.ops import clinical
from omgrl_jax.runtime import parameters
from omgrl_jax.types import Array, Params, Transition


class Goal(NamedTuple):
    """A reward of the channel.

    Attributes:
      value: `(params, scales, standardised values [...]) -> [...]`.
      params: its parameters.
    """

    value: Callable[[Params, Scales, Array], Array]
    params: Params


def of_task(task: Task) -> Goal:
    """r_p of the dataset's target range."""
    _, low, high = task.space.target or (0, 0.0, 0.0)
    return Goal(_clinical, (jnp.float32(low), jnp.float32(high)))


def _clinical(params: Params, scales: Scales, values: Array) -> Array:
    low, high = params
    raw = scales.channel.invert(values[..., None])[..., 0]
    return clinical.range_reward(raw, low, high)


def of_run(directory: str, task: Task, train_stays: int) -> Goal:
    """r_psi of a finished run of `experiments.omg_rl`, its first seed.

    Args:
      directory: where the run lies.
      task: the dataset that plans are made for.
      train_stays: training stays in use.

    Returns:
      The reward.

    Raises:
      ValueError: naming what is missing, or what the run did otherwise.
    """
    place = pathlib.Path(directory)
    path = place / "run.json"
    if not path.is_file():
        raise ValueError(f"--reward_run={directory}: no run lies there (no run.json)")
    run: dict[str, Any] = json.loads(path.read_text())
    usual = task.schema.default_state or "all features"
    wanted = {
        "dataset": (run.get("dataset"), task.hash),
        "--state": (run.get("state") or usual, task.state),
        "--train_stays": (run.get("train_stays"), train_stays),
        "--reward_inputs": (run.get("reward_inputs"), "outcome"),
    }
    for name, (found, needed) in wanted.items():
        if found != needed:
            raise ValueError(
                f"--reward_run={directory}: its {name} is {found}, here {needed} is "
                "needed: r_psi is a function of the same scales, and plans know the "
                "outcome alone"
            )
    weights = place / "model" / f"seed_{run['first_seed']}" / "omg_rl.npz"
    if not weights.is_file():
        raise ValueError(f"--reward_run={directory}: OMG-RL was not trained to its end")
    names = RewardConfig.__dataclass_fields__
    given = {k: _plain(run[f"reward_{k}"]) for k in names if f"reward_{k}" in run}
    network = reward_network.make(RewardConfig(**given), task.space)
    shapes = jax.eval_shape(network.init, jax.random.key(0)).params
    template = {"reward": {"networks": {"average": shapes}}}
    loaded = parameters.load(weights, template)["reward"]["networks"]["average"]
    return Goal(_learned(network, task.space), loaded)


def _plain(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _learned(
    network: reward_network.Network, space: Space
) -> Callable[[Params, Scales, Array], Array]:
    def value(params: Params, scales: Scales, values: Array) -> Array:
        del scales
        nothing = jnp.zeros((*values.shape, space.state_dim))
        zero = jnp.zeros(values.shape)
        steps = Transition(
            state=nothing,
            action=jnp.zeros(values.shape, jnp.int32),
            next_state=nothing,
            outcome=values[..., None],
            discount=zero + 1.0,
            uncertainty=zero,
        )
        return network.value(params, steps)

    return value

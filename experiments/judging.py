"""Judges models and policies on held-out records: rows and figures for the report."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from experiments import promises
from experiments.config import RunConfig
from experiments.fitting import Models
from experiments.task import Task, last_values
from experiments.training import Trained
from omgrl_jax.data.space import Space
from omgrl_jax.evaluation import dynamics, in_model
from omgrl_jax.models import world_fit
from omgrl_jax.models.world import World
from omgrl_jax.types import Params, Policy, Transition

MODES = ("stochastic", "greedy")
Reward = Callable[[Any, Transition], jax.Array]


def fixed(params: Params, states: jax.Array) -> jax.Array:
    """Log-probabilities [..., A] of a policy that ignores the state: its logits [A]."""
    row = jax.nn.log_softmax(params)
    return jnp.broadcast_to(row, (*states.shape[:-1], row.shape[0]))


def learned_policies(
    trained: dict[str, Trained], index: int
) -> dict[str, tuple[Policy, Params]]:
    """The trained policies of one seed: name -> (policy, parameters)."""
    out = {}
    for name, one in trained.items():
        every = one.algorithm.policy_params(one.states)
        out[name] = one.algorithm.policy, jax.tree.map(lambda x: x[index], every)
    return out


def baseline_policies(
    task: Task, models: Models, index: int
) -> dict[str, tuple[Policy, Params]]:
    """Cloned clinicians and the simple policies: name -> (policy, parameters)."""
    out = {
        "behavioural_cloning": (models.behaviour, models.fitted[index].behaviour),
        "random": (Policy(fixed), jnp.zeros(task.space.num_actions)),
    }
    for action in range(task.space.num_actions):
        always = jnp.where(jnp.arange(task.space.num_actions) == action, 0.0, -1e9)
        out[f"constant_{action}"] = (Policy(fixed), always)
    return out


@functools.partial(jax.jit, static_argnums=0)
def log_probs(policy: Policy, params: Params, states: jax.Array) -> jax.Array:
    """`policy.log_probs`, compiled once for each kind of policy: [..., A]."""
    return policy.log_probs(params, states)


def ways(name: str) -> tuple[str, ...]:
    """How a policy is judged: drawn from and greedily, where the two differ."""
    return ("-",) if simple(name) else MODES


def simple(name: str) -> bool:
    """Whether a policy looks at no state."""
    return name == "random" or name.startswith("constant_")


def learned_rewards(
    trained: dict[str, Trained], index: int
) -> dict[str, tuple[Reward, Any]]:
    """The rewards that were learned, the main one first.

    Args:
      trained: trained algorithms.
      index: which seed.

    Returns:
      Label -> (function, parameters): "r_psi" for the first algorithm that learns a
      reward, "r_psi of NAME" for the others.
    """
    found: dict[str, tuple[Reward, Any]] = {}
    for name, one in trained.items():
        if one.algorithm.reward is not None:
            label = f"r_psi of {name}" if found else "r_psi"
            state = jax.tree.map(lambda x: x[index], one.states)
            found[label] = (one.algorithm.reward, state)
    return found


def dynamics_rows(task: Task, models: Models, seeds: list[int]) -> dict[str, Any]:
    """Open-loop errors by seed, and the first seed's calibration.

    Args:
      task: the task.
      models: fitted models.
      seeds: labels of the seeds.

    Returns:
      `dynamics` and `calibration` rows; empty where no held-out stay is long enough.
    """
    if task.test.windows.shape[0] == 0:
        return {"dynamics": [], "calibration": []}
    channel = _channel(task)
    rows_of_test = task.test.states.shape[0]
    last = jnp.zeros(rows_of_test)
    if channel is not None:
        last = jnp.asarray(last_values(task, "test", channel))
    given = dynamics.courses(task.test, channel, last)
    rows = []
    for seed, fitted in zip(seeds, models.fitted, strict=True):
        found = dynamics.horizon_errors(
            task.space,
            models.world.dynamics,
            fitted.world,
            given,
            channel,
            ceiling=_limit(task, channel),
            # The error of one measurement would be that of one patient.
            least=1 if task.schema.kind == "virtual" else 11,
        )
        rows += [{"seed": seed, **row} for row in found]
    first = models.fitted[0].world
    marks = dynamics.calibration(models.world, first, task.test, channel)
    return {"dynamics": rows, "calibration": marks}


def model_policy_rows(
    config: RunConfig,
    task: Task,
    models: Models,
    trained: dict[str, Trained],
    baselines: bool = True,
) -> list[dict[str, Any]]:
    """Policies scored inside the learned world.

    Args:
      config: the run's configuration.
      task: the task.
      models: fitted models.
      trained: trained algorithms.
      baselines: score the simple policies and the clinicians as well.

    Returns:
      A row for each seed, policy and mode, with what the policy's own critic promises
      (`promises`); none where no test stay is long enough.
    """
    hours = config.model_hours
    rows_at = in_model.stay_starts(task.test, hours)
    if rows_at.size == 0:
        return []
    starts = task.test.states[rows_at]
    value, _ = learned_rewards(trained, 0).get("r_psi", (None, None))

    rows = []
    for index, seed in enumerate(config.seed_list):
        world = models.fitted[index].world
        _, psi = learned_rewards(trained, index).get("r_psi", (None, None))
        key = jax.random.fold_in(jax.random.key(seed), 77)
        named = learned_policies(trained, index)
        if baselines:
            named |= baseline_policies(task, models, index)
        for name, (policy, params) in named.items():
            one = trained.get(name)
            said = promises.promised(one, index, starts) if one else {}
            for mode in ways(name):
                run = _scoring(models.world, task.space, hours, policy.log_probs, value)
                found = run(world, params, psi, key, starts, mode == "greedy")
                row = _row(name, mode, "model", seed, found)
                rows.append(row | said.get(mode, {}))
        if not baselines:
            continue
        records = world_fit.relabel(models.world, world, task.test)
        courses = in_model.recorded_courses(records, rows_at, hours)
        found = in_model.score(task.space, world, courses, value, psi)
        rows.append(_row("clinicians", "-", "model", seed, found))
    return rows


@functools.lru_cache(maxsize=16)
def _scoring(
    world: World, space: Space, hours: int, log_probs: Any, value: Reward | None
) -> Any:
    """One compilation for each kind of policy and reward, not for each seed."""

    def treat(
        params: Params,
        actor: Params,
        psi: Params,
        key: jax.Array,
        starts: jax.Array,
        greedy: bool,
    ) -> Any:
        courses = in_model.policy_courses(
            world, params, Policy(log_probs), actor, key, starts, hours, greedy
        )
        return in_model.score(space, params, courses, value, psi)

    return jax.jit(treat)


def labels(task: Task) -> list[str]:
    """Texts of the actions."""
    given = task.schema.actions.labels
    return list(given) if given else [str(a) for a in range(task.space.num_actions)]


def _channel(task: Task) -> int | None:
    if task.space.target is not None:
        return task.space.target[0]
    if task.space.recorded_reward is not None:
        return task.space.recorded_reward
    return 0 if task.space.channels else None


def _limit(task: Task, channel: int | None) -> float:
    """The value above which a channel is no longer told apart; inf without one."""
    arrays = task.arrays
    if channel is None or arrays.channel_censored is None:
        return np.inf
    if channel >= arrays.channel_censored.shape[1]:
        return np.inf
    values = np.asarray(arrays.channel_values)[:, channel]
    censored = values[np.asarray(arrays.channel_censored)[:, channel]]
    return float(censored.max()) if censored.size else np.inf


def _row(name: str, mode: str, world: str, seed: int, found: Any) -> dict[str, Any]:
    numbers = {key: float(value) for key, value in found.items()}
    return {"policy": name, "mode": mode, "world": world, "seed": seed, **numbers}

"""What a dataset of agents offers: single steps, and the past of each."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from omgrl_jax.actions import ActionSpace
from omgrl_jax.data import dataset as dataset_lib
from omgrl_jax.data import rows as rows_lib
from omgrl_jax.data import scales as scales_lib
from omgrl_jax.data import space as space_lib
from omgrl_jax.data.dataset import Dataset
from omgrl_jax.data.scales import Scales
from omgrl_jax.data.space import Space
from omgrl_jax.models import personal
from omgrl_jax.models.personal import Changes
from omgrl_jax.types import Array


class Logs(NamedTuple):
    """Recorded steps of all agents, one after the other, leaves [M, ...].

    Attributes:
      agent: [M] int32 whose step, 0..N-1.
      state: [M, S] standardised.
      action: [M] int32, or [M, P] where actions are continuous.
      change: [M, S] standardised change of the state.
      past: [M, Q] a stretch of the same agent's log, see `encode`: not the one just
        before the step, since what it tells must hold for many steps to come.
    """

    agent: Array
    state: Array
    action: Array
    change: Array
    past: Array


class Cohort(NamedTuple):
    """All agents of a dataset.

    Attributes:
      name: of the dataset.
      hash: of its contents.
      data: the dataset, of every agent.
      space: the task.
      logs: their steps.
      scales: of the `S` state features and of rewards.
      changes: of their standardised changes.
      physics: what makes agents differ, name -> [N]; for judges alone.
      num_agents: N.
      actions: what agents may do.
    """

    name: str
    hash: str
    data: Dataset
    space: Space
    logs: Logs
    scales: Scales
    changes: Changes
    physics: dict[str, np.ndarray]
    num_agents: int
    actions: ActionSpace

    @property
    def num_actions(self) -> int:
        """Number of discrete actions A; 0 where actions are continuous."""
        return self.actions.count

    @property
    def state_dim(self) -> int:
        """Number of state features S."""
        return self.logs.state.shape[1]


def past_size(steps: int, state_dim: int, action_width: int) -> int:
    """How many numbers Q describe the last `steps` steps."""
    return steps * (2 * state_dim + action_width)


def encode(
    state: Array, action: Array, change: Array, there: Array, actions: ActionSpace
) -> Array:
    """The last steps as a row of numbers.

    Args:
      state: [..., K, S] standardised states, latest last.
      action: [..., K], or [..., K, P].
      change: [..., K, S] standardised changes that followed.
      there: [..., K] bool; where there was no step all of its numbers are zero.
      actions: what agents may do.

    Returns:
      [..., Q].
    """
    row = jnp.concatenate([state, actions.encode(action), change], axis=-1)
    row = jnp.where(there[..., None], row, 0.0)
    return row.reshape(*row.shape[:-2], -1)


def load(directory: str, past_steps: int, unseen: int = 0) -> Cohort:
    """Reads the agents of a dataset.

    Args:
      directory: where it lies, made by `data_prep.control`.
      past_steps: steps K of the past that `Logs.past` holds.
      unseen: agents at the end of the dataset on whom no scale is fitted.

    Returns:
      The agents.

    Raises:
      DatasetError: if the dataset is not sound.
      ValueError: if an agent's log has a single step, or nothing is known of what
        makes agents differ.
    """
    data = dataset_lib.load(directory)
    schema, arrays = data.schema, data.trajectories
    physics = (schema.simulator or {}).get("physics")
    if physics is None:
        raise ValueError(
            f"{directory}: schema.json names no physics of agents under 'simulator'; "
            "make the dataset with data_prep.control"
        )
    short = np.flatnonzero(arrays.lengths < 2)
    if short.size:
        raise ValueError(
            f"{directory}: the log of agent {short[0]} has one step only ({short.size} "
            "such agents); a personal factor needs two steps at least"
        )
    count, actions = arrays.lengths.size, schema.actions.space()
    space = space_lib.make_space(schema, continuous=True)
    known = np.arange(count) < count - unseen
    learned_from = arrays._replace(split=np.where(known, 0, 1))
    scales = scales_lib.fit_scales(schema, space, learned_from)
    raw = rows_lib.raw_states(schema, space, arrays)
    states = scales.state.apply(jnp.asarray(raw))
    owner = np.repeat(np.arange(count), arrays.lengths + 1)
    rows = np.flatnonzero(owner[:-1] == owner[1:])  # that have a following one
    agent = owner[rows]
    moved = states[rows + 1] - states[rows]
    changes = personal.fit_changes(moved[known[agent]])
    change = (moved - changes.mean[None]) / changes.deviation[None]
    state, action = states[rows], jnp.asarray(arrays.actions, actions.dtype)
    logs = Logs(
        agent=jnp.asarray(agent, jnp.int32),
        state=state,
        action=action,
        change=change,
        past=pasts(
            agent,
            *map(np.asarray, (state, action, change)),
            stretches(agent),
            past_steps,
            actions,
        ),
    )
    return Cohort(
        name=schema.name,
        hash=data.hash,
        data=data,
        space=space,
        logs=logs,
        scales=scales,
        changes=changes,
        physics={k: np.asarray(v, np.float64) for k, v in physics.items()},
        num_agents=count,
        actions=actions,
    )


def of_agents(cohort: Cohort, agents: np.ndarray) -> Logs:
    """The steps of some agents, who keep their numbers.

    Raises:
      ValueError: if one of them is not in the dataset.
    """
    check_known(cohort, agents)
    kept = np.flatnonzero(np.isin(np.asarray(cohort.logs.agent), agents))
    return jax.tree.map(lambda x: x[kept], cohort.logs)


def check_known(cohort: Cohort, agents: np.ndarray) -> None:
    """Stops at agents of whom nothing is known, where arrays would give another's.

    Args:
      cohort: all agents of a dataset.
      agents: numbers of agents.

    Raises:
      ValueError: naming the first that is not in the dataset.
    """
    strange = agents[(agents < 0) | (agents >= cohort.num_agents)]
    if strange.size:
        raise ValueError(
            f"agent {strange[0]} is not in the dataset '{cohort.name}', whose agents "
            f"are 0..{cohort.num_agents - 1}; the factor of another one is inferred "
            "from its log (omgrl_jax.models.low_rank.infer)"
        )


def stretches(agent: np.ndarray) -> np.ndarray:
    """For each step [M] a random step of the same agent's log, whose past it is told.

    Args:
      agent: [M] whose steps, one log after the other.
    """
    _, first, count = np.unique(agent, return_index=True, return_counts=True)
    drawn = np.random.default_rng(0).integers(np.repeat(count, count))
    return np.repeat(first, count) + drawn


def pasts(
    agent: np.ndarray,
    state: np.ndarray,
    action: np.ndarray,
    change: np.ndarray,
    at: np.ndarray,
    steps: int,
    actions: ActionSpace,
) -> Array:
    """`encode` of the steps before some steps of the same logs.

    Args:
      agent: [M] whose steps.
      state: [M, S] standardised.
      action: [M], or [M, P].
      change: [M, S] standardised.
      at: [M] before which steps.
      steps: K.
      actions: what agents may do.

    Returns:
      [M, Q].
    """
    before = at[:, None] + np.arange(-steps, 0)[None]  # [M, K]
    same = (before >= 0) & (agent[before] == agent[at][:, None])
    return encode(
        jnp.asarray(state[before]),
        jnp.asarray(action[before]),
        jnp.asarray(change[before]),
        jnp.asarray(same),
        actions,
    )

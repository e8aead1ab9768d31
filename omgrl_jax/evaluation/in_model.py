"""Policies inside the learned world: for records there is no other place.

What comes out is what the model believes, never evidence: a policy can exploit the
model's errors, and its r_p rose in runs that got worse in truth.
"""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from omgrl_jax.data import records as records_lib
from omgrl_jax.data.records import Records
from omgrl_jax.data.space import Space
from omgrl_jax.models.rollout import alive_in, rollout
from omgrl_jax.models.world import World, WorldParams
from omgrl_jax.ops import clinical
from omgrl_jax.types import Array, Key, Params, Policy, Transition

Reward = Callable[[Params, Transition], Array]


def stay_starts(records: Records, hours: int) -> np.ndarray:
    """First rows of the stays that last at least `hours` steps."""
    stay = np.asarray(records.stay)
    first = np.flatnonzero(np.diff(stay, prepend=-1))
    last = np.append(first[1:], stay.size) - 1
    return first[last - first >= hours]


def score(
    space: Space,
    params: WorldParams,
    transitions: Transition,
    reward: Reward | None,
    reward_params: Params | None,
) -> dict[str, Array]:
    """Outcomes of courses by their predicted channel values.

    Args:
      space: the task.
      params: the world's parameters.
      transitions: leaves [H, B, ...].
      reward: r_psi, or None.
      reward_params: its parameters.

    Returns:
      Means over the courses: `ops.clinical.treatment_outcomes` where the schema has a
      target range, the recorded reward else, and `r_psi`, all per step.
    """
    alive = alive_in(transitions)

    def while_alive(x: Array) -> Array:
        return jnp.sum(alive * x) / jnp.sum(alive)

    out: dict[str, Array] = {}
    values = params.scales.channel.invert(transitions.outcome)
    if space.target is not None:
        channel, low, high = space.target
        each = jax.vmap(
            functools.partial(clinical.treatment_outcomes, low=low, high=high)
        )(values[..., channel].T)
        out = {name: jnp.mean(x) for name, x in each.items()}
    elif space.recorded_reward is not None:
        out = {"r_p": while_alive(values[..., space.recorded_reward])}
    if reward is not None:
        out["r_psi"] = while_alive(reward(reward_params, transitions))
    return out


def policy_courses(
    world: World,
    params: WorldParams,
    policy: Policy,
    policy_params: Params,
    key: Key,
    starts: Array,
    hours: int,
    greedy: Array | bool = False,
) -> Transition:
    """Rolls a policy out from given states, leaves [H, B, ...].

    Args:
      world: the model.
      params: its parameters.
      policy: the policy.
      policy_params: its parameters.
      key: consumed.
      starts: [B, S] states.
      hours: number of steps.
      greedy: [] bool, take the likeliest action instead of drawing one; may be traced,
        so that both ways share a compilation.

    Returns:
      The transitions.
    """

    def log_probs(p: Params, states: Array) -> Array:
        scores = policy.log_probs(p, states)
        best = jax.nn.one_hot(jnp.argmax(scores, axis=-1), scores.shape[-1])
        return jnp.where(greedy, jnp.where(best > 0, 0.0, -1e9), scores)

    return rollout(
        world.dynamics, params, Policy(log_probs), policy_params, key, starts, hours
    )


def recorded_courses(records: Records, rows: np.ndarray, hours: int) -> Transition:
    """The clinicians' own courses from the same rows, leaves [H, B, ...].

    Outcomes are the model's estimates (`world_fit.relabel`), by the one definition that
    the policies are judged by as well.
    """
    index = rows[None, :] + np.arange(hours)[:, None]
    return records_lib.transition_at(records, jnp.asarray(index, jnp.int32))

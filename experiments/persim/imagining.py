"""Imagination: agents' own simulators as worlds to learn in, and episodes in them."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from data_prep import control as control_data
from data_prep.control import Recorded
from experiments.persim import learning, units, worlds
from experiments.persim.units import Ready, Unit
from experiments.persim.worlds import PersonalWorld
from omgrl_jax.data.dataset import Trajectories
from omgrl_jax.envs.control import Control
from omgrl_jax.models.rollout import rollout
from omgrl_jax.types import Array, Key, Params, Policy

_MARGIN = 0.5  # by so much of their range simulated states may leave that of the logs


def starts(ready: Ready) -> Array:
    """Standardised states [K, S] of all logs that may be learned from, but the last."""
    arrays = ready.cohort.data.trajectories
    owner = np.repeat(np.arange(arrays.lengths.size), arrays.lengths + 1)
    last = np.append(owner[1:] != owner[:-1], True)  # where an episode may be over
    rows = arrays.observations[np.isin(owner, ready.seen) & ~last]
    return ready.scales.state.apply(jnp.asarray(rows))


def personal_worlds(ready: Ready, unit: Unit, states: Array) -> PersonalWorld:
    """The worlds of the judged agents, leaves [N, ...].

    Args:
      ready: of `units.prepare`.
      unit: whose count and seed PerSim was fitted with.
      states: [K, S] of the logs: where simulators know their way.
    """
    simulators = units.fitted(ready, unit._replace(method="persim"))
    own, _ = units.simulators(ready, "persim", simulators, ready.judged, ready.seen)
    low, high = jnp.min(states, axis=0), jnp.max(states, axis=0)
    margin = _MARGIN * (high - low)
    shared = (ready.cohort.scales, low - margin, high + margin)
    return PersonalWorld(own, *learning.for_each(shared, ready.judged.size))


def episodes(
    ready: Ready,
    unit: Unit,
    world: PersonalWorld,
    policy: Policy,
    params: Params,
    starts: Array,
) -> list[Trajectories]:
    """Episodes of a policy in the judged agents' own simulators.

    Args:
      ready: of `units.prepare`.
      unit: whose episodes they are.
      world: of each agent, leaves [N, ...].
      policy: who acts.
      params: its parameters.
      starts: [K, S] standardised states where they may start.

    Returns:
      Of each agent as many episodes as configured, up to their ends.
    """
    keys = jax.random.split(unit.key("imagine"), ready.judged.size)
    found = []
    for n in range(ready.judged.size):
        own = jax.tree.map(lambda x, n=n: x[n], world)
        played = _in_one(
            ready.world.task,
            policy,
            ready.config.learn.episodes,
            keys[n],
            own,
            params,
            starts,
        )
        found.append(control_data.to_trajectories(jax.device_get(played)))
    return found


@functools.partial(jax.jit, static_argnums=(0, 1, 2))
def _in_one(
    task: Control,
    policy: Policy,
    count: int,
    key: Key,
    world: PersonalWorld,
    params: Params,
    starts: Array,
) -> Recorded:
    """Episodes of a policy in one agent's simulator, raw."""
    start_key, rollout_key = jax.random.split(key)
    chosen = jax.random.randint(start_key, (count,), 0, starts.shape[0])
    dynamics = worlds.of_one(task)
    seen = rollout(
        dynamics, world, policy, params, rollout_key, starts[chosen], task.limit
    )
    states = jnp.concatenate([seen.state[:1], seen.next_state])
    raw = world.scales.state.invert(jnp.swapaxes(states, 0, 1))
    return Recorded(
        states=raw,
        actions=seen.action.T,
        rewards=world.scales.channel.invert(seen.outcome)[..., 0].T,
        done=jax.vmap(jax.vmap(task.done))(raw[:, 1:]),
    )

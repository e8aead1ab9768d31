"""Where do rollouts lead? Distance of their states from the states seen in training.

A model that is right keeps to where recorded stays go: its states `h` steps on lie as
far from the training states as recorded ones do at that hour. Farther away it invents
patients; much nearer it has lost their variety.
"""

import functools

import jax
import jax.numpy as jnp

from omgrl_jax.data.records import Records
from omgrl_jax.models.rollout import rollout
from omgrl_jax.types import Array, Dynamics, Key, Params, Policy

_BLOCK = 128  # states compared at once: bounds memory, not the result


def nearest_distance(states: Array, known: Array) -> Array:
    """Euclidean distance of each state to the nearest known one.

    Args:
      states: [N, S].
      known: [M, S].

    Returns:
      [N] distances.
    """

    def one(state: Array) -> Array:
        gaps = known - state[None]
        return jnp.sqrt(jnp.min(jnp.sum(jnp.square(gaps), axis=-1)))

    return jax.lax.map(one, states, batch_size=_BLOCK)


@functools.partial(jax.jit, static_argnames=("dynamics", "policy", "horizons", "size"))
def drift(
    dynamics: Dynamics,
    dynamics_params: Params,
    policy: Policy,
    policy_params: Params,
    key: Key,
    train: Records,
    test: Records,
    horizons: tuple[int, ...],
    size: int = 300,
) -> tuple[Array, Array]:
    """Mean distance from training states, of rollouts and of recorded courses.

    Args:
      dynamics: the world.
      dynamics_params: its parameters.
      policy: who doses in the rollouts.
      policy_params: its parameters.
      key: consumed.
      train: training records.
      test: held-out records whose windows are at least as long as every horizon.
      horizons: steps after which to compare, at least 1 each.
      size: number of courses, drawn with replacement.

    Returns:
      [K] of rollouts and [K] of the recorded courses from the same states, in
      standardised units, for each of the K horizons.
    """
    start_key, rollout_key = jax.random.split(key)
    picks = jax.random.randint(start_key, (size,), 0, test.windows.shape[0])
    rows = test.windows[picks]
    steps = rollout(
        dynamics,
        dynamics_params,
        policy,
        policy_params,
        rollout_key,
        test.states[rows],
        max(horizons),
    )
    known = train.states[train.transitions]
    modelled, recorded = [], []
    for hours in horizons:
        reached = steps.next_state[hours - 1]
        modelled.append(jnp.mean(nearest_distance(reached, known)))
        recorded.append(jnp.mean(nearest_distance(test.states[rows + hours], known)))
    return jnp.stack(modelled), jnp.stack(recorded)

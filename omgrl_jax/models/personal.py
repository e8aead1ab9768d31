"""The simulator of one agent: folded networks, averaged, as a `Dynamics`.

Whatever a model is told of an agent (latent factors, a number, its past), once the
agent is known it folds into the same plain perceptron with a last layer for each
action. Planners and rollouts see nothing but that.

What the networks see and say is standardised twice: states by their own scale, changes
by theirs, since a step changes some features by a thousandth of their range.
"""

from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp

from omgrl_jax import networks
from omgrl_jax.types import Array, Dynamics, Key, Params, Spread, Step


class Personal(NamedTuple):
    """One member's simulator of one agent, with discrete actions.

    Attributes:
      body: parameters of an MLP from [S] to [W].
      head: [A, W, S] last layer of each action, after a ReLU.
      bias: [A, S].
    """

    body: Params
    head: Array
    bias: Array


class Changes(NamedTuple):
    """Scale of the changes of standardised states in one step.

    Attributes:
      mean: [S].
      deviation: [S], above zero.
    """

    mean: Array
    deviation: Array


class Simulator(NamedTuple):
    """One agent's simulators: the parameters of its `Dynamics`.

    Attributes:
      members: leaves [E, ...].
      changes: scale of their answers.
    """

    members: Personal
    changes: Changes


def fit_changes(change: Array) -> Changes:
    """The scale of changes [M, S]; features whose change is constant keep it."""
    deviation, largest = jnp.std(change, axis=0), jnp.max(jnp.abs(change), axis=0)
    # A constant has a deviation of some units in its last place.
    still = deviation <= 1e-5 * largest
    return Changes(jnp.mean(change, axis=0), jnp.where(still, 1.0, deviation))


def change(personal: Personal, states: Array, actions: Array) -> Array:
    """The standardised change of states that stand side by side.

    Args:
      personal: one member.
      states: [S, B].
      actions: [B].

    Returns:
      [S, B].
    """
    num_actions, width, size = personal.head.shape
    chex.assert_shape(states, (size, *actions.shape))
    hidden = jax.nn.relu(networks.apply_columns(personal.body, states))
    # All actions at once: one product of matrices instead of a gather of them.
    wide = jnp.moveaxis(personal.head, 1, 2).reshape(-1, width)
    every = (wide @ hidden).reshape(num_actions, size, -1) + personal.bias[..., None]
    taken = jnp.zeros(states.shape)
    for action in range(num_actions):
        taken = jnp.where((actions == action)[None], every[action], taken)
    return taken


def advance(simulator: Simulator, states: Array, actions: Array) -> Array:
    """The members' mean next states of states [S, B] side by side: [S, B]."""
    return jnp.mean(_every(simulator, states, actions), axis=0)


def _every(simulator: Simulator, states: Array, actions: Array) -> Array:
    """Each member's next states [E, S, B]."""
    scale = simulator.changes
    found = jax.vmap(change, in_axes=(0, None, None))(
        simulator.members, states, actions
    )
    moved = scale.mean[None, :, None] + scale.deviation[None, :, None] * found
    return states[None] + moved


def dynamics() -> Dynamics:
    """The `Dynamics` whose parameters are a `Simulator`; its outcomes are empty.

    Returns:
      `sample` answers with one member for each row, `mean` with the mean of all;
      `spread` knows of disagreement only, since members predict no noise.
    """
    return Dynamics(_sample, _mean, _spread)


def _mean(
    params: Simulator, states: Array, actions: Array, amounts: Array | None = None
) -> Step:
    del amounts
    return _step(advance(params, states.T, actions).T)


def _sample(params: Simulator, key: Key, states: Array, actions: Array) -> Step:
    following = _every(params, states.T, actions)
    member = jax.random.randint(key, actions.shape, 0, following.shape[0])
    return _step(following[member, :, jnp.arange(actions.size)])


def _spread(params: Simulator, states: Array, actions: Array) -> Spread:
    following = _every(params, states.T, actions)
    apart = following[:, None] - following[None]
    distance = jnp.linalg.norm(apart, axis=2)
    return Spread(jnp.zeros(actions.shape), jnp.max(distance, axis=(0, 1)))


def _step(states: Array) -> Step:
    return Step(states, jnp.zeros((states.shape[0], 0)))

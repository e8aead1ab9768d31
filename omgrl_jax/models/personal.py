"""The simulator of one agent: folded networks, averaged, as a `Dynamics`.

Whatever a model is told of an agent (latent factors, a number, its past), once the
agent is known it folds into a plain perceptron. What is left to choose is how actions
reach it: discrete ones have a last layer each (`change`), continuous ones join the
states (`change_joined`) or weigh last layers (`change_mixed`). Planners and rollouts
see nothing of that.

What the networks see and say is standardised twice: states by their own scale, changes
by theirs, since a step changes some features by a thousandth of their range.
"""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp

from omgrl_jax import networks
from omgrl_jax.types import Array, Dynamics, Key, Params, Spread, Step

# (one member's folded parameters, states [S, B], actions [..., B]) -> [S, B], the
# standardised change of states that stand side by side.
Change = Callable[[Any, Array, Array], Array]


class Personal(NamedTuple):
    """One member's simulator of one agent.

    Attributes:
      body: parameters of an MLP from [S] to [W], or from [S + P].
      head: [K, W, S] last layers, after a ReLU: of discrete actions one each.
      bias: [K, S].
    """

    body: Params
    head: Array
    bias: Array


class Mixed(NamedTuple):
    """One whose last layers are weighed by what continuous actions are.

    Attributes:
      network: K last layers over what is known of the state.
      weights: parameters of an MLP from actions [P] to weights [K].
    """

    network: Personal
    weights: Params


class Changes(NamedTuple):
    """Scale of the changes of standardised states in one step.

    Attributes:
      mean: [S].
      deviation: [S], above zero.
    """

    mean: Array
    deviation: Array


def fit_changes(change: Array) -> Changes:
    """The scale of changes [M, S]; features whose change is constant keep it."""
    deviation, largest = jnp.std(change, axis=0), jnp.max(jnp.abs(change), axis=0)
    # A constant has a deviation of some units in its last place.
    still = deviation <= 1e-5 * largest
    return Changes(jnp.mean(change, axis=0), jnp.where(still, 1.0, deviation))


def change(personal: Personal, states: Array, actions: Array) -> Array:
    """The standardised change of states that stand side by side, by discrete actions.

    Args:
      personal: one member, K = A.
      states: [S, B].
      actions: [B].

    Returns:
      [S, B].
    """
    chex.assert_shape(states, (personal.head.shape[2], *actions.shape))
    every = _layers(personal, states)
    taken = jnp.zeros(states.shape)
    for action in range(personal.head.shape[0]):
        taken = jnp.where((actions == action)[None], every[action], taken)
    return taken


def change_joined(personal: Personal, states: Array, actions: Array) -> Array:
    """`change` of a member with one last layer that sees actions beside the state.

    Args:
      personal: one member, K = 1, whose body takes [S + P].
      states: [S, B].
      actions: [P, B].

    Returns:
      [S, B].
    """
    chex.assert_shape(states, (personal.head.shape[2], actions.shape[1]))
    return _layers(personal, jnp.concatenate([states, actions]))[0]


def change_mixed(mixed: Mixed, states: Array, actions: Array) -> Array:
    """`change` of a member whose last layers are weighed by continuous actions.

    Args:
      mixed: one member.
      states: [S, B].
      actions: [P, B].

    Returns:
      [S, B].
    """
    chex.assert_shape(states, (mixed.network.head.shape[2], actions.shape[1]))
    weights = networks.apply_columns(mixed.weights, actions)
    return jnp.sum(weights[:, None] * _layers(mixed.network, states), axis=0)


def _layers(personal: Personal, columns: Array) -> Array:
    """What all K last layers say, [K, S, B]."""
    count, width, size = personal.head.shape
    hidden = jax.nn.relu(networks.apply_columns(personal.body, columns))
    # All at once: one product of matrices instead of a gather of them.
    wide = jnp.moveaxis(personal.head, 1, 2).reshape(-1, width)
    return (wide @ hidden).reshape(count, size, -1) + personal.bias[..., None]


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Simulator:
    """One agent's simulators: the parameters of its `Dynamics`.

    Attributes:
      members: folded parameters, leaves [E, ...].
      changes: scale of their answers.
      change: how they answer; static, a function of this module.
    """

    members: Personal | Mixed
    changes: Changes
    change: Change = dataclasses.field(default=change, metadata={"static": True})


def advance(simulator: Simulator, states: Array, actions: Array) -> Array:
    """The members' mean next states of states [S, B] side by side.

    Args:
      simulator: of the agent.
      states: [S, B] standardised.
      actions: [B], or [P, B].

    Returns:
      [S, B].
    """
    return jnp.mean(_every(simulator, states, actions), axis=0)


def _every(simulator: Simulator, states: Array, actions: Array) -> Array:
    """Each member's next states [E, S, B]."""
    scale = simulator.changes
    each = jax.vmap(simulator.change, in_axes=(0, None, None))
    found = each(simulator.members, states, actions)
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
    return _step(advance(params, states.T, actions.T).T)


def _sample(params: Simulator, key: Key, states: Array, actions: Array) -> Step:
    following = _every(params, states.T, actions.T)
    rows = states.shape[0]
    member = jax.random.randint(key, (rows,), 0, following.shape[0])
    return _step(following[member, :, jnp.arange(rows)])


def _spread(params: Simulator, states: Array, actions: Array) -> Spread:
    following = _every(params, states.T, actions.T)
    apart = following[:, None] - following[None]
    distance = jnp.linalg.norm(apart, axis=2)
    return Spread(jnp.zeros(states.shape[0]), jnp.max(distance, axis=(0, 1)))


def _step(states: Array) -> Step:
    return Step(states, jnp.zeros((states.shape[0], 0)))

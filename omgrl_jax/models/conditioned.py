"""Dynamics by one perceptron that is told something about the agent, or nothing.

What PerSim is compared with: one model for all agents (told nothing), an ensemble that
is told the agent's number as a one-hot column, and a model that is told the agent's
last steps through an encoder, after context-aware dynamics (Lee et al. 2020, arXiv
2005.06800; here with the loss of one step). What is told shifts the first layer.
Discrete actions have a last layer each; continuous ones join the state. All of them
fold into `personal.Personal`.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from omgrl_jax import actions as actions_lib
from omgrl_jax import networks
from omgrl_jax.models import personal as personal_lib
from omgrl_jax.models.personal import Personal
from omgrl_jax.ops.likelihood import regression_loss
from omgrl_jax.types import Array, Key, Params


class Example(NamedTuple):
    """One recorded step; every field may carry leading batch axes.

    Attributes:
      told: what the model is told: [] the agent's number, or [Q] its past.
      state: [S] standardised.
      action: [] int32, or [P] where actions are continuous. Networks see these as they
        are: scale them first where their box is far from [-1, 1].
      change: [S] standardised change of the state.
    """

    told: Array
    state: Array
    action: Array
    change: Array


class Teller(NamedTuple):
    """How a model is told of the agent.

    Attributes:
      init: `(key, width W) -> params`.
      shift: `(params, told) -> [W]`, what is added to the first layer's answers.
    """

    init: Callable[[Key, int], Params]
    shift: Callable[[Params, Array], Array]


class Conditioned(NamedTuple):
    """One member as pure functions.

    Attributes:
      init: `(key) -> params`.
      loss: `(context, params, example) -> []`, `regression_loss` of the change.
      fold: `(params, told) -> Personal`.
      folded: how the folded parameters answer.
    """

    init: Callable[[Key], Params]
    loss: Callable[[Any, Params, Example], Array]
    fold: Callable[[Params, Array], Personal]
    folded: personal_lib.Change


class _Params(NamedTuple):
    teller: Params
    network: Personal


def nothing() -> Teller:
    """One model for all agents."""
    return Teller(
        init=lambda key, width: (),
        shift=lambda params, told: jnp.zeros(()),
    )


def number(num_agents: int) -> Teller:
    """The agent's number, one-hot: a row of weights [W] for each of N agents."""

    def init(key: Key, width: int) -> Params:
        # As a dense layer over N columns would draw them.
        return jax.random.normal(key, (num_agents, width)) / jnp.sqrt(
            jnp.float32(num_agents)
        )

    return Teller(init, lambda table, told: table[told])


def past(size: int, hidden: tuple[int, ...], context: int) -> Teller:
    """The agent's last steps, encoded.

    Args:
      size: Q numbers that describe them.
      hidden: widths of the encoder's layers.
      context: numbers that it makes of them.
    """
    encoder = networks.MLP(hidden, context)

    def init(key: Key, width: int) -> Params:
        encoder_key, last_key = jax.random.split(key)
        scale = jnp.sqrt(jnp.float32(context))
        return (
            encoder.init(encoder_key, jnp.zeros(size)),
            jax.random.normal(last_key, (context, width)) / scale,
        )

    def shift(params: Params, told: Array) -> Array:
        encoding, last = params
        return networks.apply(encoder, encoding, told) @ last

    return Teller(init, shift)


def make(
    teller: Teller,
    widths: tuple[int, ...],
    state_dim: int,
    num_actions: int = 0,
    huber: float = 0.0,
    action_dim: int = 0,
) -> Conditioned:
    """Builds the functions.

    Args:
      teller: what the model is told.
      widths: of its layers, at least one.
      state_dim: S.
      num_actions: A, for discrete actions.
      huber: see `ops.likelihood.regression_loss`.
      action_dim: P, for continuous ones.

    Returns:
      The functions.

    Raises:
      ValueError: unless actions are either discrete or continuous.
    """
    actions_lib.check_kind(num_actions, action_dim)
    discrete, layers = num_actions > 0, max(num_actions, 1)
    body = networks.MLP(widths[:-1], widths[-1])

    def init(key: Key) -> _Params:
        teller_key, body_key, head_key = jax.random.split(key, 3)
        shape = (layers, widths[-1], state_dim)
        scale = jnp.sqrt(jnp.float32(widths[-1]))
        network = Personal(
            body=body.init(body_key, jnp.zeros(state_dim + action_dim)),
            head=jax.random.normal(head_key, shape) / scale,
            bias=jnp.zeros((layers, state_dim)),
        )
        return _Params(teller.init(teller_key, widths[0]), network)

    def fold(params: _Params, told: Array) -> Personal:
        layers = params.network.body["params"]
        first = layers["Dense_0"]
        bias = first["bias"] + teller.shift(params.teller, told)
        shifted = {"params": {**layers, "Dense_0": {**first, "bias": bias}}}
        return params.network._replace(body=shifted)

    def loss(context: Any, params: _Params, example: Example) -> Array:
        del context
        personal = fold(params, example.told)
        inputs, layer = example.state, example.action
        if not discrete:
            inputs, layer = jnp.concatenate([inputs, example.action]), 0
        hidden = jax.nn.relu(networks.apply(body, personal.body, inputs))
        every = jnp.einsum("w,aws->as", hidden, personal.head) + personal.bias
        return regression_loss(every[layer] - example.change, huber)

    folded = personal_lib.change if discrete else personal_lib.change_joined
    return Conditioned(init, loss, fold, folded)

"""Personal dynamics by low-rank factors: PerSim (NeurIPS 2021, Section 4).

The change of state feature d of agent n is

    sum_k u[n, k] a_k(action) g[d, k](state)

with latent factors of agents, actions and states of rank R: agents with few data borrow
from each other what g and a are, and keep u as their own. Once an agent is given, u
folds into the last layer of g, and with it the table of discrete actions: the personal
simulator of an agent costs no more than a plain perceptron. Of continuous actions a is
a perceptron, which weighs R last layers.
"""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from omgrl_jax import actions as actions_lib
from omgrl_jax import networks
from omgrl_jax.models import personal
from omgrl_jax.models.personal import Mixed, Personal
from omgrl_jax.ops import regression
from omgrl_jax.ops.likelihood import regression_loss
from omgrl_jax.types import Array, Key, Params

_APART = 0.1  # standard deviation of agents' factors at the start, around 1


@dataclasses.dataclass(frozen=True)
class Config:
    """Shape of the factors.

    Attributes:
      rank: number of latent factors R.
      state_hidden: widths of the layers of the state factor g.
      action_hidden: widths of the layers of the action factor of continuous actions.
      huber: standardised error beyond which the loss grows in proportion, no longer
        with the square; 0 for squares throughout, as published. Where a world has
        rare jolts (a car that hits a wall), squares see little else.
    """

    rank: int = dataclasses.field(default=5, metadata={"min": 1})
    state_hidden: tuple[int, ...] = dataclasses.field(
        default=(256,), metadata={"min": 1}
    )
    action_hidden: tuple[int, ...] = (512, 512)
    huber: float = dataclasses.field(default=1.0, metadata={"min": 0})

    def __post_init__(self) -> None:
        """Rejects a state factor without a layer."""
        if not self.state_hidden:
            raise ValueError("state_hidden=(): the state factor needs a layer at least")


class Example(NamedTuple):
    """One recorded step; every field may carry leading batch axes.

    Attributes:
      agent: [] int32 whose step.
      state: [S] standardised.
      action: [] int32, or [P] where actions are continuous. Networks see these as they
        are: scale them first where their box is far from [-1, 1].
      change: [S] standardised change of the state.
    """

    agent: Array
    state: Array
    action: Array
    change: Array


class Shared(NamedTuple):
    """What all agents have in common.

    Attributes:
      actions: [A, R] table, or the parameters of a perceptron from [P] to [R].
      body: parameters of g below its last layer.
      head: [W, S, R] its last layer.
      bias: [S, R].
    """

    actions: Params
    body: Params
    head: Array
    bias: Array


class Factors(NamedTuple):
    """One member's parameters.

    Attributes:
      agents: [N, R] latent factors u.
      shared: the rest.
    """

    agents: Array
    shared: Shared


class LowRank(NamedTuple):
    """One member as pure functions.

    Attributes:
      init: `(key) -> Factors`.
      change: `(shared, u [R], state [S], action) -> [S]`, standardised.
      response: `(shared, state [S], action) -> [S, R]`; its product with u is `change`.
      loss: `(context, factors, example) -> []`, `regression_loss` of the change.
      fold: `(shared, u [R]) -> Personal`, or `Mixed` where actions are continuous.
      folded: how the folded parameters answer.
    """

    init: Callable[[Key], Factors]
    change: Callable[[Shared, Array, Array, Array], Array]
    response: Callable[[Shared, Array, Array], Array]
    loss: Callable[[Any, Factors, Example], Array]
    fold: Callable[[Shared, Array], Personal | Mixed]
    folded: personal.Change


def make(
    config: Config,
    num_agents: int,
    state_dim: int,
    num_actions: int = 0,
    action_dim: int = 0,
) -> LowRank:
    """Builds the functions.

    Args:
      config: shape of the factors.
      num_agents: N.
      state_dim: S.
      num_actions: A, for discrete actions.
      action_dim: P, for continuous ones.

    Returns:
      The functions.

    Raises:
      ValueError: unless actions are either discrete or continuous, or if there are more
        factors than agents, which then say nothing of each other.
    """
    actions_lib.check_kind(num_actions, action_dim)
    if config.rank > num_agents:
        raise ValueError(
            f"rank={config.rank} for {num_agents} agents: choose a rank of "
            f"{num_agents} at most"
        )
    discrete, rank = num_actions > 0, config.rank
    width = config.state_hidden[-1]
    body = networks.MLP(config.state_hidden[:-1], width)
    action_network = networks.MLP(config.action_hidden, rank)

    def init(key: Key) -> Factors:
        agents, actions, low, high = jax.random.split(key, 4)
        if discrete:
            table = _unit(actions, (num_actions, rank), rank)
        else:
            table = action_network.init(actions, jnp.zeros(action_dim))
        shared = Shared(
            actions=table,
            body=body.init(low, jnp.zeros(state_dim)),
            head=_unit(high, (width, state_dim, rank), width),
            bias=jnp.zeros((state_dim, rank)),
        )
        # All alike at first: what agents share is learned before what sets them apart.
        apart = _APART * jax.random.normal(agents, (num_agents, rank))
        return Factors(1.0 + apart, shared)

    def hidden(params: Params, states: Array) -> Array:
        return jax.nn.relu(networks.apply(body, params, states))

    def response(shared: Shared, state: Array, action: Array) -> Array:
        if discrete:
            factor = shared.actions[action]
        else:
            factor = networks.apply(action_network, shared.actions, action)
        # States first: of a batch this is one product, whatever its actions are.
        g = jnp.tensordot(hidden(shared.body, state), shared.head, 1) + shared.bias
        return g * factor[None]

    def change(shared: Shared, u: Array, state: Array, action: Array) -> Array:
        return response(shared, state, action) @ u

    def loss(context: Any, factors: Factors, example: Example) -> Array:
        del context
        u = factors.agents[example.agent]
        found = change(factors.shared, u, example.state, example.action)
        return regression_loss(found - example.change, config.huber)

    if discrete:
        return LowRank(init, change, response, loss, _fold_table, personal.change)
    return LowRank(init, change, response, loss, _fold_network, personal.change_mixed)


def _fold_table(shared: Shared, u: Array) -> Personal:
    """Discrete actions: a last layer each."""
    weights = u[None] * shared.actions  # [A, R]
    return Personal(
        body=shared.body,
        head=jnp.einsum("wsk,ak->aws", shared.head, weights),
        bias=jnp.einsum("sk,ak->as", shared.bias, weights),
    )


def _fold_network(shared: Shared, u: Array) -> Mixed:
    """Continuous actions: a last layer for each of the R factors that they weigh."""
    network = Personal(
        body=shared.body,
        head=jnp.einsum("wsk,k->kws", shared.head, u),
        bias=jnp.einsum("sk,k->ks", shared.bias, u),
    )
    return Mixed(network, shared.actions)


def _unit(key: Key, shape: tuple[int, ...], fan_in: int) -> Array:
    return jax.random.normal(key, shape) / jnp.sqrt(jnp.float32(fan_in))


def infer(
    model: LowRank,
    shared: Shared,
    prior: Array,
    steps: Example,
    counted: Array,
    strength: Array | float,
) -> Array:
    """The latent factor of an agent who was not there when the rest was fitted.

    Everything else stays as it is; the change is linear in the factor, so that the
    best one solves a ridge regression around what agents are like on average.

    Args:
      model: the functions.
      shared: one member's fitted parameters.
      prior: [R] mean factor of the agents who were there.
      steps: the new agent's steps, leaves [M, ...]; their `agent` does not matter.
      counted: [M] bool, which of them are there.
      strength: [] weight of the prior in the ridge regression.

    Returns:
      [R].
    """
    every = jax.vmap(model.response, in_axes=(None, 0, 0))
    # Rows of zeros say nothing, whatever is left to explain there.
    rows = every(shared, steps.state, steps.action) * counted[:, None, None]
    left = steps.change - rows @ prior
    return prior + regression.ridge(
        rows.reshape(-1, prior.size), left.reshape(-1), strength
    )

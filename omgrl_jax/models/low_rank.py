"""Personal dynamics by low-rank factors: PerSim (NeurIPS 2021, Section 4).

The change of state feature d of agent n is

    sum_k u[n, k] a_k(action) g[d, k](state)

with latent factors of agents, actions and states of rank R: agents with few data borrow
from each other what g and a are, and keep u as their own. Once an agent (and, where
actions are discrete, an action) is given, the sum over k folds into the last layer of
g: the personal simulator of an agent costs no more than a plain perceptron.
"""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from omgrl_jax import networks
from omgrl_jax.types import Array, Key, Params


@dataclasses.dataclass(frozen=True)
class Config:
    """Shape of the factors.

    Attributes:
      rank: number of latent factors R.
      state_hidden: widths of the layers of the state factor g.
      action_hidden: widths of the layers of the action factor of continuous actions.
    """

    rank: int = dataclasses.field(default=5, metadata={"min": 1})
    state_hidden: tuple[int, ...] = dataclasses.field(
        default=(256,), metadata={"min": 1}
    )
    action_hidden: tuple[int, ...] = (512, 512)

    def __post_init__(self) -> None:
        """Rejects a state factor without a layer."""
        if not self.state_hidden:
            raise ValueError("state_hidden=(): the state factor needs a layer at least")


class Example(NamedTuple):
    """One recorded step; every field may carry leading batch axes.

    Attributes:
      agent: [] int32 whose step.
      state: [S] standardised.
      action: [] int32, or [P] where actions are continuous.
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


class Personal(NamedTuple):
    """One agent's simulator where actions are discrete: u and a folded into g.

    Attributes:
      body: parameters of g below its last layer.
      head: [A, W, S].
      bias: [A, S].
    """

    body: Params
    head: Array
    bias: Array


class LowRank(NamedTuple):
    """One member as pure functions.

    Attributes:
      init: `(key) -> Factors`.
      change: `(shared, u [R], state [S], action) -> [S]`, standardised.
      loss: `(context, factors, example) -> []`, half the squared error of the change.
      fold: `(shared, u [R]) -> Personal`; raises ValueError where actions are
        continuous.
      personal_change: `(personal, states [B, S], actions [B]) -> [B, S]`.
    """

    init: Callable[[Key], Factors]
    change: Callable[[Shared, Array, Array, Array], Array]
    loss: Callable[[Any, Factors, Example], Array]
    fold: Callable[[Shared, Array], Personal]
    personal_change: Callable[[Personal, Array, Array], Array]


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
      ValueError: unless actions are either discrete or continuous.
    """
    if (num_actions > 0) == (action_dim > 0):
        raise ValueError(
            f"num_actions={num_actions}, action_dim={action_dim}: actions are either "
            "discrete or continuous, so that one must be 0 and the other above"
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
        return Factors(_unit(agents, (num_agents, rank), 1), shared)

    def hidden(params: Params, states: Array) -> Array:
        return jax.nn.relu(networks.apply(body, params, states))

    def change(shared: Shared, u: Array, state: Array, action: Array) -> Array:
        if discrete:
            factor = shared.actions[action]
        else:
            factor = networks.apply(action_network, shared.actions, action)
        weight = u * factor
        return (
            hidden(shared.body, state) @ (shared.head @ weight) + shared.bias @ weight
        )

    def loss(context: Any, factors: Factors, example: Example) -> Array:
        del context
        u = factors.agents[example.agent]
        found = change(factors.shared, u, example.state, example.action)
        return 0.5 * jnp.mean(jnp.square(found - example.change))

    def fold(shared: Shared, u: Array) -> Personal:
        if not discrete:
            raise ValueError(
                "only discrete actions can be folded into the state factor"
            )
        weights = u[None] * shared.actions  # [A, R]
        return Personal(
            body=shared.body,
            head=jnp.einsum("wsk,ak->aws", shared.head, weights),
            bias=jnp.einsum("sk,ak->as", shared.bias, weights),
        )

    def personal_change(personal: Personal, states: Array, actions: Array) -> Array:
        # All actions at once: one product of matrices instead of a gather of them.
        wide = jnp.moveaxis(personal.head, 0, 1).reshape(width, -1)
        every = hidden(personal.body, states) @ wide + personal.bias.reshape(1, -1)
        every = every.reshape(*actions.shape, num_actions, state_dim)
        taken = jax.nn.one_hot(actions, num_actions, dtype=every.dtype)
        return jnp.sum(every * taken[..., None], axis=-2)

    return LowRank(init, change, loss, fold, personal_change)


def _unit(key: Key, shape: tuple[int, ...], fan_in: int) -> Array:
    return jax.random.normal(key, shape) / jnp.sqrt(jnp.float32(fan_in))

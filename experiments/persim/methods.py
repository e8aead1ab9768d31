"""Simulators to compare: what each is told of an agent, and how it is fitted.

Each method learns from the same logs and gives the same thing, a `personal.Simulator`
of an agent. Widths, members and steps of training are the same for all; scales are
those of all agents who may be learned from, however few of them a fit is given.
"""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from experiments.persim import logs as logs_lib
from experiments.persim.logs import Logs
from omgrl_jax.models import conditioned, ensemble, low_rank
from omgrl_jax.models.ensemble import FitConfig
from omgrl_jax.models.personal import Change, Changes, Simulator
from omgrl_jax.types import Array, Key, Params

_HELD_OUT = 0.05  # share of the steps by which the best epoch is chosen


@dataclasses.dataclass(frozen=True)
class PastConfig:
    """What a context-aware model is told, and how.

    Attributes:
      steps: last steps of the agent that it sees.
      hidden: widths of the layers of its encoder.
      context: numbers that the encoder makes of them.
    """

    steps: int = dataclasses.field(default=5, metadata={"min": 1})
    hidden: tuple[int, ...] = (64,)
    context: int = dataclasses.field(default=10, metadata={"min": 1})


class Shape(NamedTuple):
    """What networks are made for.

    Attributes:
      agents: number of agents.
      states: number of state features.
      actions: number of discrete actions; 0 where they are continuous.
      action_dim: number of features of continuous actions; 0 where they are discrete.
    """

    agents: int
    states: int
    actions: int
    action_dim: int = 0

    @property
    def action_width(self) -> int:
        """How many numbers describe an action."""
        return self.actions + self.action_dim


class Model(NamedTuple):
    """One kind of simulator as pure functions of one member.

    Attributes:
      init: `(key) -> params`.
      loss: `(context, params, example) -> []`.
      examples: `(logs) ->` what `loss` is fitted on.
      tell: `(params, agent [], past [Q]) ->` the folded parameters of an agent.
      change: how these answer.
    """

    init: Callable[[Key], Params]
    loss: Callable[[Any, Params, Any], Array]
    examples: Callable[[Logs], Any]
    tell: Callable[[Params, Array, Array], Any]
    change: Change


def persim(shape: Shape, rank: low_rank.Config, past: PastConfig) -> Model:
    """PerSim: latent factors of agents, actions and states."""
    del past
    model = low_rank.make(rank, *shape)
    return Model(
        init=model.init,
        loss=model.loss,
        examples=lambda logs: low_rank.Example(
            logs.agent, logs.state, logs.action, logs.change
        ),
        tell=lambda factors, agent, past: model.fold(
            factors.shared, factors.agents[agent]
        ),
        change=model.folded,
    )


def one_hot(shape: Shape, rank: low_rank.Config, past: PastConfig) -> Model:
    """A perceptron that is told the agent's number."""
    del past
    teller = conditioned.number(shape.agents)
    return _told(shape, rank, teller, lambda logs: logs.agent, lambda n, past: n)


def context_aware(shape: Shape, rank: low_rank.Config, past: PastConfig) -> Model:
    """A perceptron that is told the agent's last steps."""
    size = logs_lib.past_size(past.steps, shape.states, shape.action_width)
    teller = conditioned.past(size, past.hidden, past.context)
    return _told(shape, rank, teller, lambda logs: logs.past, lambda n, past: past)


def untold(shape: Shape, rank: low_rank.Config, past: PastConfig) -> Model:
    """A perceptron that is told nothing: one model for all agents, or for one."""
    del past
    teller = conditioned.nothing()
    return _told(shape, rank, teller, lambda logs: logs.agent, lambda n, past: n)


def _told(
    shape: Shape,
    rank: low_rank.Config,
    teller: conditioned.Teller,
    told: Callable[[Logs], Array],
    of: Callable[[Array, Array], Array],
) -> Model:
    model = conditioned.make(
        teller,
        rank.state_hidden,
        shape.states,
        shape.actions,
        rank.huber,
        shape.action_dim,
    )
    return Model(
        init=model.init,
        loss=model.loss,
        examples=lambda logs: conditioned.Example(
            told(logs), logs.state, logs.action, logs.change
        ),
        tell=lambda params, agent, past: model.fold(params, of(agent, past)),
        change=model.folded,
    )


# Who serve an agent who was in no fit as they serve the others.
KNOW_NO_AGENT = ("untold", "context_aware")
# In the order of the tables; `alone` is fitted by `fit_alone`.
MODELS = {
    "persim": persim,
    "one_hot": one_hot,
    "context_aware": context_aware,
    "untold": untold,
    "alone": untold,
}


def fit(key: Key, model: Model, logs: Logs, rows: int, config: FitConfig) -> Params:
    """Fits the members of one model.

    Args:
      key: consumed.
      model: the functions; the same object for all seeds, which compile it once.
      logs: steps of the agents to learn from.
      rows: steps that an epoch has; fewer are met again and again, so that every model
        is trained as long, and by the same program.
      config: settings.

    Returns:
      Members, leaves [E, ...].
    """
    split_key, fit_key = jax.random.split(key)
    order = np.asarray(jax.random.permutation(split_key, logs.agent.shape[0]))
    held = max(1, int(_HELD_OUT * order.size))
    every = max(1, int(_HELD_OUT * rows))
    held_out, train = np.resize(order[:held], every), order[held:]
    train = np.resize(train, rows - every)
    found = ensemble.fit(
        fit_key,
        model.init,
        model.loss,
        (),
        model.examples(_rows(logs, train)),
        model.examples(_rows(logs, held_out)),
        jnp.zeros(train.size, jnp.int32),  # members share all rows: no bootstrap
        config,
    )
    return found.params


def fit_alone(
    key: Key, model: Model, logs: Logs, rows: int, config: FitConfig
) -> Params:
    """Fits a model of its own to each agent of the logs, whose numbers are 0..N-1.

    Args:
      key: consumed.
      model: the functions.
      logs: steps of these agents alone.
      rows: see `fit`.
      config: settings.

    Returns:
      Members, leaves [E, N, ...].
    """
    agent = np.asarray(logs.agent)
    keys = jax.random.split(key, int(agent.max()) + 1)
    found = [
        fit(own, model, _rows(logs, np.flatnonzero(agent == number)), rows, config)
        for number, own in enumerate(keys)
    ]
    return jax.tree.map(lambda *leaves: jnp.stack(leaves, axis=1), *found)


def of_each(model: Model) -> Model:
    """A model whose members hold one network for each agent, leaves [N, ...]."""

    def tell(params: Params, agent: Array, past: Array) -> Any:
        return model.tell(jax.tree.map(lambda x: x[agent], params), agent, past)

    return model._replace(tell=tell)


def averaged(params: low_rank.Factors, agents: np.ndarray) -> low_rank.Factors:
    """PerSim without what is personal: the mean of the fitted agents' factors for all.

    Args:
      params: members, leaves [E, ...].
      agents: numbers of those whom they were fitted to.
    """
    middle = jnp.mean(params.agents[:, agents], axis=1, keepdims=True)
    return params._replace(agents=jnp.broadcast_to(middle, params.agents.shape))


def simulator(
    model: Model, params: Params, changes: Changes, agent: Array, past: Array
) -> Simulator:
    """The simulator of one agent [] whose last steps are `past` [Q]."""
    tell = jax.vmap(model.tell, in_axes=(0, None, None))
    return Simulator(tell(params, agent, past), changes, model.change)


def _rows(logs: Logs, rows: np.ndarray) -> Logs:
    return jax.tree.map(lambda x: x[rows], logs)

"""IQL with multi-task heads: implicit Q-learning on a trunk that also foretells.

    recorded transitions -> one trunk -> Q, V, the policy, next values of channels

One loss and one optimiser for all heads; every value is of a recorded action, as in
implicit Q-learning (arXiv 2110.06169, Eq. 5 to 7):

    L = sum over copies of (r + discount V(s') - Q(s, a))^2 / 2     V held constant
      + |tau - 1(u < 0)| u^2,  u = Q_target(s, a) - V(s)
      - min(exp((Q_target(s, a) - V(s)) / temperature), max_weight) log pi(a | s)
      - entropy_weight * entropy of pi(. | s)
      + auxiliary_weight * sum over channels of the error of their next value

The first two are measured in units of the recorded reward's standard deviation. Where
there are validation records, the parameters of the best epoch are kept, and learning
stops `patience` epochs later. What is watched is how likely the policy holds validation
patients' actions, weighted by advantage as in its loss, and the auxiliary errors; not
the temporal difference error, which begins near zero and grows for as long as values
travel back from the ends, so that it would stop learning at once.
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from omgrl_jax import optimize
from omgrl_jax.data import records as records_lib
from omgrl_jax.data.records import Records
from omgrl_jax.data.space import Space
from omgrl_jax.learners import dyna, following, multitask, multitask_loss, recorded
from omgrl_jax.learners import soft_actor_critic as sac
from omgrl_jax.types import Algorithm, Array, Key, Metrics, Params


@dataclasses.dataclass(frozen=True)
class Config(multitask_loss.Objective):
    """Settings of IQL with multi-task heads.

    Attributes:
      hidden: widths of the trunk's layers.
      dropout: share of units dropped while learning.
      auxiliary: channels whose next value is foretold; empty for all but a recorded
        reward.
      learning_rate: AdamW's step size.
      weight_decay: decoupled weight decay.
      max_gradient_norm: gradients are clipped to this global norm; 0 for no clipping.
      batch_size: transitions per update.
      patience: epochs without a better validation loss after which learning stops, the
        best parameters kept; 0 learns to the end and keeps the last.
      agent: of it only discount, updates and target_rate; its networks, step sizes,
        clipping, batch size and entropy have no effect here.
    """

    hidden: tuple[int, ...] = (256, 256, 128)
    dropout: float = 0.1
    auxiliary: tuple[str, ...] = ()
    learning_rate: float = 3e-4
    weight_decay: float = 1e-4
    max_gradient_norm: float = 1.0
    batch_size: int = 1024
    patience: int = 20
    agent: sac.AgentConfig = dataclasses.field(default_factory=sac.AgentConfig)

    def __post_init__(self) -> None:
        """Rejects settings that cannot work, naming the field."""
        super().__post_init__()
        if not 0.0 <= self.dropout < 1.0:
            raise ValueError("dropout must be at least 0 and below 1")
        if self.learning_rate <= 0.0 or self.batch_size < 1:
            raise ValueError("learning_rate and batch_size must be above 0")
        if min(self.weight_decay, self.max_gradient_norm, self.patience) < 0:
            raise ValueError(
                "weight_decay, max_gradient_norm and patience must be at least 0"
            )


class State(NamedTuple):
    """The state of IQL with multi-task heads.

    Attributes:
      learner: parameters of trunk and heads with their optimiser.
      target: the slowly moving parameters.
      best: the parameters that dose: of the best epoch, or the last.
      waited: [] int32 epochs since the best one, `patience` at most.
      scale: [] unit of the values: the recorded reward's standard deviation, else 1.
    """

    learner: optimize.Learner
    target: Params
    best: Params
    waited: Array
    scale: Array


class Values(NamedTuple):
    """Values of states [..., S] in the unit of the rewards.

    Attributes:
      q: [..., A] action values, the smaller of the two copies.
      v: [...] state values.
    """

    q: Array
    v: Array


def make(config: Config, space: Space) -> Algorithm:
    """Builds IQL with multi-task heads.

    Args:
      config: settings.
      space: the task.

    Returns:
      The algorithm; `data` is `dyna.Data`, with validation records unless `patience` is
      0.

    Raises:
      ValueError: if the schema defines no reward or lacks an auxiliary channel; when
        traced, if validation records are wanted and missing.
    """
    network, channels = _network(config, space), _channels(config, space)
    optimizer = optimize.adam(
        config.learning_rate, config.max_gradient_norm, config.weight_decay
    )
    loss = multitask_loss.make_loss(config, network, config.agent.discount)
    gradient_step = optimize.gradient_step(loss, optimizer)

    def init(key: Key, data: dyna.Data) -> State:
        params, scale = network.init(key), jnp.float32(1.0)
        if space.recorded_reward is not None:
            scale = data.world.scales.channel.std[space.recorded_reward]
        learner = optimize.start(optimizer, params)
        return State(learner, params, params, jnp.int32(0), scale)

    def step(
        state: State, reward: sac.RewardFunction, data: dyna.Data, key: Key
    ) -> tuple[State, Metrics]:
        rows_key, dropout_key = jax.random.split(key)
        rows = records_lib.sample_rows(data.train, rows_key, config.batch_size)
        steps = records_lib.transition_at(data.train, rows)
        found = following.found_in(data.train, rows, channels, data.measurements)
        batch = multitask_loss.Batch(steps, reward(steps), found, state.scale)
        learner, metrics = gradient_step(
            state.learner, state.target, batch, dropout_key
        )
        target = optax.incremental_update(
            learner.params, state.target, config.agent.target_rate
        )
        return state._replace(learner=learner, target=target), metrics

    learn = recorded.make_epoch(config.agent.updates, space, step)
    look = recorded.make_epoch(1, space, step)
    keep_best = _make_keeper(config, network, channels)
    ask = values(config, space)

    def stand_still(state: State, key: Key, data: dyna.Data) -> tuple[State, Metrics]:
        return state, look(state, key, data)[1]

    def update(state: State, key: Key, data: dyna.Data) -> tuple[State, Metrics]:
        if not config.patience:
            state, metrics = learn(state, key, data)
            return state._replace(best=state.learner.params), metrics
        if data.validation is None:
            raise ValueError(
                "multitask_iql stops early on validation records, of which there are "
                "none: give some, or --multitask_iql_patience=0"
            )
        stopped = state.waited >= config.patience
        state, metrics = jax.lax.cond(stopped, stand_still, learn, state, key, data)
        state, metrics["validation/loss"] = keep_best(state, data.validation)
        metrics["validation/stopped"] = stopped.astype(jnp.float32)
        return state, metrics

    def policy_params(state: State) -> Params:
        return state.best

    def action_values(state: State, observations: Array) -> Array:
        return ask(state, observations).q

    return Algorithm(
        init, update, network.policy, policy_params, action_values=action_values
    )


def values(config: Config, space: Space) -> Callable[[State, Array], Values]:
    """How the values of a trained state are asked for.

    Args:
      config: the settings given to `make`.
      space: the task.

    Returns:
      `(state, states [..., S]) -> Values`, of the parameters that dose.
    """
    network = _network(config, space)

    def ask(state: State, states: Array) -> Values:
        heads = network.heads(state.best, states, state.scale)
        return Values(jnp.min(heads.q, axis=0), heads.v)

    return ask


def _make_keeper(
    config: Config, network: multitask.Network, channels: np.ndarray
) -> Callable[[State, Records], tuple[State, Array]]:
    """`(state, validation records) -> (state, loss [])`: the better parameters stay."""
    judge = multitask_loss.make_judge(config, network)
    weigh = multitask_loss.make_weigh(config, network)

    def keep_best(state: State, records: Records) -> tuple[State, Array]:
        rows = records.transitions
        steps = records_lib.transition_at(records, rows)
        found = following.found_in(records, rows, channels)
        params = state.learner.params
        weights = weigh(params, state.target, steps, state.scale)
        loss = judge(params, weights, steps, found)
        better = loss < judge(state.best, weights, steps, found)
        best = jax.tree.map(functools.partial(jnp.where, better), params, state.best)
        longer = jnp.minimum(state.waited + 1, config.patience)
        return state._replace(best=best, waited=jnp.where(better, 0, longer)), loss

    return keep_best


def _network(config: Config, space: Space) -> multitask.Network:
    channels = _channels(config, space)
    sizes = (space.state_dim, space.num_actions, len(channels))
    return multitask.make(config.hidden, *sizes, config.dropout)


def _channels(config: Config, space: Space) -> np.ndarray:
    try:
        return following.channels_of(space, config.auxiliary)
    except ValueError as error:
        given = ",".join(config.auxiliary)
        raise ValueError(f"--multitask_iql_auxiliary={given}: {error}") from error

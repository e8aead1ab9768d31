"""Algorithm 1: roll out, keep, update: the loop body shared by model-based methods."""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from omgrl_jax.data import buffer as buffer_lib
from omgrl_jax.data import records as records_lib
from omgrl_jax.data import space as space_lib
from omgrl_jax.data.records import Records
from omgrl_jax.data.space import Space
from omgrl_jax.learners.soft_actor_critic import (
    AgentConfig,
    RewardFunction,
    make_values,
)
from omgrl_jax.models.rollout import rollout
from omgrl_jax.ops import draws
from omgrl_jax.types import (
    Array,
    Dynamics,
    Key,
    Metrics,
    Params,
    Policy,
    Transition,
)


@dataclasses.dataclass(frozen=True)
class RolloutConfig:
    """How the learned world is used.

    Attributes:
      horizon: rollout length h.
      rollouts: rollouts per epoch b, from recorded training states.
      kept_epochs: epochs of rollouts that the buffer holds.
    """

    horizon: int = 20
    rollouts: int = 64
    kept_epochs: int = 50


class Data(NamedTuple):
    """What every offline model-based method is given, as arguments.

    Attributes:
      train: records of the training stays.
      world: parameters of the dynamics model.
      behaviour: parameters of the fitted behaviour policy.
      starts: [K, S] states from which rollouts start; None for recorded ones.
      validation: records of other patients, for methods that stop early; None where
        nobody gives them. They only say when to stop.
      measurements: [R, C] `outcome` of the training records before a model's estimates
        took the place of held values; None where none did.
    """

    train: Records
    world: Params
    behaviour: Params
    starts: Array | None = None
    validation: Records | None = None
    measurements: Array | None = None


def empty_buffer(config: RolloutConfig, space: Space) -> buffer_lib.Buffer:
    """The rollout buffer before the first epoch."""
    example = Transition(
        state=jnp.zeros(space.state_dim),
        action=space_lib.no_action(space),
        next_state=jnp.zeros(space.state_dim),
        outcome=jnp.zeros(len(space.channels)),
        discount=jnp.float32(0.0),
        uncertainty=jnp.float32(0.0),
    )
    capacity = config.horizon * config.rollouts * config.kept_epochs
    return buffer_lib.empty(example, capacity)


def collect(
    config: RolloutConfig,
    dynamics: Dynamics,
    policy: Policy,
    params: Params,
    key: Key,
    data: Data,
    rows: Array,
) -> Transition:
    """Rolls the policy out from random states, leaves [H, B, ...].

    Args:
      config: use of the world model.
      dynamics: the world.
      policy: the policy.
      params: its parameters.
      key: consumed.
      data: records and models.
      rows: [W] rows of the records from which rollouts may start: all transitions, or
        only those from which experts' windows start too, where both are compared;
        without effect where the data bring states of their own.

    Returns:
      The transitions.
    """
    start_key, rollout_key = jax.random.split(key)
    states = data.train.states[rows] if data.starts is None else data.starts
    picks = draws.below(start_key, (config.rollouts,), states.shape[0])
    return rollout(
        dynamics,
        data.world,
        policy,
        params,
        rollout_key,
        states[picks],
        config.horizon,
    )


def keep(
    buffer: buffer_lib.Buffer, rollouts: Transition, alive: Array
) -> buffer_lib.Buffer:
    """Adds the steps of rollouts that happened to the buffer.

    Args:
      buffer: the buffer.
      rollouts: leaves [H, B, ...].
      alive: [H, B] 1.0, or 0.0 after an end; steps that happened take the places of
        those that did not.

    Returns:
      The buffer with as many rows more as there are steps.
    """
    rows = rollouts.discount.size
    happened = alive.reshape(rows) > 0
    first = jnp.argsort(~happened, stable=True)
    # Spread over all of them, early and late ones alike.
    share = jnp.sum(happened) / rows
    chosen = first[jnp.floor(share * jnp.arange(rows)).astype(jnp.int32)]
    return buffer_lib.add(
        buffer,
        jax.tree.map(lambda x: x.reshape((rows, *x.shape[2:]))[chosen], rollouts),
    )


def improve(
    config: AgentConfig,
    step: Callable[[Any, RewardFunction, Transition, Transition], tuple[Any, Metrics]],
    state: Any,
    buffer: buffer_lib.Buffer,
    reward: RewardFunction,
    key: Key,
    records: Records,
) -> tuple[Any, Metrics]:
    """`config.updates` updates on a mixture of recorded and rolled-out transitions.

    Args:
      config: the agent's settings.
      step: `(state, reward, recorded, sampled) -> (state, metrics)`, one update, such
        as the agent's own or one under limits.
      state: what it updates.
      buffer: rollouts, at least one row.
      reward: maps transitions [B] to rewards [B].
      key: consumed.
      records: training records.

    Returns:
      The new state and metrics averaged over the updates.
    """
    recorded_only = config.recorded_share == 1.0
    share = 0.5 if recorded_only else config.recorded_share
    recorded_size = round(config.batch_size * share)
    sampled_size = config.batch_size - recorded_size

    def draw(key: Key) -> tuple[Array, Array]:
        recorded_key, sampled_key = jax.random.split(key)
        recorded = records_lib.sample_rows(records, recorded_key, recorded_size)
        if recorded_only:
            return recorded, records_lib.sample_rows(records, sampled_key, sampled_size)
        return recorded, buffer_lib.sample_rows(buffer, sampled_key, sampled_size)

    def one(state: Any, rows: tuple[Array, Array]) -> tuple[Any, Metrics]:
        recorded = records_lib.transition_at(records, rows[0])
        if recorded_only:
            sampled = records_lib.transition_at(records, rows[1])
        else:
            sampled = buffer_lib.at(buffer, rows[1])
        return step(state, reward, recorded, sampled)

    # All draws at once: one by one each takes as long as a layer.
    rows = jax.vmap(draw)(jax.random.split(key, config.updates))
    state, metrics = jax.lax.scan(one, state, rows)
    return state, jax.tree.map(jnp.mean, metrics)


def actor_params(state: Any) -> Params:
    """`policy_params` of algorithms whose state keeps the agent's as `agent`."""
    return state.agent.actor.params


def action_values(config: AgentConfig, space: Space) -> Callable[[Any, Array], Array]:
    """`action_values` of such algorithms.

    Args:
      config: the agent's settings.
      space: the task.

    Returns:
      `(state, states [..., S]) -> [..., A]`, as `soft_actor_critic.make_values`.
    """
    values = make_values(config, space)
    return lambda state, states: values(state.agent, states)

"""Fitted Q evaluation: action values of a GIVEN policy from recorded steps.

Le, Voloshin and Yue 2019 (arXiv 1903.08738), Algorithm 3, with a slowly moving target
network in the place of whole regressions:

  target = r_t + continues_t * sum_a pi(a | s_t) Q_target(s_t, a, t)

The horizon is finite, so the values know the time. What is estimated is the expected
discounted sum of rewards until the recording ends, at most `T` steps from the start of
the stay: a stay that was cut counts as one that ended, because the estimators sum over
recorded steps as well.
"""

import dataclasses
from collections.abc import Callable, Sequence
from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp

from omgrl_jax import networks, optimize
from omgrl_jax.ops import draws, value
from omgrl_jax.types import Array, Key, Metrics, Params


@dataclasses.dataclass(frozen=True)
class Config:
    """How action values are fitted.

    Attributes:
      hidden: widths of the hidden layers.
      learning_rate: Adam's step size.
      batch_size: recorded steps in a gradient step.
      steps: gradient steps.
      target_rate: share by which the target network moves in a step; values travel
        back one step of the stay in about 1 / target_rate gradient steps.
    """

    hidden: tuple[int, ...] = (64, 64)
    learning_rate: float = dataclasses.field(default=1e-3, metadata={"above": 0})
    batch_size: int = dataclasses.field(default=256, metadata={"min": 1})
    steps: int = dataclasses.field(default=4000, metadata={"min": 1})
    target_rate: float = dataclasses.field(
        default=0.02, metadata={"above": 0, "max": 1}
    )


class ActionValues(NamedTuple):
    """Action values that know the time.

    Attributes:
      init: `(key) -> params`.
      values: `(params, states [..., S], times [...]) -> [..., A]`.
      scale: typical size of a value: errors are measured in it.
    """

    init: Callable[[Key], Params]
    values: Callable[[Params, Array, Array], Array]
    scale: float


class Steps(NamedTuple):
    """Recorded steps; all fields [M, ...].

    Attributes:
      state: [M, S] state left.
      time: [M] hour of the stay over the horizon, in [0, 1).
      action: [M] int32.
      reward: [M].
      next_state: [M, S].
      next_time: [M].
      next_log_probs: [M, A] of the evaluated policy in the next state.
      continues: [M] discount of the next state; 0 where the recording ends.
      alive: [M] bool, False for padding.
    """

    state: Array
    time: Array
    action: Array
    reward: Array
    next_state: Array
    next_time: Array
    next_log_probs: Array
    continues: Array
    alive: Array


def make(
    hidden: Sequence[int], state_dim: int, num_actions: int, scale: float
) -> ActionValues:
    """A perceptron over state and time.

    Args:
      hidden: widths of the hidden layers.
      state_dim: `S`.
      num_actions: `A`.
      scale: what its outputs are multiplied by, so that returns of any size are
        outputs of about one.

    Returns:
      The action values.
    """
    network = networks.MLP(tuple(hidden), num_actions)

    def init(key: Key) -> Params:
        return network.init(key, jnp.zeros(state_dim + 1))

    def values(params: Params, states: Array, times: Array) -> Array:
        inputs = jnp.concatenate([states, times[..., None]], axis=-1)
        return scale * networks.apply(network, params, inputs)

    return ActionValues(init, values, scale)


def expected(log_probs: Array, q: Array) -> Array:
    """`sum_a pi(a) q(a)` over the last axis; pi may be zero somewhere."""
    return jnp.sum(jnp.exp(log_probs) * q, axis=-1)


def make_loss(q: ActionValues) -> Callable[..., tuple[Array, Metrics]]:
    """The squared temporal difference over a batch, in units of `scale`.

    Args:
      q: the action values.

    Returns:
      `loss(params, target_params, steps [B]) -> (loss, metrics)`.
    """

    def loss(params: Params, target: Params, steps: Steps) -> tuple[Array, Metrics]:
        next_q = q.values(target, steps.next_state, steps.next_time)
        errors = jax.vmap(value.td_error)(
            q.values(params, steps.state, steps.time),
            steps.action,
            steps.reward,
            steps.continues,
            expected(steps.next_log_probs, next_q),
        )
        mean = 0.5 * jnp.mean(jnp.square(errors / q.scale))
        return mean, {"fitted_q/loss": mean}

    return loss


def fit(key: Key, config: Config, q: ActionValues, steps: Steps) -> Params:
    """Fits the values of the policy that `steps.next_log_probs` came from.

    Pure and of fixed length: it can be mapped over keys, policies and data.

    Args:
      key: consumed.
      config: settings.
      q: the action values.
      steps: recorded steps, at least one of them alive.

    Returns:
      The target network's parameters: an average over the last gradient steps.
    """
    chex.assert_rank([steps.state, steps.action, steps.alive], [2, 1, 1])
    init_key, run_key = jax.random.split(key)
    optimizer = optimize.adam(config.learning_rate)
    step = optimize.gradient_step(make_loss(q), optimizer)
    # Recorded steps first, so that a draw below their number is never padding.
    order = jnp.argsort(~steps.alive, stable=True)
    count = jnp.sum(steps.alive.astype(jnp.int32))

    def scan_step(
        carry: tuple[optimize.Learner, Params, Key], _: None
    ) -> tuple[tuple[optimize.Learner, Params, Key], None]:
        learner, target, key = carry
        key, batch_key = jax.random.split(key)
        rows = order[draws.below(batch_key, (config.batch_size,), count)]
        batch = jax.tree.map(lambda x: x[rows], steps)
        learner = step(learner, target, batch)[0]
        target = jax.tree.map(
            lambda new, old: old + config.target_rate * (new - old),
            learner.params,
            target,
        )
        return (learner, target, key), None

    params = q.init(init_key)
    carry = (optimize.start(optimizer, params), params, run_key)
    (_, target, _), _ = jax.lax.scan(scan_step, carry, None, length=config.steps)
    return target

"""Twin conservative critics over discrete actions (arXiv 2409.13299, Eq. 5)."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp

from omgrl_jax import networks
from omgrl_jax.ops import value
from omgrl_jax.types import Array, Key, Metrics, Params, Transition

TWINS = 2


class Critic(NamedTuple):
    """Twin action values.

    Attributes:
      init: `(key) -> params`, leaves [2, ...].
      values: `(params, states [..., S]) -> [2, ..., A]`.
    """

    init: Callable[[Key], Params]
    values: Callable[[Params, Array], Array]


def make(hidden: Sequence[int], state_dim: int, num_actions: int) -> Critic:
    """Twin perceptrons that give all action values at once.

    Args:
      hidden: widths of the hidden layers.
      state_dim: `S`.
      num_actions: `A`.

    Returns:
      The critic.
    """
    network = networks.MLP(tuple(hidden), num_actions)

    def init(key: Key) -> Params:
        return networks.stacked_init(network, key, TWINS, jnp.zeros(state_dim))

    def values(params: Params, states: Array) -> Array:
        return networks.stacked_apply(network, params, states)

    return Critic(init, values)


def soft_targets(
    critic: Critic,
    target_params: Params,
    next_log_probs: Array,
    batch: Transition,
    rewards: Array,
    discount: float,
    temperature: Array,
) -> Array:
    """Bellman targets with the smaller of the twins, [B].

    Args:
      critic: the critic.
      target_params: slowly moving parameters.
      next_log_probs: [B, A] of the policy at the next states.
      batch: transitions [B].
      rewards: [B].
      discount: discount factor.
      temperature: [] entropy coefficient.

    Returns:
      [B] `r + discount * continuation * V(s')`.
    """
    q_t = jnp.min(critic.values(target_params, batch.next_state), axis=0)
    v_t = jax.vmap(value.soft_value, in_axes=(0, 0, None))(
        q_t, next_log_probs, temperature
    )
    return rewards + discount * batch.discount * v_t


def make_loss(
    critic: Critic, push_down: str, conservatism: float
) -> Callable[..., tuple[Array, Metrics]]:
    """The conservative loss of both twins, summed.

    Args:
      critic: the critic.
      push_down: name of the push-down, a key of `ops.value.PUSH_DOWN`.
      conservatism: weight alpha of the penalty; 0 switches it off.

    Returns:
      `loss(params, recorded, recorded_targets, sampled, sampled_targets,
      sampled_log_probs) -> (loss, metrics)`: Bellman errors over both halves, values
      pushed down at the sampled states (over the policy or over all actions) and up at
      recorded pairs.

    Raises:
      ValueError: on an unknown push-down.
    """
    if push_down not in value.PUSH_DOWN:
        raise ValueError(
            f"push_down '{push_down}': use one of {', '.join(value.PUSH_DOWN)}"
        )
    down = jax.vmap(jax.vmap(value.PUSH_DOWN[push_down]), in_axes=(0, None))

    def loss(
        params: Params,
        recorded: Transition,
        recorded_targets: Array,
        sampled: Transition,
        sampled_targets: Array,
        sampled_log_probs: Array,
    ) -> tuple[Array, Metrics]:
        states = jnp.concatenate([recorded.state, sampled.state])
        actions = jnp.concatenate([recorded.action, sampled.action])
        targets = jax.lax.stop_gradient(
            jnp.concatenate([recorded_targets, sampled_targets])
        )
        q = critic.values(params, states)
        taken = jnp.take_along_axis(q, actions[None, :, None], axis=-1)[..., 0]
        bellman = 0.5 * jnp.mean(jnp.square(targets[None] - taken), axis=1)
        split = recorded.action.shape[0]
        pushed_down = jnp.mean(down(q[:, split:], sampled_log_probs), axis=1)
        pushed_up = jnp.mean(taken[:, :split], axis=1)
        gap = pushed_down - pushed_up
        metrics = {
            "critic/bellman": jnp.mean(bellman),
            "critic/conservative_gap": jnp.mean(gap),
            "critic/q_recorded": jnp.mean(pushed_up),
        }
        return jnp.sum(bellman + conservatism * gap), metrics

    return loss

"""Critics over discrete actions: twin conservative ones (arXiv 2409.13299, Eq. 5)."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp

from omgrl_jax import networks
from omgrl_jax.ops import value
from omgrl_jax.settings import is_off
from omgrl_jax.types import Array, Key, Metrics, Params, Transition

TWINS = 2


class Critic(NamedTuple):
    """Action values of `K` networks, two unless said otherwise.

    Attributes:
      init: `(key) -> params`, leaves [K, ...].
      values: `(params, states [..., S]) -> [K, ..., A]`.
    """

    init: Callable[[Key], Params]
    values: Callable[[Params, Array], Array]


def make(
    hidden: Sequence[int],
    state_dim: int,
    num_actions: int,
    copies: int = TWINS,
    dueling: bool = False,
) -> Critic:
    """Perceptrons that give all action values at once.

    Args:
      hidden: widths of the hidden layers.
      state_dim: `S`.
      num_actions: `A`.
      copies: number of networks `K`, each with parameters of its own.
      dueling: whether the last layer gives a state value and advantages, of which the
        action values are made (`ops.value.dueling`); all hidden layers are shared.

    Returns:
      The critic.
    """
    network = networks.MLP(tuple(hidden), num_actions + dueling)
    joined = jnp.vectorize(value.dueling, signature="(),(a)->(a)")

    def init(key: Key) -> Params:
        return networks.stacked_init(network, key, copies, jnp.zeros(state_dim))

    def values(params: Params, states: Array) -> Array:
        out = networks.stacked_apply(network, params, states)
        return joined(out[..., 0], out[..., 1:]) if dueling else out

    return Critic(init, values)


def taken(q: Array, actions: Array) -> Array:
    """Picks the values of the actions taken: [K, B, A], [B] -> [K, B]."""
    return jnp.take_along_axis(q, actions[None, :, None], axis=-1)[..., 0]


def soft_targets(
    critic: Critic,
    target_params: Params,
    next_log_probs: Array,
    batch: Transition,
    rewards: Array,
    discount: float,
    temperature: Array,
    lowered: Array | None = None,
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
      lowered: [B, A] by how much less actions count in the next states; None for
        nothing.

    Returns:
      [B] `r + discount * continuation * V(s')`.
    """
    q_t = jnp.min(critic.values(target_params, batch.next_state), axis=0)
    if lowered is not None:
        q_t = q_t - lowered
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
      recorded pairs. Where nothing is sampled (no rows), values are pushed down at the
      recorded states, and `sampled_log_probs` are those of the policy there.

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
        q_taken = taken(q, actions)
        bellman = 0.5 * jnp.mean(jnp.square(targets[None] - q_taken), axis=1)
        split = recorded.action.shape[0]
        q_sampled = q[:, split:] if sampled.action.shape[0] else q
        pushed_down = jnp.mean(down(q_sampled, sampled_log_probs), axis=1)
        pushed_up = jnp.mean(q_taken[:, :split], axis=1)
        gap = pushed_down - pushed_up
        metrics = {
            "critic/bellman": jnp.mean(bellman),
            "critic/conservative_gap": jnp.mean(gap),
            "critic/q_recorded": jnp.mean(pushed_up),
        }
        return jnp.sum(bellman + conservatism * gap), metrics

    return loss


def make_td_loss(
    critic: Critic, discount: float, conservatism: float = 0.0
) -> Callable[..., tuple[Array, Metrics]]:
    """Squared temporal difference errors, summed over the networks.

    Args:
      critic: the critic.
      discount: discount factor.
      conservatism: weight alpha of CQL(H)'s term at the recorded states, whose gradient
        is `softmax(q) - onehot(a)`; 0 leaves it out.

    Returns:
      `loss(params, batch [B], rewards [B], v_t [B]) -> (loss, metrics)`; `v_t` is
      whatever a method takes for the value of the states entered.
    """
    errors = jax.vmap(jax.vmap(value.td_error), in_axes=(0, None, None, None, None))
    down = jax.vmap(jax.vmap(value.push_down_logsumexp))

    def loss(
        params: Params, batch: Transition, rewards: Array, v_t: Array
    ) -> tuple[Array, Metrics]:
        q_tm1 = critic.values(params, batch.state)
        discount_t = discount * batch.discount
        error = errors(q_tm1, batch.action, rewards, discount_t, v_t)
        bellman = 0.5 * jnp.mean(jnp.square(error), axis=1)
        metrics = {
            "critic/bellman": jnp.mean(bellman),
            "critic/q_recorded": jnp.mean(taken(q_tm1, batch.action)),
        }
        if is_off(conservatism):
            return jnp.sum(bellman), metrics
        # The push-down over all actions asks no policy.
        pushed_down = jnp.mean(down(q_tm1, jnp.zeros_like(q_tm1)), axis=1)
        gap = pushed_down - jnp.mean(taken(q_tm1, batch.action), axis=1)
        metrics["critic/conservative_gap"] = jnp.mean(gap)
        return jnp.sum(bellman + conservatism * gap), metrics

    return loss

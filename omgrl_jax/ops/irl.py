"""Maximum-entropy inverse RL from samples: weights, losses, diagnostics.

With dynamics that cancel, the likelihood of the experts' trajectories under
`p(tau) ~ p_0 prod T exp(sum r)` is `mean_i R(tau_i) - log Z`, and `Z` is estimated
from a pool of trajectories with weights `w_j = exp(R(tau_j)) / q(tau_j)`
(arXiv 2409.13299, Eqs. 7-8). The three modes differ in `q` and in what a weighted item
is:

  paper  one weight per trajectory, `q` the current policy alone;
  gcl    one weight per trajectory, `q` the mixture of all samplers of the pool
         (Finn et al. 2016, Eq. 4): what makes appended demonstrations legitimate;
  step   one weight per step.

All of it happens in log space; trajectories must have one length, since a constant
added to the reward must change nothing. `N` experts, `M` pool trajectories, `H` steps,
`K` samplers.
"""

from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp

from omgrl_jax.types import Array

MODES = ("paper", "gcl", "step")


class Weights(NamedTuple):
    """Self-normalised weights of a pool and how far they can be trusted.

    Attributes:
      weights: [M] or [M, H], sum 1.
      ess: [] effective sample size as a share of the pool, in (0, 1].
      largest: [] the largest weight.
    """

    weights: Array
    ess: Array
    largest: Array


def mixture_log_density(sampler_log_probs: Array, log_shares: Array) -> Array:
    """Log-density of trajectories under the mixture that produced the pool.

    Args:
      sampler_log_probs: [K, M, H] log-probability of every action under each sampler.
      log_shares: [K] log of each sampler's share of the pool.

    Returns:
      [M] `log sum_k share_k prod_t q_k(a_t | s_t)`.
    """
    chex.assert_rank([sampler_log_probs, log_shares], [3, 1])
    per_sampler = jnp.sum(sampler_log_probs, axis=-1) + log_shares[:, None]
    return jax.nn.logsumexp(per_sampler, axis=0)


def log_partition(
    rewards: Array, log_density: Array, power: float | Array = 1.0
) -> Array:
    """`log mean_j exp(R_j) / q_j` over items of equal standing.

    Args:
      rewards: [M] summed rewards of pool trajectories, or [M, H] of single steps.
      log_density: the same shape, log of the sampling density.
      power: exponent that tempers the weights; 1 leaves them as they are.

    Returns:
      [] estimate of `log Z` (for `power` = 1).
    """
    chex.assert_equal_shape([rewards, log_density])
    return jax.nn.logsumexp(power * (rewards - log_density)) / power - (
        jnp.log(rewards.size) / power
    )


def importance_weights(
    rewards: Array, log_density: Array, power: float | Array = 1.0
) -> Weights:
    """The self-normalised weights that the gradient of `log_partition` applies.

    Args:
      rewards: [M] or [M, H].
      log_density: the same shape.
      power: exponent that tempers the weights.

    Returns:
      Weights with their effective sample size, `1 / (M sum w^2)`.
    """
    chex.assert_equal_shape([rewards, log_density])
    scores = power * (rewards - log_density)
    weights = jax.nn.softmax(scores.reshape(-1)).reshape(rewards.shape)
    ess = 1.0 / (rewards.size * jnp.sum(jnp.square(weights)))
    return Weights(weights, ess, jnp.max(weights))


def tempering(
    rewards: Array, log_density: Array, least_ess: float, halvings: int = 20
) -> Array:
    """The largest power up to 1 at which the weights rest on enough of the pool.

    The effective sample size falls as the power rises, so that bisection finds it.

    Args:
      rewards: [M] or [M, H].
      log_density: the same shape.
      least_ess: wanted effective sample size as a share of the pool, below 1.
      halvings: steps of the bisection; the power is exact to `2 ** -halvings`.

    Returns:
      [] power in [0, 1], held constant.
    """
    chex.assert_equal_shape([rewards, log_density])
    scores = jax.lax.stop_gradient(rewards - log_density).reshape(-1)

    def halve(ends: tuple[Array, Array], _: None) -> tuple[tuple[Array, Array], None]:
        low, high = ends
        middle = 0.5 * (low + high)
        weights = jax.nn.softmax(middle * scores)
        enough = 1.0 / (scores.size * jnp.sum(jnp.square(weights))) >= least_ess
        ends = jnp.where(enough, middle, low), jnp.where(enough, high, middle)
        return ends, None

    whole = 1.0 / (scores.size * jnp.sum(jnp.square(jax.nn.softmax(scores))))
    (low, _), _ = jax.lax.scan(
        halve, (jnp.float32(0.0), jnp.float32(1.0)), None, length=halvings
    )
    return jnp.where(whole >= least_ess, 1.0, low)


def guided_reward_loss(
    expert_rewards: Array,
    pool_rewards: Array,
    pool_log_density: Array,
    mode: str,
    power: float | Array = 1.0,
    least_ess: float = 0.0,
) -> tuple[Array, Weights]:
    """Negative log-likelihood of the experts per trajectory (Eq. 7, sign reversed).

    Args:
      expert_rewards: [N, H] rewards of the experts' steps.
      pool_rewards: [M, H] rewards of the pool's steps (experts appended by the caller).
      pool_log_density: [M] log-density of each trajectory under its sampler(s); [M, H]
        per step in mode "step".
      mode: one of `MODES`; "paper" and "gcl" differ only in the density they are given.
      power: exponent that tempers the weights.
      least_ess: effective sample size, as a share of the pool, down to which the
        weights may fall before they are tempered further; 0 for no such limit.

    Returns:
      [] loss and the weights it implies.

    Raises:
      ValueError: on an unknown mode.
      AssertionError: where a silent broadcast could hide.
    """
    if mode not in MODES:
        raise ValueError(f"reward mode '{mode}': use one of {', '.join(MODES)}")
    chex.assert_rank([expert_rewards, pool_rewards], 2)
    chex.assert_axis_dimension(pool_rewards, 1, expert_rewards.shape[1])
    if mode == "step":
        expert, pool = expert_rewards, pool_rewards
    else:
        expert, pool = expert_rewards.sum(axis=1), pool_rewards.sum(axis=1)
    # Dividing (M, 1) by (M,) broadcasts to (M, M): the loss then factorises and its
    # gradient forgets the weights. Hence the shapes are held to be equal here.
    chex.assert_equal_shape([pool, pool_log_density])
    density = jax.lax.stop_gradient(pool_log_density)
    if least_ess > 0:
        power = power * tempering(power * pool, power * density, least_ess)
    loss = log_partition(pool, density, power) - jnp.mean(expert)
    return loss, importance_weights(pool, density, power)

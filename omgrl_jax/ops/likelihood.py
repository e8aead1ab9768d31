"""Likelihoods and losses for regression."""

import chex
import jax
import jax.numpy as jnp
import optax

from omgrl_jax.types import Array


def soft_clamp(x: Array, low: Array, high: Array) -> Array:
    """Squeezes `x` smoothly between learned bounds (Chua et al. 2018, PETS).

    Args:
      x: [D] unbounded values.
      low: [D] lower bounds.
      high: [D] upper bounds.

    Returns:
      [D] values strictly between the bounds.
    """
    x = high - jax.nn.softplus(high - x)
    return low + jax.nn.softplus(x - low)


def gaussian_nll(x: Array, mean: Array, log_var: Array) -> Array:
    """Negative log-density of a diagonal Gaussian, per dimension.

    `0.5 (log 2 pi + log_var + (x - mean)^2 exp(-log_var))`.

    Args:
      x: [D] observation.
      mean: [D] mean.
      log_var: [D] logarithm of the variance.

    Returns:
      [D] nats.
    """
    chex.assert_equal_shape([x, mean, log_var])
    chex.assert_rank(x, 1)
    square = jnp.square(x - mean) * jnp.exp(-log_var)
    return 0.5 * (jnp.log(2.0 * jnp.pi) + log_var + square)


def censored_gaussian_nll(
    x: Array, mean: Array, log_var: Array, censored: Array
) -> Array:
    """Negative log-likelihood where some observations are only lower bounds (Tobit).

    `-log P(X >= x)` where censored, the density elsewhere: an aPTT reported as
    "> 150 s" says that it was at least that, and these are the overdoses.

    Args:
      x: [D] observation, or the bound.
      mean: [D] mean.
      log_var: [D] logarithm of the variance.
      censored: [D] bool.

    Returns:
      [D] nats.
    """
    chex.assert_equal_shape([x, mean, log_var, censored])
    survival = jax.scipy.stats.norm.logsf((x - mean) * jnp.exp(-0.5 * log_var))
    return jnp.where(censored, -survival, gaussian_nll(x, mean, log_var))


def bernoulli_nll(event: Array, logit: Array) -> Array:
    """Negative log-probability of binary events, per dimension.

    Args:
      event: [D] 0 or 1.
      logit: [D] log-odds.

    Returns:
      [D] nats.
    """
    chex.assert_equal_shape([event, logit])
    return jax.nn.softplus(logit) - event * logit


def regression_loss(error: Array, huber: float) -> Array:
    """Mean of half the squared errors, or of Huber's loss.

    Args:
      error: [D].
      huber: size beyond which an error counts in proportion; 0 for squares throughout.

    Returns:
      [].
    """
    chex.assert_rank(error, 1)
    if not huber:
        return 0.5 * jnp.mean(jnp.square(error))
    return jnp.mean(optax.losses.huber_loss(error, delta=huber))

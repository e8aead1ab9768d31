"""What is known of a latent vector: a normal belief, corrected by each observation.

Observations are linear in the vector u, `y = row . u + noise`. After exact ones the
mean is the ridge regression around the first belief, with the noise's variance as
strength; one observation after the other gives what all of them at once would.
"""

from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp

from omgrl_jax.types import Array


class Belief(NamedTuple):
    """A normal distribution of a latent vector.

    Attributes:
      mean: [R].
      covariance: [R, R].
    """

    mean: Array
    covariance: Array


def standard(rank: int) -> Belief:
    """Independent factors of mean 0 and variance 1."""
    return Belief(jnp.zeros(rank), jnp.eye(rank))


def of_sample(vectors: Array) -> Belief:
    """The normal distribution with mean and covariance of vectors [N, R], N > 1."""
    chex.assert_rank(vectors, 2)
    mean = jnp.mean(vectors, axis=0)
    apart = vectors - mean[None]
    return Belief(mean, apart.T @ apart / (vectors.shape[0] - 1))


def foretell(belief: Belief, row: Array, noise: Array) -> tuple[Array, Array]:
    """Mean and variance of an observation that was not made yet.

    Args:
      belief: what is known.
      row: [R] how the observation depends on the vector.
      noise: [] variance of its noise.

    Returns:
      [] and [].
    """
    chex.assert_rank([row, noise], [1, 0])
    return row @ belief.mean, row @ belief.covariance @ row + noise


def surprise(mean: Array, variance: Array, value: Array, censored: Array) -> Array:
    """Negative log-likelihood of an observation [] in nats (Tobit where censored).

    Args:
      mean: [] foretold.
      variance: [] foretold.
      value: [] what was seen, or its lower bound.
      censored: [] bool, it was at least `value`.
    """
    z = (value - mean) * jax.lax.rsqrt(variance)
    density = 0.5 * (jnp.log(2.0 * jnp.pi * variance) + jnp.square(z))
    return jnp.where(censored, -jax.scipy.stats.norm.logsf(z), density)


def update(
    belief: Belief, row: Array, noise: Array, value: Array, censored: Array
) -> Belief:
    """The belief after an observation.

    Exact for a value. A lower bound keeps no belief normal: it is replaced by the
    normal one with the same mean and covariance (moments of the truncated normal).

    Args:
      belief: what was known before.
      row: [R] how the observation depends on the vector.
      noise: [] variance of its noise, above zero.
      value: [] what was seen, or its lower bound.
      censored: [] bool, it was at least `value`.

    Returns:
      What is known after.
    """
    mean, variance = foretell(belief, row, noise)
    deviation = jnp.sqrt(variance)
    z = (value - mean) / deviation
    normal = jax.scipy.stats.norm
    hazard = jnp.exp(normal.logpdf(z) - normal.logsf(z))
    # Expected observation, and share of its variance that is gone.
    moved = deviation * jnp.where(censored, hazard, z)
    gone = jnp.where(censored, hazard * (hazard - z), 1.0)
    gain = belief.covariance @ row / variance
    return Belief(
        belief.mean + gain * moved,
        belief.covariance - jnp.outer(gain, gain) * (variance * gone),
    )

"""Does the behaviour policy mean its probabilities? Importance ratios divide by them.

A policy that is too sure of itself makes ratios explode where clinicians did otherwise;
one that is too unsure hides how far a policy departs from them. Neither shows in the
likeliest action.
"""

import functools
from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp

from omgrl_jax.types import Array, Params, Policy

BINS = 10
# Temperatures are sought between these; a fit that ends at one of them has failed.
COLDEST, HOTTEST = 0.05, 20.0


class Reliability(NamedTuple):
    """A reliability curve; empty bins hold NaN.

    Attributes:
      predicted: [K] mean predicted probability in each bin.
      observed: [K] share of events in it.
      count: [K] number of rows.
      error: [] expected calibration error, `sum_k count_k |predicted - observed| / M`.
    """

    predicted: Array
    observed: Array
    count: Array
    error: Array


class Calibration(NamedTuple):
    """How well the probabilities of a policy hold.

    Attributes:
      actions: curves of each action, leaves [A, ...].
      top: the curve of the likeliest action's probability against its being taken.
      log_likelihood: [] mean log-probability of the actions taken.
    """

    actions: Reliability
    top: Reliability
    log_likelihood: Array


def reliability(predicted: Array, happened: Array, bins: int = BINS) -> Reliability:
    """Bins of equal width over [0, 1] (Naeini et al. 2015; Guo et al. 2017).

    Args:
      predicted: [M] probabilities of an event.
      happened: [M] bool, whether it came.
      bins: number of bins `K`.

    Returns:
      The curve.
    """
    chex.assert_rank([predicted, happened], 1)
    index = jnp.clip((predicted * bins).astype(jnp.int32), 0, bins - 1)

    def total(values: Array) -> Array:
        return jax.ops.segment_sum(values, index, bins)

    count = total(jnp.ones_like(predicted))
    sums = total(predicted), total(happened.astype(predicted.dtype))
    error = jnp.sum(jnp.abs(sums[0] - sums[1])) / predicted.shape[0]
    means = [jnp.where(count > 0, s / jnp.maximum(count, 1.0), jnp.nan) for s in sums]
    return Reliability(*means, count=count, error=error)


@functools.partial(jax.jit, static_argnums=2)
def calibration(log_probs: Array, actions: Array, bins: int = BINS) -> Calibration:
    """Calibration of a policy on held-out records.

    Args:
      log_probs: [M, A] normalised log-probabilities in the recorded states.
      actions: [M] int32 actions taken.
      bins: number of bins `K`.

    Returns:
      Curves by action and of the likeliest action.
    """
    chex.assert_rank([log_probs, actions], [2, 1])
    probs = jnp.exp(log_probs)
    taken = jax.nn.one_hot(actions, probs.shape[1], dtype=bool)

    def curve(predicted: Array, happened: Array) -> Reliability:
        return reliability(predicted, happened, bins)

    hit = jnp.argmax(probs, axis=1) == actions
    return Calibration(
        actions=jax.vmap(curve, in_axes=1)(probs, taken),
        top=curve(jnp.max(probs, axis=1), hit),
        log_likelihood=jnp.mean(jnp.sum(jnp.where(taken, log_probs, 0.0), axis=1)),
    )


@functools.partial(jax.jit, static_argnums=2)
def fit_temperature(log_probs: Array, actions: Array, halvings: int = 40) -> Array:
    """The temperature `x` of `softmax(log_probs / x)` with the best likelihood.

    The mean log-likelihood is concave in `1 / x` with the slope `mean(z[a] - E[z])`, so
    that halving an interval finds its zero. Fit on validation records: not on those the
    policy was trained on, where it looks surer than it may be, and not on those that
    are judged.

    Args:
      log_probs: [M, A] finite log-probabilities or logits.
      actions: [M] int32 actions taken.
      halvings: of the interval of `log x`.

    Returns:
      [] temperature between `COLDEST` and `HOTTEST`; above 1 for a policy too sure.
    """
    chex.assert_rank([log_probs, actions], [2, 1])
    taken = jnp.take_along_axis(log_probs, actions[:, None], axis=1)[:, 0]

    def halve(_: Array, ends: tuple[Array, Array]) -> tuple[Array, Array]:
        low, high = ends
        middle = 0.5 * (low + high)
        probs = jax.nn.softmax(log_probs * jnp.exp(-middle), axis=1)
        slope = jnp.mean(taken - jnp.sum(probs * log_probs, axis=1))
        # A positive slope asks for a larger 1 / x, a colder policy; it vanishes where a
        # policy is right everywhere and sure of it.
        colder = slope >= 0
        return jnp.where(colder, low, middle), jnp.where(colder, middle, high)

    ends = jnp.log(jnp.float32(COLDEST)), jnp.log(jnp.float32(HOTTEST))
    low, high = jax.lax.fori_loop(0, halvings, halve, ends)
    return jnp.exp(0.5 * (low + high))


@functools.cache
def tempered(policy: Policy) -> Policy:
    """The policy at another temperature; parameters are (its own, temperature []).

    The same object for the same policy, so that functions of it are compiled once.
    """

    def log_probs(params: tuple[Params, Array], states: Array) -> Array:
        inner, temperature = params
        scores = policy.log_probs(inner, states) / temperature
        return jax.nn.log_softmax(scores, axis=-1)

    return Policy(log_probs)

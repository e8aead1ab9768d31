"""How actions are drawn from the numbers that a network gives: one kind or the other.

Learners ask a `Distribution` for what depends on it, and leave open whether actions are
a few categories or points in a box.
"""

import functools
import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from omgrl_jax.actions import ActionSpace
from omgrl_jax.types import Array, Key

_START = -0.5  # log standard deviation at the start (arXiv 2505.16242)


class Distribution(NamedTuple):
    """A family of distributions over choices; static.

    Choices are what is drawn; `action` says what is done then.

    Attributes:
      width: numbers `W` that a network gives for a state.
      free: [F] numbers that are the same in all states, at the start.
      draw: `(key, numbers [..., W + F]) -> choices [...]`, or [..., P].
      mode: `(numbers) -> choices`, the likeliest ones.
      log_prob: `(numbers, choices) -> [...]`.
      log_done: `(numbers, choices) -> [...]` of what is done: where choices beyond an
        end of a box are clipped to it, the probability of them all.
      divergence: `(numbers, others) -> [...]`, KL(numbers || others).
      entropy: `(numbers) -> [...]`, in nats.
      action: `(choices) -> actions` of the action space.
    """

    width: int
    free: tuple[float, ...]
    draw: Callable[[Key, Array], Array]
    mode: Callable[[Array], Array]
    log_prob: Callable[[Array, Array], Array]
    log_done: Callable[[Array, Array], Array]
    divergence: Callable[[Array, Array], Array]
    entropy: Callable[[Array], Array]
    action: Callable[[Array], Array]


def of(space: ActionSpace) -> Distribution:
    """The distribution for a kind of actions."""
    return categorical(space.count) if space.count else clipped_normal(space)


@functools.cache
def categorical(count: int) -> Distribution:
    """Categories 0..count-1 from logits."""

    def log_prob(numbers: Array, choices: Array) -> Array:
        every = jax.nn.log_softmax(numbers)
        return jnp.take_along_axis(every, choices[..., None], axis=-1)[..., 0]

    def divergence(numbers: Array, others: Array) -> Array:
        one, other = jax.nn.log_softmax(numbers), jax.nn.log_softmax(others)
        return jnp.sum(jnp.exp(one) * (one - other), axis=-1)

    def entropy(numbers: Array) -> Array:
        every = jax.nn.log_softmax(numbers)
        return -jnp.sum(jnp.exp(every) * every, axis=-1)

    return Distribution(
        width=count,
        free=(),
        draw=lambda key, numbers: jax.random.categorical(key, numbers).astype(
            jnp.int32
        ),
        mode=lambda numbers: jnp.argmax(numbers, axis=-1).astype(jnp.int32),
        log_prob=log_prob,
        log_done=log_prob,
        divergence=divergence,
        entropy=entropy,
        action=lambda choices: choices,
    )


@functools.cache
def clipped_normal(space: ActionSpace) -> Distribution:
    """Independent normal choices on the scale of -1 to 1, clipped to the box when done.

    A mean at or beyond an end gives that end, no dose for example, a probability of its
    own. Densities, entropy and divergence are those of the choices.

    Args:
      space: a box.
    """
    dims = len(space.low)

    def parts(numbers: Array) -> tuple[Array, Array]:
        return numbers[..., :dims], numbers[..., dims:]

    def draw(key: Key, numbers: Array) -> Array:
        mean, log_std = parts(numbers)
        return mean + jnp.exp(log_std) * jax.random.normal(key, mean.shape)

    def log_prob(numbers: Array, choices: Array) -> Array:
        mean, log_std = parts(numbers)
        z = (choices - mean) * jnp.exp(-log_std)
        each = -0.5 * jnp.square(z) - log_std - 0.5 * math.log(2.0 * math.pi)
        return jnp.sum(each, axis=-1)

    def log_done(numbers: Array, choices: Array) -> Array:
        mean, log_std = parts(numbers)
        scale = jnp.exp(-log_std)
        z = (jnp.clip(choices, -1.0, 1.0) - mean) * scale
        inside = -0.5 * jnp.square(z) - log_std - 0.5 * math.log(2.0 * math.pi)
        below = jax.scipy.stats.norm.logcdf(z)
        above = jax.scipy.stats.norm.logcdf(-z)
        found = jnp.where(choices <= -1.0, below, jnp.where(choices < 1, inside, above))
        return jnp.sum(found, axis=-1)

    def divergence(numbers: Array, others: Array) -> Array:
        (mean, log_std), (other, other_log) = parts(numbers), parts(others)
        apart = jnp.square(mean - other) + jnp.exp(2.0 * log_std)
        each = other_log - log_std + 0.5 * apart * jnp.exp(-2.0 * other_log) - 0.5
        return jnp.sum(each, axis=-1)

    def entropy(numbers: Array) -> Array:
        _, log_std = parts(numbers)
        return jnp.sum(log_std + 0.5 * math.log(2.0 * math.pi * math.e), axis=-1)

    def action(choices: Array) -> Array:
        shape = (1,) * (choices.ndim - 1) + (-1,)
        low, high = (jnp.array(x).reshape(shape) for x in (space.low, space.high))
        share = 0.5 * (jnp.clip(choices, -1.0, 1.0) + 1.0)
        return low * (1.0 - share) + high * share

    return Distribution(
        width=dims,
        free=(_START,) * dims,
        draw=draw,
        mode=lambda numbers: parts(numbers)[0],
        log_prob=log_prob,
        log_done=log_done,
        divergence=divergence,
        entropy=entropy,
        action=action,
    )

"""Two ways to fit personal outcomes: factors integrated out, or free, as published."""

import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from omgrl_jax.data.draws import Draws
from omgrl_jax.data.scales import Scales
from omgrl_jax.models.personal_outcome import PersonalOutcome
from omgrl_jax.ops import belief as belief_lib
from omgrl_jax.ops.belief import Belief
from omgrl_jax.types import Array, Key, Params

_APART = 0.1  # standard deviation of free factors at the start


class Stay(NamedTuple):
    """A stay's measurements and its number; another stay is as another patient.

    Attributes:
      number: [] int32 number of the stay among those of the fit; -1 for others.
      draws: leaves [D, ...].
    """

    number: Array
    draws: Draws


class Free(NamedTuple):
    """Parameters of a fit in which factors are free.

    Attributes:
      shared: of the networks.
      factors: [N, R] of each stay.
    """

    shared: Params
    factors: Array


class Fittable(NamedTuple):
    """What `ensemble.fit` needs, and what becomes of it.

    Attributes:
      init: `(key) -> params`.
      loss: `(scales, params, stay) -> []`.
      kept: `(params) -> (shared, prior)`, without what is of single stays.
    """

    init: Callable[[Key], Params]
    loss: Callable[[Scales, Params, Stay], Array]
    kept: Callable[[Params], tuple[Params, Belief]]


def integrated(model: PersonalOutcome, rank: int) -> Fittable:
    """Factors integrated out, under the standard normal prior.

    What the prior is does not matter: the networks learn what a factor does.
    """
    prior = functools.partial(belief_lib.standard, rank)
    return Fittable(
        init=model.init,
        loss=lambda scales, p, stay: model.loss(scales, p, prior(), stay.draws),
        kept=lambda params: (params, prior()),
    )


def free(model: PersonalOutcome, rank: int, stays: int) -> Fittable:
    """A free vector for each stay, fitted with the networks, as published.

    The prior for others has the mean and covariance of all vectors; by it the stays
    without a vector are judged. So every stay of the fit must have a draw and be seen
    by every member (no bootstrap): a vector that nothing moves keeps the small random
    value of its start, and the prior would become too narrow.
    """

    def init(key: Key) -> Free:
        shared, factors = jax.random.split(key)
        # All alike at first: what patients share is learned first.
        start = _APART * jax.random.normal(factors, (stays, rank))
        return Free(model.init(shared), start)

    def loss(scales: Scales, params: Free, stay: Stay) -> Array:
        own = params.factors[jnp.maximum(stay.number, 0)]
        certain = Belief(own, jnp.zeros((rank, rank)))
        known = stay.number >= 0
        others = belief_lib.of_sample(params.factors)
        # A belief without doubt is moved by no measurement.
        prior = jax.tree.map(lambda a, b: jnp.where(known, a, b), certain, others)
        return model.loss(scales, params.shared, prior, stay.draws)

    def kept(params: Free) -> tuple[Params, Belief]:
        return params.shared, belief_lib.of_sample(params.factors)

    return Fittable(init, loss, kept)

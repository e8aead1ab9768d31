"""The feature networks: how the dynamic features change (arXiv 2409.13299, Eq. 4).

A change is Gaussian, or a mixture of Gaussians for each feature: one that is held or
measured anew, or that falls steeply from some threshold on, has two ways to go, and a
safety cost sits in the tail of one of them.

Features that are counted (a score), held or follow from the dose have no density: the
likelihood rises without end as a Gaussian narrows around such a value, its gradients
drown those of all other features, and what is rare is not learned. So likelihoods can
be blurred, as if changes were read with a small error. What is drawn is not blurred: of
a scatter far wider than the error nothing is lost, of one below it everything.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from omgrl_jax import networks
from omgrl_jax.data import space as space_lib
from omgrl_jax.data.scales import Scales
from omgrl_jax.data.space import Space
from omgrl_jax.models.example import Example
from omgrl_jax.ops import likelihood
from omgrl_jax.settings import is_off
from omgrl_jax.types import Array, Key, Params


class Noise(NamedTuple):
    """The random numbers of a change.

    Attributes:
      normal: [D] standard normal.
      gumbel: [K, D] of which the largest picks a component; None where there is one.
    """

    normal: Array
    gumbel: Array | None


class Features(NamedTuple):
    """One member as pure functions; `D` dynamic features.

    Attributes:
      init: `(key) -> params`.
      moments: `(params, state [S], action) -> (mean [D], log variance [D])` of the
        standardised change.
      noise: `(key) -> ` the random numbers of one draw.
      draw: `(params, noise, state [S], action) -> [D]` a standardised change.
      loss: `(scales, params, example) -> []`.
    """

    init: Callable[[Key], Params]
    moments: Callable[[Params, Array, Array], tuple[Array, Array]]
    noise: Callable[[Key], Noise]
    draw: Callable[[Params, Noise, Array, Array], Array]
    loss: Callable[[Scales, Params, Example], Array]


class Mixture(NamedTuple):
    """Gaussians of each feature's change; `K` components.

    Attributes:
      mean: [K, D].
      log_var: [K, D].
      log_weight: [K, D] log-probabilities of the components.
    """

    mean: Array
    log_var: Array
    log_weight: Array


def make(
    hidden: tuple[int, ...],
    space: Space,
    components: int = 1,
    blur: float | Array = 0.0,
) -> Features:
    """Builds the networks.

    Args:
      hidden: widths of the hidden layers.
      space: the task.
      components: Gaussians of each feature's change.
      blur: standard deviation of the error with which the loss reads changes, on their
        scale; what is learned of a Gaussian's variance is short of its square.

    Returns:
      The functions.
    """
    dynamic = jnp.array(space.dynamic, int)
    num_dynamic = len(space.dynamic)
    # A single component needs no weight.
    parts = 2 if components == 1 else 3
    network = networks.MLP(hidden, parts * components * num_dynamic)
    told = space_lib.action_inputs(space)

    def init(key: Key) -> Params:
        example = jnp.zeros(space.state_dim + space.action_width)
        return {
            "net": network.init(key, example),
            "low": jnp.full(num_dynamic, -10.0),
            "high": jnp.full(num_dynamic, 1.0),
        }

    def mixture(params: Params, state: Array, action: Array) -> Mixture:
        inputs = jnp.concatenate([state, told(action)])
        out = networks.apply(network, params["net"], inputs)
        found = out.reshape(parts, components, num_dynamic)
        low, high = (params[end][None] for end in ("low", "high"))
        weights = found[2] if parts == 3 else jnp.zeros((1, num_dynamic))
        return Mixture(
            found[0],
            likelihood.soft_clamp(found[1], low, high),
            jax.nn.log_softmax(weights, axis=0),
        )

    def moments(params: Params, state: Array, action: Array) -> tuple[Array, Array]:
        return _moments(mixture(params, state, action))

    def noise(key: Key) -> Noise:
        if components == 1:
            return Noise(jax.random.normal(key, (num_dynamic,)), None)
        key, pick_key = jax.random.split(key)
        gumbel = jax.random.gumbel(pick_key, (components, num_dynamic))
        return Noise(jax.random.normal(key, (num_dynamic,)), gumbel)

    def draw(params: Params, noise: Noise, state: Array, action: Array) -> Array:
        return _drawn(mixture(params, state, action), noise)

    def loss(scales: Scales, params: Params, example: Example) -> Array:
        del scales  # states and changes are standardised already
        found = mixture(params, example.state, example.action)
        change = (example.next_state - example.state)[dynamic]
        bounds = jnp.sum(params["high"] - params["low"])
        of_each = jax.vmap(likelihood.gaussian_nll, in_axes=(None, 0, 0))
        nll = of_each(change, found.mean, _blurred(found.log_var, blur))
        nll = -jax.nn.logsumexp(found.log_weight - nll, axis=0)
        return jnp.mean(nll) + 1e-3 * bounds / num_dynamic

    return Features(init, moments, noise, draw, loss)


def _moments(found: Mixture) -> tuple[Array, Array]:
    """Mean and log variance [D] of a mixture."""
    if found.mean.shape[0] == 1:
        return found.mean[0], found.log_var[0]
    weight = jnp.exp(found.log_weight)
    mean = jnp.sum(weight * found.mean, axis=0)
    apart = jnp.square(found.mean - mean[None])
    within = jnp.exp(found.log_var)
    return mean, jnp.log(jnp.sum(weight * (within + apart), axis=0))


def _drawn(found: Mixture, noise: Noise) -> Array:
    """A draw [D] from a mixture."""
    mean, log_var = found.mean[0], found.log_var[0]
    if noise.gumbel is not None:
        picks = jnp.argmax(found.log_weight + noise.gumbel, axis=0)
        mean, log_var = (
            jnp.take_along_axis(x, picks[None], axis=0)[0]
            for x in (found.mean, found.log_var)
        )
    return mean + jnp.exp(0.5 * log_var) * noise.normal


def _blurred(log_var: Array, blur: float | Array) -> Array:
    """Log variances of what is read with an error of this standard deviation."""
    if is_off(blur):
        return log_var
    return jnp.logaddexp(log_var, 2.0 * jnp.log(blur))

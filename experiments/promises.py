"""What a method's own critic promises where held-out stays begin: Q beside the returns.

A promise is no evidence. It is what the method itself believes its policy to be worth,
discounted and without an end, in the unit of the reward that its agent was given; that
of a soft actor-critic counts the bonus for the randomness of later doses as well.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp

from experiments.training import Trained
from omgrl_jax.types import Algorithm, Array


def promised(one: Trained, index: int, starts: Array) -> dict[str, dict[str, float]]:
    """Mean Q of a policy's doses in the states in which stays begin.

    Args:
      one: the trained algorithm.
      index: which seed.
      starts: [N, S] states.

    Returns:
      Mode -> one measure: `promised`, in the unit of the reward that the schema
      defines, or `promised_psi`, in that of the reward that the method learned, as its
      agent was given it. Empty for a method without values of actions.
    """
    algorithm = one.algorithm
    if algorithm.action_values is None:
        return {}
    # Two units, two names: no mean is ever taken over both.
    name = "promised" if algorithm.reward is None else "promised_psi"
    state = jax.tree.map(lambda x: x[index], one.states)
    drawn, likeliest = _means(algorithm, state, starts)
    return {
        "stochastic": {name: float(drawn)},
        "greedy": {name: float(likeliest)},
    }


@functools.partial(jax.jit, static_argnums=0)
def _means(algorithm: Algorithm, state: Any, states: Array) -> tuple[Array, Array]:
    """Means over states [N, S] of Q of a drawn and of the likeliest action."""
    assert algorithm.action_values is not None
    q = algorithm.action_values(state, states)
    log_probs = algorithm.log_probs(state, states)
    drawn = jnp.sum(jnp.exp(log_probs) * q, axis=-1)
    best = jnp.argmax(log_probs, axis=-1)[..., None]
    likeliest = jnp.take_along_axis(q, best, axis=-1)
    return jnp.mean(drawn), jnp.mean(likeliest)

"""A gradient step without boilerplate."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import optax

from omgrl_jax.types import Array, Metrics, Params


class Learner(NamedTuple):
    """Parameters together with the state of their optimiser."""

    params: Params
    optimizer_state: optax.OptState


def adam(
    learning_rate: optax.ScalarOrSchedule,
    max_norm: float = 0.0,
    weight_decay: float = 0.0,
) -> optax.GradientTransformation:
    """Adam, after clipping by global norm where `max_norm` is above zero.

    Args:
      learning_rate: step size, or its function of the number of steps taken.
      max_norm: largest global gradient norm; 0 for no clipping.
      weight_decay: decoupled weight decay; 0 for plain Adam.

    Returns:
      The optimiser.
    """
    steps = [optax.clip_by_global_norm(max_norm)] if max_norm > 0 else []
    if weight_decay > 0:
        steps.append(optax.adamw(learning_rate, weight_decay=weight_decay))
    else:
        steps.append(optax.adam(learning_rate))
    return optax.chain(*steps)


def start(optimizer: optax.GradientTransformation, params: Params) -> Learner:
    """A learner before its first step."""
    return Learner(params, optimizer.init(params))


def gradient_step(
    loss: Callable[..., tuple[Array, Metrics]],
    optimizer: optax.GradientTransformation,
) -> Callable[..., tuple[Learner, Metrics]]:
    """Turns `loss(params, *args) -> (scalar, metrics)` into an update.

    Args:
      loss: the function to minimise over its first argument.
      optimizer: the rule.

    Returns:
      `step(learner, *args) -> (learner, metrics)`.
    """
    gradient = jax.grad(loss, has_aux=True)

    def step(learner: Learner, *args: Any) -> tuple[Learner, Metrics]:
        grads, metrics = gradient(learner.params, *args)
        return descend(optimizer, learner, grads), metrics

    return step


def descend(
    optimizer: optax.GradientTransformation, learner: Learner, grads: Params
) -> Learner:
    """The learner after a step along gradients of its parameters."""
    updates, state = optimizer.update(grads, learner.optimizer_state, learner.params)
    return Learner(optax.apply_updates(learner.params, updates), state)

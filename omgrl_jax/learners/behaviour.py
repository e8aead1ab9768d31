"""Behavioural cloning: the density of the experts' actions, mu(a | s)."""

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from omgrl_jax.data.records import Records
from omgrl_jax.data.scales import Scales
from omgrl_jax.data.space import Space
from omgrl_jax.learners import actor as actor_lib
from omgrl_jax.models import ensemble
from omgrl_jax.types import Array, Key, Params, Policy


@functools.cache
def mixture(policy: Policy) -> Policy:
    """The mean of several members' probabilities; parameters are leaves [E, ...].

    The same object for the same policy, so that functions of it are compiled once.
    """

    def log_probs(params: Params, states: Array) -> Array:
        each = jax.vmap(policy.log_probs, in_axes=(0, None))(params, states)
        return jax.nn.logsumexp(each, axis=0) - jnp.log(each.shape[0])

    return Policy(log_probs)


def make(
    hidden: Sequence[int], space: Space, members: int = 1
) -> tuple[Policy, Callable[..., tuple[Params, ensemble.Fit]]]:
    """Builds the behaviour policy and its trainer.

    Importance ratios divide by these probabilities at every step of a stay: where one
    network is a little too small, their product explodes. The mean of several networks,
    each from its own start and batches (and, where the fit's `bootstrap` says so, on
    its own resampled stays), is meant to be nearer the truth.

    Args:
      hidden: widths of the hidden layers.
      space: the task.
      members: networks whose probabilities are averaged.

    Returns:
      The policy, and `fit(key, config, scales, train, validation, on_epochs=None) ->
      (params, fit)`: maximum likelihood with early stop on other patients' stays. It
      fits `members` networks, whatever number the configuration has.
    """
    actor = actor_lib.make(hidden, space.state_dim, space.num_actions)

    def loss(scales: Scales, params: Params, example: tuple[Array, Array]) -> Array:
        del scales
        state, action = example
        return -actor.policy.log_probs(params, state)[action]

    def pairs(records: Records) -> tuple[Array, Array]:
        return records.states[records.transitions], records.actions[records.transitions]

    def fit(
        key: Key,
        config: ensemble.FitConfig,
        scales: Scales,
        train: Records,
        validation: Records,
        on_epochs: Any = None,
    ) -> tuple[Params, ensemble.Fit]:
        result = ensemble.fit(
            key,
            actor.init,
            loss,
            scales,
            pairs(train),
            pairs(validation),
            train.stay[train.transitions],
            dataclasses.replace(config, members=members, elites=members),
            on_epochs,
        )
        return _alone(result.params), result

    return mixture(actor.policy) if members > 1 else actor.policy, fit


def _alone(params: Params) -> Params:
    """One network is a policy like any other of its shape, and compiled with them."""
    members = jax.tree.leaves(params)[0].shape[0]
    return params if members > 1 else jax.tree.map(lambda x: x[0], params)


def shapes(hidden: Sequence[int], space: Space, members: int = 1) -> Params:
    """Shapes of the parameters that `make`'s trainer gives, for files to be read.

    Args:
      hidden: widths of the hidden layers.
      space: the task.
      members: networks whose probabilities are averaged.
    """
    actor = actor_lib.make(hidden, space.state_dim, space.num_actions)
    keys = jax.random.split(jax.random.key(0), members)
    return jax.eval_shape(lambda: _alone(jax.vmap(actor.init)(keys)))

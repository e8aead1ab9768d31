"""Behavioural cloning: the density of the experts' actions, mu(a | s)."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import jax

from omgrl_jax.data.records import Records
from omgrl_jax.data.scales import Scales
from omgrl_jax.data.space import Space
from omgrl_jax.learners import actor as actor_lib
from omgrl_jax.models import ensemble
from omgrl_jax.types import Array, Key, Params, Policy


def make(
    hidden: Sequence[int], space: Space
) -> tuple[Policy, Callable[..., tuple[Params, ensemble.Fit]]]:
    """Builds the behaviour policy and its trainer.

    Args:
      hidden: widths of the hidden layers.
      space: the task.

    Returns:
      The policy, and `fit(key, config, scales, train, validation, on_epochs=None) ->
      (params, fit)`: maximum likelihood with early stop on other patients' stays. It
      fits one network, whatever number of members the configuration has.
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
            dataclasses.replace(config, members=1, elites=1),
            on_epochs,
        )
        return jax.tree.map(lambda x: x[0], result.params), result

    return actor.policy, fit


def shapes(hidden: Sequence[int], space: Space) -> Params:
    """Shapes of the parameters that `make`'s trainer gives, for files to be read.

    Args:
      hidden: widths of the hidden layers.
      space: the task.
    """
    actor = actor_lib.make(hidden, space.state_dim, space.num_actions)
    return jax.eval_shape(actor.init, jax.random.key(0))

"""Worlds fitted to training stays: parameters, their shapes, estimates for records."""

from typing import Any

import jax
import jax.numpy as jnp

from omgrl_jax.data.records import Records
from omgrl_jax.data.scales import Scales
from omgrl_jax.models import ensemble
from omgrl_jax.models.example import examples
from omgrl_jax.models.world import World, WorldConfig, WorldParams
from omgrl_jax.types import Array, Key, Params


def fit(
    world: World,
    config: WorldConfig,
    fit_config: ensemble.FitConfig,
    key: Key,
    scales: Scales,
    train: Records,
    validation: Records,
    on_epochs: Any = None,
) -> tuple[WorldParams, dict[str, ensemble.Fit]]:
    """Fits all ensembles on the training stays.

    Args:
      world: the functions.
      config: the configuration the world was made with.
      fit_config: how to fit.
      key: consumed.
      scales: the standardisation.
      train: training records.
      validation: records of other patients, for the early stop and the choice.
      on_epochs: called with (epochs done, largest number, mean validation loss).

    Returns:
      The parameters, and the fits by name ("features", "outcomes", "ends", "rewards").
    """
    feature_key, outcome_key, *other_keys = jax.random.split(key, 4)
    fitted, held_out = examples(train), examples(validation)
    stay = train.stay[train.transitions]

    def fit_one(key: Key, init: Any, loss: Any) -> ensemble.Fit:
        given = (scales, fitted, held_out, stay, fit_config, on_epochs)
        return ensemble.fit(key, init, loss, *given)

    fits = {
        "features": fit_one(feature_key, world.init_features, world.feature_loss),
        "outcomes": fit_one(outcome_key, world.init_outcomes, world.outcome_loss),
    }
    # Those that a world may have beside these.
    others = {"ends": world.ends, "rewards": world.rewards}
    for own, (name, part) in zip(other_keys, others.items(), strict=True):
        if part is not None:
            fits[name] = fit_one(own, part.init, part.loss)
    # Only what is predicted can drift: a new patient's age, or a tracked dose, is what
    # it is, however far from the training stays.
    predicted = (
        jnp.zeros(train.states.shape[1], bool)
        .at[jnp.array(world.predicted, int)]
        .set(True)
    )
    # Quantiles, not extremes: these numbers are shared; an extreme is one patient's.
    low, high = jnp.quantile(train.states, jnp.array([0.005, 0.995]), axis=0)
    low, high = low - config.state_margin, high + config.state_margin
    params = WorldParams(
        features=fits["features"].params,
        outcomes=fits["outcomes"].params,
        scales=scales,
        low=jnp.where(predicted, low, -jnp.inf),
        high=jnp.where(predicted, high, jnp.inf),
        **{name: fits[name].params for name in others if name in fits},
    )
    return params, fits


def shapes(world: World, members: int, scales: Scales) -> WorldParams:
    """Shapes of the parameters that `fit` gives, for files to be read.

    Args:
      world: the functions.
      members: networks kept of each ensemble.
      scales: the standardisation.
    """

    def stacked(init: Any) -> Params:
        keys = jax.random.split(jax.random.key(0), members)
        return jax.eval_shape(jax.vmap(init), keys)

    limit: Any = jax.ShapeDtypeStruct(scales.state.mean.shape, jnp.float32)
    return WorldParams(
        features=stacked(world.init_features),
        outcomes=stacked(world.init_outcomes),
        scales=scales,
        low=limit,
        high=limit,
        ends=() if world.ends is None else stacked(world.ends.init),
        rewards=() if world.rewards is None else stacked(world.rewards.init),
    )


def relabel(world: World, params: WorldParams, records: Records) -> Records:
    """Replaces the held channel values by the model's estimate for the next step.

    The last measured value is hours old; the estimate for the recorded dose is what
    rollouts are rewarded by as well, so that both halves of a batch agree. A channel
    that is measured at every step, such as a recorded reward, stays as it is.

    Args:
      world: the functions.
      params: fitted parameters.
      records: one split.

    Returns:
      The records with `outcome` estimated; as they are where there are no networks.
    """
    if not jax.tree.leaves(params.outcomes):
        return records

    def one(state: Array, action: Array, amount: Array) -> Array:
        def member(p: Params) -> Array:
            return world.outcome(params.scales, p, state, action, amount).now

        return jnp.mean(jax.vmap(member)(params.outcomes), axis=0)

    estimate = jax.jit(jax.vmap(one))(records.states, records.actions, records.amounts)
    always = jnp.all(records.measured[records.transitions], axis=0, keepdims=True)
    return records._replace(outcome=jnp.where(always, records.outcome, estimate))

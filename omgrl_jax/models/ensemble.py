"""Fitting an ensemble: bootstrap by stay, own early stop, the best kept.

One trainer for every supervised network here (dynamics, outcome heads, behaviour
cloning): members are a leading axis, each sees its own resampled stays, each keeps the
parameters of its best validation epoch and stops on its own.
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from omgrl_jax import optimize
from omgrl_jax.ops import draws
from omgrl_jax.runtime import sweep
from omgrl_jax.types import Array, Key, Metrics, Params

Loss = Callable[[Any, Params, Any], Array]


@dataclasses.dataclass(frozen=True)
class FitConfig:
    """How an ensemble is fitted.

    Attributes:
      members: networks trained.
      elites: networks kept, by validation loss.
      learning_rate: Adam's step size.
      weight_decay: decoupled weight decay.
      batch_size: transitions per step and member.
      max_epochs: at most so many passes over the training rows.
      patience: epochs without a better validation loss after which a member stops.
      halve_every: epochs after which the step size is halved, again and again; 0 for
        never.
      bootstrap: each member sees its own resampled stays; else all see all of them.
    """

    members: int = 7
    elites: int = 5
    learning_rate: float = 1e-3
    weight_decay: float = 1e-4
    batch_size: int = 256
    max_epochs: int = 60
    patience: int = 6
    halve_every: int = dataclasses.field(default=0, metadata={"min": 0})
    bootstrap: bool = True

    def __post_init__(self) -> None:
        """Rejects settings that cannot be meant."""
        if not 1 <= self.elites <= self.members:
            raise ValueError(
                f"elites={self.elites} must lie between 1 and members={self.members}"
            )


class FitState(NamedTuple):
    """Where the fit of `E` members stands.

    Attributes:
      learner: parameters and optimiser, leaves [E, ...].
      best: parameters of each member's best epoch.
      best_loss: [E] validation loss there.
      waited: [E] epochs since.
      epoch: [E] epochs done, the same for all.
    """

    learner: optimize.Learner
    best: Params
    best_loss: Array
    waited: Array
    epoch: Array


class Fit(NamedTuple):
    """A finished fit.

    Attributes:
      params: parameters of the elites, leaves [elites, ...], best first.
      elites: [elites] indices of the members kept.
      train_loss: [epochs, members].
      validation_loss: [epochs, members].
    """

    params: Params
    elites: np.ndarray
    train_loss: np.ndarray
    validation_loss: np.ndarray


def bootstrap_rows(key: Key, stay: Array, members: int) -> Array:
    """Training rows of every member: whole stays drawn with replacement.

    Args:
      key: consumed.
      stay: [M] stay number of every training row.
      members: number of members; a single member gets every row once.

    Returns:
      [members, M] row indices; a member's stays repeat or are cut to fill its `M`.
    """
    if members == 1:
        return jnp.arange(stay.size, dtype=jnp.int32)[None]
    rng = np.random.default_rng(np.asarray(jax.random.bits(key, (4,))))
    stays, groups = np.unique(np.asarray(stay), return_inverse=True)
    order = np.argsort(groups, kind="stable")
    split = np.split(order, np.cumsum(np.bincount(groups))[:-1])
    rows = np.empty((members, stay.size), np.int32)
    for member in range(members):
        # Enough draws that whole stays fill the row even when short ones come up.
        drawn: list[np.ndarray] = []
        filled = 0
        while filled < stay.size:
            part = split[rng.integers(stays.size)]
            drawn.append(part)
            filled += part.size
        rows[member] = np.concatenate(drawn)[: stay.size]
    return jnp.asarray(rows)


def fit(
    key: Key,
    init: Callable[[Key], Params],
    loss: Loss,
    context: Any,
    train: Any,
    validation: Any,
    stay: Array,
    config: FitConfig,
    on_epochs: Callable[[int, int, float], None] | None = None,
    epochs_per_call: int = 5,
) -> Fit:
    """Fits an ensemble by minimising `loss`.

    Args:
      key: consumed.
      init: `(key) -> params` of one member.
      loss: `(context, params, example) -> []` of one member and ONE example. Both
        functions outlive the call, so that a second fit compiles nothing anew.
      context: arrays that every example shares (scales, ...).
      train: examples, leaves [M, ...].
      validation: held-out examples of other patients, leaves [V, ...].
      stay: [M] stay number of each training example, for the bootstrap.
      config: settings.
      on_epochs: called with (epochs done, largest number, mean validation loss).
      epochs_per_call: epochs compiled into one call.

    Returns:
      The elites, their indices and the losses by epoch.

    Raises:
      FloatingPointError: if fewer than `elites` members reach a finite validation loss.
    """
    init_key, rows_key, run_key = jax.random.split(key, 3)
    if config.bootstrap:
        rows = bootstrap_rows(rows_key, stay, config.members)
    else:
        rows = jnp.tile(jnp.arange(stay.size, dtype=jnp.int32), (config.members, 1))
    # Placed once: members that come from elsewhere than they went to compile anew.
    home = sweep.member_sharding(config.members)
    state = jax.device_put(_start(init, config, init_key), home)
    rows = jax.device_put(rows, home)
    data = jax.device_put(
        (run_key, context, train, validation), sweep.data_sharding(config.members)
    )
    train_losses, validation_losses, done = [], [], 0
    while done < config.max_epochs:
        count = min(epochs_per_call, config.max_epochs - done)
        found, (fitted, held_out) = _run_epochs(state, rows, *data, loss, config, count)
        state, done = jax.device_put(found, home), done + count
        train_losses.append(np.asarray(fitted))
        validation_losses.append(np.asarray(held_out))
        if on_epochs is not None:
            mean = float(np.mean(validation_losses[-1][-1]))
            on_epochs(done, config.max_epochs, mean)
        if np.all(np.asarray(state.waited) >= config.patience):
            break
    # Members lie on the devices that trained them; what comes now is for one.
    kept, best = jax.device_get((state.best, state.best_loss))
    # A member that never got there would be kept with its random first parameters.
    finite = int(np.isfinite(best).sum())
    if finite < config.elites:
        raise FloatingPointError(
            f"ensemble: {finite} of {config.members} members reached a finite "
            f"validation loss, {config.elites} are wanted; lower learning_rate or look "
            "at the data"
        )
    elites = np.argsort(best, kind="stable")[: config.elites]
    return Fit(
        params=jax.tree.map(lambda x: jnp.asarray(x[elites]), kept),
        elites=elites,
        train_loss=np.concatenate(train_losses),
        validation_loss=np.concatenate(validation_losses),
    )


def _optimizer(config: FitConfig, epoch_steps: int = 1) -> Any:
    def halved(step: jax.typing.ArrayLike) -> Array:
        times = jnp.asarray(step) // (config.halve_every * epoch_steps)
        return config.learning_rate * 0.5**times

    rate = halved if config.halve_every else config.learning_rate
    return optimize.adam(rate, 0.0, config.weight_decay)


@functools.partial(jax.jit, static_argnums=(0, 1))
def _start(init: Callable[[Key], Params], config: FitConfig, key: Key) -> FitState:
    params = jax.vmap(init)(jax.random.split(key, config.members))
    learner = jax.vmap(functools.partial(optimize.start, _optimizer(config)))(params)
    return FitState(
        learner=learner,
        best=jax.tree.map(jnp.copy, params),
        best_loss=jnp.full(config.members, jnp.inf),
        waited=jnp.zeros(config.members, jnp.int32),
        epoch=jnp.zeros(config.members, jnp.int32),
    )


@functools.partial(jax.jit, static_argnums=(6, 7, 8), donate_argnums=(0,))
def _run_epochs(
    state: FitState,
    rows: Array,
    run_key: Key,
    context: Any,
    train: Any,
    validation: Any,
    loss: Loss,
    config: FitConfig,
    count: int,
) -> tuple[FitState, tuple[Array, Array]]:
    """`count` epochs of every member; losses [count, E].

    A member runs all its epochs by itself, so that members can share the devices.
    """
    run = _make_member(loss, config, count)
    given = state, rows, jnp.arange(config.members)
    found, losses = sweep.sweep(run, given, (run_key, context, train, validation))
    fitted, held_out = jax.tree.map(jnp.transpose, losses)
    return found, (fitted, held_out)


def _make_member(loss: Loss, config: FitConfig, count: int) -> Callable[..., Any]:
    """`((state, rows [M], number), data) -> (state, losses [count])` of one member."""

    def run(member: tuple[FitState, Array, Array], data: Any) -> tuple[FitState, Any]:
        state, rows, number = member
        run_key, context, train, validation = data
        steps = max(1, -(-rows.size // config.batch_size))
        mean_loss = _mean_loss(functools.partial(loss, context))

        def with_metrics(params: Params, batch: Any) -> tuple[Array, Metrics]:
            value = mean_loss(params, batch)
            return value, {"loss": value}

        step = optimize.gradient_step(with_metrics, _optimizer(config, steps))

        def batch_step(
            learner: optimize.Learner, index: Array
        ) -> tuple[optimize.Learner, Array]:
            learner, metrics = step(learner, jax.tree.map(lambda x: x[index], train))
            return learner, metrics["loss"]

        def epoch(state: FitState, _: None) -> tuple[FitState, tuple[Array, Array]]:
            key = jax.random.fold_in(jax.random.fold_in(run_key, state.epoch), number)
            # All draws of the epoch at once: one by one they cost as much as a layer.
            size = (steps, config.batch_size)
            index = rows[draws.below(key, size, rows.size)]
            learner, fitted = jax.lax.scan(batch_step, state.learner, index)
            held_out = mean_loss(learner.params, validation)
            following = _judged(state, learner, held_out, config.patience)
            return following, (jnp.mean(fitted), held_out)

        return jax.lax.scan(epoch, state, None, length=count)

    return run


def _judged(
    state: FitState, learner: optimize.Learner, held_out: Array, patience: int
) -> FitState:
    """The state of one member after an epoch, with its best parameters so far."""
    # A member that has waited long enough is done: nothing it learns later counts.
    done = state.waited >= patience
    better = (held_out < state.best_loss) & ~done
    best = jax.tree.map(
        lambda new, old: jnp.where(better, new, old), learner.params, state.best
    )
    waited = jnp.where(done, state.waited, jnp.where(better, 0, state.waited + 1))
    best_loss = jnp.where(better, held_out, state.best_loss)
    return FitState(learner, best, best_loss, waited, state.epoch + 1)


def _mean_loss(
    loss: Callable[[Params, Any], Array],
) -> Callable[[Params, Any], Array]:
    def mean(params: Params, batch: Any) -> Array:
        return jnp.mean(jax.vmap(loss, in_axes=(None, 0))(params, batch))

    return mean

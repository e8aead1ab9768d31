"""How good is the learned world? Open-loop error beside persistence; calibration."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from scipy import stats

from omgrl_jax.data.records import Records
from omgrl_jax.data.scales import Standardiser
from omgrl_jax.data.space import Space
from omgrl_jax.models.world import World, WorldParams
from omgrl_jax.types import Array, Dynamics, Params, Step

HORIZONS = (1, 5, 10, 20)


class Courses(NamedTuple):
    """Recorded (or simulated) courses of equal length against which to predict.

    Attributes:
      states: [N, H + 1, S] standardised states.
      actions: [N, H] actions taken.
      amounts: [N, H] doses given.
      value: [N, H] standardised aPTT (or other channel) at the END of each step.
      known: [N, H] bool, whether that value was measured (or is the truth).
      last: [N] standardised last measured value when the prediction starts.
    """

    states: Array
    actions: Array
    amounts: Array
    value: Array
    known: Array
    last: Array


def courses(
    records: Records, channel: int | None, last: Array, limit: int = 2000
) -> Courses:
    """All windows of one split as courses.

    Args:
      records: held-out records, outcomes as measured (not relabelled).
      channel: index of the channel; None where there is none.
      last: [R] standardised last measured value known at each row.
      limit: at most so many windows, evenly spread.

    Returns:
      The courses, as long as the windows of the records.
    """
    windows = np.asarray(records.windows)
    if windows.size > limit:
        windows = windows[np.linspace(0, windows.size - 1, limit).astype(int)]
    horizon = _window_length(records)
    rows = windows[:, None] + np.arange(horizon + 1)[None, :]
    inner = rows[:, :-1]
    value, known = jnp.zeros(inner.shape), jnp.zeros(inner.shape, bool)
    if channel is not None:
        value, known = records.outcome[inner, channel], records.measured[inner, channel]
    return Courses(
        states=records.states[rows],
        actions=records.actions[inner],
        amounts=records.amounts[inner],
        value=value,
        known=known,
        last=last[windows],
    )


def open_loop(
    dynamics: Dynamics, params: Params, given: Courses
) -> tuple[Array, Array]:
    """Predicts whole courses from their first state and the doses given.

    Args:
      dynamics: the world.
      params: its parameters.
      given: the courses.

    Returns:
      Predicted states [N, H, S] and channels [N, H, C].
    """

    @jax.jit
    def predict(params: Params, given: Courses) -> Step:
        def step(states: Array, now: tuple[Array, Array]) -> tuple[Array, Step]:
            out = dynamics.mean(params, states, *now)
            return out.state, out

        inputs = (given.actions.T, given.amounts.T)
        _, out = jax.lax.scan(step, given.states[:, 0], inputs)
        return jax.tree.map(lambda x: jnp.swapaxes(x, 0, 1), out)

    out = predict(params, given)
    return out.state, out.outcome


def horizon_errors(
    space: Space,
    dynamics: Dynamics,
    params: WorldParams,
    given: Courses,
    channel: int | None = 0,
    horizons: tuple[int, ...] = HORIZONS,
    ceiling: float = np.inf,
    least: int = 1,
) -> list[dict[str, float | int | str]]:
    """Errors of the model and of persistence, n steps ahead.

    Args:
      space: the task.
      dynamics: the world.
      params: its parameters.
      given: courses at least as long as the largest horizon.
      channel: index of the channel; None where there is none.
      horizons: steps ahead.
      ceiling: values are compared up to this (a laboratory's reporting limit).
      least: errors of the channel over fewer measurements are left out.

    Returns:
      Rows {quantity, horizon, model, persistence}: root mean squared error of the
      standardised dynamic features, mean absolute error of the channel in its unit.
    """
    states, outcome = open_loop(dynamics, params, given)
    dynamic = np.array(space.dynamic, int)

    rows: list[dict[str, float | int | str]] = []
    for h in (h for h in horizons if h <= given.actions.shape[1]):
        actual = np.asarray(given.states[:, h])[:, dynamic]
        error = np.asarray(states[:, h - 1])[:, dynamic] - actual
        still = np.asarray(given.states[:, 0])[:, dynamic] - actual
        rows.append(
            {
                "quantity": "state",
                "horizon": h,
                "model": float(np.sqrt(np.mean(error**2))),
                "persistence": float(np.sqrt(np.mean(still**2))),
            }
        )
        seen = np.asarray(given.known)[:, h - 1]
        if channel is None or seen.sum() < least:
            continue
        scale = jax.tree.map(lambda x: x[channel], params.scales.channel)
        truth = _raw(scale, given.value[:, h - 1], ceiling)[seen]
        predicted = _raw(scale, outcome[:, h - 1, channel], ceiling)[seen]
        last = _raw(scale, given.last, ceiling)[seen]
        rows.append(
            {
                "quantity": space.channels[channel],
                "horizon": h,
                "model": float(np.mean(np.abs(predicted - truth))),
                "persistence": float(np.mean(np.abs(last - truth))),
            }
        )
    return rows


def calibration(
    world: World,
    params: WorldParams,
    records: Records,
    channel: int | None = 0,
    levels: tuple[float, ...] = (0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95),
) -> list[dict[str, float]]:
    """Share of measurements below each predictive quantile of the elites' mixture.

    Args:
      world: the model.
      params: its parameters.
      records: held-out records, outcomes as measured.
      channel: index of the channel; None where there is none.
      levels: nominal quantiles.

    Returns:
      Rows {nominal, observed}; empty without a measurement.
    """
    if channel is None:
        return []
    rows = np.flatnonzero(np.asarray(records.measured[:, channel]))
    if rows.size == 0:
        return []

    @jax.jit
    def predict(params: WorldParams, state: Array, action: Array, amount: Array):
        def member(p: Params):
            return jax.vmap(lambda s, a, u: world.outcome(params.scales, p, s, a, u))(
                state, action, amount
            )

        return jax.vmap(member)(params.outcomes)

    said = predict(
        params, records.states[rows], records.actions[rows], records.amounts[rows]
    )
    mean = np.asarray(said.mean[..., channel])
    std = np.exp(0.5 * np.asarray(said.log_var[..., channel]))
    value = np.asarray(records.outcome[rows, channel])
    position = stats.norm.cdf((value - mean) / std).mean(axis=0)
    return [
        {"nominal": level, "observed": float(np.mean(position <= level))}
        for level in levels
    ]


def _raw(scale: Standardiser, z: Array, ceiling: float) -> np.ndarray:
    """Values [N] of one channel in its unit, up to the ceiling."""
    lifted = np.asarray(z) * float(scale.std) + float(scale.mean)
    return np.minimum(np.exp(lifted) if scale.log else lifted, ceiling)


def _window_length(records: Records) -> int:
    """Longest length that every window is known to have."""
    rows = np.asarray(records.windows)
    stay = np.asarray(records.stay)
    if rows.size == 0:
        raise ValueError("no stay of this split is as long as the rollout horizon")
    last = np.searchsorted(stay, stay[rows], side="right") - 1
    return int((last - rows).min())

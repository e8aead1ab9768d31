"""The outcome networks: what a measurement would show, and whether one is made.

Confounding by indication (doses rise where aPTT is low) hides the dose effect from a
network that sees only state and action. The outcome networks are therefore fed by what
changed: the running dose average against its value at the last draw, with the last
measured value as the baseline.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from omgrl_jax import networks
from omgrl_jax.data import space as space_lib
from omgrl_jax.data import tracking
from omgrl_jax.data.scales import Scales
from omgrl_jax.data.space import Space
from omgrl_jax.models.example import Example
from omgrl_jax.ops import likelihood
from omgrl_jax.types import Array, Key, Params

DOSE_EFFECTS = ("proportional", "free")


class Outcome(NamedTuple):
    """Prediction for the channels of one state, standardised.

    Attributes:
      now: [C] value at the end of the step, whether or not it is measured.
      mean: [C] value that a measurement reported at the end of the step would have;
        another than `now` where reports are delayed.
      log_var: [C] log variance of such a measurement.
      logit: [C] log-odds that one is reported.
    """

    now: Array
    mean: Array
    log_var: Array
    logit: Array


class Outcomes(NamedTuple):
    """One member as pure functions.

    Attributes:
      init: `(key) -> params`.
      predict: `(scales, params, state [S], action [], amount []) -> Outcome`.
      loss: `(scales, params, example) -> []`.
    """

    init: Callable[[Key], Params]
    predict: Callable[[Scales, Params, Array, Array, Array], Outcome]
    loss: Callable[[Scales, Params, Example], Array]


def make(hidden: tuple[int, ...], dose_effect: str, space: Space) -> Outcomes:
    """Builds the networks.

    Args:
      hidden: widths of the hidden layers.
      dose_effect: one of `DOSE_EFFECTS`; "proportional" needs one channel with one
        dose average and is "free" elsewhere.
      space: the task.

    Returns:
      The functions.
    """
    num_channels, pairs = len(space.channels), dose_pairs(space)
    proportional = dose_effect == "proportional" and len(pairs) == num_channels == 1
    # Without channels one output that nobody reads: layers of width 0 cannot be made.
    network = networks.MLP(hidden, max(4 * num_channels, 1))
    bases = last_value_index(space)
    dose_inputs = len(space.tracked) + 2 * len(pairs) + space.action_width
    told = space_lib.action_inputs(space)

    def init(key: Key) -> Params:
        width = space.state_dim + (0 if proportional else dose_inputs)
        return {
            "net": network.init(key, jnp.zeros(width)),
            "low": jnp.full(num_channels, -8.0),
            "high": jnp.full(num_channels, 2.0),
        }

    def predict(
        scales: Scales, params: Params, state: Array, action: Array, amount: Array
    ) -> Outcome:
        following, change, drawn = dose_changes(space, pairs, scales, state, amount)
        inputs = state
        if not proportional:
            inputs = jnp.concatenate([state, following, change, drawn, told(action)])
        out = networks.apply(network, params["net"], inputs)
        mean, raw_log_var, logit, slope = jnp.split(out[: 4 * num_channels], 4)
        mean = mean + last_values(scales, bases, state)
        now = mean
        if proportional:
            now = mean + jax.nn.softplus(slope) * change
            mean = mean + jax.nn.softplus(slope) * drawn
        log_var = likelihood.soft_clamp(raw_log_var, params["low"], params["high"])
        return Outcome(now, mean, log_var, logit)

    def loss(scales: Scales, params: Params, example: Example) -> Array:
        seen = example.measured.astype(jnp.float32)
        said = predict(scales, params, example.state, example.action, example.amount)
        nll = likelihood.censored_gaussian_nll(
            example.outcome, said.mean, said.log_var, example.censored
        )
        draws = likelihood.bernoulli_nll(seen, said.logit)
        bounds = params["high"] - params["low"]
        # A dataset without channels has nothing to fit here, and no mean either.
        return jnp.sum(seen * nll + draws + 1e-3 * bounds) / max(num_channels, 1)

    return Outcomes(init, predict, loss)


def standardise_tracked(scales: Scales, stored: int, tracked: Array) -> Array:
    """Raw tracked features on the scale they have behind `stored` others in a state."""
    tail = jax.tree.map(lambda x: x[stored:], scales.state)
    return type(scales.state)(*tail).apply(tracked)


def dose_changes(
    space: Space,
    pairs: list[tuple[int, int]],
    scales: Scales,
    state: Array,
    amount: Array,
) -> tuple[Array, Array, Array]:
    """Tracked features after the step, and dose changes since the last draw.

    The changes are those in effect at the end of the step and at the time at which
    blood reported then was drawn.
    """
    stored, num_channels = space.num_stored, len(space.channels)
    raw = scales.state.invert(state)[stored:]
    never = jnp.zeros(num_channels, bool)
    value = jnp.zeros(num_channels)
    following = tracking.advance(
        space.tracked, space.channels, raw, amount, value, never
    )
    z = standardise_tracked(scales, stored, following)
    changes, drawn = [], []
    for average, at_draw in pairs:
        std = scales.state.std[stored + average]
        before = raw if space.tracked[at_draw].delay else following
        changes.append((following[average] - raw[at_draw]) / std)
        drawn.append((before[average] - raw[at_draw]) / std)
    if not changes:
        return z, jnp.zeros(0), jnp.zeros(0)
    return z, jnp.stack(changes), jnp.stack(drawn)


def dose_pairs(space: Space) -> list[tuple[int, int]]:
    """Tracked indices (running average, that average at the last draw)."""
    pairs = []
    for k, item in enumerate(space.tracked):
        if item.rule == "average_at_measurement":
            for j, other in enumerate(space.tracked):
                if other.rule == "average" and other.half_life == item.half_life:
                    pairs.append((j, k))
    return pairs


def last_value_index(space: Space) -> list[int | None]:
    """State index of each channel's last measured value, None where it has none."""
    index: list[int | None] = []
    for channel in space.channels:
        found = [
            space.num_stored + k
            for k, item in enumerate(space.tracked)
            if item.rule == "last" and item.channel == channel
        ]
        index.append(found[0] if found else None)
    return index


def last_values(scales: Scales, bases: list[int | None], state: Array) -> Array:
    """Last measured values [C] on the channels' scale; zero where not in the state."""
    out = []
    for c, index in enumerate(bases):
        if index is None:
            out.append(jnp.zeros((), state.dtype))
            continue
        s, ch = scales.state, scales.channel
        lifted = state[index] * s.std[index] + s.mean[index]
        out.append((lifted - ch.mean[c]) / ch.std[c])
    return jnp.stack(out) if out else jnp.zeros(0)

"""What a patient's channel will be under plans of doses, and which plan is best.

Between two draws only the tracked features of the state move with the doses, by rule;
the other features are held. So all hours of all plans are asked of the outcome networks
at once, without a loop. Nothing is measured in a plan. Networks that were fitted where
blood was drawn are asked about other hours as if the last draw were as old as draws
are when the next one is made (`age`).

A plan earns, each hour, the expected reward over what is not known of the channel, less
a penalty times the chance that the channel exceeds a limit. Networks foretell
measurements; the laboratory's own error is no doubt about the patient, so its variance
is taken off. What is left is the belief's doubt and what moves a patient from draw to
draw.
"""

import dataclasses
import itertools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from omgrl_jax.data import tracking
from omgrl_jax.data.scales import Scales
from omgrl_jax.data.space import Space
from omgrl_jax.models import outcome as outcome_lib
from omgrl_jax.types import Array, Params

# standardised channel values [...] -> rewards [...]
Reward = Callable[[Array], Array]
_MOST = 4096
_LEFT = 0.05  # of a foretold variance, however large the laboratory's error is said


@dataclasses.dataclass(frozen=True)
class Config:
    """How doses are planned.

    Attributes:
      horizon: hours that a plan looks ahead.
      hold: hours for which a plan keeps a dose; all sequences of doses are compared.
      spread: share of the standard deviation over which rewards are averaged; 0 plans
        as if the mean were certain.
      assay_error: standard deviation of the laboratory's own error, of logs where the
        channel is learned as a logarithm (aPTT: .1 is about 10 %); 0 for none.
      limit: value of the channel above which a plan pays `penalty`, and above which the
        dose may not rise; none for the upper end of the target (`for_target`), 0 for
        no limit.
      penalty: what an hour above the limit costs, in units of the reward.
    """

    horizon: int = dataclasses.field(default=6, metadata={"min": 1})
    hold: int = dataclasses.field(default=3, metadata={"min": 1})
    spread: float = dataclasses.field(default=1.0, metadata={"min": 0})
    assay_error: float = dataclasses.field(default=0.1, metadata={"min": 0})
    limit: float | None = dataclasses.field(default=None, metadata={"min": 0})
    penalty: float = dataclasses.field(default=1.0, metadata={"min": 0})


class Foreseen(NamedTuple):
    """The standardised channel under K plans, as M members foresee it.

    Attributes:
      mean: [M, K, H] at the end of each hour.
      deviation: [M, K, H] how uncertain a measurement of it is, one that is reported at
        the end of the hour (drawn before, where reports are delayed).
    """

    mean: Array
    deviation: Array


def for_target(config: Config, space: Space) -> Config:
    """The settings with the limit that the task's target gives, where none was set.

    Raises:
      ValueError: if the limit is to come from a target and there is none.
    """
    if config.limit is not None:
        return config
    if space.target is None:
        raise ValueError("limit=none: no channel has a target whose end it could be")
    return dataclasses.replace(config, limit=space.target[2])


def plans(config: Config, num_actions: int) -> np.ndarray:
    """All sequences of held doses, [K, H] int32, the first dose changing slowest.

    Args:
      config: settings.
      num_actions: A.

    Raises:
      ValueError: if there are too many to compare.
    """
    turns = -(-config.horizon // config.hold)
    if num_actions**turns > _MOST:
        raise ValueError(
            f"horizon={config.horizon}, hold={config.hold}: {num_actions}^{turns} "
            f"plans, at most {_MOST} can be compared; hold doses longer"
        )
    drawn = np.array(list(itertools.product(range(num_actions), repeat=turns)))
    return np.repeat(drawn, config.hold, axis=1)[:, : config.horizon].astype(np.int32)


def foresee(
    space: Space,
    outcomes: outcome_lib.Outcomes,
    scales: Scales,
    members: Params,
    age: Array,
    state: Array,
    given: Array,
) -> Foreseen:
    """The channel under plans of doses, from one state.

    Args:
      space: the task.
      outcomes: outcome networks, of all patients or of one.
      scales: the training scales.
      members: their parameters, leaves [M, ...].
      age: [] steps that draws are old when the next one is made.
      state: [S] standardised.
      given: [K, H] action of each hour.

    Returns:
      What is foreseen.
    """
    amounts = scales.amounts[given]
    states = jax.vmap(_states, (None, None, None, None, 0))(
        space, scales, age, state, amounts
    )

    def one(member: Params, state: Array, action: Array, amount: Array) -> tuple:
        said = outcomes.predict(scales, member, state, action, amount)
        return said.now[0], jnp.exp(0.5 * said.log_var[0])

    each = jax.vmap(jax.vmap(one, (None, 0, 0, 0)), (None, 0, 0, 0))
    every = jax.vmap(each, (0, None, None, None))
    return Foreseen(*every(members, states, given, amounts))


def _states(
    space: Space, scales: Scales, age: Array, state: Array, amounts: Array
) -> Array:
    """States at the start of each hour of a plan [H], [H, S]."""
    stored = space.num_stored
    never = jnp.zeros(len(space.channels), bool)
    ages = [k for k, item in enumerate(space.tracked) if item.rule == "age"]

    def hour(raw: Array, amount: Array) -> tuple[Array, Array]:
        value = jnp.zeros(never.shape)
        args = (space.tracked, space.channels, raw, amount, value, never)
        return tracking.advance(*args), raw

    _, raw = jax.lax.scan(hour, scales.state.invert(state)[stored:], amounts)
    raw = raw.at[:, jnp.array(ages, int)].set(age)
    moved = outcome_lib.standardise_tracked(scales, stored, raw)
    held = jnp.broadcast_to(state[:stored], (raw.shape[0], stored))
    return jnp.concatenate([held, moved], axis=1)


def scores(
    config: Config, scales: Scales, reward: Reward, foreseen: Foreseen, quantiles: int
) -> Array:
    """What plans earn an hour, [K].

    Args:
      config: settings.
      scales: the training scales.
      reward: of standardised values of the channel.
      foreseen: what the plans lead to.
      quantiles: equally likely values that stand for each foretold distribution.

    Returns:
      Mean over members, hours and values.
    """
    shares = (jnp.arange(quantiles) + 0.5) / quantiles
    nodes = config.spread * jax.scipy.stats.norm.ppf(shares)
    doubt = _of_the_channel(config, scales, foreseen.deviation)
    apart = doubt[..., None] * nodes[None, None, None]
    values = foreseen.mean[..., None] + apart
    earned = reward(values)
    if _limit(config):
        limit = scales.channel.apply(jnp.full(1, _limit(config)))[0]
        earned -= config.penalty * (values > limit)
    return jnp.mean(earned, axis=(0, 2, 3))


def _limit(config: Config) -> float:
    if config.limit is None:
        raise ValueError("limit=none: settle it by the target first (for_target)")
    return config.limit


def _of_the_channel(config: Config, scales: Scales, deviation: Array) -> Array:
    """Standard deviation of the channel itself, from that of a measurement."""
    variance = jnp.square(deviation)
    error = jnp.square(config.assay_error / scales.channel.std[0])
    return jnp.sqrt(jnp.maximum(variance - error, _LEFT * variance))


def allowed(config: Config, scales: Scales, last: Array, before: Array) -> Array:
    """Which actions may be taken now, [A] bool.

    Args:
      config: settings.
      scales: the training scales.
      last: [] last measured value of the channel, raw.
      before: [] action of the hour before: the bin of its dose, not the dose, which
        may lie below its own bin's amount.

    Returns:
      All of them up to the limit; above it those that raise no dose.
    """
    no_more = scales.amounts <= scales.amounts[before]
    if not _limit(config):
        return jnp.ones(no_more.shape, bool)
    return no_more | (last <= _limit(config))


def best(values: Array, given: Array, permitted: Array) -> Array:
    """First action [] of the best plan among those whose first action is permitted.

    Args:
      values: [K] what the plans earn.
      given: [K, H] the plans.
      permitted: [A] bool, at least one.
    """
    first = given[:, 0]
    values = jnp.where(jnp.isnan(values), -jnp.inf, values)
    return first[jnp.argmax(jnp.where(permitted[first], values, -jnp.inf))]

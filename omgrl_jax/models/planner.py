"""Model predictive control: the best of many imagined plans, its first action taken.

`shoot` draws plans of discrete actions; `cem` refines plans of continuous ones by the
cross-entropy method. Both know the world by a score of plans alone, such as
`imagined_return`; they are pure, for one agent and one state: vmap over agents.
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from omgrl_jax.actions import ActionSpace
from omgrl_jax.types import Array, Key

Score = Callable[[Array], Array]

# So many hidden layers of 256 units fit the second cache of a core.
_GROUP = 200


@dataclasses.dataclass(frozen=True)
class ShootingConfig:
    """Random shooting.

    Attributes:
      horizon: steps of a plan H.
      candidates: plans K that are compared, the shifted last one among them.
      hold: steps for which a drawn action is kept; 1 draws every step anew.
    """

    horizon: int = dataclasses.field(default=50, metadata={"min": 1})
    candidates: int = dataclasses.field(default=1000, metadata={"min": 2})
    hold: int = dataclasses.field(default=1, metadata={"min": 1})


@dataclasses.dataclass(frozen=True)
class CemConfig:
    """The cross-entropy method.

    Attributes:
      horizon: steps of a plan H.
      candidates: plans K drawn in each iteration.
      elites: best plans to which the next distribution is fitted.
      iterations: how often.
      smoothing: share of the last distribution that the next one keeps.
      first_deviation: standard deviation at the start, as a share of half the actions'
        range.
    """

    horizon: int = dataclasses.field(default=30, metadata={"min": 1})
    candidates: int = dataclasses.field(default=200, metadata={"min": 1})
    elites: int = dataclasses.field(default=50, metadata={"min": 1})
    iterations: int = dataclasses.field(default=5, metadata={"min": 1})
    smoothing: float = dataclasses.field(default=0.1, metadata={"min": 0, "below": 1})
    first_deviation: float = dataclasses.field(default=0.5, metadata={"above": 0})

    def __post_init__(self) -> None:
        """Rejects more elites than candidates."""
        if self.elites > self.candidates:
            raise ValueError(
                f"elites={self.elites} exceeds candidates={self.candidates}"
            )


class Planner(NamedTuple):
    """One way to plan; static. Made by `shooting` or `refining`.

    Attributes:
      first: `() -> [H, ...]`, what stands for the last plan where there was none.
      plan: `(key, score, last [H, ...]) -> Plan`; `last` is `shifted`.
    """

    first: Callable[[], Array]
    plan: Callable[[Key, Score, Array], "Plan"]


class Plan(NamedTuple):
    """A plan.

    Attributes:
      actions: [H] int32, or [H, P].
      value: [] its score.
    """

    actions: Array
    value: Array


def imagined_return(
    advance: Callable[[Array, Array], Array],
    reward: Callable[[Array, Array, Array], Array],
    done: Callable[[Array], Array],
    state: Array,
) -> Score:
    """The score of plans that start from one state: the sum of rewards up to the end.

    Plans run side by side, features first; on a CPU in groups that fit its cache.

    Args:
      advance: `(states [S, K], actions [..., K]) -> [S, K]`, the world.
      reward: `(state, action, next state) -> []`.
      done: `(state) -> [] bool`.
      state: [S] where plans start.

    Returns:
      `(plans [K, H, ...]) -> [K]`.
    """
    rewards = jax.vmap(reward, in_axes=-1)
    ends = jax.vmap(done, in_axes=-1)

    def step(
        carry: tuple[Array, Array, Array], actions: Array
    ) -> tuple[tuple[Array, Array, Array], None]:
        states, alive, total = carry
        following = advance(states, actions)
        earned = rewards(states, actions, following)
        # Chosen, not multiplied: after its end a plan may reach infinity.
        total += jnp.where(alive, earned, 0.0)
        alive &= ~ends(following)
        return (following, alive, total), None

    def score_group(plans: Array) -> Array:
        count = plans.shape[0]
        states = jnp.broadcast_to(state[:, None], (*state.shape, count))
        start = (states, jnp.ones(count, bool), jnp.zeros(count))
        (_, _, total), _ = jax.lax.scan(step, start, jnp.moveaxis(plans, 0, -1))
        return total

    def score(plans: Array) -> Array:
        count = plans.shape[0]
        groups = count // _GROUP if jax.default_backend() == "cpu" else 1
        if groups < 2 or count % groups:
            return score_group(plans)
        split = plans.reshape(groups, count // groups, *plans.shape[1:])
        return jax.lax.map(score_group, split).reshape(-1)

    return score


def shifted(actions: Array) -> Array:
    """The rest of a plan after its first step, the last action held: [H, ...]."""
    return jnp.concatenate([actions[1:], actions[-1:]])


def shoot(
    key: Key, score: Score, last: Array, num_actions: int, config: ShootingConfig
) -> Plan:
    """The best of random plans of discrete actions.

    Args:
      key: consumed.
      score: see `imagined_return`.
      last: [H] int32 plan of the step before, `shifted`. It wins only where it is
        better than all others: among plans that come to nothing alike a new one is
        taken, or else an agent that sees no reward yet would never move.
      num_actions: A.
      config: how many plans of which length.

    Returns:
      The best plan.
    """
    shape = (config.candidates - 1, -(-config.horizon // config.hold))
    drawn = jax.random.randint(key, shape, 0, num_actions, jnp.int32)
    drawn = jnp.repeat(drawn, config.hold, axis=1)[:, : config.horizon]
    plans = jnp.concatenate([drawn, last[None]])
    values = _sane(score(plans))
    best = jnp.argmax(values)
    return Plan(plans[best], values[best])


def cem(
    key: Key, score: Score, last: Array, low: Array, high: Array, config: CemConfig
) -> Plan:
    """The mean of the distribution to which the cross-entropy method comes.

    Args:
      key: consumed.
      score: see `imagined_return`.
      last: [H, P] plan of the step before, `shifted`: the first mean.
      low: [P] smallest actions.
      high: [P] largest ones.
      config: settings.

    Returns:
      The last mean and its score.
    """

    def refine(
        carry: tuple[Array, Array], key: Key
    ) -> tuple[tuple[Array, Array], None]:
        mean, deviation = carry
        noise = jax.random.normal(key, (config.candidates, *mean.shape))
        plans = mean[None] + deviation[None] * noise
        plans = jnp.clip(plans, low[None, None], high[None, None])
        _, best = jax.lax.top_k(_sane(score(plans)), config.elites)
        elites = plans[best]
        keep = config.smoothing
        mean = keep * mean + (1.0 - keep) * jnp.mean(elites, axis=0)
        deviation = keep * deviation + (1.0 - keep) * jnp.std(elites, axis=0)
        return (mean, deviation), None

    width = 0.5 * (high - low)
    deviation = jnp.broadcast_to(config.first_deviation * width[None], last.shape)
    (mean, _), _ = jax.lax.scan(
        refine, (last, deviation), jax.random.split(key, config.iterations)
    )
    return Plan(mean, score(mean[None])[0])


# Cached, so that planners of equal settings are equal and nothing is compiled twice.
@functools.cache
def shooting(actions: ActionSpace, config: ShootingConfig) -> Planner:
    """`shoot` as a planner of discrete actions."""

    def plan(key: Key, score: Score, last: Array) -> Plan:
        return shoot(key, score, last, actions.count, config)

    return Planner(lambda: actions.zeros(config.horizon), plan)


@functools.cache
def refining(actions: ActionSpace, config: CemConfig) -> Planner:
    """`cem` as a planner of continuous actions; plans begin in their box's middle."""

    def bounds() -> tuple[Array, Array]:
        # Made anew by each trace: arrays of a trace must not outlive it.
        return jnp.array(actions.low), jnp.array(actions.high)

    def plan(key: Key, score: Score, last: Array) -> Plan:
        return cem(key, score, last, *bounds(), config)

    def first() -> Array:
        low, high = bounds()
        return jnp.broadcast_to(0.5 * (low + high)[None], (config.horizon, low.size))

    return Planner(first, plan)


def _sane(values: Array) -> Array:
    """A plan on which a model runs away is the worst, not the best."""
    return jnp.where(jnp.isfinite(values), values, -jnp.inf)

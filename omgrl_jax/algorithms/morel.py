"""MOReL for discrete actions (Kidambi et al. 2020, arXiv 2005.05951) on r_p.

    init ->  repeat: rollouts, cut where they halt -> buffer -> soft actor-critic

A state-action pair is unknown where the members of the world model disagree by more
than a threshold (Eq. 1); from there the pessimistic process moves to HALT, where it
stays for ever at the lowest reward (Eq. 2). The threshold is a quantile of the
disagreement on recorded transitions, where the authors take a share of its maximum.

Two notes on the pessimistic process as it is built here. HALT's value is known, so no
network learns it: the halting step ends the episode and is paid what staying in HALT
for ever is worth. It is taken for the first step in HALT, since the r_p that Eq. 2
would still pay for it is the prediction of the model that is not trusted there. And
rollouts keep their length: the visited rows of a cut one are repeated, in order, so
that no row after the halt is learned from and each rollout counts as much as another
(but for worlds in which episodes end: there, what follows an end leaves its place).
"""

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp

from omgrl_jax.data import records as records_lib
from omgrl_jax.data.space import Space
from omgrl_jax.learners import dyna, known_dyna
from omgrl_jax.learners import pessimism as pessimism_lib
from omgrl_jax.learners import soft_actor_critic as sac
from omgrl_jax.learners.soft_actor_critic import RewardFunction
from omgrl_jax.types import (
    Algorithm,
    Array,
    Dynamics,
    Metrics,
    Params,
    Spread,
    Transition,
)

# Recorded transitions whose disagreement is looked at, at most.
SAMPLE = 4096


@dataclasses.dataclass(frozen=True)
class Config:
    """MOReL's settings.

    Attributes:
      quantile: quantile of the disagreement on recorded transitions beyond which a
        state-action pair is unknown; 1 for the largest disagreement.
      halt_reward: reward of each step in HALT (-kappa of the paper): no more than the
        lowest reward there is, -1 for r_p.
      agent: actor and critic.
      rollout: use of the world model.
    """

    quantile: float = dataclasses.field(default=0.99, metadata={"above": 0, "max": 1})
    halt_reward: float = -1.0
    agent: sac.AgentConfig = dataclasses.field(default_factory=sac.AgentConfig)
    rollout: dyna.RolloutConfig = dataclasses.field(default_factory=dyna.RolloutConfig)


def make(config: Config, space: Space, dynamics: Dynamics) -> Algorithm:
    """Builds MOReL.

    Args:
      config: settings.
      space: the task.
      dynamics: the fitted world; its parameters come with the data.

    Returns:
      The algorithm; `data` is `dyna.Data`; its state's `measured` is the threshold.

    Raises:
      ValueError: if the schema defines no reward, the world gives no spread, or nothing
        is discounted, so that HALT has no value.
    """
    if config.agent.discount >= 1.0:
        raise ValueError("MOReL needs a discount below 1: HALT is for ever")
    value = config.halt_reward / (1.0 - config.agent.discount)
    spread = pessimism_lib.make_spread(dynamics)
    return known_dyna.make(
        config.agent,
        config.rollout,
        space,
        dynamics,
        sac.make(config.agent, space),
        halting(spread, config.quantile, value),
    )


def halting(
    spread: Callable[[Params, Transition], Spread], quantile: float, value: float
) -> pessimism_lib.Pessimism:
    """Ends rollouts at the first unknown state-action pair.

    Args:
      spread: as `make_spread` gives it.
      quantile: see `Config`.
      value: what a halting step is paid.

    Returns:
      The pessimism; `uncertainty` is 1 in halting steps. It logs the share of rollouts
      that halt and the steps before that they visit.
    """

    def measure(data: dyna.Data) -> Array:
        rows = data.train.transitions
        rows = rows[:: -(-rows.shape[0] // SAMPLE)]
        recorded = records_lib.transition_at(data.train, rows)
        return jnp.quantile(spread(data.world, recorded).disagreement, quantile)

    def mark(
        threshold: Array, data: dyna.Data, rollouts: Transition
    ) -> tuple[Transition, Metrics]:
        unknown = spread(data.world, rollouts).disagreement > threshold
        marked, visited = cut(rollouts, unknown)
        return marked, {
            "rollout/halted": jnp.mean(jnp.any(unknown, axis=0)),
            "rollout/visited": jnp.mean(visited),
        }

    def given(reward: RewardFunction) -> RewardFunction:
        def pessimistic(transitions: Transition) -> Array:
            halts = transitions.uncertainty > 0
            return jnp.where(halts, value, reward(transitions))

        return pessimistic

    return pessimism_lib.Pessimism(measure, mark, given)


def cut(rollouts: Transition, unknown: Array) -> tuple[Transition, Array]:
    """Repeats the rows of each rollout up to its first unknown one.

    Args:
      rollouts: leaves [H, B, ...].
      unknown: [H, B] bool.

    Returns:
      The rollouts, leaves [H, B, ...], whose halting rows have `uncertainty` 1 and
      `discount` 0, and the number of different rows in each, [B].
    """
    horizon, count = unknown.shape
    first = jnp.argmax(unknown, axis=0)
    visited = jnp.where(jnp.any(unknown, axis=0), first + 1, horizon)
    rows = jnp.arange(horizon)[:, None] % visited[None, :]
    columns = jnp.broadcast_to(jnp.arange(count)[None, :], rows.shape)
    repeated = jax.tree.map(lambda x: x[rows, columns], rollouts)
    halts = unknown[rows, columns]
    return repeated._replace(
        discount=jnp.where(halts, 0.0, repeated.discount),
        uncertainty=halts.astype(repeated.uncertainty.dtype),
    ), visited

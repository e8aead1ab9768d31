"""Offline guarded safe reinforcement learning (OGSRL, arXiv 2505.16242).

    records -> guardian;  repeat: rollouts -> reward, costs, share outside the region
                                  -> one constrained policy step

The policy is improved in a world model under the reward that the schema defines, while
two kinds of constraints hold it (the paper's Eq. 3): the guardian's, on how often it
leaves what clinicians' records support, states and doses together, and the safety
costs', each with a value network and a multiplier of its own. Both are constraints, not
penalties; a penalty never says what it will keep. Without guardian and costs this is
trust region policy optimisation in the model, the paper's ablation.
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from omgrl_jax import distributions
from omgrl_jax.data import space as space_lib
from omgrl_jax.data.space import Space
from omgrl_jax.learners import constrained, dyna, known_reward, safety, stochastic
from omgrl_jax.learners.guardian import guardian as guardian_lib
from omgrl_jax.ops.safety import COSTS
from omgrl_jax.types import (
    Algorithm,
    Array,
    Dynamics,
    Key,
    Metrics,
    Params,
    Policy,
    Transition,
)


@dataclasses.dataclass(frozen=True)
class Config:
    """OGSRL's settings.

    Attributes:
      costs: safety costs that are limited.
      limits: for each of them the largest share of steps that may be unsafe.
      guarded: whether the guardian holds the policy.
      guardian_limit: largest share of steps outside of its region.
      hidden: widths of the policy's layers.
      guardian: the region.
      optimiser: the constrained steps.
      rollout: use of the world model; every rollout is used once.
    """

    costs: tuple[str, ...] = dataclasses.field(
        default=(), metadata={"choices": tuple(COSTS)}
    )
    limits: tuple[float, ...] = dataclasses.field(
        default=(), metadata={"min": 0, "max": 1}
    )
    guarded: bool = True
    guardian_limit: float = dataclasses.field(
        default=0.05, metadata={"min": 0, "max": 1}
    )
    hidden: tuple[int, ...] = (128, 128)
    guardian: guardian_lib.GuardianConfig = dataclasses.field(
        default_factory=guardian_lib.GuardianConfig
    )
    optimiser: constrained.ConstrainedConfig = dataclasses.field(
        default_factory=constrained.ConstrainedConfig
    )
    rollout: dyna.RolloutConfig = dataclasses.field(default_factory=dyna.RolloutConfig)

    def __post_init__(self) -> None:
        """Rejects costs without a limit, naming the fields."""
        if len(self.costs) != len(self.limits):
            raise ValueError(
                f"costs={','.join(self.costs)} and limits={self.limits}: give one "
                "limit for each cost, a share of steps"
            )


class State(NamedTuple):
    """What is kept between epochs.

    Attributes:
      learner: policy and values.
      guardian: the fitted region, which may hold records; None where none guards.
    """

    learner: constrained.State
    guardian: guardian_lib.Fitted | None


class Constraints(NamedTuple):
    """What is limited; J constraints.

    Attributes:
      names: of each.
      limits: largest share of steps of each.
      fit: `(data) -> ` the fitted guardian; None where none guards.
      measure: `(fitted guardian, data, rollouts [H, B, ...]) -> [J, H, B]`, 0 or 1.
    """

    names: tuple[str, ...]
    limits: tuple[float, ...]
    fit: Callable[[dyna.Data], guardian_lib.Fitted | None]
    measure: Callable[..., Array]


def make(config: Config, space: Space, dynamics: Dynamics) -> Algorithm:
    """Builds OGSRL.

    Args:
      config: settings.
      space: the task.
      dynamics: the fitted world; its parameters come with the data.

    Returns:
      The algorithm; `data` is `dyna.Data`, with validation records where a guardian's
      threshold is set on them. It logs `safety/outside`, `safety/NAME`: shares of the
      rollouts' steps; `safety/excess_NAME`: discounted steps above the limit, over the
      rollouts and all that follows them by the value networks, which is what is held
      below zero; and the multipliers `safety/dual_NAME`.

    Raises:
      ValueError: if the schema defines no reward, or lacks what a cost looks at; when
        traced, if validation records are wanted and missing.
    """
    known_reward.require(space)
    held = _constraints(config, space, dynamics)
    family = distributions.categorical(space.num_actions)
    policy = stochastic.make(config.hidden, space.state_dim, family)
    count = len(held.names)
    learner = constrained.make(config.optimiser, policy, space.state_dim, count)
    acting = _policy(config.hidden, space.state_dim, space.num_actions)

    def init(key: Key, data: dyna.Data) -> State:
        return State(learner.init(key), held.fit(data))

    def update(state: State, key: Key, data: dyna.Data) -> tuple[State, Metrics]:
        rollout_key, step_key = jax.random.split(key)
        params = state.learner.policy
        rows = data.train.transitions
        rollouts = dyna.collect(
            config.rollout, dynamics, acting, params, rollout_key, data, rows
        )
        reward = known_reward.make(space, data.world.scales)(rollouts)
        unsafe = held.measure(state.guardian, data, rollouts)
        # What a step costs more than it may: its discounted sum is limited by zero,
        # however long an episode is.
        over = unsafe - jnp.array(held.limits, jnp.float32)[:, None, None]
        signals = jnp.concatenate([reward[None], over])
        found, metrics = learner.update(
            state.learner, step_key, rollouts, signals, jnp.zeros(count)
        )
        alive = constrained.alive_in(rollouts)
        shares = jnp.sum(unsafe * alive[None], axis=(1, 2)) / jnp.sum(alive)
        return State(found, state.guardian), {
            **_named(metrics, held.names, shares),
            "return/r_p": jnp.mean(jnp.sum(alive * reward, axis=0)),
        }

    def policy_params(state: State) -> Params:
        return state.learner.policy

    return Algorithm(init, update, acting, policy_params)


def _constraints(config: Config, space: Space, dynamics: Dynamics) -> Constraints:
    """The costs, and the guardian where there is one."""
    cost_of = safety.make(space, config.costs)
    encode, horizon = space_lib.action_numbers(space), config.rollout.horizon
    guard = guardian_lib.make(config.guardian, space, encode, dynamics, horizon)

    def fit(data: dyna.Data) -> guardian_lib.Fitted | None:
        if not config.guarded:
            return None
        if data.validation is None:
            raise ValueError(
                "ogsrl sets its guardian's threshold on validation records, of which "
                "there are none: give some, or --ogsrl_guarded=false"
            )
        return guard.fit(data.world, data.train, data.validation)

    def measure(
        fitted: guardian_lib.Fitted | None, data: dyna.Data, rollouts: Transition
    ) -> Array:
        found = cost_of(data.world.scales, rollouts)
        if fitted is None:
            return found
        scores = guard.of_rollouts(fitted, data.world, rollouts)
        outside = guardian_lib.outside(fitted, scores).astype(jnp.float32)
        return jnp.concatenate([found, outside[None]])

    names, limits = config.costs, config.limits
    if config.guarded:
        names, limits = (*names, "outside"), (*limits, config.guardian_limit)
    return Constraints(names, limits, fit, measure)


@functools.cache
def _policy(hidden: tuple[int, ...], state_dim: int, num_actions: int) -> Policy:
    """The same object for equal networks: functions of it are compiled once."""
    family = distributions.categorical(num_actions)
    policy = stochastic.make(hidden, state_dim, family)
    return Policy(
        lambda params, states: jax.nn.log_softmax(policy.numbers(params, states))
    )


def _named(metrics: Metrics, names: tuple[str, ...], shares: Array) -> Metrics:
    """Metrics of constraints called by their names, with their shares of steps [J]."""
    found = {k: x for k, x in metrics.items() if not k.startswith("safety/")}
    for j, name in enumerate(names):
        found[f"safety/{name}"] = shares[j]
        found[f"safety/excess_{name}"] = metrics[f"safety/cost_{j}"]
        found[f"safety/dual_{name}"] = metrics[f"safety/dual_{j}"]
    return found

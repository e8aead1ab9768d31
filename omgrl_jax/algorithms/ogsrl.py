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
from typing import NamedTuple

import jax
import jax.numpy as jnp

from omgrl_jax import distributions
from omgrl_jax.actions import ActionSpace
from omgrl_jax.data import records as records_lib
from omgrl_jax.data import space as space_lib
from omgrl_jax.data.space import Space
from omgrl_jax.learners import cloning as cloning_lib
from omgrl_jax.learners import constrained, dyna, known_reward, stochastic
from omgrl_jax.learners import limits as limits_lib
from omgrl_jax.learners.guardian import guardian as guardian_lib
from omgrl_jax.models.rollout import alive_in, rollout
from omgrl_jax.ops import draws
from omgrl_jax.types import (
    Algorithm,
    Array,
    Dynamics,
    Key,
    Metrics,
    Params,
    Policy,
)

STARTS = ("anywhere", "admission")


@dataclasses.dataclass(frozen=True)
class Config:
    """OGSRL's settings.

    Attributes:
      hidden: widths of the policy's layers.
      cloning: how it is brought to the clinicians' before the first epoch. From doses
        at random a policy starts outside of the region, which only steps that forget
        the reward lead back to.
      limits: what is limited.
      guardian: the region.
      optimiser: the constrained steps.
      rollout: use of the world model; every rollout is used once.
      start: where rollouts start: "anywhere" in a recorded stay, or at its "admission",
        which with a horizon as long as stays makes shares of steps those of stays.
    """

    hidden: tuple[int, ...] = (128, 128)
    cloning: cloning_lib.CloningConfig = dataclasses.field(
        default_factory=cloning_lib.CloningConfig
    )
    limits: limits_lib.LimitsConfig = dataclasses.field(
        default_factory=limits_lib.LimitsConfig
    )
    guardian: guardian_lib.GuardianConfig = dataclasses.field(
        default_factory=guardian_lib.GuardianConfig
    )
    optimiser: constrained.ConstrainedConfig = dataclasses.field(
        default_factory=constrained.ConstrainedConfig
    )
    rollout: dyna.RolloutConfig = dataclasses.field(default_factory=dyna.RolloutConfig)
    start: str = dataclasses.field(default="anywhere", metadata={"choices": STARTS})

    def __post_init__(self) -> None:
        """Rejects unknown starts, naming the field."""
        if self.start not in STARTS:
            raise ValueError(f"start='{self.start}': use one of {', '.join(STARTS)}")


class State(NamedTuple):
    """What is kept between epochs.

    Attributes:
      learner: policy and values.
      guardian: the fitted region, which may hold records; None where none guards.
    """

    learner: constrained.State
    guardian: guardian_lib.Fitted | None


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
    held = limits_lib.make(
        config.limits, config.guardian, space, dynamics, config.rollout.horizon
    )
    policy = stochastic.make(
        config.hidden, space.state_dim, distributions.of(space_lib.actions(space))
    )
    count = len(held.names)
    learner = constrained.make(config.optimiser, policy, space.state_dim, count)
    clone = cloning_lib.make(config.cloning, policy)
    acting = _policy(config.hidden, space.state_dim, space_lib.actions(space))

    def init(key: Key, data: dyna.Data) -> State:
        start_key, clone_key = jax.random.split(key)
        start = learner.init(start_key)
        cloned = clone(start.policy, clone_key, data.train)
        return State(start._replace(policy=cloned), held.fit(data))

    def update(state: State, key: Key, data: dyna.Data) -> tuple[State, Metrics]:
        start_key, rollout_key, step_key = jax.random.split(key, 3)
        rollouts = rollout(
            dynamics,
            data.world,
            acting,
            state.learner.policy,
            rollout_key,
            _starts(config, data, start_key),
            config.rollout.horizon,
        )
        reward = known_reward.make(space, data.world.scales)(rollouts)
        unsafe = held.measure(state.guardian, data, rollouts)
        # What a step costs more than it may: its discounted sum is limited by zero,
        # however long an episode is.
        limits = jnp.array(held.most, jnp.float32)
        over = unsafe - limits[:, None, None]
        signals = jnp.concatenate([reward[None], over])
        found, metrics = learner.update(
            state.learner,
            step_key,
            rollouts,
            signals,
            jnp.zeros(count),
            span=(-limits, 1.0 - limits),
        )
        alive = alive_in(rollouts)
        return State(found, state.guardian), {
            **limits_lib.named(metrics, held.names),
            **limits_lib.shares(held.names, unsafe, alive)[1],
            "return/r_p": jnp.mean(jnp.sum(alive * reward, axis=0)),
        }

    def policy_params(state: State) -> Params:
        return state.learner.policy

    return Algorithm(init, update, acting, policy_params)


def _starts(config: Config, data: dyna.Data, key: Key) -> Array:
    """States [B, S] from which rollouts start; those of the data where it has any."""
    count = config.rollout.rollouts
    if data.starts is not None:
        picks = draws.below(key, (count,), data.starts.shape[0])
        return data.starts[picks]
    anywhere = config.start == "anywhere"
    sample = records_lib.sample_rows if anywhere else records_lib.sample_admissions
    return data.train.states[sample(data.train, key, count)]


@functools.cache
def _policy(hidden: tuple[int, ...], state_dim: int, actions: ActionSpace) -> Policy:
    """The same object for equal networks: functions of it are compiled once."""
    policy = stochastic.make(hidden, state_dim, distributions.of(actions))

    def log_probs(params: Params, states: Array) -> Array:
        if not actions.count:
            raise ValueError("this policy chooses any dose: it has no list of actions")
        return jax.nn.log_softmax(policy.numbers(params, states))

    return Policy(log_probs, None if actions.count else policy.draw)

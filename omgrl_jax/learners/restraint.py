"""Limits on a soft actor-critic: multipliers that follow what its rollouts show.

    steps    -> values of costs  -> what each dose counts less to the actor
    rollouts -> shares of steps above their limits -> multipliers

The Lagrangian way to a limit (arXiv 2007.03964), for any agent that is improved on
recorded and rolled-out steps. The critics of the reward stay the reward's: what a limit
costs is seen beside what it is worth, not inside it.
"""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp

from omgrl_jax.data.space import Space
from omgrl_jax.learners import cost_critics, dyna
from omgrl_jax.learners import limits as limits_lib
from omgrl_jax.learners import soft_actor_critic as sac
from omgrl_jax.learners.guardian import guardian as guardian_lib
from omgrl_jax.models.rollout import alive_in
from omgrl_jax.ops import dual as dual_ops
from omgrl_jax.types import Array, Dynamics, Key, Metrics, Transition

PURPOSE = 90  # folded into the key of a method's start: its values of costs
Improve = Callable[
    [Any, sac.RewardFunction, Transition, Transition], tuple[Any, Metrics]
]


@dataclasses.dataclass(frozen=True)
class MultipliersConfig:
    """How multipliers answer to a share of steps above its limit.

    Attributes:
      proportional: to what the share lies above its limit now; in the unit of rewards.
      integral: to the sum of that over epochs.
      derivative: to its rise in the last epoch.
    """

    proportional: float = dataclasses.field(default=10.0, metadata={"min": 0})
    integral: float = dataclasses.field(default=2.0, metadata={"min": 0})
    derivative: float = dataclasses.field(default=0.0, metadata={"min": 0})

    @property
    def gains(self) -> dual_ops.Gains:
        """For `ops.dual`."""
        return dual_ops.Gains(self.proportional, self.integral, self.derivative)


class State(NamedTuple):
    """What is kept between updates.

    Attributes:
      guardian: the fitted region, which may hold records; None where none guards.
      costs: values of the costs.
      dual: their multipliers.
    """

    guardian: guardian_lib.Fitted | None
    costs: cost_critics.State
    dual: dual_ops.Dual


class Asks(Protocol):
    """What the configurations of methods that can be limited have in common."""

    @property
    def limited(self) -> bool:
        """Whether limits hold the agent."""
        ...

    @property
    def limits(self) -> limits_lib.LimitsConfig:
        """What is limited."""
        ...

    @property
    def guardian(self) -> guardian_lib.GuardianConfig:
        """The region."""
        ...

    @property
    def multipliers(self) -> MultipliersConfig:
        """How multipliers answer."""
        ...

    @property
    def agent(self) -> sac.AgentConfig:
        """The agent's settings."""
        ...


class Restraint(NamedTuple):
    """Limits as pure functions; `state` is None where nothing is limited.

    Attributes:
      init: `(key, data) -> state`.
      improve: `(data) -> step`, `step(((agent state, state)), reward, recorded,
        sampled) -> (both, metrics)`: one gradient step of the agent under the
        multipliers, and one of the costs' values.
      follow: `(state, data, rollouts [H, B, ...]) -> (state, metrics)`: multipliers
        after an epoch's rollouts. It logs `safety/NAME`, shares of the rollouts' steps,
        and `safety/dual_NAME`.
    """

    init: Callable[[Key, dyna.Data], State | None]
    improve: Callable[[dyna.Data], Improve]
    follow: Callable[[Any, dyna.Data, Transition], tuple[Any, Metrics]]


def none(agent: sac.Agent) -> Restraint:
    """Leaves an agent as it is."""

    def improve(data: dyna.Data) -> Improve:
        del data

        def step(
            both: tuple[sac.AgentState, None],
            reward: sac.RewardFunction,
            recorded: Transition,
            sampled: Transition,
        ) -> tuple[tuple[sac.AgentState, None], Metrics]:
            state, metrics = agent.update(both[0], reward, recorded, sampled)
            return (state, None), metrics

        return step

    return Restraint(
        init=lambda key, data: None,
        improve=improve,
        follow=lambda state, data, rollouts: (state, {}),
    )


def make(config: Asks, agent: sac.Agent, space: Space, dynamics: Dynamics) -> Restraint:
    """Holds an agent to limits.

    Args:
      config: what is limited, and how; the costs' critics are made like the agent's.
        The guardian's region is of single steps, since batches have no history.
      agent: the agent.
      space: the task.
      dynamics: the world model, for a guardian that asks it.

    Returns:
      The functions.

    Raises:
      ValueError: if nothing is limited, on a cost that the task tells nothing of, or a
        guardian of histories; when a guardian is fitted without validation records.
    """
    require_single_steps(config.limits, config.guardian)
    held = limits_lib.make(config.limits, config.guardian, space, dynamics, 0)
    if not held.names:
        raise ValueError(
            "--omg_rl_limited, --combo_limited: nothing is limited; give "
            "--limits_costs with --limits_most, or --limits_guarded"
        )
    most = jnp.array(held.most, jnp.float32)
    critics = cost_critics.make(
        config.agent, space, len(held.names), [-one for one in held.most]
    )

    def init(key: Key, data: dyna.Data) -> State:
        return State(held.fit(data), critics.init(key), dual_ops.start(len(held.names)))

    def improve(data: dyna.Data) -> Improve:
        def step(
            both: tuple[sac.AgentState, State],
            reward: sac.RewardFunction,
            recorded: Transition,
            sampled: Transition,
        ) -> tuple[tuple[sac.AgentState, State], Metrics]:
            agent_state, state = both
            rows = jax.tree.map(lambda *x: jnp.concatenate(x), recorded, sampled)
            here = critics.weighed(state.costs, state.dual.value, rows.state)
            lowered = sac.Lowered(here, jnp.zeros_like(here))
            found, metrics = agent.update(
                agent_state, reward, recorded, sampled, lowered
            )
            over = of_steps(held, state.guardian, data, rows) - most[:, None]
            log_probs = agent.policy.log_probs(found.actor.params, rows.next_state)
            costs = critics.update(state.costs, rows, over, log_probs)
            return (found, state._replace(costs=costs)), metrics

        return step

    def follow(
        state: State, data: dyna.Data, rollouts: Transition
    ) -> tuple[State, Metrics]:
        unsafe = held.measure(state.guardian, data, rollouts)
        shares, metrics = limits_lib.shares(held.names, unsafe, alive_in(rollouts))
        dual = dual_ops.follow(config.multipliers.gains, state.dual, shares - most)
        for name, value in zip(held.names, dual.value, strict=True):
            metrics[f"safety/dual_{name}"] = value
        return state._replace(dual=dual), metrics

    return Restraint(init, improve, follow)


def asked(
    config: Asks, agent: sac.Agent, space: Space, dynamics: Dynamics
) -> Restraint | None:
    """The restraint that a method's configuration asks for; None where it asks none."""
    if not config.limited:
        return None
    return make(config, agent, space, dynamics)


def require_single_steps(
    limits: limits_lib.LimitsConfig, guardian: guardian_lib.GuardianConfig
) -> None:
    """Rejects a guardian that looks at histories, which rows of a batch do not have.

    Args:
      limits: whether there is a guardian.
      guardian: its settings.

    Raises:
      ValueError: naming the flag.
    """
    if limits.guarded and guardian.seen.history != "none":
        raise ValueError(
            f"--guardian_seen_history={guardian.seen.history}: guarded CQL, OMG-RL and "
            "COMBO look at single steps; use none, or ogsrl alone"
        )


def of_steps(
    held: limits_lib.Limits,
    guardian: guardian_lib.Fitted | None,
    data: dyna.Data,
    steps: Transition,
) -> Array:
    """What limits measure of single steps.

    Args:
      held: the limits.
      guardian: the fitted region; None for costs alone.
      data: records and models.
      steps: leaves [B, ...].

    Returns:
      [J, B], 0 or 1.
    """
    # Limits look at rollouts [H, B]: a batch is one of a single step.
    return held.measure(guardian, data, jax.tree.map(lambda x: x[None], steps))[:, 0]

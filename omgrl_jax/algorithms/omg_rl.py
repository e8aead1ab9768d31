"""OMG-RL: offline model-based guided reward learning (arXiv 2409.13299, Algorithm 2).

Every epoch:

    rollouts -> reward steps on experts' windows and rollouts
             -> conservative soft actor-critic under r_psi
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from omgrl_jax.data import records as records_lib
from omgrl_jax.data.space import Space
from omgrl_jax.learners import dyna, learned_dyna, pessimism, standstill
from omgrl_jax.learners import limits as limits_lib
from omgrl_jax.learners import restraint as restraint_lib
from omgrl_jax.learners import reward as reward_lib
from omgrl_jax.learners import soft_actor_critic as sac
from omgrl_jax.learners.guardian import guardian as guardian_lib
from omgrl_jax.ops import value
from omgrl_jax.settings import is_off
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

# Windows of validation stays on which the likelihood is watched, at most.
HELD_WINDOWS = 128


@dataclasses.dataclass(frozen=True)
class Config:
    """OMG-RL's settings.

    Attributes:
      conservatism: weight alpha of the conservative term (Eq. 5); 0 switches it off.
      push_down: form of that term: "policy" (Eq. 5) or "logsumexp" (CQL).
      reward_epochs: epochs after which r_psi stands still and only the policy goes on
        learning, for a reward that it can catch up with; 0 for never.
      reward_patience: epochs without a better likelihood of validation stays after
        which r_psi goes back to its best epoch and stands still; 0 for never.
      behaviour: what becomes of the part of r_psi that only repeats the behaviour
        policy: "kept", or "removed", its linear regression on log mu(a|s) taken off
        before the agent is given it.
      penalty: reward that the agent loses per unit of the world members' disagreement,
        as in offline ML-IRL (arXiv 2302.07457); 0 trusts the world.
      agent: actor and critic.
      rollout: use of the world model.
      reward: the guided reward.
      limited: whether limits (--limits_costs, --limits_guarded) hold the agent, by
        multipliers.
      limits: what is limited.
      guardian: the region, of present states and doses: without history.
      multipliers: how they answer to a share of steps above its limit.
    """

    conservatism: float = 0.25
    push_down: str = dataclasses.field(
        default="policy", metadata={"choices": tuple(value.PUSH_DOWN)}
    )
    reward_epochs: int = dataclasses.field(default=0, metadata={"min": 0})
    reward_patience: int = dataclasses.field(default=0, metadata={"min": 0})
    behaviour: str = dataclasses.field(
        default="kept", metadata={"choices": ("kept", "removed")}
    )
    penalty: float = dataclasses.field(default=0.0, metadata={"min": 0})
    agent: sac.AgentConfig = dataclasses.field(default_factory=sac.AgentConfig)
    rollout: dyna.RolloutConfig = dataclasses.field(default_factory=dyna.RolloutConfig)
    reward: reward_lib.RewardConfig = dataclasses.field(
        default_factory=reward_lib.RewardConfig
    )
    limited: bool = False
    limits: limits_lib.LimitsConfig = dataclasses.field(
        default_factory=limits_lib.LimitsConfig
    )
    guardian: guardian_lib.GuardianConfig = dataclasses.field(
        default_factory=guardian_lib.GuardianConfig
    )
    multipliers: restraint_lib.MultipliersConfig = dataclasses.field(
        default_factory=restraint_lib.MultipliersConfig
    )

    def __post_init__(self) -> None:
        """Rejects two ways of standing still at once, naming the fields."""
        if self.reward_epochs and self.reward_patience:
            raise ValueError(
                "reward_epochs and reward_patience both say when r_psi stands still: "
                "give one of them"
            )


class RewardState(NamedTuple):
    """What OMG-RL keeps of the reward.

    Attributes:
      networks: the reward network in training, and the average that the agent sees.
      pool: trajectories and samplers for the partition function.
      epoch: [] epochs done.
      best: the networks of the best epoch; None where nobody waits for one.
    """

    networks: learned_dyna.Averaged
    pool: reward_lib.Pool
    epoch: Array
    best: standstill.Best | None = None


def make(
    config: Config, space: Space, dynamics: Dynamics, behaviour: Policy
) -> Algorithm:
    """Builds OMG-RL.

    Args:
      config: settings.
      space: the task.
      dynamics: the fitted world; its parameters come with the data.
      behaviour: the fitted behaviour policy; likewise.

    Returns:
      The algorithm; `data` is `dyna.Data` whose windows have the rollouts' length, with
      validation records where `reward_patience` is above 0.

    Raises:
      ValueError: if there is a penalty and the world gives no spread, or limits are
        asked for that cannot be: see `restraint.make`; when traced, if validation
        records are wanted and missing.
    """
    agent = sac.make(config.agent, space, config.conservatism, config.push_down)
    reward = reward_lib.make(config.reward, space, agent.policy, behaviour)
    learner = make_learner(config, reward, dynamics, behaviour)
    distrust = pessimism.none()
    if not is_off(config.penalty):
        spread = pessimism.make_spread(dynamics)
        distrust = pessimism.penalty(spread, "disagreement", config.penalty)
    restraint = restraint_lib.asked(config, agent, space, dynamics)
    return learned_dyna.make(
        config, space, dynamics, agent, learner, distrust, restraint
    )


def make_learner(
    config: Config, reward: reward_lib.Reward, dynamics: Dynamics, behaviour: Policy
) -> learned_dyna.RewardLearner:
    """The guided reward: each epoch's rollouts enter the pool, then reward steps.

    Args:
      config: settings.
      reward: losses and densities of the guided reward.
      dynamics: the world, by which held-out stays get their outcomes.
      behaviour: the behaviour policy.

    Returns:
      The reward learner, its state `RewardState`.
    """

    def init(
        key: Key, collect: Callable[[Key], Transition], actor_params: Params
    ) -> RewardState:
        network_key, pool_key = jax.random.split(key)
        epochs = config.reward.pool_epochs
        first = jax.vmap(collect)(jax.random.split(pool_key, epochs))
        size = min(config.reward.pool_rollouts, config.rollout.rollouts)
        trajectories = jax.tree.map(lambda x: jnp.swapaxes(x[:, :, :size], 1, 2), first)
        samplers = jax.tree.map(lambda x: jnp.stack([x] * epochs), actor_params)
        learner = reward.init(network_key)
        average = jax.tree.map(jnp.copy, learner.params)
        networks = learned_dyna.Averaged(learner, average)
        return RewardState(
            networks=networks,
            pool=reward_lib.Pool(trajectories, samplers),
            epoch=jnp.int32(0),
            best=standstill.start(networks) if config.reward_patience else None,
        )

    def update(
        state: RewardState, key: Key, evidence: learned_dyna.Evidence
    ) -> tuple[RewardState, Metrics]:
        rollouts, windows, actor_params, data = evidence
        pool = reward_lib.push(state.pool, state.epoch, rollouts, actor_params)
        densities = reward.densities(pool, actor_params, data.behaviour, windows)
        learner, metrics = reward.update(
            state.networks.learner, key, pool, densities, windows
        )
        networks = learned_dyna.moved(state.networks, learner, config.reward.average)
        if config.reward_epochs > 0:
            done = state.epoch >= config.reward_epochs
            networks = jax.tree.map(
                lambda old, new: jnp.where(done, old, new), state.networks, networks
            )
        best = state.best
        if best is not None:
            held = held_windows(dynamics, data, windows.action.shape[1])
            loss, of_kept = (
                reward.held_out(found.average, pool, densities, windows, held)
                for found in (networks, best.kept)
            )
            networks, best = standstill.look(
                best, networks, loss, of_kept, config.reward_patience
            )
            metrics["reward/held_out"] = -loss
            metrics["reward/held_out_kept"] = -of_kept
        return RewardState(networks, pool, state.epoch + 1, best), metrics

    def for_agent(
        state: RewardState, evidence: learned_dyna.Evidence
    ) -> sac.RewardFunction:
        known = None
        if config.behaviour == "removed":
            mu = evidence.data.behaviour
            known = functools.partial(reward_lib.log_prob_taken, behaviour, mu)
        return reward.for_agent(
            state.networks.average, evidence.rollouts, evidence.windows, known
        )

    return learned_dyna.RewardLearner(
        init=init,
        update=update,
        for_agent=for_agent,
        value=lambda state, steps: reward.value(state.networks.average, steps),
    )


def held_windows(dynamics: Dynamics, data: dyna.Data, horizon: int) -> Transition:
    """Evenly spaced windows of validation stays, the same in every epoch.

    Their outcomes are the world's estimates, as those of training stays are: the last
    measured values are hours old.

    Args:
      dynamics: the world.
      data: records and models.
      horizon: steps of a window.

    Returns:
      Leaves [N, horizon, ...], `HELD_WINDOWS` of them at most.

    Raises:
      ValueError: if there are no validation records, or none as long as a window.
    """
    records = data.validation
    if records is None or records.windows.shape[0] == 0:
        raise ValueError(
            f"omg_rl stops its reward on validation stays of {horizon} steps or more, "
            "of which there are none: give some, or --omg_rl_reward_patience=0"
        )
    first = records.windows[:: -(-records.windows.shape[0] // HELD_WINDOWS)]
    rows = first[:, None] + jnp.arange(horizon, dtype=jnp.int32)[None, :]
    steps = records_lib.transition_at(records, rows)
    flat = rows.reshape(-1)
    said = dynamics.mean(
        data.world, records.states[flat], records.actions[flat], records.amounts[flat]
    )
    return steps._replace(outcome=said.outcome.reshape(steps.outcome.shape))

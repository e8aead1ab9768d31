"""OMG-RL: offline model-based guided reward learning (arXiv 2409.13299, Algorithm 2).

Every epoch:

    rollouts -> reward steps on experts' windows and rollouts
             -> conservative soft actor-critic under r_psi
"""

import dataclasses
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from omgrl_jax.data.space import Space
from omgrl_jax.learners import dyna, learned_dyna, pessimism
from omgrl_jax.learners import reward as reward_lib
from omgrl_jax.learners import soft_actor_critic as sac
from omgrl_jax.ops import value
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
    """OMG-RL's settings.

    Attributes:
      conservatism: weight alpha of the conservative term (Eq. 5); 0 switches it off.
      push_down: form of that term: "policy" (Eq. 5) or "logsumexp" (CQL).
      reward_epochs: epochs after which r_psi stands still and only the policy goes on
        learning, for a reward that it can catch up with; 0 for never.
      agent: actor and critic.
      rollout: use of the world model.
      reward: the guided reward.
    """

    conservatism: float = 0.25
    push_down: str = dataclasses.field(
        default="policy", metadata={"choices": tuple(value.PUSH_DOWN)}
    )
    reward_epochs: int = dataclasses.field(default=0, metadata={"min": 0})
    agent: sac.AgentConfig = dataclasses.field(default_factory=sac.AgentConfig)
    rollout: dyna.RolloutConfig = dataclasses.field(default_factory=dyna.RolloutConfig)
    reward: reward_lib.RewardConfig = dataclasses.field(
        default_factory=reward_lib.RewardConfig
    )


class RewardState(NamedTuple):
    """What OMG-RL keeps of the reward.

    Attributes:
      networks: the reward network in training, and the average that the agent sees.
      pool: trajectories and samplers for the partition function.
      epoch: [] epochs done.
    """

    networks: learned_dyna.Averaged
    pool: reward_lib.Pool
    epoch: Array


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
      The algorithm; `data` is `dyna.Data` whose windows have the rollouts' length.
    """
    agent = sac.make(config.agent, space, config.conservatism, config.push_down)
    reward = reward_lib.make(config.reward, space, agent.policy, behaviour)
    learner = make_learner(config, reward)
    return learned_dyna.make(config, space, dynamics, agent, learner, pessimism.none())


def make_learner(
    config: Config, reward: reward_lib.Reward
) -> learned_dyna.RewardLearner:
    """The guided reward: each epoch's rollouts enter the pool, then reward steps.

    Args:
      config: settings.
      reward: losses and densities of the guided reward.

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
        return RewardState(
            networks=learned_dyna.Averaged(learner, average),
            pool=reward_lib.Pool(trajectories, samplers),
            epoch=jnp.int32(0),
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
        return RewardState(networks, pool, state.epoch + 1), metrics

    return learned_dyna.RewardLearner(
        init=init,
        update=update,
        for_agent=lambda state, evidence: reward.for_agent(
            state.networks.average, evidence.rollouts, evidence.windows
        ),
        value=lambda state, steps: reward.value(state.networks.average, steps),
    )

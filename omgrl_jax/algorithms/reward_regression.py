"""Supervised reward regression: what a reward network makes of a reward it is told.

    init ->  repeat: rollouts -> least squares on recorded r_p -> buffer
                     -> conservative soft actor-critic under the regressed reward

An ablation of OMG-RL (arXiv 2409.13299): the network, its inputs and the agent's loop
are those of r_psi, but the network is fitted to the clinical reward r_p of recorded
transitions instead of to what clinicians did. What it costs against COMBO, which is
given r_p itself, is the price of the network; what OMG-RL costs beside it is the price
of not being told.
"""

import dataclasses

import jax.numpy as jnp

from omgrl_jax import optimize
from omgrl_jax.data import records as records_lib
from omgrl_jax.data.space import Space
from omgrl_jax.learners import (
    dyna,
    known_reward,
    learned_dyna,
    pessimism,
    reward_network,
)
from omgrl_jax.learners import soft_actor_critic as sac
from omgrl_jax.ops import value
from omgrl_jax.types import Algorithm, Array, Dynamics, Key, Metrics, Params, Transition


@dataclasses.dataclass(frozen=True)
class Config:
    """Settings of reward regression.

    Attributes:
      conservatism: weight alpha of the conservative term (Eq. 5); 0 switches it off.
      push_down: form of that term: "policy" (Eq. 5) or "logsumexp" (CQL).
      agent: actor and critic.
      rollout: use of the world model.
      reward: the network and its optimiser; each gradient step sees as many recorded
        transitions as `batch` windows hold. Its bound must exceed every reward.
        Importance weights, centring and shaping have no part in least squares.
    """

    conservatism: float = 0.25
    push_down: str = dataclasses.field(
        default="policy", metadata={"choices": tuple(value.PUSH_DOWN)}
    )
    agent: sac.AgentConfig = dataclasses.field(default_factory=sac.AgentConfig)
    rollout: dyna.RolloutConfig = dataclasses.field(default_factory=dyna.RolloutConfig)
    reward: reward_network.RewardConfig = dataclasses.field(
        default_factory=reward_network.RewardConfig
    )


def make(config: Config, space: Space, dynamics: Dynamics) -> Algorithm:
    """Builds reward regression.

    Args:
      config: settings.
      space: the task.
      dynamics: the fitted world; its parameters come with the data.

    Returns:
      The algorithm; `data` is `dyna.Data` whose windows have the rollouts' length. Its
      reward is the regressed one.

    Raises:
      ValueError: if the schema defines no reward.
    """
    known_reward.require(space)
    network = reward_network.make(config.reward, space)
    learner = learned_dyna.averaged(
        network.init,
        make_fit(config, space, network),
        network.for_agent,
        network.value,
        config.reward.average,
    )
    agent = sac.make(config.agent, space, config.conservatism, config.push_down)
    return learned_dyna.make(config, space, dynamics, agent, learner, pessimism.none())


def make_fit(
    config: Config, space: Space, network: reward_network.Network
) -> learned_dyna.Fit:
    """Least squares on the known reward of recorded transitions.

    Args:
      config: settings.
      space: the task.
      network: the reward network.

    Returns:
      The reward steps of an epoch; rollouts and windows are not looked at.
    """

    def loss(
        params: Params, transitions: Transition, targets: Array
    ) -> tuple[Array, Metrics]:
        errors = network.member(params, transitions) - targets
        out = jnp.mean(jnp.square(errors))
        return out, {"reward/loss": out}

    step = optimize.gradient_step(loss, network.optimizer)
    size = config.reward.batch * config.rollout.horizon

    def fit(
        learner: optimize.Learner, key: Key, evidence: learned_dyna.Evidence
    ) -> tuple[optimize.Learner, Metrics]:
        data = evidence.data
        known = known_reward.make(space, data.world.scales)

        def draw(key: Key) -> Array:
            return records_lib.sample_rows(data.train, key, size)

        def member(
            learner: optimize.Learner, rows: Array
        ) -> tuple[optimize.Learner, Metrics]:
            recorded = records_lib.transition_at(data.train, rows)
            return step(learner, recorded, known(recorded))

        return reward_network.train_members(config.reward, draw, member, learner, key)

    return fit

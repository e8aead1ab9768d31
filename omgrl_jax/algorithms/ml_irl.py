"""Offline maximum-likelihood IRL (Zeng et al. 2023, arXiv 2302.07457).

    init ->  repeat: rollouts -> reward steps -> buffer
                     -> soft actor-critic under r_psi - penalty * disagreement

The experts are taken to follow the soft-optimal policy of their reward in a world that
charges for what its model does not know. The gradient of their likelihood is then

    mean over experts of sum_t grad r  -  mean over that policy of sum_t grad r

with trajectories of the policy from the learned world, and Algorithm 1 alternates such
a step with a soft policy improvement. OMG-RL replaces the second mean by importance
weights on a pool of rollouts, so that its reward need not wait for the policy.

Algorithm 1 weighs step t by discount^t. Here, as in the authors' code, steps count
alike: windows begin anywhere in a stay, and a step's place in its window says nothing.
The paper has an entropy coefficient of 1; with another one r_psi is in its unit.
"""

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp

from omgrl_jax import optimize
from omgrl_jax.data.space import Space
from omgrl_jax.learners import dyna, learned_dyna, pessimism, reward_network
from omgrl_jax.learners import soft_actor_critic as sac
from omgrl_jax.ops import draws
from omgrl_jax.types import Algorithm, Array, Dynamics, Key, Metrics, Params, Transition


@dataclasses.dataclass(frozen=True)
class Config:
    """Settings of offline ML-IRL.

    Attributes:
      penalty: reward that the agent loses per unit of the members' disagreement, a
        distance of standardised features and channels; 0 trusts the world.
      agent: actor and critic.
      rollout: use of the world model.
      reward: the network, its optimiser and batches; the fewer its steps per epoch, the
        better the policy follows. Importance weights and shaping have no part here.
    """

    penalty: float = dataclasses.field(default=1.0, metadata={"min": 0})
    agent: sac.AgentConfig = dataclasses.field(default_factory=sac.AgentConfig)
    rollout: dyna.RolloutConfig = dataclasses.field(default_factory=dyna.RolloutConfig)
    reward: reward_network.RewardConfig = dataclasses.field(
        default_factory=reward_network.RewardConfig
    )


def make(config: Config, space: Space, dynamics: Dynamics) -> Algorithm:
    """Builds offline ML-IRL.

    Args:
      config: settings.
      space: the task.
      dynamics: the fitted world; its parameters come with the data.

    Returns:
      The algorithm; `data` is `dyna.Data` whose windows have the rollouts' length.

    Raises:
      ValueError: if the world gives no spread.
    """
    network = reward_network.make(config.reward, space)
    spread = pessimism.make_spread(dynamics)
    learner = learned_dyna.averaged(
        network.init,
        make_fit(config.reward, network),
        network.for_agent,
        network.value,
        config.reward.average,
    )
    return learned_dyna.make(
        config,
        space,
        dynamics,
        sac.make(config.agent, space),
        learner,
        pessimism.penalty(spread, "disagreement", config.penalty),
    )


def make_loss(
    config: reward_network.RewardConfig, network: reward_network.Network
) -> Callable[..., tuple[Array, Metrics]]:
    """The loss whose gradient is that of the negative log-likelihood per trajectory.

    Args:
      config: weight of the centring.
      network: the reward network.

    Returns:
      `loss(params of one member, rollouts [B, H], windows [N, H]) -> (loss, metrics)`.
    """

    def loss(
        params: Params, rollouts: Transition, windows: Transition
    ) -> tuple[Array, Metrics]:
        sampled = network.member(params, rollouts)
        expert = network.member(params, windows)
        out = jnp.mean(jnp.sum(sampled, axis=1)) - jnp.mean(jnp.sum(expert, axis=1))
        return out + reward_network.centred(config, expert, sampled), {
            "reward/loss": out,
            "reward/expert": jnp.mean(expert),
            "reward/sampled": jnp.mean(sampled),
        }

    return loss


def make_fit(
    config: reward_network.RewardConfig, network: reward_network.Network
) -> learned_dyna.Fit:
    """Steps along the gradient of the likelihood, on draws from this epoch alone.

    Args:
      config: steps, members and batches.
      network: the reward network.

    Returns:
      The reward steps of an epoch.
    """
    step = optimize.gradient_step(make_loss(config, network), network.optimizer)

    def fit(
        learner: optimize.Learner, key: Key, evidence: learned_dyna.Evidence
    ) -> tuple[optimize.Learner, Metrics]:
        rollouts = jax.tree.map(lambda x: jnp.swapaxes(x, 0, 1), evidence.rollouts)

        def draw(key: Key) -> tuple[Array, Array]:
            rollout_key, window_key = jax.random.split(key)
            return (
                _rows(rollouts, rollout_key, config.batch),
                _rows(evidence.windows, window_key, config.batch),
            )

        def member(
            learner: optimize.Learner, rows: tuple[Array, Array]
        ) -> tuple[optimize.Learner, Metrics]:
            i, j = rows
            return step(
                learner,
                jax.tree.map(lambda x: x[i], rollouts),
                jax.tree.map(lambda x: x[j], evidence.windows),
            )

        return reward_network.train_members(config, draw, member, learner, key)

    return fit


def _rows(trajectories: Transition, key: Key, size: int) -> Array:
    """Draws `size` of the trajectories [N, H, ...] with replacement."""
    return draws.below(key, (size,), trajectories.action.shape[0])

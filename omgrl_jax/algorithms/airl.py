"""AIRL inside the learned world (Fu et al. 2018, arXiv 1710.11248, Algorithm 1).

Every epoch:

    rollouts -> discriminator steps on experts' windows and these rollouts
             -> soft actor-critic under what the discriminator says

Algorithm 1 rewards the policy by `log D - log(1 - D) = f - log pi`. In expectation over
the policy its second part is an entropy bonus with coefficient 1, which a soft agent
adds by itself, in closed form and for the policy of the moment. The agent is therefore
given `f`: with `f - log pi` it would count entropy twice and settle at a temperature of
1 + its coefficient. An agent with another coefficient is given `coefficient * f`, the
same objective in another unit.
"""

import dataclasses
import functools
from collections.abc import Callable

from omgrl_jax import optimize
from omgrl_jax.data.space import Space
from omgrl_jax.learners import discriminator as discriminator_lib
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
    Transition,
)

AGENT_REWARDS = ("logit", "reward")


@dataclasses.dataclass(frozen=True)
class Config:
    """AIRL's settings.

    Attributes:
      agent_reward: what the agent maximises: "logit" (log D - log(1 - D), the published
        choice) or "reward" (g and an entropy bonus, without the potential).
      potential_hidden: widths of the layers of the potential h.
      conservatism: weight of a conservative term in the critics; AIRL has none.
      push_down: form of that term: "policy" (Eq. 5) or "logsumexp" (CQL).
      agent: actor and critic; its discount is that of the shaping too.
      rollout: use of the world model.
      reward: the network of g, its optimiser, batches and running average; importance
        weights and normalisation have no part in this method. g is identified only
        where it sees states alone: `inputs` = "outcome".
    """

    agent_reward: str = dataclasses.field(
        default="logit", metadata={"choices": AGENT_REWARDS}
    )
    potential_hidden: tuple[int, ...] = (128, 64)
    conservatism: float = 0.0
    push_down: str = dataclasses.field(
        default="policy", metadata={"choices": tuple(value.PUSH_DOWN)}
    )
    agent: sac.AgentConfig = dataclasses.field(default_factory=sac.AgentConfig)
    rollout: dyna.RolloutConfig = dataclasses.field(default_factory=dyna.RolloutConfig)
    reward: reward_lib.RewardConfig = dataclasses.field(
        default_factory=reward_lib.RewardConfig
    )

    def __post_init__(self) -> None:
        """Rejects unknown options, naming the field."""
        if self.agent_reward not in AGENT_REWARDS:
            raise ValueError(
                f"agent_reward='{self.agent_reward}': use one of {AGENT_REWARDS}"
            )


def make(config: Config, space: Space, dynamics: Dynamics) -> Algorithm:
    """Builds AIRL.

    Args:
      config: settings.
      space: the task.
      dynamics: the fitted world; its parameters come with the data.

    Returns:
      The algorithm; `data` is `dyna.Data` whose windows have the rollouts' length. Its
      reward is g.
    """
    agent = sac.make(config.agent, space, config.conservatism, config.push_down)
    discriminator = discriminator_lib.make(
        config.reward,
        config.potential_hidden,
        space,
        agent.policy,
        config.agent.discount,
    )

    def fit(
        learner: optimize.Learner, key: Key, evidence: learned_dyna.Evidence
    ) -> tuple[optimize.Learner, Metrics]:
        return discriminator.update(
            learner, key, evidence.actor_params, evidence.rollouts, evidence.windows
        )

    def for_agent(params: Params, *seen: Transition) -> sac.RewardFunction:
        del seen
        return functools.partial(reward_of_agent(config, discriminator), params)

    learner = learned_dyna.averaged(
        discriminator.init, fit, for_agent, discriminator.reward, config.reward.average
    )
    return learned_dyna.make(config, space, dynamics, agent, learner, pessimism.none())


def reward_of_agent(
    config: Config, discriminator: discriminator_lib.Discriminator
) -> Callable[[Params, Transition], Array]:
    """What the agent maximises beside its own entropy, in the unit of its coefficient.

    Args:
      config: settings.
      discriminator: the discriminator.

    Returns:
      `(params, transitions [...]) -> [...]`.
    """
    choices = {"logit": discriminator.shaped, "reward": discriminator.reward}
    nats = choices[config.agent_reward]

    def reward(params: Params, transitions: Transition) -> Array:
        return config.agent.entropy_coefficient * nats(params, transitions)

    return reward

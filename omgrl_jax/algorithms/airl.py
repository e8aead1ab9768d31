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
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from omgrl_jax import optimize
from omgrl_jax.data import buffer as buffer_lib
from omgrl_jax.data import records as records_lib
from omgrl_jax.data.records import Space
from omgrl_jax.learners import discriminator as discriminator_lib
from omgrl_jax.learners import dyna, known_reward
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


class State(NamedTuple):
    """AIRL's state.

    Attributes:
      agent: actor and critics.
      buffer: rollouts kept.
      discriminator: its networks and their optimiser.
      average: running average of its parameters, by which the agent is rewarded.
    """

    agent: sac.AgentState
    buffer: buffer_lib.Buffer
    discriminator: optimize.Learner
    average: Params


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

    def init(key: Key, data: dyna.Data) -> State:
        del data
        agent_key, discriminator_key = jax.random.split(key)
        learner = discriminator.init(discriminator_key)
        return State(
            agent=agent.init(agent_key),
            buffer=dyna.empty_buffer(config.rollout, space),
            discriminator=learner,
            average=jax.tree.map(jnp.copy, learner.params),
        )

    def update(state: State, key: Key, data: dyna.Data) -> tuple[State, Metrics]:
        rollout_key, window_key, step_key, improve_key = jax.random.split(key, 4)
        actor_params = state.agent.actor.params
        # From where experts' windows start, lest the discriminator tells the hour of
        # the stay.
        rows = data.train.windows
        rollouts = dyna.collect(
            config.rollout, dynamics, agent, actor_params, rollout_key, data, rows
        )
        buffer = dyna.keep(state.buffer, rollouts)
        windows = records_lib.sample_windows(
            data.train, window_key, config.reward.expert_windows, config.rollout.horizon
        )
        learner, reward_metrics = discriminator.update(
            state.discriminator, step_key, actor_params, rollouts, windows
        )
        average = optax.incremental_update(
            learner.params, state.average, 1.0 - config.reward.average
        )
        given = functools.partial(reward_of_agent(config, discriminator), average)
        agent_state, metrics = dyna.improve(
            config.agent, agent, state.agent, buffer, given, improve_key, data.train
        )
        metrics = {**metrics, **reward_metrics}
        learned = discriminator.reward(average, rollouts)
        metrics["return/r_psi"] = jnp.mean(jnp.sum(learned, axis=0))
        if known_reward.defined(space):
            r_p = known_reward.make(space, data.world.scales)(rollouts)
            metrics["return/r_p"] = jnp.mean(jnp.sum(r_p, axis=0))
        return State(agent_state, buffer, learner, average), metrics

    def reward_of(state: State, transitions: Transition) -> Array:
        return discriminator.reward(state.average, transitions)

    return Algorithm(init, update, *dyna.acting(agent), reward_of)


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

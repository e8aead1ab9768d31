"""Floating-point operations of matrix products, from the shapes of networks.

A multiply and an add are two operations. Only products are counted: activations, Adam
and random numbers are what a share of the ceiling below one consists of. A forward pass
of an example takes `2 sum(in * out)` over the layers. A backward pass takes as much for
the gradients of the weights, and as much again for those of the inputs, but for the
first layer, whose inputs nobody asks for.

What is counted is what the mathematics asks for: a program that computes more than that
shows a smaller share.
"""

import itertools
from typing import NamedTuple

from omgrl_jax.algorithms.multitask_iql import Config as IqlConfig
from omgrl_jax.algorithms.omg_rl import Config as OmgRlConfig
from omgrl_jax.data.space import Space
from omgrl_jax.learners.following import channels_of
from omgrl_jax.learners.reward_network import RewardConfig
from omgrl_jax.learners.soft_actor_critic import AgentConfig
from omgrl_jax.models.ensemble import FitConfig
from omgrl_jax.models.outcome import dose_pairs
from omgrl_jax.models.world import WorldConfig

TWINS = 2


class Network(NamedTuple):
    """A perceptron.

    Attributes:
      inputs: width of what it is given.
      hidden: widths of its hidden layers.
      outputs: width of what it says.
    """

    inputs: int
    hidden: tuple[int, ...]
    outputs: int

    @property
    def forward(self) -> int:
        """Operations to apply it to one example."""
        widths = (self.inputs, *self.hidden, self.outputs)
        pairs = itertools.pairwise(widths)
        return 2 * sum(one * other for one, other in pairs)

    @property
    def learning(self) -> int:
        """Operations of the forward pass and the gradient of the parameters."""
        first = 2 * self.inputs * (self.hidden or (self.outputs,))[0]
        return 3 * self.forward - first


def actor(agent: AgentConfig, space: Space) -> Network:
    """The policy."""
    return Network(space.state_dim, agent.actor_hidden, space.num_actions)


def critic(agent: AgentConfig, space: Space) -> Network:
    """One of the twins."""
    return Network(space.state_dim, agent.critic_hidden, space.num_actions)


def reward(config: RewardConfig, space: Space) -> Network:
    """One member of r_psi."""
    by_action = config.inputs == "state_action"
    by_outcome = config.inputs == "outcome"
    inputs = len(space.channels) if by_outcome else space.state_dim
    return Network(inputs, config.hidden, space.num_actions if by_action else 1)


def features(config: WorldConfig, space: Space) -> Network:
    """One member of the feature networks."""
    # A mean and a variance of each change; several components have weights too.
    parts = 2 if config.components == 1 else 3
    inputs = space.state_dim + space.action_width
    outputs = parts * config.components * len(space.dynamic)
    return Network(inputs, config.hidden, outputs)


def outcomes(config: WorldConfig, space: Space) -> Network:
    """One member of the outcome networks."""
    channels, pairs = len(space.channels), dose_pairs(space)
    inputs = space.state_dim
    if not (config.dose_effect == "proportional" and len(pairs) == channels == 1):
        inputs += len(space.tracked) + 2 * len(pairs) + space.action_width
    return Network(inputs, config.outcome_hidden, max(4 * channels, 1))


def update(
    agent: AgentConfig, space: Space, learned: RewardConfig | None = None
) -> int:
    """One update of critics, actor and targets under a learned reward.

    Args:
      agent: networks and batch.
      space: the task.
      learned: the reward; None for one that costs no product.
    """
    policy, value = actor(agent, space), critic(agent, space)
    batch = agent.batch_size
    # Where values are pushed down the policy has said already what it is to learn.
    flops = batch * policy.forward  # next states
    flops += batch * TWINS * value.forward  # targets
    flops += batch * TWINS * value.learning
    flops += batch * TWINS * value.forward  # what the new critics tell the actor
    flops += batch * policy.learning
    if learned is not None:
        flops += batch * learned.members * reward(learned, space).forward
    return flops


def ensemble_step(network: Network, fit: FitConfig) -> int:
    """A training step of all members."""
    return fit.members * fit.batch_size * network.learning


def transition(agent: AgentConfig, world: WorldConfig, space: Space) -> int:
    """One step of one rollout: the policy, and the one member it was dealt to."""
    told = features(world, space).forward + outcomes(world, space).forward
    return actor(agent, space).forward + told


def omg_rl_epoch(config: OmgRlConfig, world: WorldConfig, space: Space) -> int:
    """An epoch of OMG-RL whose weights ask the current policy alone.

    Args:
      config: the method.
      world: networks of the world.
      space: the task.

    Raises:
      ValueError: if the weights are of another mode, or a potential is learned too.
    """
    learned, rollout, agent = config.reward, config.rollout, config.agent
    if learned.mode == "gcl" or learned.shaping:
        raise ValueError("counted for r_psi without gcl and shaping alone")
    horizon, network = rollout.horizon, reward(learned, space)
    collected = rollout.rollouts * horizon
    flops = collected * transition(agent, world, space)
    pooled = min(learned.pool_rollouts, rollout.rollouts) * learned.pool_epochs
    weighed = (pooled + learned.expert_windows) * horizon
    flops += weighed * actor(agent, space).forward
    # As many windows as rollouts in every step.
    seen = learned.steps * learned.members * 2 * learned.batch * horizon
    flops += seen * network.learning
    flops += agent.updates * update(agent, space, learned)
    judged = collected  # logged returns
    if learned.normalise:
        judged += collected + learned.expert_windows * horizon
    return flops + judged * learned.members * network.forward


def plan_step(members: int, width: int, states: int, actions: int) -> int:
    """One step of one plan in folded simulators of one layer.

    Args:
      members: networks that are averaged.
      width: units of the layer.
      states: features of a state.
      actions: actions, each with a last layer of its own.
    """
    return members * Network(states, (width,), actions * states).forward


def distances(points: int, queries: int, width: int) -> int:
    """All distances between points and queries of so many numbers."""
    return 2 * points * queries * width


def iql_update(config: IqlConfig, space: Space) -> int:
    """One update of IQL with multi-task heads.

    Args:
      config: settings.
      space: the task.
    """
    actions = space.num_actions
    told = len(channels_of(space, config.auxiliary)) * actions

    def heads(outputs: int) -> Network:
        return Network(space.state_dim, config.hidden, outputs)

    every = TWINS * actions + 1 + actions + told
    each = heads(every).learning
    each += heads(TWINS * actions).forward  # slowly moving values of what was done
    each += 2 * heads(1).forward  # values of both states, without dropout
    return config.batch_size * each

"""A reward learned by telling experts from the policy (AIRL, arXiv 1710.11248)."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from omgrl_jax import networks, optimize
from omgrl_jax.data.space import Space
from omgrl_jax.learners.actor import log_prob_of
from omgrl_jax.learners.reward_network import RewardConfig, make_value
from omgrl_jax.ops import adversarial, draws
from omgrl_jax.types import Array, Key, Metrics, Params, Policy, Transition


class DiscriminatorParams(NamedTuple):
    """Parameters of the reward g and of the potential h."""

    reward: Params
    potential: Params


class _Steps(NamedTuple):
    """Single steps and the log-probability of each action under the current policy."""

    steps: Transition
    log_prob: Array


class Discriminator(NamedTuple):
    """The learner as pure functions.

    Attributes:
      init: `(key) -> Learner`, its parameters a `DiscriminatorParams`.
      reward: `(params, transitions [...]) -> [...]`, g.
      shaped: `(params, transitions [...]) -> [...]`, f = g + discount h(s') - h(s).
      update: `(learner, key, policy_params, rollouts [H, B], windows [N, H]) ->
        (learner, metrics)`, all gradient steps of an epoch on the current policy's
        rollouts and experts' windows.
    """

    init: Callable[[Key], optimize.Learner]
    reward: Callable[[Params, Transition], Array]
    shaped: Callable[[Params, Transition], Array]
    update: Callable[..., tuple[optimize.Learner, Metrics]]


def make(
    config: RewardConfig,
    potential_hidden: Sequence[int],
    space: Space,
    policy: Policy,
    discount: float,
) -> Discriminator:
    """Builds the discriminator.

    Args:
      config: the network of g, its optimiser and batches: `batch * horizon` single
        steps of each side in each of `steps` gradient steps.
      potential_hidden: widths of the layers of h.
      space: the task.
      policy: the agent's policy.
      discount: discount factor.

    Returns:
      The discriminator.
    """
    init_reward, value = make_value(config, space)
    network = networks.MLP(tuple(potential_hidden), 1)
    optimizer = optimize.adam(config.learning_rate, 1.0, config.weight_decay)
    combine = jnp.vectorize(adversarial.shaped_reward)

    def init(key: Key) -> optimize.Learner:
        reward_key, potential_key = jax.random.split(key)
        potential = network.init(potential_key, jnp.zeros(space.state_dim))
        params = DiscriminatorParams(init_reward(reward_key), potential)
        return optimize.start(optimizer, params)

    def reward(params: DiscriminatorParams, transitions: Transition) -> Array:
        return value(params.reward, transitions)

    def shaped(params: DiscriminatorParams, transitions: Transition) -> Array:
        def potential(states: Array) -> Array:
            return networks.apply(network, params.potential, states)[..., 0]

        return combine(
            reward(params, transitions),
            potential(transitions.state),
            potential(transitions.next_state),
            discount * transitions.discount,
        )

    def loss(
        params: DiscriminatorParams, expert: _Steps, sampled: _Steps
    ) -> tuple[Array, Metrics]:
        evidence = jax.vmap(adversarial.evidence)
        of_expert = evidence(shaped(params, expert.steps), expert.log_prob)
        of_policy = evidence(shaped(params, sampled.steps), sampled.log_prob)
        out, metrics = _told_apart(of_expert, of_policy)
        return out, {
            **metrics,
            "reward/expert": jnp.mean(reward(params, expert.steps)),
            "reward/sampled": jnp.mean(reward(params, sampled.steps)),
        }

    step = optimize.gradient_step(loss, optimizer)

    update = _make_update(config, policy, step)
    return Discriminator(init, reward, shaped, update)


def _make_update(
    config: RewardConfig, policy: Policy, step: Callable[..., Any]
) -> Callable[..., tuple[optimize.Learner, Metrics]]:
    """`steps` gradient steps, each on single steps drawn anew from both sides."""

    def update(
        learner: optimize.Learner,
        key: Key,
        policy_params: Params,
        rollouts: Transition,
        windows: Transition,
    ) -> tuple[optimize.Learner, Metrics]:
        size = config.batch * windows.action.shape[1]
        expert = _single_steps(policy, policy_params, windows)
        sampled = _single_steps(policy, policy_params, rollouts)

        def one(
            carry: tuple[optimize.Learner, Key], _: None
        ) -> tuple[tuple[optimize.Learner, Key], Metrics]:
            learner, key = carry
            key, expert_key, sampled_key = jax.random.split(key, 3)
            learner, metrics = step(
                learner,
                _draw(expert_key, expert, size),
                _draw(sampled_key, sampled, size),
            )
            return (learner, key), metrics

        (learner, _), metrics = jax.lax.scan(
            one, (learner, key), None, length=config.steps
        )
        return learner, jax.tree.map(lambda x: x[-1], metrics)

    return update


def _told_apart(of_expert: Array, of_policy: Array) -> tuple[Array, Metrics]:
    """Loss and metrics of the evidence [B] for an expert, on steps of either side."""
    loss = jnp.mean(jax.vmap(adversarial.expert_loss)(of_expert)) + jnp.mean(
        jax.vmap(adversarial.policy_loss)(of_policy)
    )
    return loss, {
        "discriminator/loss": loss,
        "discriminator/expert": jnp.mean(jax.nn.sigmoid(of_expert)),
        "discriminator/sampled": jnp.mean(jax.nn.sigmoid(of_policy)),
    }


def _draw(key: Key, side: _Steps, size: int) -> _Steps:
    """So many of the steps, with replacement."""
    i = draws.below(key, (size,), side.log_prob.shape[0])
    return jax.tree.map(lambda x: x[i], side)


def _single_steps(policy: Policy, params: Params, transitions: Transition) -> _Steps:
    """Leaves [X, Y, ...] to [X * Y, ...], with each action's log-probability."""
    count = transitions.action.size
    # Not -1: without channels a leaf has no element from which to infer it.
    steps = jax.tree.map(lambda x: x.reshape((count, *x.shape[2:])), transitions)
    return _Steps(
        steps, log_prob_of(policy.log_probs(params, steps.state), steps.action)
    )

"""The guided reward r_psi (arXiv 2409.13299, Eqs. 7-8 and Algorithm 2)."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from omgrl_jax import optimize
from omgrl_jax.data.space import Space
from omgrl_jax.learners import reward_network
from omgrl_jax.learners.actor import log_prob_of
from omgrl_jax.learners.reward_network import INPUTS, RewardConfig, make_value
from omgrl_jax.ops import draws, irl
from omgrl_jax.types import Array, Key, Metrics, Params, Policy, Transition

__all__ = [
    "INPUTS",
    "Pool",
    "Reward",
    "RewardConfig",
    "flatten",
    "log_prob_taken",
    "make",
    "make_value",
    "push",
]


class Pool(NamedTuple):
    """Rollouts of the last epochs and the policies that made them.

    Attributes:
      trajectories: leaves [K, B, H, ...].
      samplers: policy parameters, leaves [K, ...].
    """

    trajectories: Transition
    samplers: Params


class Reward(NamedTuple):
    """The learner as pure functions.

    Attributes:
      init: `(key) -> Learner`.
      value: `(params, transitions [...]) -> [...]`, r_psi.
      for_agent: `(params, rollouts, windows, known = None) -> reward function`: as in
        `reward_network.Network`.
      densities: `(pool, policy_params, behaviour_params, windows [N, H]) ->
        (pool density, window density)` for the configured mode.
      update: `(learner, key, pool, densities, windows) -> (learner, metrics)`, all
        steps of an epoch.
      held_out: `(params, pool, densities, windows, held) -> []`, the loss of other
        experts' windows `held`, with the partition function of the same pool.
    """

    init: Callable[[Key], optimize.Learner]
    value: Callable[[Params, Transition], Array]
    for_agent: Callable[..., Callable[[Transition], Array]]
    densities: Callable[..., tuple[Array, Array]]
    update: Callable[..., tuple[optimize.Learner, Metrics]]
    held_out: Callable[..., Array]


def make(
    config: RewardConfig, space: Space, policy: Policy, behaviour: Policy
) -> Reward:
    """Builds the reward learner.

    Args:
      config: settings.
      space: the task.
      policy: the agent's policy.
      behaviour: the fitted behaviour policy mu of the experts.

    Returns:
      The reward learner.
    """
    network = reward_network.make(config, space)
    likelihood = _make_likelihood(config)
    loss = _make_loss(config, network.in_likelihood, likelihood)
    return Reward(
        init=network.init,
        value=network.value,
        for_agent=network.for_agent,
        densities=_make_densities(config, policy, behaviour),
        update=_make_update(config, loss, network.optimizer),
        held_out=_make_held_out(network.in_likelihood, likelihood),
    )


def _make_densities(
    config: RewardConfig, policy: Policy, behaviour: Policy
) -> Callable[..., tuple[Array, Array]]:
    """Log-densities under the samplers that a mode names; see `Reward`."""

    def mixture(pool: Pool, mu: Params, steps: Transition) -> Array:
        def past(params: Params) -> Array:
            return log_prob_taken(policy, params, steps)

        policies = jax.vmap(past)(pool.samplers)
        count = policies.shape[0]
        if not config.append_experts:
            shares = jnp.full(count, 1.0 / count)
            return irl.mixture_log_density(policies, jnp.log(shares))
        experts = log_prob_taken(behaviour, mu, steps)[None]
        # A gradient step's pool holds `batch` rollouts and `batch` experts' windows: mu
        # counts as much as all past policies together.
        shares = jnp.full(count + 1, 0.5 / count)
        shares = shares.at[-1].set(0.5)
        return irl.mixture_log_density(
            jnp.concatenate([policies, experts]), jnp.log(shares)
        )

    def densities(
        pool: Pool, policy_params: Params, behaviour_params: Params, windows: Transition
    ) -> tuple[Array, Array]:
        trajectories = flatten(pool.trajectories)
        both = jax.tree.map(lambda a, b: jnp.concatenate([a, b]), trajectories, windows)
        if config.mode == "gcl":
            density = mixture(pool, behaviour_params, both)
        else:
            density = log_prob_taken(policy, policy_params, both)
            density = density if config.mode == "step" else jnp.sum(density, axis=-1)
        count = trajectories.action.shape[0]
        return density[:count], density[count:]

    return densities


def log_prob_taken(policy: Policy, params: Params, steps: Transition) -> Array:
    """Log-probabilities [...] of the actions taken in steps [...]."""
    return log_prob_of(policy.log_probs(params, steps.state), steps.action)


def _make_likelihood(
    config: RewardConfig,
) -> Callable[..., tuple[Array, irl.Weights]]:
    """`(expert, sampled, appended, densities) -> (loss, weights)` of rewards [., H]."""

    def likelihood(
        expert: Array, sampled: Array, appended: Array, densities: tuple[Array, Array]
    ) -> tuple[Array, irl.Weights]:
        pool, density = sampled, densities[0]
        if config.append_experts:
            pool = jnp.concatenate([sampled, appended])
            density = jnp.concatenate(densities)
        return irl.guided_reward_loss(
            expert, pool, density, config.mode, config.power, config.least_ess
        )

    return likelihood


def _make_loss(
    config: RewardConfig,
    value: Callable[[Params, Transition], Array],
    likelihood: Callable[..., tuple[Array, irl.Weights]],
) -> Callable[..., tuple[Array, Metrics]]:
    """The loss of one member."""

    def loss(
        params: Params,
        rollouts: Transition,
        windows: Transition,
        rollout_density: Array,
        window_density: Array,
    ) -> tuple[Array, Metrics]:
        sampled, expert = value(params, rollouts), value(params, windows)
        densities = rollout_density, window_density
        out, weights = likelihood(expert, sampled, expert, densities)
        return out + reward_network.centred(config, expert, sampled), {
            "reward/loss": out,
            "reward/ess": weights.ess,
            "reward/largest_weight": weights.largest,
            "reward/expert": jnp.mean(expert),
            "reward/sampled": jnp.mean(sampled),
        }

    return loss


def _make_held_out(
    value: Callable[[Params, Transition], Array],
    likelihood: Callable[..., tuple[Array, irl.Weights]],
) -> Callable[..., Array]:
    """The members' mean loss of other experts; see `Reward`."""

    def held_out(
        params: Params,
        pool: Pool,
        densities: tuple[Array, Array],
        windows: Transition,
        held: Transition,
    ) -> Array:
        trajectories = flatten(pool.trajectories)

        def member(params: Params) -> Array:
            given = (value(params, x) for x in (held, trajectories, windows))
            return likelihood(*given, densities)[0]

        return jnp.mean(jax.vmap(member)(params))

    return held_out


def _make_update(
    config: RewardConfig,
    loss: Callable[..., tuple[Array, Metrics]],
    optimizer: optax.GradientTransformation,
) -> Callable[..., tuple[optimize.Learner, Metrics]]:
    """All gradient steps of an epoch; see `Reward`."""
    step = optimize.gradient_step(loss, optimizer)

    def update(
        learner: optimize.Learner,
        key: Key,
        pool: Pool,
        density: tuple[Array, Array],
        windows: Transition,
    ) -> tuple[optimize.Learner, Metrics]:
        trajectories = flatten(pool.trajectories)

        def draw(key: Key) -> tuple[Array, Array]:
            pool_key, window_key = jax.random.split(key)
            size = (config.batch,)
            return (
                draws.below(pool_key, size, density[0].shape[0]),
                draws.below(window_key, size, density[1].shape[0]),
            )

        def member(learner: optimize.Learner, rows: tuple[Array, Array]) -> tuple:
            i, j = rows
            return step(
                learner,
                jax.tree.map(lambda x: x[i], trajectories),
                jax.tree.map(lambda x: x[j], windows),
                density[0][i],
                density[1][j],
            )

        return reward_network.train_members(config, draw, member, learner, key)

    return update


def flatten(trajectories: Transition) -> Transition:
    """Pool leaves [K, B, H, ...] to [K * B, H, ...]."""
    # Not -1: without channels a leaf has no element from which to infer it.
    return jax.tree.map(
        lambda x: x.reshape((x.shape[0] * x.shape[1], *x.shape[2:])), trajectories
    )


def push(pool: Pool, epoch: Array, rollouts: Transition, sampler: Params) -> Pool:
    """Replaces the oldest epoch of the pool.

    Args:
      pool: the ring of `K` epochs.
      epoch: [] number of the epoch.
      rollouts: leaves [H, B', ...] as `rollout` returns them; the first `B` enter.
      sampler: the policy parameters that made them.

    Returns:
      The pool with the epoch in it.
    """
    slots, size = pool.trajectories.action.shape[:2]
    slot = epoch % slots
    return Pool(
        jax.tree.map(
            lambda old, new: old.at[slot].set(jnp.swapaxes(new[:, :size], 0, 1)),
            pool.trajectories,
            rollouts,
        ),
        jax.tree.map(lambda old, new: old.at[slot].set(new), pool.samplers, sampler),
    )

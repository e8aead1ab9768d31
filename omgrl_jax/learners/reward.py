"""The guided reward r_psi (arXiv 2409.13299, Eqs. 7-8 and Algorithm 2)."""

import dataclasses
import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from omgrl_jax import networks, optimize
from omgrl_jax.data.records import Space
from omgrl_jax.learners.actor import log_prob_of
from omgrl_jax.ops import irl
from omgrl_jax.types import Array, Key, Metrics, Params, Policy, Transition

INPUTS = ("state_action", "outcome")


@dataclasses.dataclass(frozen=True)
class RewardConfig:
    """The reward network and how it is learned.

    Attributes:
      mode: importance weights: "paper" (per trajectory, current policy), "gcl" (per
        trajectory, mixture of all samplers) or "step" (per step).
      inputs: what the reward sees: "state_action" (the paper) or "outcome" (the
        channels of the next state alone, such as aPTT).
      hidden: widths of the hidden layers.
      learning_rate: Adam's step size.
      weight_decay: decoupled weight decay.
      bound: r_psi lies in (-bound, bound).
      centring: weight of the squared mean of r_psi over a batch: a constant shift
        changes nothing in the likelihood, but would drift until the bound cuts it.
      steps: gradient steps per epoch.
      expert_windows: experts' windows drawn per epoch; they are appended to the pool.
      batch: windows and trajectories per gradient step, each.
      normalise: the agent is given (r_psi - mean) / deviation over the experts' windows
        and the rollouts of the epoch, so that the entropy coefficient keeps its meaning
        whatever scale the likelihood settles on.
      average: share of the running average of the parameters that is kept each epoch;
        the agent is given the averaged r_psi, since few trajectories carry the weight
        of an epoch; 0 gives it the latest.
      pool_epochs: epochs of rollouts, with their policies, that form the pool.
      pool_rollouts: rollouts of an epoch that enter the pool, at most.
      power: exponent that tempers the importance weights; 1 leaves them as they are.
      least_ess: effective sample size, as a share of the pool, below which the weights
        are tempered further; 0 for no such limit.
      append_experts: append the experts' windows to the pool (Algorithm 2).
      shaping: let the likelihood see r_psi plus the difference of a learned potential,
        h(s') - h(s), so that r_psi itself need not explain where courses lead (AIRL's
        disentangled form); the agent is given r_psi alone.
      members: networks, each trained on draws of its own; r_psi is their mean.
      caution: the agent is given the mean less so many standard deviations between the
        members, against over-optimisation of one network's errors.
    """

    mode: str = dataclasses.field(default="gcl", metadata={"choices": irl.MODES})
    inputs: str = dataclasses.field(
        default="state_action", metadata={"choices": INPUTS}
    )
    hidden: tuple[int, ...] = (128, 64)
    learning_rate: float = 2e-3
    weight_decay: float = 1e-4
    bound: float = 10.0
    centring: float = 1.0
    steps: int = 10
    expert_windows: int = 128
    batch: int = 64
    normalise: bool = False
    average: float = 0.0
    pool_epochs: int = 2
    pool_rollouts: int = 64
    power: float = 1.0
    least_ess: float = dataclasses.field(default=0.0, metadata={"min": 0, "below": 1})
    append_experts: bool = True
    shaping: bool = False
    members: int = dataclasses.field(default=1, metadata={"min": 1})
    caution: float = dataclasses.field(default=0.0, metadata={"min": 0})

    def __post_init__(self) -> None:
        """Rejects unknown options, naming the field."""
        if self.mode not in irl.MODES:
            raise ValueError(f"mode='{self.mode}': use one of {irl.MODES}")
        if self.inputs not in INPUTS:
            raise ValueError(f"inputs='{self.inputs}': use one of {INPUTS}")


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
      for_agent: `(params, rollouts, windows) -> reward function`: r_psi as the agent
        is given it.
      densities: `(pool, policy_params, behaviour_params, windows [N, H]) ->
        (pool density, window density)` for the configured mode.
      update: `(learner, key, pool, densities, windows) -> (learner, metrics)`, all
        steps of an epoch.
    """

    init: Callable[[Key], optimize.Learner]
    value: Callable[[Params, Transition], Array]
    for_agent: Callable[[Params, Transition, Transition], Callable]
    densities: Callable[..., tuple[Array, Array]]
    update: Callable[..., tuple[optimize.Learner, Metrics]]


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
    init_one, value_of_one = make_value(config, space)
    potential_init, potential = _make_potential(config, space)
    optimizer = optimize.adam(config.learning_rate, 1.0, config.weight_decay)

    def init(key: Key) -> optimize.Learner:
        def one(key: Key) -> optimize.Learner:
            value_key, potential_key = jax.random.split(key)
            params = init_one(value_key), potential_init(potential_key)
            return optimize.start(optimizer, params)

        return jax.vmap(one)(jax.random.split(key, config.members))

    def values(params: Params, transitions: Transition) -> Array:
        return jax.vmap(value_of_one, in_axes=(0, None))(params[0], transitions)

    def value(params: Params, transitions: Transition) -> Array:
        return jnp.mean(values(params, transitions), axis=0)

    def in_likelihood(params: Params, transitions: Transition) -> Array:
        shaped = potential(params[1], transitions)
        return value_of_one(params[0], transitions) + shaped

    def cautious(params: Params, transitions: Transition) -> Array:
        every = values(params, transitions)
        spread = jnp.std(every, axis=0) if config.caution > 0 else 0.0
        return jnp.mean(every, axis=0) - config.caution * spread

    def for_agent(
        params: Params, rollouts: Transition, windows: Transition
    ) -> Callable[[Transition], Array]:
        if not config.normalise:
            return functools.partial(cautious, params)
        both = (cautious(params, steps).ravel() for steps in (rollouts, windows))
        seen = jnp.concatenate([*both])
        mean, deviation = jnp.mean(seen), jnp.std(seen) + 1e-3
        return lambda transitions: (cautious(params, transitions) - mean) / deviation

    return Reward(
        init=init,
        value=value,
        for_agent=for_agent,
        densities=_make_densities(config, policy, behaviour),
        update=_make_update(config, in_likelihood, optimizer),
    )


def make_value(
    config: RewardConfig, space: Space
) -> tuple[Callable[[Key], Params], Callable[[Params, Transition], Array]]:
    """The reward network that methods share.

    Args:
      config: its inputs, widths and bound.
      space: the task.

    Returns:
      `init(key) -> params` and `value(params, transitions [...]) -> [...]`.
    """
    by_action = config.inputs == "state_action"
    network = networks.MLP(config.hidden, space.num_actions if by_action else 1)
    width = space.state_dim if by_action else len(space.channels)

    def init(key: Key) -> Params:
        return network.init(key, jnp.zeros(width))

    def value(params: Params, transitions: Transition) -> Array:
        if by_action:
            out = networks.apply(network, params, transitions.state)
            raw = log_prob_of(out, transitions.action)
        else:
            raw = networks.apply(network, params, transitions.outcome)[..., 0]
        return config.bound * jnp.tanh(raw / config.bound)

    return init, value


def _make_potential(
    config: RewardConfig, space: Space
) -> tuple[Callable[[Key], Params], Callable[[Params, Transition], Array]]:
    """`init(key) -> params` and `h(s') - h(s)` of transitions [...]; zero if unused."""
    network = networks.MLP(config.hidden, 1)

    def init(key: Key) -> Params:
        return network.init(key, jnp.zeros(space.state_dim)) if config.shaping else {}

    def difference(params: Params, transitions: Transition) -> Array:
        if not config.shaping:
            return jnp.zeros(transitions.action.shape)
        after = networks.apply(network, params, transitions.next_state)
        before = networks.apply(network, params, transitions.state)
        return (after - before)[..., 0]

    return init, difference


def _make_densities(
    config: RewardConfig, policy: Policy, behaviour: Policy
) -> Callable[..., tuple[Array, Array]]:
    """Log-densities under the samplers that a mode names; see `Reward`."""

    def mixture(pool: Pool, mu: Params, steps: Transition) -> Array:
        def past(params: Params) -> Array:
            return _taken(policy, params, steps)

        policies = jax.vmap(past)(pool.samplers)
        count = policies.shape[0]
        if not config.append_experts:
            shares = jnp.full(count, 1.0 / count)
            return irl.mixture_log_density(policies, jnp.log(shares))
        experts = _taken(behaviour, mu, steps)[None]
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
            density = _taken(policy, policy_params, both)
            density = density if config.mode == "step" else jnp.sum(density, axis=-1)
        count = trajectories.action.shape[0]
        return density[:count], density[count:]

    return densities


def _taken(policy: Policy, params: Params, steps: Transition) -> Array:
    """Log-probabilities [...] of the actions taken in steps [...]."""
    return log_prob_of(policy.log_probs(params, steps.state), steps.action)


def _make_update(
    config: RewardConfig,
    value: Callable[[Params, Transition], Array],
    optimizer: optax.GradientTransformation,
) -> Callable[..., tuple[optimize.Learner, Metrics]]:
    """All gradient steps of an epoch; see `Reward`."""

    def loss(
        params: Params,
        rollouts: Transition,
        windows: Transition,
        rollout_density: Array,
        window_density: Array,
    ) -> tuple[Array, Metrics]:
        sampled, expert = value(params, rollouts), value(params, windows)
        pool, density = sampled, rollout_density
        if config.append_experts:
            pool = jnp.concatenate([sampled, expert])
            density = jnp.concatenate([rollout_density, window_density])
        out, weights = irl.guided_reward_loss(
            expert, pool, density, config.mode, config.power, config.least_ess
        )
        middle = 0.5 * (jnp.mean(expert) + jnp.mean(sampled))
        return out + config.centring * jnp.square(middle), {
            "reward/loss": out,
            "reward/ess": weights.ess,
            "reward/largest_weight": weights.largest,
            "reward/expert": jnp.mean(expert),
            "reward/sampled": jnp.mean(sampled),
        }

    step = optimize.gradient_step(loss, optimizer)

    def update(
        learner: optimize.Learner,
        key: Key,
        pool: Pool,
        density: tuple[Array, Array],
        windows: Transition,
    ) -> tuple[optimize.Learner, Metrics]:
        trajectories = flatten(pool.trajectories)

        def member(learner: optimize.Learner, key: Key) -> tuple:
            pool_key, window_key = jax.random.split(key)
            size = (config.batch,)
            i = jax.random.randint(pool_key, size, 0, density[0].shape[0])
            j = jax.random.randint(window_key, size, 0, density[1].shape[0])
            return step(
                learner,
                jax.tree.map(lambda x: x[i], trajectories),
                jax.tree.map(lambda x: x[j], windows),
                density[0][i],
                density[1][j],
            )

        def one(
            carry: tuple[optimize.Learner, Key], _: None
        ) -> tuple[tuple[optimize.Learner, Key], Metrics]:
            learners, key = carry
            key, step_key = jax.random.split(key)
            keys = jax.random.split(step_key, config.members)
            learners, metrics = jax.vmap(member)(learners, keys)
            return (learners, key), metrics

        (learner, _), metrics = jax.lax.scan(
            one, (learner, key), None, length=config.steps
        )
        return learner, jax.tree.map(lambda x: jnp.mean(x[-1]), metrics)

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

"""The network of r_psi, its members, and the options that methods share."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from omgrl_jax import networks, optimize
from omgrl_jax.data.space import Space
from omgrl_jax.learners.actor import log_prob_of
from omgrl_jax.ops import irl
from omgrl_jax.settings import is_off
from omgrl_jax.types import Array, Key, Metrics, Params, Transition

INPUTS = ("state_action", "outcome", "next_state")


@dataclasses.dataclass(frozen=True)
class RewardConfig:
    """The reward network and how it is learned.

    Attributes:
      mode: importance weights: "paper" (per trajectory, current policy), "gcl" (per
        trajectory, mixture of all samplers) or "step" (per step).
      inputs: what the reward sees: "state_action" (the paper), "outcome" (the channels
        of the next state alone, such as aPTT) or "next_state" (all of its features).
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


class Network(NamedTuple):
    """r_psi as methods share it, whatever they fit it to.

    Attributes:
      optimizer: what trains it.
      init: `(key) -> Learner`, leaves [members, ...].
      value: `(params, transitions [...]) -> [...]`, r_psi.
      member: `(params of one member, transitions [...]) -> [...]`, its r_psi.
      in_likelihood: the same with the member's potential, where there is one.
      for_agent: `(params, rollouts, windows, known = None) -> reward function`: r_psi
        as the agent is given it; without what `known`, a function of transitions,
        explains of it.
    """

    optimizer: optax.GradientTransformation
    init: Callable[[Key], optimize.Learner]
    value: Callable[[Params, Transition], Array]
    member: Callable[[Params, Transition], Array]
    in_likelihood: Callable[[Params, Transition], Array]
    for_agent: Callable[..., Callable[[Transition], Array]]


def make(config: RewardConfig, space: Space) -> Network:
    """Builds the members of r_psi and their optimiser.

    Args:
      config: settings.
      space: the task.

    Returns:
      The functions.
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

    def member(params: Params, transitions: Transition) -> Array:
        return value_of_one(params[0], transitions)

    def values(params: Params, transitions: Transition) -> Array:
        return jax.vmap(member, in_axes=(0, None))(params, transitions)

    def value(params: Params, transitions: Transition) -> Array:
        return jnp.mean(values(params, transitions), axis=0)

    def in_likelihood(params: Params, transitions: Transition) -> Array:
        return member(params, transitions) + potential(params[1], transitions)

    def cautious(params: Params, transitions: Transition) -> Array:
        every = values(params, transitions)
        spread = jnp.std(every, axis=0) if not is_off(config.caution) else 0.0
        return jnp.mean(every, axis=0) - config.caution * spread

    def for_agent(
        params: Params,
        rollouts: Transition,
        windows: Transition,
        known: Callable[[Transition], Array] | None = None,
    ) -> Callable[[Transition], Array]:
        reward = functools.partial(cautious, params)
        if known is not None:
            reward = without(reward, known, (rollouts, windows))
        if not config.normalise:
            return reward
        seen = _joined(reward, (rollouts, windows))
        mean, deviation = jnp.mean(seen), jnp.std(seen) + 1e-3
        return lambda transitions: (reward(transitions) - mean) / deviation

    return Network(optimizer, init, value, member, in_likelihood, for_agent)


def without(
    reward: Callable[[Transition], Array],
    known: Callable[[Transition], Array],
    samples: tuple[Transition, ...],
) -> Callable[[Transition], Array]:
    """What is left of a reward after its linear regression on something known.

    Args:
      reward: of transitions [...].
      known: likewise, such as the behaviour policy's log-probability of the action.
      samples: transitions on which the slope is measured, each with leaves [...].

    Returns:
      The reward less `slope * known`, uncorrelated with `known` over the samples.
    """
    x, y = _joined(known, samples), _joined(reward, samples)
    apart = x - jnp.mean(x)
    slope = jnp.mean(apart * y) / (jnp.mean(jnp.square(apart)) + 1e-6)
    return lambda transitions: reward(transitions) - slope * known(transitions)


def _joined(
    function: Callable[[Transition], Array], samples: tuple[Transition, ...]
) -> Array:
    """A function of transitions on all samples, [N]."""
    return jnp.concatenate([function(steps).ravel() for steps in samples])


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
    by_outcome = config.inputs == "outcome"
    width = len(space.channels) if by_outcome else space.state_dim

    def init(key: Key) -> Params:
        return network.init(key, jnp.zeros(width))

    def value(params: Params, transitions: Transition) -> Array:
        if by_action:
            out = networks.apply(network, params, transitions.state)
            raw = log_prob_of(out, transitions.action)
        else:
            seen = transitions.outcome if by_outcome else transitions.next_state
            raw = networks.apply(network, params, seen)[..., 0]
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


def train_members(
    config: RewardConfig,
    draw: Callable[[Key], Any],
    step: Callable[[optimize.Learner, Any], tuple[optimize.Learner, Metrics]],
    learners: optimize.Learner,
    key: Key,
) -> tuple[optimize.Learner, Metrics]:
    """All gradient steps of an epoch.

    Args:
      config: number of members and of steps.
      draw: what a step of one member is made on: rows, for instance; those of all steps
        are drawn at once.
      step: a step of one member on what was drawn.
      learners: leaves [members, ...].
      key: consumed.

    Returns:
      The learners and the metrics of the last step, averaged over the members.
    """
    keys = jax.random.split(key, (config.steps, config.members))
    drawn = jax.vmap(jax.vmap(draw))(keys)
    learners, metrics = jax.lax.scan(jax.vmap(step), learners, drawn)
    return learners, jax.tree.map(lambda x: jnp.mean(x[-1]), metrics)


def centred(config: RewardConfig, expert: Array, sampled: Array) -> Array:
    """The cost of a mean of r_psi away from zero, over experts and rollouts alike."""
    middle = 0.5 * (jnp.mean(expert) + jnp.mean(sampled))
    return config.centring * jnp.square(middle)

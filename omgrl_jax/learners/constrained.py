"""Constrained policy optimisation on whole rollouts (arXiv 1705.10528).

    rollouts -> advantages of reward and costs -> one step of the policy in a trust
    region that keeps every cost below its limit -> values fitted to the returns

Without costs it is trust region policy optimisation (arXiv 1502.05477). Rollouts have
one length; what follows an end counts for nothing.
"""

import dataclasses
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree

from omgrl_jax import networks, optimize
from omgrl_jax.learners.stochastic import Stochastic
from omgrl_jax.models.rollout import alive_in
from omgrl_jax.ops import advantage, draws, trust_region
from omgrl_jax.types import Array, Key, Metrics, Params, Transition


@dataclasses.dataclass(frozen=True)
class ConstrainedConfig:
    """Settings (defaults: arXiv 2505.16242, where it names them).

    Attributes:
      radius: largest mean divergence of a step, KL(old || new).
      iterations: of conjugate gradients.
      damping: added to the curvature, so that it is never flat.
      curvature_every: only every n-th step shapes the trust region, which needs fewer
        of them than gradients do and takes most of the time; what a policy really
        diverges is measured on all.
      backtracks: shorter steps that are tried.
      shrink: by which each is shorter than the one before.
      discount: discount factor.
      trace: lambda of the advantages.
      value_hidden: widths of the value networks.
      value_learning_rate: Adam's step size.
      value_steps: gradient steps in each update.
      value_batch: states of each.
    """

    radius: float = dataclasses.field(default=0.01, metadata={"above": 0})
    iterations: int = dataclasses.field(default=10, metadata={"min": 1})
    damping: float = dataclasses.field(default=0.1, metadata={"min": 0})
    curvature_every: int = dataclasses.field(default=1, metadata={"min": 1})
    backtracks: int = dataclasses.field(default=30, metadata={"min": 1})
    shrink: float = dataclasses.field(default=0.8, metadata={"above": 0, "below": 1})
    discount: float = dataclasses.field(default=0.99, metadata={"above": 0, "max": 1})
    trace: float = dataclasses.field(default=0.95, metadata={"min": 0, "max": 1})
    value_hidden: tuple[int, ...] = (128, 128)
    value_learning_rate: float = dataclasses.field(default=1e-3, metadata={"above": 0})
    value_steps: int = dataclasses.field(default=40, metadata={"min": 1})
    value_batch: int = dataclasses.field(default=512, metadata={"min": 1})


class State(NamedTuple):
    """Policy and values.

    Attributes:
      policy: parameters of the policy.
      values: networks of reward and costs, leaves [1 + J, ...], with their optimiser.
    """

    policy: Params
    values: optimize.Learner


class Batch(NamedTuple):
    """Rollouts made ready for a step; B rollouts of H steps, `D = H * B`.

    Attributes:
      states: [D, S].
      choices: [D] or [D, P].
      weights: [D] discounted share of each step in the sum of its rollout, divided by
        B; zero after an end.
      alive: [D] 1.0 or 0.0.
      advantages: [1 + J, D] of the reward, standardised, and of the costs.
    """

    states: Array
    choices: Array
    weights: Array
    alive: Array
    advantages: Array


class Constrained(NamedTuple):
    """The learner as pure functions.

    Attributes:
      init: `(key) -> State`.
      update: `(state, key, rollouts, signals [1 + J, H, B], limits [J], span=None) ->
        (state, metrics)`: rewards first, then costs; `limits` are of their discounted
        sums, what follows the rollouts by the value networks. `span` = (lowest [J],
        highest [J]) says between what all costs of a step lie: then no network is
        believed that says what no future can cost, or a limit that nobody can break
        may seem broken. The rollouts' actions are choices of the policy's distribution.
    """

    init: Callable[[Key], State]
    update: Callable[..., tuple[State, Metrics]]


def make(
    config: ConstrainedConfig, policy: Stochastic, state_dim: int, costs: int
) -> Constrained:
    """Builds the learner.

    Args:
      config: settings.
      policy: the policy.
      state_dim: `S`.
      costs: number of costs `J`; without any it is TRPO.

    Returns:
      The functions.
    """
    network = networks.MLP(config.value_hidden, 1)
    optimizer = optimize.adam(config.value_learning_rate, 10.0)

    def values(params: Params, states: Array) -> Array:
        """[1 + J, ...] of states [..., S]."""
        return networks.stacked_apply(network, params, states)[..., 0]

    def loss(
        params: Params, states: Array, targets: Array, weights: Array
    ) -> tuple[Array, Metrics]:
        errors = jnp.square(values(params, states) - targets)
        return jnp.sum(errors * weights[None]) / (jnp.sum(weights) + 1e-6), {}

    fit = _make_fit(config, optimize.gradient_step(loss, optimizer))
    move = _make_move(config, policy)

    def init(key: Key) -> State:
        policy_key, value_key = jax.random.split(key)
        params = networks.stacked_init(
            network, value_key, 1 + costs, jnp.zeros(state_dim)
        )
        return State(policy.init(policy_key), optimize.start(optimizer, params))

    def update(
        state: State,
        key: Key,
        rollouts: Transition,
        signals: Array,
        limits: Array,
        span: tuple[Array, Array] | None = None,
    ) -> tuple[State, Metrics]:
        def believed(params: Params, states: Array) -> Array:
            return _within(span, config.discount, values(params, states))

        batch, targets, sums = prepare(config, state, believed, rollouts, signals)
        excess = sums[1:] - limits
        moved, metrics = move(state.policy, batch, excess)
        learned = fit(state.values, key, batch, targets)
        metrics |= {"return/reward": sums[0]}
        metrics |= {f"safety/cost_{j}": sums[1 + j] for j in range(costs)}
        return State(moved, learned), metrics

    return Constrained(init, update)


def _within(span: tuple[Array, Array] | None, discount: float, values: Array) -> Array:
    """Values [1 + J, ...] of costs cut to what a whole future can cost."""
    if span is None:
        return values
    longest = 1.0 / max(1.0 - discount, 1e-6)
    low, high = (longest * x.reshape(-1, *(1,) * (values.ndim - 1)) for x in span)
    # A state after which nothing follows costs nothing.
    costs = jnp.clip(values[1:], jnp.minimum(low, 0.0), jnp.maximum(high, 0.0))
    return jnp.concatenate([values[:1], costs])


def prepare(
    config: ConstrainedConfig,
    state: State,
    values: Callable[[Params, Array], Array],
    rollouts: Transition,
    signals: Array,
) -> tuple[Batch, Array, Array]:
    """Advantages and targets of rollouts.

    Args:
      config: discount and trace.
      state: whose value networks are asked.
      values: `(params, states [..., S]) -> [1 + J, ...]`.
      rollouts: leaves [H, B, ...].
      signals: [1 + J, H, B] rewards and costs.

    Returns:
      The batch, the values' targets [1 + J, D], and the discounted sums [1 + J] of the
      signals over a rollout, in the mean.
    """
    horizon, count = rollouts.discount.shape
    alive = alive_in(rollouts)
    signals = signals * alive[None]
    path = jnp.concatenate([rollouts.state, rollouts.next_state[-1:]])
    v = values(state.values.params, path)
    discounts = config.discount * rollouts.discount

    def of(r: Array, v: Array) -> Array:
        each = jax.vmap(
            advantage.generalised_advantages, in_axes=(1, 1, 1, None), out_axes=1
        )
        return each(r, discounts, v, config.trace)

    found = jax.vmap(of)(signals, v)
    targets = (found + v[:, :-1]).reshape(found.shape[0], -1)
    faded = config.discount ** jnp.arange(horizon, dtype=jnp.float32)
    weights = alive * faded[:, None] / count
    sums = jnp.sum(signals * faded[None, :, None], axis=(1, 2)) / count
    # As the advantages do: who is alive at the end goes on.
    left = config.discount**horizon * alive[-1] * rollouts.discount[-1]
    sums += jnp.sum(v[:, -1] * left[None], axis=1) / count
    flat = found.reshape(found.shape[0], -1)
    flat = flat.at[0].set(_standardised(flat[0], alive.reshape(-1)))
    rows = horizon * count
    batch = Batch(
        rollouts.state.reshape(rows, -1),
        rollouts.action.reshape(rows, *rollouts.action.shape[2:]),
        weights.reshape(-1),
        alive.reshape(-1),
        flat,
    )
    return batch, targets, sums


def _standardised(x: Array, weights: Array) -> Array:
    total = jnp.sum(weights) + 1e-6
    mean = jnp.sum(weights * x) / total
    spread = jnp.sqrt(jnp.sum(weights * jnp.square(x - mean)) / total)
    return (x - mean) / (spread + 1e-6)


def _make_move(
    config: ConstrainedConfig, policy: Stochastic
) -> Callable[[Params, Batch, Array], tuple[Params, Metrics]]:
    """`(policy params, batch, excess [J]) -> (params, metrics)`: one safe step."""
    family = policy.distribution

    def move(params: Params, batch: Batch, excess: Array) -> tuple[Params, Metrics]:
        start, unravel = ravel_pytree(params)
        old = policy.numbers(params, batch.states)
        old_log = family.log_prob(old, batch.choices)
        total = jnp.sum(batch.alive) + 1e-6

        def gains(flat: Array) -> Array:
            """Change of the objective and of each cost's sum, [1 + J]."""
            numbers = policy.numbers(unravel(flat), batch.states)
            ratio = jnp.exp(family.log_prob(numbers, batch.choices) - old_log)
            return batch.advantages @ (batch.weights * (ratio - 1.0))

        def divergence(flat: Array, every: int = 1) -> Array:
            some = slice(None, None, every)
            numbers = policy.numbers(unravel(flat), batch.states[some])
            each = family.divergence(old[some], numbers)
            alive = batch.alive[some]
            return jnp.sum(alive * each) / (jnp.sum(alive) + 1e-6)

        def slope(flat: Array) -> Array:
            return jax.grad(divergence)(flat, config.curvature_every)

        def curvature(x: Array) -> Array:
            return jax.jvp(slope, (start,), (x,))[1] + config.damping * x

        gradients = jax.jacrev(gains)(start)
        inverse = jax.vmap(
            lambda b: trust_region.conjugate_gradient(curvature, b, config.iterations)
        )(gradients)
        table = gradients @ inverse.T
        problem = trust_region.Problem(
            gain=jnp.maximum(table[0, 0], 0.0),
            mixed=table[1:, 0],
            gram=0.5 * (table[1:, 1:] + table[1:, 1:].T),
            excess=excess,
            radius=jnp.float32(config.radius),
        )
        found = trust_region.solve(problem)
        ahead = jnp.where(found.feasible, inverse[0], 0.0)
        step = (ahead - found.costs @ inverse[1:]) / found.divergence
        taken, share = _search(
            config, start, step, gains, divergence, excess, found.feasible
        )
        return unravel(taken), {
            "actor/divergence": divergence(taken),
            "actor/step": share,
            "actor/feasible": found.feasible.astype(jnp.float32),
            "actor/entropy": jnp.sum(batch.alive * family.entropy(old)) / total,
            **{f"safety/dual_{j}": x for j, x in enumerate(found.costs)},
        }

    return move


def _search(
    config: ConstrainedConfig,
    start: Array,
    step: Array,
    gains: Callable[[Array], Array],
    divergence: Callable[[Array], Array],
    excess: Array,
    feasible: Array,
) -> tuple[Array, Array]:
    """The longest of ever shorter steps that keeps what was promised; else none.

    Promised is a divergence within the radius; no loss of the objective while all
    limits are met, which else may be the price of meeting them; and for each cost to
    end below its limit, or not to rise. Where no step can meet all limits, what they
    are missed by must fall in sum: one may rise for the sake of another.
    """

    def holds(share: Array) -> Array:
        flat = start + share * step
        change = gains(flat)
        near = divergence(flat) <= config.radius
        better = (change[0] >= 0.0) | jnp.any(excess > 0.0)
        safe = jnp.all(change[1:] <= jnp.maximum(-excess, 0.0) + 1e-6)
        missed = jnp.sum(jax.nn.relu(excess + change[1:]))
        lower = missed < jnp.sum(jax.nn.relu(excess))
        return near & better & jnp.where(feasible, safe, lower)

    def going_on(carry: tuple[Array, Array]) -> Array:
        tries, share = carry
        return (tries < config.backtracks) & ~holds(share)

    def shorter(carry: tuple[Array, Array]) -> tuple[Array, Array]:
        tries, share = carry
        return tries + 1, config.shrink * share

    first = jnp.int32(0), jnp.float32(1.0)
    tries, share = jax.lax.while_loop(going_on, shorter, first)
    share = jnp.where(tries < config.backtracks, share, 0.0)
    # Not start + 0 * step: a step that is no number must leave everything as it was.
    return jnp.where(share > 0, start + share * step, start), share


def _make_fit(
    config: ConstrainedConfig, step: Callable[..., tuple[optimize.Learner, Metrics]]
) -> Callable[[optimize.Learner, Key, Batch, Array], optimize.Learner]:
    """Gradient steps of all value networks on draws from the batch."""

    def fit(
        learner: optimize.Learner, key: Key, batch: Batch, targets: Array
    ) -> optimize.Learner:
        def one(learner: optimize.Learner, rows: Array) -> tuple:
            given = batch.states[rows], targets[:, rows], batch.alive[rows]
            return step(learner, *given)[0], None

        size = (config.value_steps, config.value_batch)
        rows = draws.below(key, size, batch.alive.shape[0])
        return jax.lax.scan(one, learner, rows)[0]

    return fit

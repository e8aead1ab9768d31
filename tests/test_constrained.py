"""Constrained policy optimisation on two states whose solution is known."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from omgrl_jax import actions, distributions, networks, optimize
from omgrl_jax.learners import constrained, stochastic
from omgrl_jax.types import Transition

STATES = jnp.eye(2)
REWARDS, COUNT, UPDATES = jnp.array([2.0, 1.0]), 2000, 200
CONFIG = constrained.ConstrainedConfig(
    radius=0.01, discount=1.0, damping=1e-3, value_hidden=(), value_steps=5
)


def learner(costs, family=None, config=CONFIG):
    family = family or distributions.of(actions.discrete(2))
    policy = stochastic.make((), 2, family)
    return policy, constrained.make(config, policy, 2, costs)


def rollouts_of(policy, params, key):
    """First the one state, then the other: leaves [2, COUNT, ...]."""
    states = jnp.broadcast_to(STATES[:, None], (2, COUNT, 2))
    choices = policy.draw(params, key, states)
    following = jnp.broadcast_to(STATES[::-1][:, None], (2, COUNT, 2))
    ends = jnp.ones((2, COUNT)).at[1].set(0.0)
    return Transition(
        states, choices, following, jnp.zeros((2, COUNT, 0)), ends, 0.0 * ends
    )


@functools.cache
def learned(limit, costs=1, every=1):
    """Action 1 earns 2 in the first state and 1 in the second, and costs 1 in both."""
    config = dataclasses.replace(CONFIG, curvature_every=every)
    policy, made = learner(costs, config=config)

    @jax.jit
    def run(key):
        init_key, key = jax.random.split(key)

        def one(carry, _):
            state, key = carry
            key, draw_key, step_key = jax.random.split(key, 3)
            steps = rollouts_of(policy, state.policy, draw_key)
            taken = steps.action.astype(jnp.float32)
            signals = jnp.stack([REWARDS[:, None] * taken, *[taken] * costs])
            limits = jnp.full(costs, limit)
            state, metrics = made.update(state, step_key, steps, signals, limits)
            return (state, key), metrics

        (state, _), metrics = jax.lax.scan(
            one, (made.init(init_key), key), None, length=UPDATES
        )
        return jax.nn.softmax(policy.numbers(state.policy, STATES))[:, 1], metrics

    return jax.device_get(run(jax.random.key(0)))


@pytest.mark.parametrize(
    ("limit", "wanted"),
    # The cost is spent where it earns most: first all of it in the first state.
    [(0.5, [0.5, 0.0]), (1.0, [1.0, 0.0]), (1.4, [1.0, 0.4]), (3.0, [1.0, 1.0])],
)
def test_the_limit_is_spent_where_it_earns_most(limit, wanted):
    chances, metrics = learned(limit)
    np.testing.assert_allclose(chances, wanted, atol=0.08)
    last = metrics["safety/cost_0"][-40:].mean()
    if limit < 2.0:  # it binds
        assert last == pytest.approx(limit, rel=0.05)
    assert last <= 1.05 * limit


def test_some_of_the_steps_shape_the_trust_region_as_well():
    chances, metrics = learned(1.4, every=7)
    np.testing.assert_allclose(chances, [1.0, 0.4], atol=0.08)
    assert metrics["actor/divergence"].max() <= CONFIG.radius * (1 + 1e-3)
    # It is another step than that of all.
    first, others = (m["actor/divergence"][0] for m in (metrics, learned(1.4)[1]))
    assert first != others and first == pytest.approx(others, rel=0.3)


def test_the_multiplier_is_above_zero_where_the_limit_binds_and_zero_where_not():
    binding, slack = learned(1.0)[1], learned(3.0)[1]
    # Where no step meets the limit the numbers are weights, not multipliers.
    feasible = binding["actor/feasible"][-40:] == 1.0
    assert feasible.mean() > 0.5
    assert (binding["safety/dual_0"][-40:][feasible] > 0).mean() > 0.5
    np.testing.assert_allclose(slack["safety/dual_0"], 0.0, atol=1e-5)


def test_without_costs_all_is_earned():
    chances, metrics = learned(0.0, costs=0)
    np.testing.assert_allclose(chances, [1.0, 1.0], atol=0.05)
    assert not any(name.startswith("safety/") for name in metrics)


@pytest.mark.parametrize("limit", [0.5, 1.4, 3.0])
def test_no_step_leaves_the_trust_region(limit):
    _, metrics = learned(limit)
    assert metrics["actor/divergence"].max() <= CONFIG.radius * (1 + 1e-3)
    assert metrics["actor/divergence"][:10].max() > 0.2 * CONFIG.radius


def test_a_limit_that_cannot_be_met_at_once_is_gone_towards():
    """From chances of a half each the cost begins at 1, far above .1."""
    _, metrics = learned(0.1)
    costs, feasible = metrics["safety/cost_0"], metrics["actor/feasible"]
    assert feasible[0] == 0.0 and feasible[-1] == 1.0
    assert costs[:3].mean() > 0.5 and costs[-20:].mean() < 0.13


def one_rollout(discounts):
    """Steps [H, 1, ...] from 0 to 1 to 2, ...; 0.0 where they end."""
    count = len(discounts)
    path = jnp.arange(count + 1.0)[:, None, None]
    return Transition(
        path[:-1],
        jnp.zeros((count, 1), jnp.int32),
        path[1:],
        jnp.zeros((count, 1, 0)),
        jnp.array(discounts)[:, None],
        jnp.zeros((count, 1)),
    )


def test_what_follows_an_end_counts_for_nothing():
    """One rollout of three steps that ends with the second; discount .5."""
    config = constrained.ConstrainedConfig(discount=0.5, trace=1.0)
    steps = one_rollout([1.0, 0.0, 1.0])
    signals = jnp.array([[[4.0], [2.0], [100.0]], [[1.0], [1.0], [1.0]]])
    state = constrained.State(None, optimize.Learner(None, None))  # nobody asks it

    def nothing(params, states):
        return jnp.zeros((2, *states.shape[:-1]))

    batch, targets, sums = constrained.prepare(config, state, nothing, steps, signals)
    np.testing.assert_allclose(sums, [5.0, 1.5])  # 4 + .5 * 2;  1 + .5
    np.testing.assert_array_equal(batch.alive, [1.0, 1.0, 0.0])
    np.testing.assert_allclose(batch.weights, [1.0, 0.5, 0.0])
    np.testing.assert_allclose(targets[1, :2], [1.5, 1.0])
    # Costs keep their unit, rewards are standardised over what counts.
    np.testing.assert_allclose(batch.advantages[1, :2], [1.5, 1.0])
    np.testing.assert_allclose(batch.advantages[0, :2], [1.0, -1.0], rtol=1e-4)


def test_who_is_alive_at_the_end_goes_on():
    """Two steps of cost 1, then a value of 10; discount .5."""
    config = constrained.ConstrainedConfig(discount=0.5, trace=1.0)
    steps = one_rollout([1.0, 1.0])
    state = constrained.State(None, optimize.Learner(None, None))  # nobody asks it

    def ten(params, states):
        return jnp.full((2, *states.shape[:-1]), 10.0)

    _, targets, sums = constrained.prepare(
        config, state, ten, steps, jnp.ones((2, 2, 1))
    )
    # 1 + .5 + .25 * 10, which is what the first step's target says too.
    np.testing.assert_allclose(sums, [4.0, 4.0])
    np.testing.assert_allclose(targets[:, 0], sums, rtol=1e-6)


def test_a_cost_may_rise_where_the_limits_are_missed_by_less_in_sum():
    """Two costs that pull against each other: at first no step can meet both."""
    excess = jnp.array([3.0, 0.01])
    costs = jnp.array([[1.0, 0.0], [-0.5, 1.0]])
    step = -jnp.array([1.0, 0.0])
    taken, share = constrained._search(
        CONFIG,
        jnp.zeros(2),
        step,
        lambda x: jnp.concatenate([jnp.zeros(1), costs @ x]),
        lambda x: 0.0 * jnp.sum(x),
        excess,
        jnp.bool_(False),
    )
    assert share == 1.0
    np.testing.assert_array_equal(taken, step)


def test_a_step_that_is_no_number_is_not_taken():
    taken, share = constrained._search(
        CONFIG,
        jnp.ones(2),
        jnp.full(2, jnp.nan),
        lambda x: jnp.zeros(1) + jnp.sum(x),
        lambda x: jnp.sum(x),
        jnp.zeros(0),
        jnp.bool_(True),
    )
    assert share == 0.0
    np.testing.assert_array_equal(taken, [1.0, 1.0])


def test_continuous_doses_stop_at_their_limit():
    """The reward is the dose, the cost too: the mean dose goes to the limit of .6."""
    box = actions.box((0.0,), (1.0,))
    family = distributions.of(box)
    policy, made = learner(1, family)

    @jax.jit
    def run(key):
        init_key, key = jax.random.split(key)

        def one(carry, _):
            state, key = carry
            key, draw_key, step_key = jax.random.split(key, 3)
            steps = rollouts_of(policy, state.policy, draw_key)
            dose = family.action(steps.action)[..., 0]
            signals = jnp.stack([dose, 0.5 * dose])  # of two steps: their mean
            state, metrics = made.update(
                state, step_key, steps, signals, jnp.array([0.6])
            )
            return (state, key), metrics

        start = made.init(init_key), key
        _, metrics = jax.lax.scan(one, start, None, length=UPDATES)
        return metrics

    metrics = run(jax.random.key(1))
    assert metrics["return/reward"][0] < 1.1  # two doses of about a half
    assert metrics["return/reward"][-20:].mean() == pytest.approx(1.2, rel=0.05)
    assert metrics["safety/cost_0"][-20:].mean() == pytest.approx(0.6, rel=0.05)


def test_equal_networks_are_told_apart_by_nothing_but_their_key():
    _, made = learner(1)
    one, other = (made.init(jax.random.key(seed)) for seed in (0, 1))
    assert not np.array_equal(*(s.policy["net"]["params"]["Dense_0"]["kernel"]
                                for s in (one, other)))  # fmt: skip
    values = networks.stacked_apply(networks.MLP((), 1), one.values.params, STATES)
    assert values.shape == (2, 2, 1)


def test_values_are_believed_within_what_a_future_can_cost():
    """A limit that nobody can break does not bind, whatever the networks say."""
    policy, made = learner(1)
    state = made.init(jax.random.key(0))
    bias = state.values.params["params"]["Dense_0"]["bias"]
    wild = jax.tree.map(lambda x: x, state.values.params)
    wild["params"]["Dense_0"]["bias"] = jnp.full_like(bias, 500.0)
    state = state._replace(values=state.values._replace(params=wild))
    steps = rollouts_of(policy, state.policy, jax.random.key(1))
    # Rollouts that go on: what follows them is told by the networks alone.
    steps = steps._replace(discount=jnp.ones_like(steps.discount))
    never = jnp.stack([steps.action.astype(jnp.float32), -jnp.ones((2, COUNT))])
    half = dataclasses.replace(CONFIG, discount=0.5)
    _, made = learner(1, config=half)
    update = jax.jit(made.update)
    limits, key = jnp.zeros(1), jax.random.key(2)
    span = (jnp.array([-1.0]), jnp.array([0.0]))
    _, metrics = update(state, key, steps, never, limits, span)
    # -1 - .5 and at best nothing after.
    np.testing.assert_allclose(metrics["safety/cost_0"], -1.5, rtol=1e-5)
    assert metrics["safety/dual_0"] == 0.0
    twin = jax.random.key(2)
    _, metrics = update(state, twin, steps, never, limits)
    assert metrics["safety/cost_0"] > 100.0

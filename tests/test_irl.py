"""The guided reward's loss against enumerated trajectories: gradients and weights."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny_mdp
from tiny_mdp import ACTIONS, EVEN, HORIZON, STATES, TILTED

from omgrl_jax.ops import irl


@pytest.fixture(autouse=True)
def float64():
    with jax.enable_x64(True):
        yield


def expert_steps():
    """Eight stays of an expert who likes action 1 in state 1."""
    states, actions = tiny_mdp.pool(TILTED)
    chosen = np.random.default_rng(3).choice(len(states), 8, replace=False)
    return states[chosen], actions[chosen]


def step_rewards(table, states, actions):
    return jnp.asarray(table)[states, actions]


def taken_log_prob(counts, actions):
    return np.log(counts / counts.sum())[actions]


def expert_counts():
    states, actions = expert_steps()
    return tiny_mdp.features(states, actions).sum(axis=(0, 1)) / len(states)


def exact_gradient(table):
    _, counts = tiny_mdp.exact_partition(table)
    return counts - expert_counts().reshape(STATES, ACTIONS)


def loss_gradient(states, actions, density, mode, table=tiny_mdp.REWARD, power=1.0):
    experts = expert_steps()

    def loss(table):
        return irl.guided_reward_loss(
            step_rewards(table, *experts),
            step_rewards(table, states, actions),
            jnp.asarray(density),
            mode,
            power,
        )[0]

    return jax.value_and_grad(loss)(jnp.asarray(table))


@pytest.mark.parametrize("counts", [EVEN, TILTED], ids=["even", "tilted"])
def test_paper_mode_gives_the_exact_maxent_gradient(counts):
    states, actions = tiny_mdp.pool(counts)
    density = taken_log_prob(counts, actions).sum(axis=1)
    value, gradient = loss_gradient(states, actions, density, "paper")
    log_z, _ = tiny_mdp.exact_partition(tiny_mdp.REWARD)
    expert = np.sum(expert_counts() * tiny_mdp.REWARD.reshape(-1))
    np.testing.assert_allclose(value, log_z - expert, rtol=1e-12)
    np.testing.assert_allclose(gradient, exact_gradient(tiny_mdp.REWARD), atol=1e-12)


def mixture_pool():
    """Both samplers, each as often as the other: 256 trajectories each."""
    even, tilted = tiny_mdp.pool(EVEN), tiny_mdp.pool(TILTED)
    assert len(tilted[0]) == 8 * len(even[0]) == 256
    states = np.concatenate([np.repeat(even[0], 8, axis=0), tilted[0]])
    actions = np.concatenate([np.repeat(even[1], 8, axis=0), tilted[1]])
    log_probs = np.stack([taken_log_prob(c, actions) for c in (EVEN, TILTED)])
    return states, actions, log_probs


def test_gcl_mode_gives_the_exact_gradient_for_a_pool_of_two_samplers():
    states, actions, log_probs = mixture_pool()
    density = irl.mixture_log_density(
        jnp.asarray(log_probs), jnp.log(jnp.array([0.5, 0.5]))
    )
    value, gradient = loss_gradient(states, actions, density, "gcl")
    log_z, _ = tiny_mdp.exact_partition(tiny_mdp.REWARD)
    expert = np.sum(expert_counts() * tiny_mdp.REWARD.reshape(-1))
    np.testing.assert_allclose(value, log_z - expert, rtol=1e-12)
    np.testing.assert_allclose(gradient, exact_gradient(tiny_mdp.REWARD), atol=1e-12)


def test_one_samplers_density_is_wrong_for_a_pool_of_two():
    states, actions, log_probs = mixture_pool()
    _, gradient = loss_gradient(states, actions, log_probs[1].sum(axis=1), "paper")
    assert np.abs(gradient - exact_gradient(tiny_mdp.REWARD)).max() > 0.05


def test_step_mode_gives_the_exact_gradient_of_the_one_step_partition():
    states, actions = tiny_mdp.pool(TILTED)
    density = taken_log_prob(TILTED, actions)
    value, gradient = loss_gradient(states, actions, density, "step")
    # Where the sampler is, by propagation: Z_1 = sum_s d(s) sum_a exp r(s, a).
    visited, now = np.zeros(STATES), tiny_mdp.START
    for _ in range(HORIZON):
        visited, following = visited + now / HORIZON, np.zeros(STATES)
        for s in range(STATES):
            for a in range(ACTIONS):
                following[tiny_mdp.NEXT[s, a]] += now[s] * TILTED[a] / TILTED.sum()
        now = following
    mass = visited[:, None] * np.exp(tiny_mdp.REWARD)
    expert = expert_counts().reshape(STATES, ACTIONS) / HORIZON
    np.testing.assert_allclose(
        value, np.log(mass.sum()) - np.sum(expert * tiny_mdp.REWARD), rtol=1e-12
    )
    np.testing.assert_allclose(gradient, mass / mass.sum() - expert, atol=1e-12)


def broadcast_loss(table, states, actions, density):
    """The known defect: (M, 1) against (M,) makes (M, M) pairs."""
    rewards = step_rewards(table, states, actions).sum(axis=1)[:, None]
    # A division of arrays of ranks 2 and 1, as numpy allows.
    scores = jnp.subtract(*jnp.broadcast_arrays(rewards, density[None, :]))
    expert = step_rewards(table, *expert_steps()).sum(axis=1)
    return jax.nn.logsumexp(scores) - jnp.log(scores.size) - jnp.mean(expert)


def test_the_broadcast_version_fails_the_gradient_test():
    states, actions = tiny_mdp.pool(TILTED)
    density = taken_log_prob(TILTED, actions).sum(axis=1)
    table = jnp.asarray(tiny_mdp.REWARD)
    wrong = jax.grad(broadcast_loss)(table, states, actions, jnp.asarray(density))
    _, unweighted = loss_gradient(states, actions, np.zeros(len(states)), "paper")
    np.testing.assert_allclose(wrong, unweighted, atol=1e-12)
    assert np.abs(wrong - exact_gradient(tiny_mdp.REWARD)).max() > 0.1


@pytest.mark.parametrize("mode", ["paper", "gcl", "step"])
def test_shapes_that_could_broadcast_are_refused(mode):
    rewards = jnp.zeros((4, HORIZON))
    wrong = jnp.zeros((4, 1)) if mode != "step" else jnp.zeros(4)
    with pytest.raises(AssertionError):
        irl.guided_reward_loss(rewards, rewards, wrong, mode)


def test_unequal_horizons_are_refused():
    with pytest.raises(AssertionError):
        irl.guided_reward_loss(
            jnp.zeros((4, 2)), jnp.zeros((4, 3)), jnp.zeros(4), "paper"
        )


def test_unknown_mode_is_named():
    with pytest.raises(ValueError, match=r"'exact'.*paper, gcl, step"):
        irl.guided_reward_loss(
            jnp.zeros((1, 1)), jnp.zeros((1, 1)), jnp.zeros(1), "exact"
        )


@pytest.mark.parametrize("mode", ["paper", "gcl", "step"])
def test_a_constant_added_to_the_reward_changes_nothing(mode):
    states, actions = tiny_mdp.pool(TILTED)
    density = taken_log_prob(TILTED, actions)
    density = density if mode == "step" else density.sum(axis=1)
    plain, _ = loss_gradient(states, actions, density, mode)
    moved, _ = loss_gradient(states, actions, density, mode, tiny_mdp.REWARD + 7.0)
    np.testing.assert_allclose(moved, plain, rtol=1e-12)


def test_the_density_receives_no_gradient():
    rewards = jnp.arange(6.0).reshape(2, 3)

    def loss(density):
        return irl.guided_reward_loss(rewards, rewards, density, "paper")[0]

    np.testing.assert_array_equal(jax.grad(loss)(jnp.ones(2)), np.zeros(2))


def test_weights_by_hand():
    # R - log q = log 1, log 2, log 5: weights 1/8, 2/8, 5/8.
    # ESS: 1 / (3 (1 + 4 + 25) / 64) = 64 / 90. log Z: log(8 / 3).
    scores = jnp.log(jnp.array([1.0, 2.0, 5.0]))
    density = jnp.array([-1.0, -2.0, 0.5])
    weights = irl.importance_weights(scores + density, density)
    np.testing.assert_allclose(weights.weights, [0.125, 0.25, 0.625], rtol=1e-12)
    np.testing.assert_allclose(weights.ess, 64.0 / 90.0, rtol=1e-12)
    np.testing.assert_allclose(weights.largest, 0.625, rtol=1e-12)
    np.testing.assert_allclose(
        irl.log_partition(scores + density, density), np.log(8.0 / 3.0), rtol=1e-12
    )


@pytest.mark.parametrize("power", [1.0, 0.5])
def test_weights_are_the_gradient_of_the_partition(power):
    rewards = jnp.array([[0.3, -1.0], [2.0, 0.1]])
    density = jnp.array([[-0.5, -0.1], [-2.0, -1.0]])
    gradient = jax.grad(irl.log_partition)(rewards, density, power)
    weights = irl.importance_weights(rewards, density, power)
    np.testing.assert_allclose(weights.weights, gradient, rtol=1e-12)
    scores = np.exp(power * np.asarray(rewards - density))
    np.testing.assert_allclose(weights.weights, scores / scores.sum(), rtol=1e-12)


def test_equal_weights_have_full_effective_size():
    weights = irl.importance_weights(jnp.full(5, 3.0), jnp.full(5, -1.0))
    np.testing.assert_allclose(weights.ess, 1.0, rtol=1e-12)
    np.testing.assert_allclose(weights.largest, 0.2, rtol=1e-12)


@pytest.mark.parametrize("size", [1e4, -1e4])
def test_sums_far_beyond_exp_stay_finite(size):
    rewards = jnp.array([[size, size], [size, size - 1.0]], jnp.float32)
    density = jnp.array([-size, -size], jnp.float32)

    def loss(rewards):
        return irl.guided_reward_loss(rewards, rewards, density, "gcl")[0]

    value, gradient = jax.value_and_grad(loss)(rewards)
    # Weights 1 : exp(-1); the experts (the same two) count a half each.
    first = 1.0 / (1.0 + np.exp(-1.0))
    expected = np.repeat([[first - 0.5], [0.5 - first]], 2, axis=1)
    assert np.isfinite(value)
    np.testing.assert_allclose(gradient, expected, atol=1e-6)


def test_mixture_density_by_hand():
    # Shares 1/4, 3/4 of samplers with probabilities .5 * .5 and .1 * .4 of the actions.
    log_probs = jnp.log(jnp.array([[[0.5, 0.5]], [[0.1, 0.4]]]))
    density = irl.mixture_log_density(log_probs, jnp.log(jnp.array([0.25, 0.75])))
    np.testing.assert_allclose(density, np.log([0.25 * 0.25 + 0.75 * 0.04]), rtol=1e-12)


@pytest.mark.parametrize("least", [0.05, 0.5, 0.9])
def test_weights_are_tempered_just_enough(least):
    rewards = jnp.asarray(np.random.default_rng(0).normal(0, 40, 200))
    density = jnp.zeros(200)
    power = irl.tempering(rewards, density, least)
    found = irl.importance_weights(rewards, density, power).ess
    assert 0 < power < 1
    np.testing.assert_allclose(found, least, atol=2e-3)
    # Enough already: nothing is changed.
    assert irl.tempering(0.001 * rewards, density, least) == 1.0
    _, weights = irl.guided_reward_loss(
        rewards[:, None], rewards[:, None], density, "gcl", least_ess=least
    )
    np.testing.assert_allclose(weights.ess, least, atol=2e-3)

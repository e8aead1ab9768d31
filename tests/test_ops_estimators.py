"""Off-policy estimators by hand, by enumeration, and beside SCOPE-RL."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny_mdp

from omgrl_jax.ops import estimators

ORDINARY, NORMALISED = ("is", "pdis", "dr"), ("wis", "pdwis", "wdr")
JUNK = 99.0


@functools.partial(jax.jit, static_argnums=2)
def estimate(log, counts, discount):
    return jax.tree.map(jnp.sum, estimators.estimate(log, counts, discount))


def make_log(rewards, ratios, alive, q, v):
    with np.errstate(divide="ignore"):
        log_ratios = np.log(np.asarray(ratios, float))
    fields = (rewards, log_ratios, alive, q, v)
    kinds = (float, float, bool, float, float)
    return estimators.Log(
        *(
            jnp.asarray(np.asarray(x, kind), bool if kind is bool else jnp.float32)
            for x, kind in zip(fields, kinds, strict=True)
        )
    )


def two_stays():
    """The second stay ends after one step; what stands behind its end is junk."""
    return make_log(
        rewards=[[1, 2], [4, JUNK]],
        ratios=[[2, 0.5], [0.5, JUNK]],
        alive=[[True, True], [True, False]],
        q=[[1, 0.5], [2, JUNK]],
        v=[[1.5, 1], [1, JUNK]],
    )


def ones(log):
    return jnp.ones(log.rewards.shape[0])


def test_two_stays_by_hand():
    """Discount 1/2. Products: (2, 1) and (1/2, 1/2 held). Returns: 2 and 4."""
    found = estimate(two_stays(), jnp.ones(2), 0.5)
    wanted = {
        "is": (1 * 2 + 0.5 * 4) / 2,
        "pdis": (2 * 1 + 0.5 * 4) / 2 + 0.5 * (1 * 2) / 2,
        # r - Q: (0, 1.5) and (2, -); V of the states: (1.5, 1) and (1, -).
        "dr": (0.5 * 2 + 1.5 + 1) / 2 + 0.5 * (1 * 1.5 + 2 * 1) / 2,
        "wis": (1 * 2 + 0.5 * 4) / 1.5,
        "pdwis": (2 * 1 + 0.5 * 4) / 2.5 + 0.5 * (1 * 2) / 1.5,
        "wdr": 0.5 * 2 / 2.5 + 2.5 / 2 + 0.5 * (1 * 1.5 / 1.5 + 2 * 1 / 2.5),
        "fqe": (1.5 + 1) / 2,
    }
    assert found.keys() == wanted.keys() == estimators.ESTIMATORS.keys()
    for name, value in wanted.items():
        np.testing.assert_allclose(found[name], value, rtol=1e-6, err_msg=name)


def test_products_are_held_after_the_end():
    log = estimators.cut(two_stays())
    products = estimators.log_products(log)
    np.testing.assert_allclose(np.exp(products), [[2, 1], [0.5, 0.5]], rtol=1e-6)
    weights = estimators.normalised_weights(products, jnp.ones(2))
    wanted = [[0.5, 0.8, 2 / 3], [0.5, 0.2, 1 / 3]]
    np.testing.assert_allclose(weights, wanted, rtol=1e-6)


def test_summands_belong_to_their_steps():
    found = estimators.estimate(two_stays(), jnp.ones(2), 0.5)
    np.testing.assert_allclose(found["pdis"], [2.0, 0.5], rtol=1e-6)
    np.testing.assert_allclose(found["wis"], [2.0, 2 / 3], rtol=1e-6)
    np.testing.assert_allclose(found["fqe"], [1.25, 0.0], rtol=1e-6)


# The tiny process, in which entering ENDING may end an episode.
RNG = np.random.default_rng(3)
PI = RNG.dirichlet(np.ones(2), tiny_mdp.STATES)
MU = RNG.dirichlet(np.full(2, 5.0), tiny_mdp.STATES)
ENDING = 2


def backward(policy, ends):
    """Q [H, S, A] and V [H, S] of a policy by backward induction."""
    v = np.zeros((tiny_mdp.HORIZON + 1, tiny_mdp.STATES))
    q = np.zeros((tiny_mdp.HORIZON, tiny_mdp.STATES, tiny_mdp.ACTIONS))
    goes_on = np.ones(tiny_mdp.STATES)
    goes_on[ENDING] = not ends
    for t in reversed(range(tiny_mdp.HORIZON)):
        following = (goes_on * v[t + 1])[tiny_mdp.NEXT]
        q[t] = tiny_mdp.REWARD + tiny_mdp.DISCOUNT * following
        v[t] = np.sum(policy * q[t], axis=1)
    return q, v[:-1]


def enumerated(pi, mu, ends, q, v):
    """Every trajectory once: the log, and each one's probability under mu."""
    states, actions, start = tiny_mdp.trajectories()
    steps = np.arange(tiny_mdp.HORIZON)
    alive = np.ones(states.shape, bool)
    if ends:
        alive[:, 1:] = np.cumprod(states[:, 1:] != ENDING, axis=1)
    log = make_log(
        np.where(alive, tiny_mdp.REWARD[states, actions], JUNK),
        pi[states, actions] / mu[states, actions],
        alive,
        q[steps, states, actions],
        v[steps, states],
    )
    return log, start * mu[states, actions].prod(axis=1)


@pytest.mark.parametrize("ends", [False, True])
def test_ordinary_estimators_are_unbiased(ends):
    """Counts may be probabilities: the sum is then the expectation over logs."""
    _, truth = backward(PI, ends)
    q = np.random.default_rng(0).normal(size=(3, 3, 2))  # any Q, with its own V
    log, probability = enumerated(PI, MU, ends, q, np.sum(PI * q, axis=-1))
    found = estimate(log, jnp.asarray(probability, jnp.float32), tiny_mdp.DISCOUNT)
    for name in ORDINARY:
        wanted = tiny_mdp.START @ truth[0]
        np.testing.assert_allclose(found[name], wanted, rtol=1e-5, err_msg=name)
    # With every trajectory in its proportion the normalised ones agree as well.
    for name in NORMALISED:
        np.testing.assert_allclose(found[name], wanted, rtol=1e-5, err_msg=name)


@pytest.mark.parametrize("ends", [False, True])
@pytest.mark.parametrize("name", ["dr", "fqe"])
def test_with_the_exact_q_every_trajectory_tells_the_value(ends, name):
    q, v = backward(PI, ends)
    log, _ = enumerated(PI, MU, ends, q, v)
    alone = jnp.eye(log.rewards.shape[0])
    found = jax.vmap(lambda c: estimate(log, c, tiny_mdp.DISCOUNT)[name])(alone)
    first = tiny_mdp.trajectories()[0][:, 0]
    np.testing.assert_allclose(found, v[0][first], atol=1e-5)


def test_with_the_same_policy_all_give_the_mean_return():
    q = np.random.default_rng(1).normal(size=(3, 3, 2))
    log, _ = enumerated(MU, MU, True, q, np.sum(MU * q, axis=-1))
    powers = tiny_mdp.DISCOUNT ** np.arange(3)
    returns = np.where(log.alive, log.rewards, 0.0) @ powers
    counts = np.arange(24) % 4
    found = estimate(log, jnp.asarray(counts, jnp.float32), tiny_mdp.DISCOUNT)
    for name in ("is", "pdis", "wis", "pdwis"):
        np.testing.assert_allclose(
            found[name], np.average(returns, weights=counts), rtol=1e-5
        )


def random_log(seed, stays=5, steps=4):
    rng = np.random.default_rng(seed)
    alive = np.arange(steps) < rng.integers(1, steps + 1, (stays, 1))
    shape = (stays, steps)
    ratios = np.exp(rng.normal(size=shape))
    return make_log(
        *(rng.normal(size=shape), ratios, alive), *rng.normal(size=(2, *shape))
    )


def test_normalised_estimators_forget_a_factor_that_all_ratios_share():
    """As when mu was fitted with a constant error at one step."""
    log = random_log(0)._replace(alive=jnp.ones((5, 4), bool))
    scaled = log._replace(log_ratios=log.log_ratios + jnp.array([[0.0, 1, -2, 3]]))
    one, other = (estimate(x, ones(log), 0.9) for x in (log, scaled))
    for name in NORMALISED:
        np.testing.assert_allclose(one[name], other[name], rtol=1e-4, err_msg=name)
    for name in ORDINARY:
        assert abs(one[name] - other[name]) > 0.1, name


def test_wdr_forgets_what_is_added_to_q_and_v_at_one_step():
    log = random_log(1)._replace(alive=jnp.ones((5, 4), bool))
    shift = jnp.array([[0.0, 5.0, -3.0, 1.0]])
    shifted = log._replace(q=log.q + shift, v=log.v + shift)
    one, other = (estimate(x, ones(log), 0.9) for x in (log, shifted))
    # Weights of a step sum to one. At the first step those of V and Q both do.
    np.testing.assert_allclose(one["wdr"], other["wdr"], atol=1e-4)
    assert abs(one["dr"] - other["dr"]) > 0.1


def test_whole_counts_equal_repeated_trajectories():
    log, counts = random_log(2), np.array([2, 0, 1, 3, 0])
    repeated = jax.tree.map(lambda x: jnp.repeat(x, counts, axis=0), log)
    found = estimate(log, jnp.asarray(counts, jnp.float32), 0.9)
    wanted = estimate(repeated, jnp.ones(6), 0.9)
    for name, value in wanted.items():
        np.testing.assert_allclose(found[name], value, rtol=1e-5, err_msg=name)


def test_the_bootstrap_draws_whole_patients():
    groups = jnp.array([0, 1, 1, 2, 2, 2])
    counts = np.asarray(estimators.group_counts(jax.random.key(0), groups, 3, 4000))
    assert counts.shape == (4000, 6)
    np.testing.assert_array_equal(counts[:, 1], counts[:, 2])
    np.testing.assert_array_equal(counts[:, 3], counts[:, 5])
    one_each = counts[:, [0, 1, 3]]
    np.testing.assert_array_equal(one_each.sum(axis=1), 3)
    # Multinomial of 3 draws: mean 1, variance 3 (1/3) (2/3).
    np.testing.assert_allclose(one_each.mean(axis=0), 1.0, atol=0.05)
    np.testing.assert_allclose(one_each.var(axis=0), 2 / 3, atol=0.05)


def test_the_bootstrap_equals_its_resamples_one_by_one():
    log = random_log(3)
    counts = estimators.group_counts(jax.random.key(1), jnp.arange(5), 5, 7)
    found = estimators.bootstrap(log, counts, 0.9, batch_size=3)
    for b in range(7):
        wanted = estimate(log, counts[b], 0.9)
        for name, value in wanted.items():
            np.testing.assert_allclose(found[name][b], value, rtol=1e-5, err_msg=name)


def test_percentiles_hold_the_middle():
    samples = jnp.asarray(np.random.default_rng(0).permutation(1001), jnp.float32)
    low, high = estimators.percentile_interval(samples, 0.95)
    np.testing.assert_allclose([low, high], [25.0, 975.0], rtol=1e-6)


def test_effective_size_and_groups_by_hand():
    weights = jnp.array([[0.25, 1.0], [0.25, 0.0], [0.5, 0.0]])
    # 1 / (1/16 + 1/16 + 1/4) = 8/3, whatever the weights sum to.
    for factor in (1.0, 3.0):
        found = estimators.effective_size(factor * weights)
        np.testing.assert_allclose(found, [8 / 3, 1.0])
    grouped = estimators.group_weights(weights, jnp.array([1, 0, 1]), 2)
    np.testing.assert_allclose(grouped, [[0.25, 0.0], [0.75, 1.0]])


def test_products_beyond_the_range_of_floats():
    """Ratios of e^60 a step, and a resample without the heaviest trajectory."""
    log = random_log(4, stays=3)._replace(alive=jnp.ones((3, 4), bool))
    log = log._replace(log_ratios=jnp.array([[60.0] * 4, [-60.0] * 4, [-61.0] * 4]))
    found = estimate(log, ones(log), 1.0)
    np.testing.assert_allclose(found["wis"], np.sum(log.rewards[0]), rtol=1e-5)
    found = estimate(log, jnp.array([0.0, 1.0, 1.0]), 1.0)
    share = 1 / (1 + np.exp(-4.0))
    returns = np.sum(log.rewards, axis=1)
    np.testing.assert_allclose(
        found["wis"], share * returns[1] + (1 - share) * returns[2], rtol=1e-4
    )


def test_actions_the_policy_never_takes():
    log = make_log([[1.0], [3.0]], [[0.0], [2.0]], [[True]] * 2, [[0]] * 2, [[0]] * 2)
    found = estimate(log, ones(log), 1.0)
    np.testing.assert_allclose([found["wis"], found["is"]], [3.0, 3.0])
    # Nobody was treated as the policy would: there is no normalised estimate.
    found = estimate(log, jnp.array([1.0, 0.0]), 1.0)
    assert np.isnan(found["wis"]) and found["is"] == 0.0


def test_shapes_are_held():
    log = two_stays()
    with pytest.raises(AssertionError):
        estimators.estimate(log._replace(v=log.v[:, :1]), jnp.ones(2), 0.9)


def test_scope_rl_says_the_same():
    """SCOPE-RL 0.2.1, `scope_rl.ope.discrete.basic_estimators`, discount 0.9.

    Recorded from its own classes (imported without its training dependencies, which
    they do not use) on the log below: TrajectoryWiseImportanceSampling,
    PerDecisionImportanceSampling, DoublyRobust and their SelfNormalized versions.
    """
    recorded = {
        "is": -1.8973297697654308,
        "pdis": -1.3841737779937628,
        "dr": -0.8610763682759607,
        "wis": -0.867108943588276,
        "pdwis": -0.7489160378984683,
        "wdr": -0.33575173374872924,
    }
    rewards = np.array(
        [
            [0.0, 0.3, -0.27],
            [-0.89, -0.45, -0.99],
            [0.06, 1.34, -0.49],
            [-0.62, 0.49, 0.36],
        ]
    )
    actions = np.array([[1, 0, 1], [0, 0, 1], [1, 1, 1], [1, 1, 1]])
    mu_0 = np.array(
        [[0.57, 0.33, 0.57], [0.22, 0.48, 0.58], [0.5, 0.21, 0.62], [0.42, 0.7, 0.36]]
    )
    pi_0 = np.array(
        [[0.51, 0.61, 0.17], [0.51, 0.39, 0.15], [0.36, 0.75, 0.88], [0.58, 0.64, 0.45]]
    )
    q = np.array(
        [
            [[-0.2, 0.9], [1.15, -1.32], [-0.79, 0.65]],
            [[-1.99, -0.46], [-0.1, 1.26], [0.69, -0.33]],
            [[-0.37, -0.25], [1.52, -0.43], [-0.3, 0.35]],
            [[-0.12, -0.2], [-1.11, -0.01], [-0.44, 1.17]],
        ]
    )
    pi, mu = np.stack([pi_0, 1 - pi_0], -1), np.stack([mu_0, 1 - mu_0], -1)

    def taken(table):
        return np.take_along_axis(table, actions[..., None], -1)[..., 0]

    log = make_log(
        rewards,
        taken(pi) / taken(mu),
        np.ones((4, 3)),
        taken(q),
        np.sum(pi * q, axis=-1),
    )
    found = estimate(log, ones(log), 0.9)
    for name, value in recorded.items():
        np.testing.assert_allclose(found[name], value, rtol=1e-5, err_msg=name)

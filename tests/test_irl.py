"""The guided reward against a decision process whose trajectories are enumerated."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny_mdp
from tiny_mdp import ACTIONS, HORIZON, STATES

from omgrl_jax.data.records import Space
from omgrl_jax.learners import reward as reward_lib
from omgrl_jax.ops import irl
from omgrl_jax.types import Policy, Transition

SPACE = Space(("a", "b", "c"), (0, 1, 2), (0, 1, 2), (), (), ACTIONS)
EVEN, TILTED = np.array([1, 1]), np.array([1, 3])


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


def tabular_policy():
    """Log-probabilities are the parameters [A], the same in every state."""

    def log_probs(params, states):
        return jnp.broadcast_to(
            jax.nn.log_softmax(params), (*states.shape[:-1], ACTIONS)
        )

    return Policy(log_probs)


def transitions(states, actions):
    one_hot = jnp.eye(STATES)
    return Transition(
        state=one_hot[states],
        action=jnp.asarray(actions, jnp.int32),
        next_state=one_hot[tiny_mdp.NEXT[states, actions]],
        outcome=jnp.zeros((*states.shape, 0)),
        discount=jnp.ones(states.shape),
        uncertainty=jnp.zeros(states.shape),
    )


def reward_learner(**settings):
    config = reward_lib.RewardConfig(
        hidden=(), weight_decay=0.0, bound=1e3, expert_windows=256, **settings
    )
    return reward_lib.make(config, SPACE, tabular_policy(), tabular_policy())


def pool_of(states, actions, samplers):
    each = len(states) // len(samplers)
    epochs = jax.tree.map(
        lambda x: x.reshape((len(samplers), each, *x.shape[1:])),
        transitions(states, actions),
    )
    return reward_lib.Pool(epochs, jnp.log(jnp.asarray(samplers, jnp.float64)))


def test_densities_of_each_mode_by_hand():
    # Pool: one trajectory a sampler, actions 0 0 0 and 1 1 1; window: actions 0 1 1.
    states = np.zeros((2, HORIZON), int)
    actions = np.array([[0, 0, 0], [1, 1, 1]])
    window = transitions(states[:1], np.array([[0, 1, 1]]))
    samplers = [[0.5, 0.5], [0.25, 0.75]]
    pool = pool_of(states, actions, samplers)
    policy, behaviour = jnp.log(jnp.array([0.2, 0.8])), jnp.log(jnp.array([0.4, 0.6]))

    def densities(mode):
        learner = reward_learner(mode=mode)
        pooled, windowed = learner.densities(pool, policy, behaviour, window)
        return np.exp(np.concatenate([pooled, windowed]))

    np.testing.assert_allclose(densities("paper"), [0.008, 0.512, 0.128], rtol=1e-6)
    np.testing.assert_allclose(
        densities("step"), [[0.2] * 3, [0.8] * 3, [0.2, 0.8, 0.8]], rtol=1e-6
    )
    # A quarter each past policy, a half the experts' behaviour.
    mixed = [
        0.25 * 0.5**3 + 0.25 * 0.25**3 + 0.5 * 0.4**3,
        0.25 * 0.5**3 + 0.25 * 0.75**3 + 0.5 * 0.6**3,
        0.25 * 0.5**3 + 0.25 * 0.25 * 0.75**2 + 0.5 * 0.4 * 0.6**2,
    ]
    np.testing.assert_allclose(densities("gcl"), mixed, rtol=1e-6)


def test_learned_reward_reproduces_the_experts_in_the_enumerated_world():
    """At the optimum the expected step counts under exp(r_psi) are the experts'."""
    experts = tiny_mdp.pool(TILTED)
    learner = reward_learner(mode="gcl", steps=400, batch=256, learning_rate=0.02)
    states, actions = tiny_mdp.pool(EVEN)
    pool = pool_of(states, actions, [[0.5, 0.5]])
    windows = transitions(*experts)
    behaviour = jnp.log(jnp.array([0.25, 0.75]))
    density = learner.densities(pool, pool.samplers[0], behaviour, windows)
    state = learner.init(jax.random.key(0))
    state, metrics = jax.jit(learner.update)(
        state, jax.random.key(1), pool, density, windows
    )
    every = jnp.eye(STATES)[np.repeat(np.arange(STATES), ACTIONS)][None]
    grid = transitions(np.zeros((1, 6), int), np.tile(np.arange(ACTIONS), 3)[None])
    table = learner.value(state.params, grid._replace(state=every)).reshape(3, 2)
    _, counts = tiny_mdp.exact_partition(np.asarray(table))
    # The experts follow `TILTED`: three quarters of the steps take action 1.
    wanted = tiny_mdp.features(*experts).sum(axis=(0, 1)).reshape(3, 2) / 256
    np.testing.assert_allclose(counts, wanted, atol=0.08)
    np.testing.assert_allclose(counts.sum(axis=0), [0.75, 2.25], atol=0.08)
    assert 0.0 < metrics["reward/ess"] <= 1.0


def small_problem(**settings):
    states, actions = tiny_mdp.pool(EVEN)
    pool = pool_of(states, actions, [[0.5, 0.5]])
    learner = reward_learner(steps=200, batch=32, learning_rate=0.02, **settings)
    windows = transitions(*tiny_mdp.pool(TILTED))
    behaviour = jnp.log(jnp.array([0.25, 0.75]))
    density = learner.densities(pool, pool.samplers[0], behaviour, windows)
    return learner, pool, windows, density


def test_centring_holds_the_mean_that_the_likelihood_leaves_free():
    learner, pool, windows, density = small_problem(centring=1.0)
    state = learner.init(jax.random.key(0))
    # Started far off: the bias of the single layer is a constant shift.
    shifted = jax.tree.map(lambda x: x + 4.0 * (x.ndim == 1), state.params)
    args = (jax.random.key(1), pool, density, windows)
    _, metrics = jax.jit(learner.update)(state._replace(params=shifted), *args)
    middle = 0.5 * (metrics["reward/expert"] + metrics["reward/sampled"])
    assert np.abs(middle) < 0.2


@pytest.mark.parametrize("normalise", [False, True])
def test_the_agent_is_given_the_reward_at_the_stated_scale(normalise):
    learner, pool, windows, _ = small_problem(normalise=normalise)
    params = learner.init(jax.random.key(0)).params
    rollouts = jax.tree.map(
        lambda x: jnp.swapaxes(x, 0, 1), reward_lib.flatten(pool.trajectories)
    )
    given = learner.for_agent(params, rollouts, windows)
    seen = np.concatenate([np.ravel(given(rollouts)), np.ravel(given(windows))])
    raw = np.concatenate(
        [np.ravel(learner.value(params, steps)) for steps in (rollouts, windows)]
    )
    wanted = (raw - raw.mean()) / (raw.std() + 1e-3) if normalise else raw
    np.testing.assert_allclose(seen, wanted, rtol=1e-4, atol=1e-5)


def test_push_replaces_the_oldest_epoch():
    pool = pool_of(np.zeros((2, HORIZON), int), np.zeros((2, HORIZON), int), EVEN_TWICE)
    new = jax.tree.map(
        lambda x: jnp.swapaxes(x, 0, 1),
        transitions(np.ones((1, HORIZON), int), np.ones((1, HORIZON), int)),
    )
    pool = reward_lib.push(pool, jnp.int32(3), new, jnp.array([-2.0, -3.0]))
    np.testing.assert_array_equal(pool.trajectories.action[:, 0, 0], [0, 1])
    np.testing.assert_array_equal(pool.samplers[1], [-2.0, -3.0])
    np.testing.assert_allclose(pool.samplers[0], np.log([0.5, 0.5]))
    np.testing.assert_array_equal(pool.trajectories.state[1, 0, :, 1], np.ones(HORIZON))


EVEN_TWICE = [[0.5, 0.5], [0.5, 0.5]]


def test_reward_of_outcomes_ignores_the_action():
    config = reward_lib.RewardConfig(inputs="outcome", hidden=(4,), bound=0.5)
    space = Space(("a", "b", "c"), (0, 1, 2), (0, 1, 2), (), ("x",), ACTIONS)
    learner = reward_lib.make(config, space, tabular_policy(), tabular_policy())
    params = learner.init(jax.random.key(0)).params
    steps = transitions(np.zeros((1, 2), int), np.array([[0, 1]]))
    same = steps._replace(outcome=jnp.full((1, 2, 1), 0.4))
    other = steps._replace(outcome=jnp.array([[[0.4], [-0.4]]]))
    value = learner.value(params, same)
    assert value.shape == (1, 2) and value[0, 0] == value[0, 1]
    value = learner.value(params, other)
    assert value[0, 0] != value[0, 1]
    far = steps._replace(outcome=jnp.full((1, 2, 1), 400.0))
    assert np.abs(learner.value(params, far)).max() <= 0.5


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


def outcome_steps(outcomes):
    """One trajectory through states 0 and 1 with outcomes [2]."""
    steps = transitions(np.array([[0, 1]]), np.array([[0, 1]]))
    return steps._replace(outcome=jnp.asarray(outcomes, jnp.float32).reshape(1, 2, 1))


def outcome_learner(**settings):
    config = reward_lib.RewardConfig(inputs="outcome", hidden=(4,), **settings)
    space = Space(("a", "b", "c"), (0, 1, 2), (0, 1, 2), (), ("x",), ACTIONS)
    return reward_lib.make(config, space, tabular_policy(), tabular_policy())


def test_the_agents_reward_is_the_members_mean_less_their_spread():
    steps = outcome_steps([0.3, -2.0])
    learner = outcome_learner(members=3, caution=2.0)
    params = learner.init(jax.random.key(0)).params
    single = outcome_learner()
    each = np.stack(
        [
            single.value(jax.tree.map(lambda x, i=i: x[i : i + 1], params), steps)
            for i in range(3)
        ]
    )
    assert each.std(axis=0).min() > 1e-3
    np.testing.assert_allclose(learner.value(params, steps), each.mean(0), rtol=1e-5)
    given = learner.for_agent(params, steps, steps)(steps)
    wanted = each.mean(axis=0) - 2 * each.std(axis=0)
    np.testing.assert_allclose(given, wanted, rtol=1e-4)


def learn(learner, expert, sampled, epochs=300):
    """Trains on one window and one rollout, both with density one a step."""
    pool = reward_lib.Pool(jax.tree.map(lambda x: x[None], sampled), jnp.zeros((1, 2)))
    densities = jnp.zeros((1, 2)), jnp.zeros((1, 2))

    @jax.jit
    def run(key):
        first, key = jax.random.split(key)

        def one(carry, _):
            state, key = carry
            key, step_key = jax.random.split(key)
            state, metrics = learner.update(state, step_key, pool, densities, expert)
            return (state, key), metrics["reward/loss"]

        start = learner.init(first), key
        (state, _), losses = jax.lax.scan(one, start, None, length=epochs)
        return state.params, losses[-1]

    return run(jax.random.key(1))


def test_a_learned_potential_takes_over_what_lies_in_the_states():
    """Experts and rollouts differ in where they go, not in their outcomes."""
    same = outcome_steps([1.0, 1.0])
    elsewhere = same._replace(next_state=same.state)
    settings = {"mode": "step", "weight_decay": 0.0, "steps": 1, "batch": 4}
    learner = outcome_learner(shaping=True, append_experts=False, **settings)
    params, _ = learn(learner, same, elsewhere)
    # r_psi sees one outcome only, so that nothing can move it from the centre; the
    # difference of the potential tells both courses apart all the same.
    network = params[1]["params"]
    assert max(float(jnp.abs(x).max()) for x in jax.tree.leaves(network)) > 0.5
    np.testing.assert_allclose(
        learner.value(params, same), learner.value(params, elsewhere), rtol=1e-6
    )


def test_appended_experts_stand_in_the_partition_and_others_do_not():
    """The loss of two outcomes by hand, from the gap between them.

    Rollouts alone: log Z - r_E = r_S - r_E. With as many experts beside them:
    log((exp r_S + exp r_E) / 2) - r_E.
    """
    expert, sampled = outcome_steps([1.0, 1.0]), outcome_steps([-1.0, -1.0])
    settings = {"mode": "step", "weight_decay": 0.0, "steps": 1, "batch": 4}

    def gap_and_loss(**changes):
        learner = outcome_learner(bound=50.0, **settings, **changes)
        params, loss = learn(learner, expert, sampled)
        value = learner.value(params, expert) - learner.value(params, sampled)
        return float(jnp.mean(value)), float(loss)

    gap, loss = gap_and_loss(append_experts=False)
    assert gap > 2.0
    np.testing.assert_allclose(loss, -gap, rtol=0.05)
    gap, loss = gap_and_loss()
    assert gap > 2.0
    np.testing.assert_allclose(loss, np.log(0.5 + 0.5 * np.exp(-gap)), rtol=0.05)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"mode": "none"}, "mode='none'"),
        ({"inputs": "pixels"}, "inputs='pixels'"),
    ],
)
def test_settings_that_cannot_work_are_named(settings, message):
    with pytest.raises(ValueError, match=message):
        reward_lib.RewardConfig(**settings)

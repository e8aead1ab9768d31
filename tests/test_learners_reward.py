"""The reward learner against a decision process whose trajectories are enumerated."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny_mdp
from tiny_mdp import ACTIONS, EVEN, HORIZON, STATES, TILTED

from omgrl_jax.data.space import Space
from omgrl_jax.learners import reward as reward_lib
from omgrl_jax.learners import reward_network
from omgrl_jax.types import Policy, Transition

SPACE = Space(("a", "b", "c"), (0, 1, 2), (0, 1, 2), (), (), ACTIONS)


@pytest.fixture(autouse=True)
def float64():
    with jax.enable_x64(True):
        yield


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


def outcome_steps(outcomes):
    """One trajectory through states 0 and 1 with outcomes [2]."""
    steps = transitions(np.array([[0, 1]]), np.array([[0, 1]]))
    return steps._replace(outcome=jnp.asarray(outcomes, jnp.float32).reshape(1, 2, 1))


def outcome_learner(**settings):
    config = reward_lib.RewardConfig(inputs="outcome", hidden=(4,), **settings)
    space = Space(("a", "b", "c"), (0, 1, 2), (0, 1, 2), (), ("x",), ACTIONS)
    return reward_lib.make(config, space, tabular_policy(), tabular_policy())


def test_a_reward_of_next_states_sees_nothing_else():
    config = reward_lib.RewardConfig(inputs="next_state", hidden=(4,))
    learner = reward_lib.make(config, SPACE, tabular_policy(), tabular_policy())
    params = learner.init(jax.random.key(0)).params
    # Different steps: both lead to state NEXT[0, 1].
    steps = transitions(np.array([[0, 1]]), np.array([[1, 0]]))
    same = jnp.broadcast_to(steps.next_state[:, :1], steps.next_state.shape)
    value = learner.value(params, steps._replace(next_state=same))
    assert value.shape == (1, 2) and value[0, 0] == value[0, 1]
    other = same.at[0, 1].set(jnp.array([0.3, -0.2, 0.9]))
    value = learner.value(params, steps._replace(next_state=other))
    assert value[0, 0] != value[0, 1]


def test_what_is_known_is_regressed_out_of_the_reward():
    """By hand: y = 1, 2, 6 on x = 0, 1, 2 has the slope 2.5 and leaves 1, -.5, 1."""
    known = transitions(np.array([[0, 0, 0]]), np.array([[0, 1, 0]]))
    known = known._replace(discount=jnp.array([[0.0, 1.0, 2.0]]))

    def rewards(steps):
        return jnp.where(steps.discount == 2.0, 6.0, 1.0 + steps.discount)

    left = reward_network.without(rewards, lambda s: s.discount, (known,))
    np.testing.assert_allclose(left(known), [[1.0, -0.5, 1.0]], atol=1e-5)


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


def test_every_step_of_every_member_has_draws_of_its_own():
    config = reward_network.RewardConfig(steps=4, members=3)

    def step(learner, drawn):
        count, seen = learner
        return (count + 1, seen.at[count].set(drawn)), {"last": drawn}

    start = jnp.zeros(3, jnp.int32), jnp.zeros((3, 4))
    (_, seen), metrics = reward_network.train_members(
        config, jax.random.uniform, step, start, jax.random.key(0)
    )
    assert np.unique(seen).size == 12
    np.testing.assert_allclose(metrics["last"], np.mean(seen[:, -1]), rtol=1e-6)

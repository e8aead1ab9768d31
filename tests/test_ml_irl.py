"""Offline ML-IRL against feature expectations of the enumerated process."""

import dataclasses
import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import tiny_mdp
import tiny_world
from tiny_mdp import ACTIONS, HORIZON, STATES

from omgrl_jax.algorithms import ml_irl
from omgrl_jax.data import records
from omgrl_jax.learners import dyna, learned_dyna, reward_network
from omgrl_jax.learners import soft_actor_critic as sac

EVEN, TILTED = np.array([1, 1]), np.array([1, 3])
REWARD = reward_network.RewardConfig(
    hidden=(), bound=1e3, weight_decay=0.0, learning_rate=0.05, batch=64
)


def windows_of(states, actions):
    """Transitions [N, H] of trajectories that stay in the process."""
    train = tiny_world.recorded(states, actions)
    shape = np.shape(states)
    return records.transition_at(train, train.transitions.reshape(shape))


def counts(states, actions):
    """Mean number of visits to each (state, action) in a trajectory."""
    visits = tiny_mdp.features(states, actions).sum(axis=(0, 1)) / len(states)
    return visits.reshape(STATES, ACTIONS)


def table(network, params):
    """r_psi of every (state, action), [S, A]."""
    states, actions = np.divmod(np.arange(STATES * ACTIONS), ACTIONS)
    steps = windows_of(states[:, None], actions[:, None])
    return network.value(params, steps).reshape(STATES, ACTIONS)


def test_the_gradient_is_the_difference_of_feature_expectations():
    config = dataclasses.replace(REWARD, bound=1e4, centring=0.0)
    network = reward_network.make(config, tiny_world.SPACE)
    params = jax.tree.map(lambda x: x[0], network.init(jax.random.key(0)).params)
    policy, experts = tiny_mdp.pool(EVEN), tiny_mdp.pool(TILTED)
    gradient, metrics = jax.grad(ml_irl.make_loss(config, network), has_aux=True)(
        params, windows_of(*policy), windows_of(*experts)
    )
    # r(s, a) = kernel[s, a] + bias[a], so that kernel's gradient counts the pairs.
    bias, kernel = jax.tree.leaves(gradient)
    wanted = counts(*policy) - counts(*experts)
    assert np.abs(wanted).max() > 0.2
    np.testing.assert_allclose(kernel, wanted, atol=1e-5)
    np.testing.assert_allclose(bias, wanted.sum(axis=0), atol=1e-5)
    value = np.sum(wanted * table(network, jax.tree.map(lambda x: x[None], params)))
    np.testing.assert_allclose(metrics["reward/loss"], value, atol=1e-5)


def soft_policy(reward):
    """The soft-optimal policy [S, A] of a reward [S, A] by value iteration."""

    def sweep(q, _):
        v = jax.nn.logsumexp(q, axis=1)
        return reward + tiny_mdp.DISCOUNT * v[tiny_mdp.NEXT], None

    q, _ = jax.lax.scan(sweep, jnp.zeros((STATES, ACTIONS)), None, length=60)
    return jax.nn.softmax(q, axis=1)


def test_with_exact_rollouts_the_fixed_point_has_the_experts_step_counts():
    """Rollouts in exact proportion (to 1 in 512) to the soft policy of the moment."""
    config = dataclasses.replace(REWARD, steps=1, batch=512, learning_rate=0.02)
    network = reward_network.make(config, tiny_world.SPACE)
    fit = ml_irl.make_fit(config, network)
    experts = tiny_mdp.pool(TILTED)
    states, actions, start = tiny_mdp.trajectories()
    every, windows = windows_of(states, actions), windows_of(*experts)

    def chances(params):
        policy = soft_policy(table(network, params))
        return jnp.asarray(start) * jnp.prod(policy[states, actions], axis=1)

    def epoch(carry, _):
        learner, key = carry
        key, fit_key = jax.random.split(key)
        marks = (jnp.arange(512) + 0.5) / 512
        drawn = jnp.searchsorted(jnp.cumsum(chances(learner.params)), marks)
        rollouts = jax.tree.map(lambda x: jnp.swapaxes(x[drawn], 0, 1), every)
        evidence = learned_dyna.Evidence(rollouts, windows, None, None)
        learner, _ = fit(learner, fit_key, evidence)
        return (learner, key), chances(learner.params)

    @jax.jit
    def run(key):
        init_key, key = jax.random.split(key)
        start = network.init(init_key), key
        return jax.lax.scan(epoch, start, None, length=500)[1]

    # The mean over the last hundred epochs: each draws its own batches.
    found = np.asarray(run(jax.random.key(0)))[-100:].mean(axis=0)
    visits = tiny_mdp.features(states, actions).sum(axis=1)
    found = (found @ visits).reshape(STATES, ACTIONS)
    np.testing.assert_allclose(found, counts(*experts), atol=0.03)
    np.testing.assert_allclose(found.sum(axis=0), [0.75, 2.25], atol=0.03)


@functools.cache
def run(epochs=120):
    """A whole run in the enumerated world, which is ignorant of action 0.

    Of the experts' windows those that start in the first state are compared.
    """
    agent = sac.AgentConfig(
        (),
        (),
        actor_learning_rate=0.05,
        critic_learning_rate=0.05,
        discount=tiny_mdp.DISCOUNT,
        target_rate=0.1,
        recorded_share=0.02,
        batch_size=64,
    )
    rollout = dyna.RolloutConfig(horizon=HORIZON, rollouts=64, kept_epochs=2)
    reward = dataclasses.replace(REWARD, steps=2, average=0.8, learning_rate=0.01)
    config = ml_irl.Config(0.5, agent, rollout, reward)
    algorithm = ml_irl.make(config, tiny_world.SPACE, tiny_world.DYNAMICS)
    ignorance = np.array([[2.0, 0.0]] * STATES)
    world = tiny_world.world(ignorance)
    experts = tiny_world.experts(TILTED)
    from_a = jnp.argmax(experts.states[experts.windows], axis=1) == 0
    experts = experts._replace(windows=experts.windows[np.asarray(from_a)])
    data = dyna.Data(experts, world, None)

    @jax.jit
    def train(key):
        init_key, key = jax.random.split(key)

        def epoch(carry, _):
            state, key = carry
            key, update_key = jax.random.split(key)
            state, metrics = algorithm.update(state, update_key, data)
            policy = jnp.exp(algorithm.log_probs(state, jnp.eye(STATES)))
            return (state, key), (metrics, policy)

        start = algorithm.init(init_key, data), key
        (state, _), history = jax.lax.scan(epoch, start, None, length=epochs)
        return state, *history

    return algorithm, *train(jax.random.key(0))


def test_a_whole_run_imitates_the_experts():
    _, _, _, policies = run()
    # An epoch's policy follows the draws of the last ones; their mean does not.
    found = np.asarray(policies)[60:].mean(axis=0)
    wanted = np.broadcast_to(TILTED / TILTED.sum(), found.shape)
    np.testing.assert_allclose(found, wanted, atol=0.03)


def test_rollouts_start_where_windows_start():
    _, state, _, _ = run()
    numbers = jnp.argmax(state.buffer.rows.state, axis=1).reshape(2, HORIZON, 64)
    np.testing.assert_array_equal(numbers[:, 0], 0)
    assert {*np.unique(numbers[:, 1])} == {1, 2}


def test_the_agent_pays_for_disagreement_and_the_reward_makes_up_for_it():
    algorithm, state, metrics, _ = run()
    rows = state.buffer.rows
    np.testing.assert_array_equal(rows.uncertainty, 2.0 * (rows.action == 0))
    np.testing.assert_allclose(
        metrics["rollout/uncertainty"][-2:].mean(), rows.uncertainty.mean(), rtol=1e-5
    )
    # Experts of a reward that is charged .5 * 2 for action 0 like it 1 better.
    network = reward_network.make(REWARD, tiny_world.SPACE)
    learned = np.asarray(table(network, state.reward.average))
    charged = learned - 0.5 * np.array([2.0, 0.0])
    np.testing.assert_allclose(
        soft_policy(charged), np.broadcast_to([0.25, 0.75], (STATES, 2)), atol=0.1
    )
    steps = windows_of(np.array([[0], [1], [2]]), np.zeros((3, 1), int))
    chex.assert_trees_all_close(
        algorithm.reward(state, steps)[:, 0], learned[:, 0], rtol=1e-6
    )

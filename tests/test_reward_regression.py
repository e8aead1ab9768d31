"""Reward regression against least squares by hand and soft value iteration."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny_mdp
import tiny_world
from tiny_mdp import ACTIONS, STATES

from omgrl_jax.algorithms import reward_regression
from omgrl_jax.data import records
from omgrl_jax.data import space as space_lib
from omgrl_jax.learners import critic, dyna, known_reward, learned_dyna, reward_network
from omgrl_jax.learners import soft_actor_critic as sac

EVEN = np.array([1, 1])


def config_of(**settings):
    given = {"hidden": (), "bound": 1e3, "learning_rate": 0.05, "weight_decay": 0.0}
    reward = reward_network.RewardConfig(**{**given, **settings})
    agent = sac.AgentConfig(
        (),
        (),
        actor_learning_rate=0.05,
        critic_learning_rate=0.05,
        discount=tiny_mdp.DISCOUNT,
        target_rate=0.1,
        batch_size=64,
    )
    rollout = dyna.RolloutConfig(horizon=3, rollouts=32, kept_epochs=4)
    return reward_regression.Config(0.0, agent=agent, rollout=rollout, reward=reward)


def data_of(train):
    """Nothing but records and the world: rollouts and windows are not there."""
    return dyna.Data(train, tiny_world.world(), None)


def fitted(config, data):
    """The network after one call of the reward steps, and their metrics."""
    network = reward_network.make(config.reward, tiny_world.SPACE)
    fit = reward_regression.make_fit(config, tiny_world.SPACE, network)
    init_key, fit_key = jax.random.split(jax.random.key(0))
    start = network.init(init_key)
    evidence = learned_dyna.Evidence(None, None, None, data)
    learner, metrics = jax.jit(functools.partial(fit, evidence=evidence))(
        start, fit_key
    )
    return network, learner.params, metrics


def every_pair():
    """All (state, action) once as transitions [S * A], and the true rewards."""
    states, actions = np.divmod(np.arange(STATES * ACTIONS), ACTIONS)
    train = tiny_world.recorded(states[:, None], actions[:, None])
    rows = jnp.asarray(train.transitions)
    steps = records.transition_at(train, rows)
    return steps, tiny_mdp.REWARD.ravel()


def test_a_linear_reward_of_the_outcome_is_recovered():
    """The known reward is 2 z + 3 of the standardised channel z."""
    train = tiny_world.experts(EVEN)
    data = data_of(train)
    channel = data.world.scales.channel._replace(
        mean=jnp.array([3.0]), std=jnp.array([2.0])
    )
    scales = data.world.scales._replace(channel=channel)
    data = data._replace(world=data.world._replace(scales=scales))
    config = config_of(inputs="outcome", steps=400, members=2)
    _, (params, _), metrics = fitted(config, data)
    # Leaves: bias [members, 1], kernel [members, 1, 1].
    bias, kernel = jax.tree.leaves(params)
    np.testing.assert_allclose(bias[:, 0], [3.0, 3.0], atol=0.02)
    np.testing.assert_allclose(kernel[:, 0, 0], [2.0, 2.0], atol=0.02)
    assert metrics["reward/loss"] < 1e-3


def test_the_reward_of_a_pair_is_the_mean_of_what_was_recorded_for_it():
    """Rewards that differ by +-1 from stay to stay; a pair's mean is the table's."""
    train = tiny_world.experts(np.array([2, 2]))
    states = jnp.argmax(train.states, axis=1)
    pair = np.asarray(states * ACTIONS + train.actions)
    sign = np.zeros(pair.size)
    # Every second row of a pair up, the others down.
    for p in range(STATES * ACTIONS):
        rows = np.asarray(train.transitions)[pair[np.asarray(train.transitions)] == p]
        assert rows.size % 2 == 0
        sign[rows] = np.resize([1.0, -1.0], rows.size)
    train = train._replace(outcome=train.outcome + jnp.asarray(sign)[:, None])
    config = config_of(steps=600, learning_rate=0.02, batch=256)
    network, params, metrics = fitted(config, data_of(train))
    steps, wanted = every_pair()
    # 768 of these a step: the mean of +-1 over a sixth of them deviates by .09.
    np.testing.assert_allclose(network.value(params, steps), wanted, atol=0.12)
    np.testing.assert_allclose(metrics["reward/loss"], 1.0, atol=0.05)


def test_a_whole_run_is_soft_optimal_under_the_recorded_reward():
    config = config_of(steps=10)
    space, data = tiny_world.SPACE, data_of(tiny_world.experts(EVEN))
    algorithm = reward_regression.make(config, space, tiny_world.DYNAMICS)

    @jax.jit
    def run(key):
        init_key, key = jax.random.split(key)

        def epoch(carry, _):
            state, key = carry
            key, update_key = jax.random.split(key)
            state, metrics = algorithm.update(state, update_key, data)
            return (state, key), metrics

        start = algorithm.init(init_key, data), key
        (state, _), metrics = jax.lax.scan(epoch, start, None, length=60)
        return state, metrics

    state, metrics = run(jax.random.key(0))
    steps, wanted = every_pair()
    np.testing.assert_allclose(algorithm.reward(state, steps), wanted, atol=0.02)
    q, policy = tiny_mdp.soft_optimum(1.0)
    values = critic.make((), STATES, ACTIONS).values
    found = values(state.agent.critic.params, jnp.eye(STATES))
    np.testing.assert_allclose(found, np.broadcast_to(q, (2, *q.shape)), atol=0.1)
    found = np.exp(algorithm.log_probs(state, jnp.eye(STATES)))
    np.testing.assert_allclose(found, policy, atol=0.03)
    # At the end r_psi and r_p are one.
    last = [metrics[f"return/{name}"][-1] for name in ("r_psi", "r_p")]
    np.testing.assert_allclose(*last, atol=0.05)


def test_without_a_known_reward_there_is_nothing_to_regress():
    space = space_lib.Space(tiny_world.NAMES, (0, 1, 2), (0, 1, 2), (), (), ACTIONS)
    assert not known_reward.defined(space)
    with pytest.raises(ValueError, match=r"reward\.kind = none"):
        reward_regression.make(config_of(), space, tiny_world.DYNAMICS)

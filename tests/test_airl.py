"""AIRL: the discriminator's mathematics, its learner, and who is given what."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny_mdp
from tiny_mdp import ACTIONS, HORIZON, STATES

from omgrl_jax.algorithms import airl
from omgrl_jax.data.records import Records
from omgrl_jax.data.space import Space
from omgrl_jax.learners import discriminator as discriminator_lib
from omgrl_jax.learners import dyna, reward
from omgrl_jax.learners import soft_actor_critic as sac
from omgrl_jax.ops import adversarial
from omgrl_jax.types import Dynamics, Policy, Step, Transition

SPACE = Space(("a", "b", "c"), (0, 1, 2), (0, 1, 2), (), ("x", "y", "z"), ACTIONS)
EVEN, TILTED = np.array([1, 1]), np.array([1, 3])


def transitions(states, actions):
    one_hot = jnp.eye(STATES)
    following = one_hot[tiny_mdp.NEXT[states, actions]]
    return Transition(
        state=one_hot[states],
        action=jnp.asarray(actions, jnp.int32),
        next_state=following,
        outcome=following,
        discount=jnp.ones(states.shape),
        uncertainty=jnp.zeros(states.shape),
    )


def test_shaped_reward_by_hand():
    # 2 + .9 * 3 - 5 = -.3; where the episode ends the state entered counts nothing.
    steps = jnp.array([2.0, 2.0]), jnp.array([5.0, 5.0]), jnp.array([3.0, 3.0])
    found = jax.vmap(adversarial.shaped_reward)(*steps, jnp.array([0.9, 0.0]))
    np.testing.assert_allclose(found, [-0.3, -3.0], rtol=1e-6)


def test_the_optimal_discriminator_is_the_share_of_the_expert():
    expert, policy = np.array([0.2, 0.5, 0.3]), np.array([0.6, 0.1, 0.3])
    logit = jax.vmap(adversarial.evidence)(jnp.log(expert), jnp.log(policy))
    share = expert / (expert + policy)
    np.testing.assert_allclose(jax.nn.sigmoid(logit), share, rtol=1e-6)
    # What Algorithm 1 gives the policy, and what both losses are.
    np.testing.assert_allclose(logit, np.log(share) - np.log(1 - share), rtol=1e-5)
    found = jax.vmap(adversarial.expert_loss)(logit)
    np.testing.assert_allclose(found, -np.log(share), rtol=1e-5)
    found = jax.vmap(adversarial.policy_loss)(logit)
    np.testing.assert_allclose(found, -np.log(1 - share), rtol=1e-5)


def test_the_loss_is_least_where_f_is_the_experts_log_density():
    """Over three actions: d/df of p_E log D + p log(1 - D) vanishes at f = log p_E."""
    expert, policy = np.array([0.2, 0.5, 0.3]), np.array([0.6, 0.1, 0.3])

    def loss(f):
        logit = jax.vmap(adversarial.evidence)(f, jnp.log(policy))
        return jnp.sum(
            expert * jax.vmap(adversarial.expert_loss)(logit)
            + policy * jax.vmap(adversarial.policy_loss)(logit)
        )

    np.testing.assert_allclose(jax.grad(loss)(jnp.log(expert)), np.zeros(3), atol=1e-6)
    # Away from it, with D = sigmoid(f - log p): (p_E + p) D - p_E.
    f = jnp.array([0.3, -1.0, 0.0])
    share = 1 / (1 + np.exp(np.log(policy) - np.asarray(f)))
    np.testing.assert_allclose(
        jax.grad(loss)(f), (expert + policy) * share - expert, rtol=1e-5
    )


def test_the_gradient_is_half_where_nothing_can_be_told():
    # D = 1/2: experts' f is pulled up and the policy's down, by a half each.
    half = jnp.float32(0.0)
    np.testing.assert_allclose(jax.grad(adversarial.expert_loss)(half), -0.5)
    np.testing.assert_allclose(jax.grad(adversarial.policy_loss)(half), 0.5)


@pytest.mark.parametrize("logit", [1e4, -1e4])
def test_losses_of_certain_discriminators_stay_finite(logit):
    wrong = max(-logit, 0.0), max(logit, 0.0)
    losses = adversarial.expert_loss, adversarial.policy_loss
    for loss, wanted in zip(losses, wrong, strict=True):
        value, gradient = jax.value_and_grad(loss)(jnp.float32(logit))
        assert value == wanted and np.isfinite(gradient)


def tabular_policy():
    """Log-probabilities are the parameters [A], the same in every state."""

    def log_probs(params, states):
        return jnp.broadcast_to(
            jax.nn.log_softmax(params), (*states.shape[:-1], ACTIONS)
        )

    return Policy(log_probs)


def visits(counts):
    """[S, A] expected steps under a policy that takes actions by `counts`."""
    features = tiny_mdp.features(*tiny_mdp.pool(counts))
    return features.sum(axis=1).mean(axis=0).reshape(STATES, ACTIONS)


def test_the_learner_finds_the_log_ratio_of_visits():
    """`f = log pi + log of the experts' visits over the policy's`, pair by pair."""
    config = reward.RewardConfig(
        hidden=(), learning_rate=0.02, weight_decay=0.0, steps=400, batch=256, bound=1e3
    )
    learner = discriminator_lib.make(config, (), SPACE, tabular_policy(), 0.9)
    experts = transitions(*tiny_mdp.pool(TILTED))
    rollouts = transitions(*(x.T for x in tiny_mdp.pool(EVEN)))
    assert rollouts.action.shape[0] == HORIZON == experts.action.shape[1]
    state = learner.init(jax.random.key(0))
    policy = jnp.log(jnp.array([0.5, 0.5]))
    state, metrics = jax.jit(learner.update)(
        state, jax.random.key(1), policy, rollouts, experts
    )
    pairs = np.repeat(np.arange(STATES), ACTIONS), np.tile(np.arange(ACTIONS), STATES)
    found = learner.shaped(state.params, transitions(*pairs)).reshape(STATES, ACTIONS)
    wanted = np.log(0.5) + np.log(visits(TILTED) / visits(EVEN))
    np.testing.assert_allclose(found, wanted, atol=0.1)
    assert metrics["discriminator/expert"] > 0.5 > metrics["discriminator/sampled"]
    # g alone is not f: the potential has learned something, too.
    g = learner.reward(state.params, transitions(*pairs))
    assert np.abs(np.ravel(found) - g).max() > 0.01


def move(params, key, states, actions):
    """The tiny world; the key is consumed for nothing."""
    del params
    nothing = 0.0 * jax.random.normal(key, states.shape)
    cells = jnp.argmax(states, axis=-1)
    following = jnp.eye(STATES)[jnp.asarray(tiny_mdp.NEXT)[cells, actions]] + nothing
    return Step(following, following)


def small_problem():
    """Two stays of three steps, one of which starts windows."""
    cells, actions = np.array([0, 1, 2, 0, 1, 2, 0, 2]), np.array([0, 0, 0, 0] * 2)
    zeros = jnp.zeros(8)
    states = jnp.eye(STATES)[cells]
    data = Records(
        states=states,
        actions=jnp.asarray(actions, jnp.int32),
        amounts=zeros,
        outcome=jnp.roll(states, -1, axis=0),
        measured=jnp.ones((8, STATES), bool),
        censored=jnp.zeros((8, STATES), bool),
        discount=jnp.ones(8),
        stay=jnp.asarray(np.repeat([0, 1], 4), jnp.int32),
        transitions=jnp.array([0, 1, 2, 4, 5, 6], jnp.int32),
        windows=jnp.array([4], jnp.int32),
    )
    config = airl.Config(
        potential_hidden=(),
        agent=sac.AgentConfig((), (), batch_size=4, updates=1),
        rollout=dyna.RolloutConfig(horizon=3, rollouts=2, kept_epochs=1),
        reward=reward.RewardConfig(
            hidden=(), steps=1, expert_windows=2, batch=2, average=0.75
        ),
    )
    algorithm = airl.make(config, SPACE, Dynamics(move, move))
    return algorithm, dyna.Data(data, None, None)


def test_rollouts_start_where_windows_start_and_the_average_moves_by_its_share():
    algorithm, data = small_problem()
    before = jax.jit(algorithm.init)(jax.random.key(0), data)
    after, _ = jax.jit(algorithm.update)(before, jax.random.key(1), data)
    np.testing.assert_array_equal(
        after.buffer.rows.state[:2], jnp.eye(STATES)[jnp.array([1, 1])]
    )
    expected = jax.tree.map(
        lambda old, new: 0.75 * old + 0.25 * new,
        before.reward.average,
        after.reward.learner.params,
    )
    leaves = zip(*map(jax.tree.leaves, (after.reward.average, expected)), strict=True)
    for found, wanted in leaves:
        np.testing.assert_allclose(found, wanted, rtol=1e-5)
    # The reward that is judged is g of the average.
    steps = transitions(np.arange(3), np.ones(3, int))
    network = after.reward.average.reward["params"]["Dense_0"]
    raw = network["kernel"][:, 1] + network["bias"][1]
    np.testing.assert_allclose(
        algorithm.reward(after, steps), 10.0 * jnp.tanh(raw / 10.0), rtol=1e-5
    )


@pytest.mark.parametrize("choice", ["logit", "reward"])
def test_the_agent_is_given_f_or_g_in_the_unit_of_its_entropy(choice):
    """Never `f - log pi`: the agent's own entropy is the second part."""
    agent = sac.AgentConfig((), (), entropy_coefficient=0.25)
    config = airl.Config(agent_reward=choice, agent=agent)
    settings = reward.RewardConfig(hidden=())
    learner = discriminator_lib.make(settings, (), SPACE, tabular_policy(), 0.9)
    params = learner.init(jax.random.key(0)).params
    steps = transitions(np.arange(3), np.array([0, 1, 1]))
    given = airl.reward_of_agent(config, learner)(params, steps)
    wanted = {"logit": learner.shaped, "reward": learner.reward}[choice]
    np.testing.assert_allclose(given, 0.25 * wanted(params, steps), rtol=1e-6)


def test_settings_that_cannot_work_are_named():
    with pytest.raises(ValueError, match="agent_reward='pi'"):
        airl.Config(agent_reward="pi")

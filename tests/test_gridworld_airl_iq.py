"""AIRL and IQ-Learn on a gridworld whose maximum-entropy solution is exact.

They run whole, agent and all, on stays of a discounted expert. What is found is the
reward up to a constant (AIRL: a reward of the cell entered) or up to a potential
(IQ-Learn: a reward of state and action).
"""

import functools

import gridworld as grid
import jax
import jax.numpy as jnp
import numpy as np
from gridworld import ACTIONS, CELLS
from gridworld_space import MOVES, TRUTH, of_cells, space, world

from omgrl_jax.algorithms import airl, iq_learn
from omgrl_jax.data.records import Records
from omgrl_jax.learners import dyna
from omgrl_jax.learners import reward as reward_lib
from omgrl_jax.learners import soft_actor_critic as sac
from omgrl_jax.types import Transition

STAY, WINDOW = 12, 6


@functools.cache
def recorded(slip, stays=4000):
    """Stays of a discounted expert, cut after twelve steps, as records."""
    moves = grid.moves(slip)
    policy, _ = grid.discounted_policy(grid.REWARD, moves)
    cells, actions = grid.walk(
        np.random.default_rng(1),
        np.stack([policy] * STAY),
        moves,
        grid.ANY_START,
        stays,
    )
    rows = stays * (STAY + 1)
    filler = np.zeros((stays, 1), int)
    left = np.tile(STAY - np.arange(STAY + 1), stays)
    return Records(
        states=jnp.eye(CELLS)[cells.reshape(-1)],
        actions=jnp.asarray(np.append(actions, filler, axis=1).reshape(-1), jnp.int32),
        amounts=jnp.zeros(rows),
        outcome=jnp.eye(CELLS)[np.append(cells[:, 1:], filler, axis=1).reshape(-1)],
        measured=jnp.ones((rows, CELLS), bool),
        censored=jnp.zeros((rows, CELLS), bool),
        discount=jnp.ones(rows),
        stay=jnp.asarray(np.repeat(np.arange(stays), STAY + 1), jnp.int32),
        transitions=jnp.asarray(np.flatnonzero(left > 0), jnp.int32),
        windows=jnp.asarray(np.flatnonzero(left >= WINDOW), jnp.int32),
    )


def trained(algorithm, data, epochs):
    """Final state and metrics [epochs] of a whole algorithm, one compiled scan."""

    @jax.jit
    def run(key, data):
        init_key, key = jax.random.split(key)

        def one(state, key):
            return algorithm.update(state, key, data)

        keys = jax.random.split(key, epochs)
        return jax.lax.scan(one, algorithm.init(init_key, data), keys)

    return run(jax.random.key(0), data)


def tables(algorithm, state, moves):
    """Policy [S, A] and expected reward [S, A] of an algorithm's state."""
    shape = CELLS, ACTIONS, CELLS
    at, entered = jnp.eye(CELLS)[:, None, None], jnp.eye(CELLS)[None, None]
    ones = jnp.ones(shape)
    steps = Transition(
        state=jnp.broadcast_to(at, (*shape, CELLS)),
        action=jnp.broadcast_to(jnp.arange(ACTIONS)[None, :, None], shape),
        next_state=jnp.broadcast_to(entered, (*shape, CELLS)),
        outcome=jnp.broadcast_to(entered, (*shape, CELLS)),
        discount=ones,
        uncertainty=ones,
    )
    policy = np.exp(algorithm.log_probs(state, jnp.eye(CELLS)), dtype=np.float64)
    rewards = np.asarray(algorithm.reward(state, steps), np.float64)
    return policy, (moves * rewards).sum(axis=-1)


@functools.cache
def airl_run(coefficient=0.5, epochs=200):
    agent = sac.AgentConfig(
        actor_hidden=(),
        critic_hidden=(),
        actor_learning_rate=0.02,
        critic_learning_rate=0.05,
        discount=grid.DISCOUNT,
        target_rate=0.05,
        entropy_coefficient=coefficient,
        batch_size=256,
        updates=20,
    )
    config = airl.Config(
        potential_hidden=(),
        agent=agent,
        rollout=dyna.RolloutConfig(horizon=WINDOW, rollouts=128, kept_epochs=5),
        reward=reward_lib.RewardConfig(
            inputs="outcome",
            hidden=(),
            learning_rate=0.02,
            weight_decay=0.0,
            bound=1e3,
            expert_windows=128,
            batch=128,
            steps=5,
            average=0.95,
        ),
    )
    algorithm = airl.make(config, space(CELLS), world(1))
    data = dyna.Data(recorded(0.0), None, None)
    state, metrics = trained(algorithm, data, epochs)
    return algorithm, state, metrics


@functools.cache
def iq_run(temperature=0.5, regulariser=1e3, epochs=10, slip=0.2):
    agent = sac.AgentConfig(
        critic_hidden=(),
        critic_learning_rate=0.005,
        discount=grid.DISCOUNT,
        batch_size=512,
        updates=200,
    )
    config = iq_learn.Config(temperature, regulariser, agent=agent)
    algorithm = iq_learn.make(config, space(CELLS))
    state, metrics = trained(algorithm, dyna.Data(recorded(slip), None, None), epochs)
    return algorithm, state, metrics


def discounted(reward, slip=0.0):
    """Stationary soft-optimal policy [S, A]."""
    return grid.discounted_policy(reward, grid.moves(slip))[0]


def mean_divergence(expert, policy):
    return grid.divergence(expert, policy, np.ones(CELLS))


def test_airl_recovers_the_reward_of_the_cell_entered():
    """Up to a constant, and its agent becomes the expert (coefficient .5, not 1).

    Measured: correlation .99, slope .95, errors up to .18, KL .002 (uniform: .18).
    """
    algorithm, state, metrics = airl_run()
    policy, rewards = tables(algorithm, state, MOVES)
    found = of_cells(rewards)
    assert np.corrcoef(found, TRUTH)[0, 1] > 0.98
    np.testing.assert_allclose(found, TRUTH, atol=0.3)
    expert = discounted(grid.REWARD)
    assert mean_divergence(expert, policy) < 0.006
    assert mean_divergence(expert, discounted(found)) < 0.006
    # Nothing can be told any more.
    for side in ("expert", "sampled"):
        last = np.asarray(metrics[f"discriminator/{side}"][-50:])
        assert abs(last.mean() - 0.5) < 0.02


def test_iq_learn_recovers_the_policy_and_a_shaped_reward():
    """With slips as well: it is causal. The reward as it comes is not the truth.

    In units of the temperature. Measured: KL .003 (uniform .12), correlation with the
    expected reward of state and action .55 as it is, .99 without its potential.
    """
    temperature, slip = 0.5, 0.2
    moves, expert = grid.moves(slip), discounted(grid.REWARD, slip)
    algorithm, state, _ = iq_run(temperature, slip=slip)
    policy, rewards = tables(algorithm, state, moves)
    assert mean_divergence(expert, policy) < 0.006
    truth, found = moves @ grid.REWARD, rewards / temperature
    assert np.corrcoef(found.ravel(), truth.ravel())[0, 1] < 0.7
    plain = grid.without_shaping(found, truth, moves)
    assert np.corrcoef(plain.ravel(), truth.ravel())[0, 1] > 0.97

"""Learned rewards against a gridworld whose maximum-entropy solution is exact.

A reward can be found only up to what no demonstration shows: a constant where it is a
reward of the cell entered and courses have one length, a potential where it is a reward
of state and action. OMG-RL's learner is judged without an agent: the policy is solved
for exactly, so that what is found is the learner's doing. Its courses have a fixed
length, and states carry the time; AIRL and IQ-Learn run whole, discounted, without.
"""

import dataclasses
import functools

import gridworld as grid
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gridworld import ACTIONS, CELLS, HORIZON

from omgrl_jax.algorithms import airl, iq_learn
from omgrl_jax.data.records import Records, Space
from omgrl_jax.learners import dyna
from omgrl_jax.learners import reward as reward_lib
from omgrl_jax.learners import soft_actor_critic as sac
from omgrl_jax.models.rollout import rollout
from omgrl_jax.types import Dynamics, Policy, Step, Transition

MOVES, TIMES = grid.moves(), HORIZON + 1
TRUTH = grid.REWARD - grid.REWARD.mean()


def space(features):
    names = tuple(f"s{i}" for i in range(features))
    channels = tuple(f"c{i}" for i in range(CELLS))
    every = tuple(range(features))
    return Space(names, every, every, (), channels, ACTIONS)


def steps_of(cells, actions, times):
    """Transitions [...] of walks: states one-hot in time and cell."""
    width = times * CELLS
    at = np.minimum(np.arange(cells.shape[1]), times - 1) * CELLS + cells
    states, entered = jnp.eye(width)[at], jnp.eye(CELLS)[cells[:, 1:]]
    return Transition(
        state=states[:, :-1],
        action=jnp.asarray(actions, jnp.int32),
        next_state=states[:, 1:],
        outcome=entered,
        discount=jnp.ones(actions.shape),
        uncertainty=jnp.zeros(actions.shape),
    )


def world(times):
    """The true world without slips as a `Dynamics`, without parameters."""
    following = jnp.asarray(MOVES.argmax(axis=-1))

    def sample(params, key, states, actions):
        del params, key
        time, cell = jnp.divmod(jnp.argmax(states, axis=-1), CELLS)
        entered = following[cell, actions]
        at = jnp.minimum(time + 1, times - 1) * CELLS + entered
        return Step(jnp.eye(times * CELLS)[at], jnp.eye(CELLS)[entered])

    return Dynamics(sample, sample)


TABULAR = Policy(lambda params, states: states @ params)


def solve(rewards, moves):
    """`grid.policy_of_pairs`, traced: log-probabilities [(H + 1) S, A]."""

    def back(v, rewards):
        q = rewards + moves @ v
        v = jax.nn.logsumexp(q, axis=1)
        return v, q - v[:, None]

    _, log_probs = jax.lax.scan(back, jnp.zeros(CELLS), rewards, reverse=True)
    idle = jnp.full((1, CELLS, ACTIONS), -jnp.log(ACTIONS))
    return jnp.concatenate([log_probs, idle]).reshape(-1, ACTIONS)


def every_pair():
    """Transitions [H, S, A] whose outcome is where the deterministic move ends."""
    shape = HORIZON, CELLS, ACTIONS
    at = jnp.eye(TIMES * CELLS)[: HORIZON * CELLS]
    states = jnp.broadcast_to(at.reshape(HORIZON, CELLS, 1, -1), (*shape, at.shape[1]))
    outcome = jnp.broadcast_to(jnp.asarray(MOVES), (*shape, CELLS))
    actions = jnp.broadcast_to(jnp.arange(ACTIONS), shape)
    ones = jnp.ones(shape)
    return Transition(states, actions, states, outcome, ones, ones)


@functools.cache
def demonstrations(walks=8192):
    """Windows [N, H] of an expert who plans to the end, and log mu [(H + 1) S, A]."""
    expert = grid.causal_policy(grid.REWARD, MOVES)
    rng = np.random.default_rng(0)
    cells, actions = grid.walk(rng, expert, MOVES, grid.ONE_START, walks)
    idle = np.full((1, CELLS, ACTIONS), 1 / ACTIONS)
    log_mu = np.log(np.concatenate([expert, idle]).reshape(-1, ACTIONS))
    return steps_of(cells, actions, TIMES), jnp.asarray(log_mu, jnp.float32)


@functools.cache
def learner(modes, inputs, size=128):
    """`run(key, choice, on_policy, windows, log_mu) -> rewards [epochs, H, S, A]`.

    `choice` numbers the mode. The modes "paper" and "gcl" differ only in the density
    that they give to the same loss, and share what is slow here: the compilation.
    """
    config = reward_lib.RewardConfig(
        inputs=inputs,
        hidden=(),
        learning_rate=0.02,
        weight_decay=0.0,
        bound=1e3,
        batch=size,
        steps=5,
    )
    every = [
        reward_lib.make(
            dataclasses.replace(config, mode=mode),
            space(TIMES * CELLS),
            TABULAR,
            TABULAR,
        )
        for mode in modes
    ]
    made = every[0]
    moves = jnp.asarray(MOVES, jnp.float32)

    def policy_for(rewards, on_policy):
        solved = solve(rewards, moves)
        return jnp.where(on_policy, solved, -jnp.log(ACTIONS))

    def collect(key, policy, starts):
        at = starts[:size]
        steps = rollout(world(TIMES), None, TABULAR, policy, key, at, HORIZON)
        pool = jax.tree.map(lambda x: jnp.swapaxes(x, 0, 1)[None], steps)
        return reward_lib.Pool(pool, policy[None])

    def densities(choice, *args):
        each = [made.densities(*args) for made in every]
        return jax.tree.map(lambda *x: jnp.stack(x)[choice], *each)

    def epoch(choice, on_policy, windows, log_mu, state, key):
        rollout_key, window_key, reward_key = jax.random.split(key, 3)
        rewards = made.value(state.params, every_pair())
        policy = policy_for(rewards, on_policy)
        pool = collect(rollout_key, policy, windows.state[:, 0])
        chosen = jax.random.randint(window_key, (size,), 0, windows.action.shape[0])
        drawn = jax.tree.map(lambda x: x[chosen], windows)
        density = densities(choice, pool, policy, log_mu, drawn)
        state, _ = made.update(state, reward_key, pool, density, drawn)
        return state, rewards

    @jax.jit
    def run(key, *args):
        one = functools.partial(epoch, *args)
        init_key, key = jax.random.split(key)
        return jax.lax.scan(one, made.init(init_key), jax.random.split(key, 160))[1]

    return run


@functools.cache
def learned(mode, inputs="outcome", on_policy=True):
    """Reward [H, S, A] that the learner settles on: the mean of the last half."""
    modes = ("step",) if mode == "step" else ("gcl", "paper")
    run, choice = learner(modes, inputs), modes.index(mode)
    rewards = np.asarray(run(jax.random.key(0), choice, on_policy, *demonstrations()))
    return rewards[len(rewards) // 2 :].mean(axis=0, dtype=np.float64)


def of_cells(rewards):
    """Rewards [S, A] of pairs as centred rewards [S] of the cells that moves enter."""
    found = np.zeros(CELLS)
    found[MOVES.argmax(axis=-1)] = rewards
    return found - found.mean()


def regret(rewards):
    """KL in nats a step of the expert from the policy that is best for [S]."""
    expert, policy = (grid.causal_policy(r, MOVES) for r in (grid.REWARD, rewards))
    return grid.divergence(expert, policy, grid.visits(expert, MOVES).sum(axis=-1))


IDLE = 0.143  # The same of a policy that draws actions uniformly.


@pytest.mark.parametrize("slip", [0.0, 0.3])
def test_causal_entropy_gives_back_the_reward(slip):
    """The oracle itself: experts' entries have one reward, up to a constant."""
    moves = grid.moves(slip)
    wanted = grid.entered(grid.causal_policy(grid.REWARD, moves), moves)
    found = grid.matching_reward(
        wanted, lambda r: grid.entered(grid.causal_policy(r, moves), moves)
    )
    np.testing.assert_allclose(found, TRUTH, atol=1e-3)
    assert abs(regret(np.zeros(CELLS)) - IDLE) < 1e-3


def trajectory_reward(slip, start):
    """What Eq. 7 makes of the entries of an expert who plans."""
    moves = grid.moves(slip)
    wanted = grid.entered(grid.causal_policy(grid.REWARD, moves), moves, start)
    return grid.matching_reward(
        wanted, lambda r: grid.trajectory_counts(r, moves, start)
    )


def test_the_trajectory_model_is_the_causal_one_if_only_actions_are_chosen():
    np.testing.assert_allclose(trajectory_reward(0.0, grid.ONE_START), TRUTH, atol=1e-3)


def slope(found):
    return np.polyfit(TRUTH, found, 1)[0]


def test_the_trajectory_model_errs_where_chance_decides():
    """Eq. 7 lets trajectories choose where they start and slip, as no expert can.

    It explains good luck by smaller rewards: with slips they shrink, and with one
    partition function over many starts they are bent.
    """
    assert slope(trajectory_reward(0.3, grid.ONE_START)) < 0.5
    bent = trajectory_reward(0.0, grid.ANY_START)
    assert np.abs(bent - TRUTH).max() > 0.25 and slope(bent) < 0.95


@pytest.mark.parametrize(
    ("mode", "on_policy"), [("gcl", True), ("gcl", False), ("paper", True)]
)
def test_trajectory_weights_recover_the_reward(mode, on_policy):
    """gcl whoever samples; paper if the policy that samples has become the best one.

    Measured: errors of .02 to .08 from 128 courses an epoch, KL below .0005.
    """
    rewards = learned(mode, on_policy=on_policy)[0]
    np.testing.assert_allclose(of_cells(rewards), TRUTH, atol=0.15)
    assert regret(of_cells(rewards)) < 0.002


def paper_counts(reward):
    """Entries under the measure that weights 1 / q make of half uniform, half experts.

    The pool's density is `(q + p_E) / 2`, its weights are `exp(R) / q`.
    """
    uniform = np.full((HORIZON, CELLS, ACTIONS), 1 / ACTIONS)
    expert = grid.causal_policy(grid.REWARD, MOVES)
    factors = np.broadcast_to(np.exp(reward), (HORIZON, CELLS, ACTIONS, CELLS))
    log_z, counts = grid.tilted_counts(factors, MOVES)
    other, extra = grid.tilted_counts(factors * (expert / uniform)[..., None], MOVES)
    share = 1 / (1 + np.exp(log_z - other))
    return (1 - share) * counts + share * extra


def expert_entries():
    return grid.entered(grid.causal_policy(grid.REWARD, MOVES), MOVES)


def test_paper_weights_shrink_the_reward_if_the_sampler_is_not_the_policy():
    """Experts appended to the pool are weighted as if the sampler had made them.

    They count too much, so that half the reward suffices to match their entries; the
    learner ends where this arithmetic says.
    """
    wrong = grid.matching_reward(expert_entries(), paper_counts)
    found = of_cells(learned("paper", on_policy=False)[0])
    np.testing.assert_allclose(found, wrong, atol=0.15)
    assert slope(found) < 0.6 and regret(found) > 0.02


def step_counts(reward):
    """Entries under single steps of the pool, weighted by `exp(r) / pi`."""
    expert, policy = (grid.causal_policy(r, MOVES) for r in (grid.REWARD, reward))
    pool = grid.visits(expert, MOVES) + grid.visits(policy, MOVES)
    mass = np.einsum("hsa,sax->x", pool / policy, MOVES) * np.exp(reward)
    return HORIZON * mass / mass.sum()


def test_step_weights_find_another_reward_of_cells():
    """Single steps do not know where courses lead: r must explain values, too.

    It ends at the fixed point of its own equation, which is not the truth; it still
    orders the cells roughly as the truth does.
    """
    wrong = grid.matching_reward(expert_entries(), step_counts)
    found = of_cells(learned("step")[0])
    np.testing.assert_allclose(found, wrong, atol=0.2)
    assert np.abs(found - TRUTH).max() > 0.7
    assert 0.7 < np.corrcoef(found, TRUTH)[0, 1] < 0.9
    assert 0.01 < regret(found) < 0.03


def test_step_weights_on_state_and_action_find_the_log_policy():
    """`exp r` = the experts' pairs over `d(s)` = pi_E: the truth, shaped by its values.

    The best policy for it is the expert's: cloning, in the shape of a reward.
    """
    rewards = learned("step", "state_action")
    expert = grid.causal_policy(grid.REWARD, MOVES)
    visits = grid.visits(expert, MOVES) / HORIZON
    gap = rewards - np.log(expert)
    spread = np.sqrt(np.sum(visits * (gap - np.sum(visits * gap)) ** 2))
    assert spread < 0.15  # .10 measured; log pi_E itself has .52.
    policy = grid.policy_of_pairs(rewards, MOVES)
    assert grid.divergence(expert, policy, visits.sum(axis=-1)) < 0.01


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

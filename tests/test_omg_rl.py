"""OMG-RL's own loop: its pool, its average, and when its reward stands still."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from algorithms_made import (
    UPDATES,
    make_omg_rl,
    run,
    task,
)

from omgrl_jax.algorithms import (
    omg_rl,
)


def test_omg_rl_pool_holds_the_last_epochs_and_their_policies():
    first, last, _ = run("omg_rl, gcl", 0)
    assert int(first.reward.epoch) == 0 and int(last.reward.epoch) == UPDATES
    # Two epochs are kept: after three updates the pool holds updates 2 (slot 0) and 1.
    assert int(last.buffer.added) == UPDATES * 12
    newest = last.buffer.rows.state[:12].reshape(3, 4, -1)  # update 2 of 0..2
    np.testing.assert_array_equal(
        jnp.swapaxes(last.reward.pool.trajectories.state[0], 0, 1), newest
    )
    kernels = jax.tree.leaves(last.reward.pool.samplers)[1]
    assert not np.array_equal(kernels[0], kernels[1])


def test_averaged_reward_moves_by_its_share_of_the_newest_parameters():
    algorithm, data = make_omg_rl(average=0.75, pool_rollouts=3)
    start = jax.jit(algorithm.init)(jax.random.key(1), data)
    after, _ = jax.jit(algorithm.update)(start, jax.random.key(2), data)
    expected = jax.tree.map(
        lambda old, new: 0.75 * old + 0.25 * new,
        start.reward.networks.average,
        after.reward.networks.learner.params,
    )
    average = after.reward.networks.average
    chex.assert_trees_all_close(average, expected, rtol=1e-6)
    before = start.reward.networks.average
    moved = jax.tree.map(lambda a, b: jnp.any(a != b), before, average)
    assert any(jax.tree.leaves(jax.device_get(moved)))
    # At most `pool_rollouts` of the four rollouts of an epoch estimate Z.
    assert after.reward.pool.trajectories.action.shape == (2, 3, 3)


def test_a_reward_that_stands_still_leaves_only_the_policy_learning():
    algorithm, data = make_omg_rl(algorithm={"reward_epochs": 1}, average=0.5)
    update = jax.jit(algorithm.update)
    start = jax.jit(algorithm.init)(jax.random.key(1), data)
    first, _ = update(start, jax.random.key(2), data)
    second, _ = update(first, jax.random.key(3), data)
    chex.assert_trees_all_equal(first.reward.networks, second.reward.networks)
    moved = jax.tree.map(
        lambda a, b: jnp.any(a != b), start.reward.networks, first.reward.networks
    )
    assert any(jax.tree.leaves(jax.device_get(moved)))
    assert not np.array_equal(
        jax.tree.leaves(first.agent.actor.params)[0],
        jax.tree.leaves(second.agent.actor.params)[0],
    )


def test_a_reward_that_waits_goes_back_to_its_best_epoch():
    # With steps so long that some lead away.
    algorithm, data = make_omg_rl({"reward_patience": 1}, learning_rate=0.3)
    update = jax.jit(algorithm.update)
    state = jax.jit(algorithm.init)(jax.random.key(1), data)
    before, kept, better, waited = state.reward.networks, [], [], []
    for key in jax.random.split(jax.random.key(2), 12):
        state, metrics = update(state, key, data)
        gain = metrics["reward/held_out"] - metrics["reward/held_out_kept"]
        better.append(float(gain) > 0)
        kept.append(state.reward.networks)
        waited.append(int(state.reward.best.waited))
    # The first epoch that is worse than the best before it ends the learning.
    worse = better.index(False)
    assert waited == [0] * worse + [1] * (12 - worse)
    for later in kept[worse:]:
        chex.assert_trees_all_equal(later, kept[worse - 1] if worse else before)


def test_a_reward_that_waits_needs_validation_stays():
    algorithm, data = make_omg_rl(algorithm={"reward_patience": 1})
    state = algorithm.init(jax.random.key(1), data)
    with pytest.raises(ValueError, match="--omg_rl_reward_patience=0"):
        algorithm.update(state, jax.random.key(2), data._replace(validation=None))


def test_held_out_windows_have_the_worlds_outcomes():
    _, made, _, data = task()
    held = omg_rl.held_windows(made.dynamics, data, 3)
    rows = data.validation.windows[0] + jnp.arange(3)
    states, actions = data.validation.states[rows], data.validation.actions[rows]
    np.testing.assert_array_equal(held.state[0], states)
    amounts = data.validation.amounts[rows]
    said = made.dynamics.mean(data.world, states, actions, amounts)
    np.testing.assert_allclose(held.outcome[0], said.outcome, rtol=1e-5)


def test_rollouts_of_omg_rl_start_where_windows_start():
    algorithm, data = make_omg_rl()
    only = data._replace(train=data.train._replace(windows=data.train.windows[:1]))
    state = jax.jit(algorithm.init)(jax.random.key(1), only)
    first = state.reward.pool.trajectories.state[:, :, 0]
    wanted = only.train.states[only.train.windows[0]]
    chex.assert_trees_all_equal(first, jnp.broadcast_to(wanted, first.shape))

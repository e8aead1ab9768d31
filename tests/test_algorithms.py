"""One contract for every algorithm; a new one is held to it by a line in `MAKERS`."""

import dataclasses

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny_dataset
from algorithms_made import (
    AGENT,
    MAKERS,
    ROLLOUT,
    compiled,
    make_combo,
    make_omg_rl,
    run,
    task,
)

from experiments import training
from omgrl_jax import optimize
from omgrl_jax.algorithms import (
    combo,
)
from omgrl_jax.data import records
from omgrl_jax.data import scales as scales_lib
from omgrl_jax.data import space as space_lib
from omgrl_jax.learners import (
    critic,
    known_reward,
)
from omgrl_jax.runtime import sweep, train


def learned(state):
    """Parameters of every learner in a state, but an entropy coefficient that is fixed.

    Args:
      state: an algorithm's state.

    Returns:
      A list of trees.
    """

    def is_learner(part):
        return isinstance(part, optimize.Learner)

    parts = jax.tree.leaves(state, is_leaf=is_learner)
    trees = [part.params for part in parts if is_learner(part)]
    return [tree for tree in trees if jnp.size(jax.tree.leaves(tree)[0]) > 1]


def differ(one, other):
    """Whether each pair of learned arrays differs."""
    pairs = zip(
        jax.tree.leaves(learned(one)), jax.tree.leaves(learned(other)), strict=True
    )
    found = [not np.array_equal(a, b) for a, b in pairs]
    assert found
    return found


@pytest.fixture(params=MAKERS)
def name(request):
    return request.param


def test_updates_keep_the_structure_and_change_the_agent(name):
    first, last, _ = run(name, 0)
    chex.assert_trees_all_equal_structs(first, last)
    chex.assert_trees_all_equal_shapes_and_dtypes(first, last)
    assert all(differ(first, last))


def test_many_updates_are_one_trace(name):
    run(name, 0)
    run(name, 1)
    assert len(compiled(name)[-1]) == 1


def test_metrics_are_flat_scalar_and_finite(name):
    _, _, history = run(name, 0)
    for metrics in history:
        assert metrics.keys() == history[0].keys()
        for key, value in metrics.items():
            assert value.shape == () and np.isfinite(value), key
    assert {"critic/bellman", "actor/entropy"} & history[0].keys()


def test_a_run_follows_from_its_key(name):
    one, again, other = (run(name, *args)[1] for args in ((0,), (0, 1), (1,)))
    chex.assert_trees_all_equal(one, again)
    assert all(differ(one, other))


def test_the_policy_is_a_distribution_and_act_draws_from_it(name):
    algorithm, data = compiled(name)[:2]
    state, observations = run(name, 0)[1], data.train.states[:4]
    log_probs = algorithm.log_probs(state, observations)
    assert log_probs.shape == (4, 3)
    np.testing.assert_allclose(np.exp(log_probs).sum(axis=1), np.ones(4), rtol=1e-5)
    one = algorithm.log_probs(state, observations[2])
    np.testing.assert_allclose(one, log_probs[2], rtol=1e-5)
    # 2000 draws: a standard deviation of at most .012.
    draw = jax.jit(jax.vmap(algorithm.act, in_axes=(None, 0, None)))
    actions = draw(state, jax.random.split(jax.random.key(5), 2000), observations[2])
    shares = np.bincount(np.asarray(actions), minlength=3) / 2000
    np.testing.assert_allclose(shares, np.exp(one), atol=0.05)


def test_what_actions_are_worth_is_told_for_every_state(name):
    algorithm, data = compiled(name)[:2]
    if algorithm.action_values is None:
        assert name == "ogsrl"  # it values states alone
        return
    state, observations = run(name, 0)[1], data.train.states[:4]
    q = algorithm.action_values(state, observations)
    assert q.shape == (4, 3) and np.all(np.isfinite(q))
    one = algorithm.action_values(state, observations[2])
    np.testing.assert_allclose(one, q[2], rtol=1e-4, atol=1e-6)
    # It is told from what was learned. A method that keeps its best epoch may have
    # begun with it, but not from every start.
    starts = [run(name, seed)[:2] for seed in (0, 1)]
    assert any(
        not np.array_equal(*(algorithm.action_values(s, observations) for s in pair))
        for pair in starts
    )


@pytest.mark.parametrize("name", ["combo", "omg_rl, gcl", "cql"])
def test_soft_critics_tell_the_smaller_of_the_twins(name):
    algorithm, data = compiled(name)[:2]
    state, observations = run(name, 0)[1], data.train.states[:4]
    critics = getattr(state, "agent", state).critic.params
    twins = critic.make((8,), observations.shape[1], 3).values(critics, observations)
    assert not np.allclose(*twins)
    wanted = np.minimum(*np.asarray(twins))
    found = algorithm.action_values(state, observations)
    np.testing.assert_allclose(found, wanted, rtol=1e-5)


def recorded_rows(tree, states):
    """Names of the leaves in which a recorded state stands as a row."""
    width, found = states.shape[1], []
    for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
        rows = np.asarray(leaf)
        if rows.ndim and rows.shape[-1] == width and rows.dtype == np.float32:
            apart = np.abs(rows.reshape(-1, 1, width) - states[None]).max(axis=-1)
            if (apart < 1e-5).any():
                found.append(jax.tree_util.keystr(path))
    return found


def test_what_is_shared_of_a_state_holds_no_recorded_state(name):
    _, data, *_ = compiled(name)
    states = np.asarray(data.train.states)
    last = run(name, 0)[1]
    shared = training.shareable(training.at_home(last))
    assert recorded_rows(shared, states) == []
    # The search can find one: buffers of rollouts start in recorded states.
    if hasattr(last, "buffer"):
        assert recorded_rows(last, states)
    if hasattr(last, "guardian"):
        assert last.guardian.region.rows.size and shared["guardian"].region.rows is None
    if getattr(last, "restraint", None) is not None:
        assert last.restraint.guardian.region.rows.size
        assert shared["restraint"].guardian.region.rows is None


def test_networks_of_one_shape_are_one_policy_to_whoever_compiles_it():
    (one, _), (other, _) = make_combo(), make_omg_rl()
    assert one.policy == other.policy
    wider, _ = make_combo(actor_hidden=(9,))
    assert wider.policy != one.policy


@pytest.mark.parametrize("name", ["combo", "omg_rl, gcl", "multitask_iql"])
def test_a_member_of_a_sweep_is_the_single_run(name):
    """Through the training loop, for two seeds split over two devices."""
    algorithm, data = compiled(name)[:2]
    keys = jax.random.split(jax.random.key(0), 2)

    def trained(key):
        return train.train(
            algorithm, key, data, num_updates=2, interval=2, progress=False
        )

    assert sweep.choose() == "shard"
    together = trained(keys)
    single = trained(jax.random.split(jax.random.key(0), 2)[1])
    member = jax.tree.map(lambda x: x[1], together.state)
    chex.assert_trees_all_close(member, single.state, rtol=1e-4, atol=1e-6)


def test_the_rewards_of_combo_are_the_schemas():
    space, _, _, data = task()
    known = known_reward.make(space, data.world.scales)
    rows = data.train.transitions[:5]
    steps = records.transition_at(data.train, rows)
    aptt = np.asarray(data.world.scales.channel.invert(steps.outcome))[:, 0]
    wanted = 2 / (1 + np.exp(60 - aptt)) - 2 / (1 + np.exp(100 - aptt)) - 1
    np.testing.assert_allclose(known(steps), wanted, atol=1e-4)


def test_recorded_rewards_come_back_as_recorded():
    schema = tiny_dataset.schema("recorded")
    arrays = tiny_dataset.trajectories(rewards=True)
    space = space_lib.make_space(schema)
    scales = scales_lib.fit_scales(schema, space, arrays)
    recorded = records.make_records(schema, space, scales, arrays, "train", 3)
    steps = records.transition_at(recorded, recorded.transitions)
    training = np.repeat(arrays.split == 0, arrays.lengths)
    found = known_reward.make(space, scales)(steps)
    np.testing.assert_allclose(found, arrays.rewards[training], rtol=1e-4, atol=1e-5)


def test_combo_names_the_missing_reward():
    space, made, _, data = task()
    without = dataclasses.replace(space, target=None)
    with pytest.raises(ValueError, match=r"reward\.kind = none"):
        known_reward.make(without, data.world.scales)
    with pytest.raises(ValueError, match=r"reward\.kind = none"):
        combo.make(combo.Config(agent=AGENT, rollout=ROLLOUT), without, made.dynamics)

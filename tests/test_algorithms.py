"""One contract for every algorithm; a new one is held to it by a line in `MAKERS`."""

import dataclasses
import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny_dataset

from experiments import training
from omgrl_jax import optimize
from omgrl_jax.algorithms import (
    airl,
    combo,
    cql,
    iq_learn,
    iql,
    ml_irl,
    mopo,
    morel,
    multitask_iql,
    ogsrl,
    omg_rl,
    q_learning,
    reward_regression,
)
from omgrl_jax.data import records
from omgrl_jax.data import scales as scales_lib
from omgrl_jax.data import space as space_lib
from omgrl_jax.learners import (
    actor,
    constrained,
    critic,
    dyna,
    known_reward,
    reward,
)
from omgrl_jax.learners import soft_actor_critic as sac
from omgrl_jax.learners.guardian import guardian, regions
from omgrl_jax.models import world
from omgrl_jax.runtime import sweep, train

AGENT = sac.AgentConfig((8,), (8,), batch_size=8, updates=2)
ROLLOUT = dyna.RolloutConfig(horizon=3, rollouts=4, kept_epochs=2)
REWARD = reward.RewardConfig(hidden=(8,), steps=2, expert_windows=8, batch=4)


@functools.cache
def task():
    """A world and a behaviour policy with random networks, and recorded stays."""
    schema, arrays = tiny_dataset.schema(), tiny_dataset.trajectories()
    space = space_lib.make_space(schema)
    scales = scales_lib.fit_scales(schema, space, arrays)
    recorded, others = (
        records.make_records(schema, space, scales, arrays, split, 3)
        for split in ("train", "validation")
    )
    made = world.make(world.WorldConfig((8,), (8,)), space)
    behaviour = actor.make((8,), space.state_dim, space.num_actions)

    @jax.jit
    def init(key):
        a, b, c = jax.random.split(key, 3)
        features = jax.vmap(made.init_features)(jax.random.split(a, 2))
        outcomes = jax.vmap(made.init_outcomes)(jax.random.split(b, 2))
        return features, outcomes, behaviour.init(c)

    features, outcomes, mu = init(jax.random.key(0))
    low, high = recorded.states.min(axis=0), recorded.states.max(axis=0)
    params = world.WorldParams(features, outcomes, scales, low, high)
    data = dyna.Data(recorded, params, mu, validation=others)
    return space, made, behaviour.policy, data


def make_combo(push_down="policy", **agent):
    space, made, _, data = task()
    agent = dataclasses.replace(AGENT, **agent)
    config = combo.Config(push_down=push_down, agent=agent, rollout=ROLLOUT)
    return combo.make(config, space, made.dynamics), data


def make_omg_rl(algorithm=None, **settings):
    space, made, behaviour, data = task()
    reward = dataclasses.replace(REWARD, **settings)
    config = omg_rl.Config(
        agent=AGENT, rollout=ROLLOUT, reward=reward, **(algorithm or {})
    )
    return omg_rl.make(config, space, made.dynamics, behaviour), data


def make_model_free(make, config, cloned=False):
    space, _, behaviour, data = task()
    extra = [behaviour] if cloned else []
    return make(config(agent=AGENT), space, *extra), data


def make_pessimistic(make, config):
    space, made, _, data = task()
    return make(config(agent=AGENT, rollout=ROLLOUT), space, made.dynamics), data


def make_airl():
    space, made, _, data = task()
    settings = dataclasses.replace(REWARD, inputs="outcome", average=0.5)
    config = airl.Config(potential_hidden=(8,), agent=AGENT, rollout=ROLLOUT)
    config = dataclasses.replace(config, reward=settings)
    return airl.make(config, space, made.dynamics), data


def make_learned(module, **settings):
    space, made, _, data = task()
    reward = dataclasses.replace(REWARD, **settings)
    config = module.Config(agent=AGENT, rollout=ROLLOUT, reward=reward)
    return module.make(config, space, made.dynamics), data


def make_ogsrl():
    space, made, _, data = task()
    config = ogsrl.Config(
        costs=("high_aptt",),
        limits=(0.1,),
        hidden=(8,),
        guardian=guardian.GuardianConfig(region=regions.RegionConfig(neighbours=2)),
        optimiser=constrained.ConstrainedConfig(
            iterations=3, value_hidden=(8,), value_steps=2, value_batch=8
        ),
        rollout=ROLLOUT,
    )
    return ogsrl.make(config, space, made.dynamics), data


MAKERS = {
    "combo": functools.partial(make_combo, push_down="logsumexp", entropy_target=0.5),
    "omg_rl, paper": functools.partial(make_omg_rl, mode="paper"),
    "omg_rl, gcl": functools.partial(make_omg_rl, mode="gcl"),
    "omg_rl, step": functools.partial(make_omg_rl, mode="step", inputs="outcome"),
    "omg_rl, careful": functools.partial(
        make_omg_rl,
        {"reward_patience": 1, "behaviour": "removed", "penalty": 1.0},
        inputs="next_state",
        normalise=True,
    ),
    "cql": functools.partial(make_model_free, cql.make, cql.Config),
    "bcq": functools.partial(make_model_free, q_learning.make, q_learning.Config, True),
    "dueling_cql": functools.partial(
        make_model_free,
        q_learning.make,
        functools.partial(q_learning.Config, 0.0, True, 1.0),
        True,
    ),
    "iql": functools.partial(make_model_free, iql.make, iql.Config),
    "multitask_iql": functools.partial(
        make_model_free,
        multitask_iql.make,
        functools.partial(multitask_iql.Config, hidden=(8,), batch_size=8),
    ),
    "mopo": functools.partial(make_pessimistic, mopo.make, mopo.Config),
    "morel": functools.partial(
        make_pessimistic, morel.make, functools.partial(morel.Config, 0.5)
    ),
    "airl": make_airl,
    "iq_learn": functools.partial(
        make_model_free, iq_learn.make, functools.partial(iq_learn.Config, target=True)
    ),
    "reward_regression": functools.partial(make_learned, reward_regression, members=2),
    "ml_irl": functools.partial(make_learned, ml_irl, inputs="outcome", normalise=True),
    "ogsrl": make_ogsrl,
}
UPDATES = 3


@functools.cache
def compiled(name):
    """The algorithm, its data, compiled functions, and how often update was traced."""
    algorithm, data = MAKERS[name]()
    traces = []

    def update(state, key, data):
        traces.append(1)
        return algorithm.update(state, key, data)

    return algorithm, data, jax.jit(algorithm.init), jax.jit(update), traces


@functools.cache
def run(name, seed, attempt=0):
    """First state, last state and all metrics; `attempt` only repeats the run."""
    del attempt
    _, data, init, update, _ = compiled(name)
    init_key, key = jax.random.split(jax.random.key(seed))
    first = state = init(init_key, data)
    history = []
    for update_key in jax.random.split(key, UPDATES):
        state, metrics = update(state, update_key, data)
        history.append(metrics)
    return first, state, history


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
    first, state, _ = run(name, 0)
    observations = data.train.states[:4]
    q = algorithm.action_values(state, observations)
    assert q.shape == (4, 3) and np.all(np.isfinite(q))
    one = algorithm.action_values(state, observations[2])
    np.testing.assert_allclose(one, q[2], rtol=1e-4, atol=1e-6)
    # It is told from what was learned.
    assert not np.array_equal(q, algorithm.action_values(first, observations))


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

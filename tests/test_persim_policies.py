"""Policies learned from agents' logs and simulators, in a world known exactly."""

import dataclasses
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from line_world import SCALES, TASK, Gain, knowing

from experiments.persim import imagining, judging, learning, playing, policies, worlds
from experiments.persim.units import Unit
from omgrl_jax.data import dataset, records
from omgrl_jax.data import space as space_lib
from omgrl_jax.data.scales import Scales, Standardiser
from omgrl_jax.learners import dyna
from omgrl_jax.learners.dyna import RolloutConfig
from omgrl_jax.learners.soft_actor_critic import AgentConfig
from omgrl_jax.types import Policy

GAINS = np.array([0.4, -0.4], np.float32)
REWARD = Standardiser(jnp.array([-1.0]), jnp.array([2.0]), jnp.zeros(1, bool))
ALL = Scales(SCALES.state, REWARD, jnp.zeros(3))
LEARN = learning.LearnConfig(
    epochs=4,
    episodes=20,
    explore=1.0,
    agent=AgentConfig(
        (16,),
        (16,),
        critic_learning_rate=1e-2,
        discount=0.9,
        target_rate=0.05,
        updates=100,
    ),
    rollout=RolloutConfig(horizon=2, rollouts=2, kept_epochs=1),
)
UNIT = Unit("bcq_personal", 2, 1)
# Says the same of every action.
ANY = Policy(lambda params, states: jnp.log(jnp.full((*states.shape[:-1], 3), 1 / 3)))


def logs():
    """Two logs of pushes to the right, of 3 and 5 steps."""
    rows, rewards, lengths = [], [], [3, 5]
    for gain, length in zip(GAINS, lengths, strict=True):
        x = 0.9 + gain * np.arange(length + 1)
        rows.append(np.stack([x, 0.6 + 0.5 * (x - 0.9)], axis=1))
        rewards.append(-np.abs(x[1:]))
    schema = dataset.Schema(
        name="line",
        features=tuple(dataset.Feature(*f) for f in TASK.features),
        actions=dataset.Actions(3),
        reward={"kind": "recorded"},
    )
    arrays = dataset.Trajectories(
        observations=np.concatenate(rows).astype(np.float32),
        actions=np.full(8, 2, np.int32),
        lengths=np.array(lengths, np.int32),
        patients=np.arange(2),
        split=np.zeros(2, np.int32),
        terminals=np.zeros(2, bool),
        rewards=np.concatenate(rewards).astype(np.float32),
    )
    return dataset.Dataset(schema, arrays, "")


def ready():
    data = logs()
    return types.SimpleNamespace(
        world=judging.World(TASK, 2),
        scales=SCALES,
        config=types.SimpleNamespace(learn=LEARN),
        cohort=types.SimpleNamespace(
            data=data, space=space_lib.make_space(data.schema), scales=ALL
        ),
        judged=np.arange(2),
        seen=np.arange(2),
    )


def world(low=-99.0, high=99.0):
    shared = (ALL, jnp.full(2, low), jnp.full(2, high))
    return worlds.PersonalWorld(
        knowing(jnp.asarray(GAINS)),
        *jax.tree.map(lambda x: jnp.stack([x, x]), shared),
    )


def imagine(given):
    """Episodes of chance in the agents' own worlds."""
    starts = imagining.starts(given)
    return imagining.episodes(given, UNIT, world(), ANY, (), starts)


def moved(raw, actions, gain):
    return raw + (gain * (actions - 1.0))[:, None] * np.array([1.0, 0.5])


@pytest.mark.parametrize("way", ["mean", "sample"])
def test_a_world_earns_by_the_tasks_rule_and_stands_still_at_the_end(way):
    own = jax.tree.map(lambda x: x[0], world())
    raw = np.array([[1.0, 0.0], [2.9, 1.0], [3.1, 2.0]], np.float32)
    actions = jnp.array([0, 2, 0])
    dynamics = worlds.of_one(TASK)
    states = SCALES.state.apply(jnp.asarray(raw))
    if way == "mean":
        step = dynamics.mean(own, states, actions)
    else:
        step = dynamics.sample(own, jax.random.key(0), states, actions)
    expected = moved(raw, np.asarray(actions), 0.4)
    expected[2] = raw[2]
    np.testing.assert_allclose(SCALES.state.invert(step.state), expected, atol=1e-5)
    earned = REWARD.invert(step.outcome)[:, 0]
    np.testing.assert_allclose(earned, [-0.6, -3.3, 0.0], atol=1e-5)
    np.testing.assert_array_equal(step.discount, [1.0, 0.0, 0.0])
    assert worlds.of_one(TASK) is dynamics  # what learns in it is compiled once


def test_nothing_is_uncertain_where_an_episode_is_over():
    apart = jax.tree.map(lambda x: x[0], world())
    members = apart.simulator.members
    bias = members.bias.at[0].add(0.1)
    members = members._replace(bias=bias)
    simulator = dataclasses.replace(apart.simulator, members=members)
    apart = apart._replace(simulator=simulator)
    states = SCALES.state.apply(jnp.array([[1.0, 0.0], [3.1, 2.0]]))
    found = worlds.of_one(TASK).spread(apart, states, jnp.array([0, 0]))
    assert found.disagreement[0] > 0.01 and found.disagreement[1] == 0.0


def test_states_stay_within_what_a_simulator_can_know():
    own = jax.tree.map(lambda x: x[0], world(low=-0.5, high=0.25))
    states = jnp.array([[0.2, 0.2], [0.0, 0.0], [-0.4, 0.0]])
    step = worlds.of_one(TASK).mean(own, states, jnp.array([2, 1, 0]))
    np.testing.assert_allclose(step.state[0], 0.25)
    np.testing.assert_allclose(step.state[1], 0.0, atol=1e-6)
    assert step.state[2, 0] == -0.5
    wild = own.simulator.members._replace(bias=jnp.full((2, 3, 2), jnp.inf))
    own = own._replace(simulator=dataclasses.replace(own.simulator, members=wild))
    step = worlds.of_one(TASK).mean(own, states[:2], jnp.array([2, 1]))
    np.testing.assert_array_equal(step.state, states[:2])


def test_rollouts_may_start_from_states_that_are_no_records():
    given = ready()
    own = policies._own(given, 0, [])
    starts = jnp.array([[0.3, -0.2], [0.1, 0.4]])
    one = jax.tree.map(lambda x: x[0], world())
    collect = (LEARN.rollout, worlds.of_one(TASK), ANY, ())
    for data, allowed in (
        (dyna.Data(own, one, (), starts), starts),
        (dyna.Data(own, one, ()), own.states[own.transitions]),
    ):
        seen = dyna.collect(*collect, jax.random.key(5), data, own.transitions)
        first = {tuple(x) for x in np.asarray(seen.state[0]).tolist()}
        assert first <= {tuple(x) for x in np.asarray(allowed).tolist()}


def test_imagined_episodes_live_in_the_agents_own_simulators():
    found = imagine(ready())
    assert len(found) == 2
    for gain, arrays in zip(GAINS, found, strict=True):
        assert arrays.lengths.size == LEARN.episodes
        starts = dataset.row_starts(arrays.lengths)
        # Anywhere in any log but at its end.
        begun = np.round(arrays.observations[starts][:, 0], 4)
        known = [0.9, 1.3, 1.7, 0.9, 0.5, 0.1, -0.3, -0.7]
        assert {*begun.tolist()} <= {*np.float32(known).tolist()}
        assert len({*begun.tolist()}) > 4
        before = np.delete(np.arange(len(arrays.observations)), starts + arrays.lengths)
        raw, following = arrays.observations[before], arrays.observations[before + 1]
        expected = moved(raw, arrays.actions, gain)
        np.testing.assert_allclose(following, expected, atol=1e-4)
        np.testing.assert_allclose(arrays.rewards, -np.abs(following[:, 0]), atol=1e-4)
        # To the limit, or to the end of the line.
        last = arrays.observations[starts + arrays.lengths][:, 0]
        np.testing.assert_array_equal(arrays.terminals, np.abs(last) > 3.0)
        whole = arrays.lengths == TASK.limit
        assert np.all(whole | arrays.terminals) and (arrays.lengths <= 12).all()
        assert len(set(arrays.actions)) == 3


def test_imagined_episodes_join_the_agents_own_log():
    given = ready()
    more = imagine(given)[1:]
    own = policies._own(given, 1, [])
    assert own.transitions.shape == (5,) and own.windows.shape == (4,)
    both = policies._own(given, 1, more)
    assert both.transitions.shape[0] == 5 + more[0].actions.size
    step = records.transition_at(both, both.transitions)
    raw = SCALES.state.invert(step.state)
    following = SCALES.state.invert(step.next_state)
    expected = moved(np.asarray(raw), np.asarray(step.action), GAINS[1])
    np.testing.assert_allclose(following, expected, atol=1e-4)
    earned = REWARD.invert(step.outcome)[:, 0]
    np.testing.assert_allclose(earned, -np.abs(following[:, 0]), atol=1e-4)
    assert both.stay[both.transitions[5:]].min() == 1  # apart from the log, stay 0
    # What experts did are windows of the log alone.
    np.testing.assert_array_equal(both.windows, own.windows)


def test_records_of_several_agents_are_filled_up_evenly():
    parts = [policies._own(ready(), n, []) for n in range(2)]
    both = learning.stacked(parts)
    assert both.states.shape == (2, 6, 2) and both.transitions.shape == (2, 5)
    np.testing.assert_array_equal(both.transitions[0], [0, 1, 2, 0, 1])
    np.testing.assert_array_equal(both.transitions[1], [0, 1, 2, 3, 4])
    np.testing.assert_array_equal(both.windows, [[0, 1, 0, 1], [0, 1, 2, 3]])
    np.testing.assert_array_equal(both.states[0, :4], parts[0].states)
    np.testing.assert_array_equal(both.states[0, 4:], 0.0)
    short = parts[0]._replace(windows=parts[0].windows[:0])
    assert learning.stacked([short, parts[1]]).windows.shape == (2, 0)


def test_each_agent_learns_from_its_own_world():
    given = ready()
    more = imagine(given)
    own = learning.stacked([policies._own(given, n, more[n : n + 1]) for n in range(2)])
    method = learning.make(
        "ddqn", LEARN.run(), given.cohort.space, worlds.of_one(TASK), ANY
    )
    params = learning.train_each(
        method, jax.random.key(3), dyna.Data(own, world(), ()), LEARN.epochs
    )
    raw = np.array([[1.0, 0.6], [-1.0, -0.4]], np.float32)
    states = SCALES.state.apply(jnp.asarray(raw))
    for agent, expected in enumerate([[0, 2], [2, 0]]):  # towards the middle
        one = jax.tree.map(lambda x, n=agent: x[n], params)
        chosen = np.argmax(method.policy.log_probs(one, states), axis=-1)
        np.testing.assert_array_equal(chosen, expected)
    physics = Gain(jnp.asarray(GAINS))
    swapped = jax.tree.map(lambda x: x[::-1], params)
    right, wrong = (
        playing.play(
            judging.World(TASK, 2),
            method.policy,
            judging.JudgeConfig(episodes=2),
            jax.random.key(4),
            physics,
            own,
            SCALES,
        )
        for own in (params, swapped)
    )
    assert right.shape == (2, 2) and np.all(right > wrong + 1.0)


def test_play_takes_the_likeliest_action_up_to_the_end():
    def log_probs(params, states):
        x = SCALES.state.invert(states)[..., 0]
        right = jnp.where(x < params, 0.0, -1.0)  # standing still is least likely
        return jnp.stack([-1.0 - right, -2.0 * jnp.ones_like(x), right], axis=-1)

    world = judging.World(TASK, 2)
    config = judging.JudgeConfig(episodes=3)
    physics = Gain(jnp.asarray([0.4, 0.5]))
    policy, key = Policy(log_probs), jax.random.key(0)
    goals = jnp.array([2.0, 9.0])  # the second is never reached
    found = playing.play(world, policy, config, key, physics, goals, SCALES)
    keys = jax.random.split(jax.random.key(0), (2, 3))
    for n, (gain, goal) in enumerate([(0.4, 2.0), (0.5, 9.0)]):
        for k in range(3):
            first_key, _ = jax.random.split(keys[n, k])
            x, total = float(TASK.reset(first_key)[0]), 0.0
            for _ in range(12):
                x += gain if x < goal else -gain
                total -= abs(x)
                if x > 3.0:
                    break
            np.testing.assert_allclose(found[n, k], total, rtol=1e-4)


def test_a_share_of_decisions_explores():
    policy = Policy(lambda params, states: jnp.log(params))
    chances = jnp.array([[0.7, 0.3, 0.0]])
    found = jnp.exp(learning.exploring(policy, 0.3).log_probs(chances, None))
    np.testing.assert_allclose(found, [[0.59, 0.31, 0.1]], rtol=1e-5)

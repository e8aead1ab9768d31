"""IQL with multi-task heads: the loss by hand, tables with an optimum, early stop."""

import dataclasses
import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny_mdp
from tiny_records import MU, SPACE, data, expectile_of, optimum, trained

from omgrl_jax.algorithms import multitask_iql, q_learning
from omgrl_jax.data.records import transition_at
from omgrl_jax.data.scales import Scales, Standardiser
from omgrl_jax.learners import critic as critic_lib
from omgrl_jax.learners import following, multitask, multitask_loss
from omgrl_jax.learners import soft_actor_critic as sac
from omgrl_jax.types import Policy

AGENT = sac.AgentConfig(discount=tiny_mdp.DISCOUNT, target_rate=0.05, updates=2000)
# Tables: one-hot states, heads without a trunk, nothing that disturbs.
TABULAR = multitask_iql.Config(
    hidden=(),
    dropout=0.0,
    temperature=1 / 1.5,
    max_weight=1.4,
    entropy_weight=0.0,
    learning_rate=0.004,
    weight_decay=0.0,
    max_gradient_norm=0.0,
    batch_size=128,
    patience=0,
    agent=AGENT,
)
SMALL = multitask_iql.Config(
    hidden=(8,),
    learning_rate=0.02,
    batch_size=16,
    patience=2,
    agent=dataclasses.replace(AGENT, updates=20),
)
TWO_CHANNELS = dataclasses.replace(SPACE, channels=("map", "reward"), recorded_reward=1)


def in_units(given, std):
    """The same data with a recorded reward whose standard deviation is `std`."""
    scale = Standardiser(jnp.zeros(1), jnp.full(1, std), jnp.zeros(1, bool))
    world = given.world._replace(scales=Scales(scale, scale, jnp.zeros(2)))
    train = given.train._replace(outcome=given.train.outcome / std)
    return given._replace(train=train, world=world)


def with_channel(records):
    """A channel in front of the reward, measured at every other row."""
    rows = records.states.shape[0]
    values = jnp.sin(jnp.arange(rows, dtype=jnp.float32))[:, None]
    measured = (jnp.arange(rows) % 4 == 0)[:, None]
    return records._replace(
        outcome=jnp.concatenate([values, records.outcome], axis=1),
        measured=jnp.concatenate([measured, records.measured], axis=1),
        censored=jnp.zeros((rows, 2), bool),
    )


def two_channels(counts, validation):
    """Records of a channel and a reward, and validation records with other actions."""
    given = data(np.asarray(counts))
    unit = Standardiser(jnp.zeros(2), jnp.ones(2), jnp.zeros(2, bool))
    world = given.world._replace(scales=Scales(unit, unit, jnp.zeros(2)))
    train = with_channel(given.train)
    return given._replace(
        train=train,
        world=world,
        validation=with_channel(data(np.asarray(validation)).train),
        measurements=train.outcome,
    )


# --- The loss, with heads that look their parameters up.

TABLES = {
    "q": np.array([[[1.0, -0.5], [0.4, 2.0]], [[0.7, 0.3], [0.9, -1.0]]]),
    "v": np.array([0.2, 0.8]),
    "logits": np.array([[3.0, -3.0], [-2.0, 2.0]]),
    "following": np.array([[[0.5, 1.0], [-0.3, 0.2]], [[0.1, 0.0], [2.0, -1.0]]]),
}
TARGET = {**TABLES, "q": TABLES["q"][::-1] * 1.5 + 0.1}
S, A = np.array([0, 0, 1]), np.array([0, 1, 1])
S_NEXT, GOES_ON = np.array([1, 0, 0]), np.array([1.0, 1.0, 0.0])
REWARDS, SCALE = np.array([1.0, -2.0, 3.0]), 2.0
VALUES = np.array([[1.0, 0.0], [0.5, -1.0], [0.3, 0.0]])
MEASURED = np.array([[True, False], [True, True], [False, False]])
CENSORED = np.array([[False, False], [True, False], [False, False]])


def look_up(params, states, scale, key=None):
    del key
    return multitask.Heads(
        q=scale * jnp.einsum("ksa,...s->k...a", params["q"], states),
        v=scale * states @ params["v"],
        log_probs=jax.nn.log_softmax(states @ params["logits"]),
        following=jnp.einsum("sak,...s->...ak", params["following"], states),
    )


LOOK_UP = multitask.Network(lambda key: TABLES, look_up, None)


def batch():
    eye = jnp.eye(2)
    steps = transition_at(data().train, jnp.arange(3))._replace(
        state=eye[S],
        next_state=eye[S_NEXT],
        action=jnp.asarray(A),
        discount=jnp.asarray(GOES_ON, jnp.float32),
    )
    found = following.Found(jnp.asarray(VALUES), MEASURED, CENSORED)
    return multitask_loss.Batch(steps, jnp.asarray(REWARDS), found, jnp.float32(SCALE))


def by_hand(objective, discount):
    """The loss and its gradients in numpy."""
    q_taken = SCALE * TARGET["q"][:, S, A].min(axis=0)
    v, v_next = SCALE * TABLES["v"][S], SCALE * TABLES["v"][S_NEXT]
    u = q_taken - v
    slope = np.where(u < 0, 1 - objective.expectile, objective.expectile)
    td = REWARDS + discount * GOES_ON * v_next - SCALE * TABLES["q"][:, S, A]
    p = np.exp(TABLES["logits"]) / np.exp(TABLES["logits"]).sum(axis=1, keepdims=True)
    entropy = -(p * np.log(p)).sum(axis=1)
    weight = np.minimum(np.exp(u / objective.temperature), objective.max_weight)
    assert weight.max() == objective.max_weight > weight.min()
    # Step 1's first value is only known to be at least .5: above it is no error.
    off = VALUES - TABLES["following"][S, A]
    assert off[1, 0] > 0
    count = np.array([2, 1])
    auxiliary = (MEASURED * off**2).sum(axis=0) / count
    total = (
        (slope * u**2).mean() / SCALE**2
        + 0.5 * (td**2).mean(axis=1).sum() / SCALE**2
        - (weight * np.log(p[S, A])).mean()
        - objective.entropy_weight * entropy[S].mean()
        + objective.auxiliary_weight * auxiliary.sum()
    )
    gradient = {name: np.zeros_like(values) for name, values in TABLES.items()}
    for b, (s, a) in enumerate(zip(S, A, strict=True)):
        gradient["q"][:, s, a] -= td[:, b] / 3 / SCALE
        gradient["v"][s] -= 2 * slope[b] * u[b] / 3 / SCALE
        log_p = np.log(p[s])
        gradient["logits"][s] += weight[b] * (p[s] - np.eye(2)[a]) / 3
        # dH/dz = -p (log p + H)
        push = objective.entropy_weight * p[s] * (log_p + entropy[s])
        gradient["logits"][s] += push / 3
        wrong = 2 * objective.auxiliary_weight * off[b] * MEASURED[b] / count
        gradient["following"][s, a] -= wrong
    return total, gradient


@pytest.mark.parametrize("entropy_weight", [0.0, 0.8])
def test_the_loss_and_every_heads_gradient_by_hand(entropy_weight):
    """Rows of opposite policies: their entropy over the batch would be large."""
    objective = multitask_loss.Objective(0.8, 0.9, 1.5, entropy_weight, 0.3)
    loss = multitask_loss.make_loss(objective, LOOK_UP, 0.5)
    params, target = (
        jax.tree.map(lambda x: jnp.asarray(x, jnp.float32), tables)
        for tables in (TABLES, TARGET)
    )
    both = jax.jit(jax.value_and_grad(loss, has_aux=True))
    (found, metrics), gradient = both(params, target, batch(), jax.random.key(0))
    total, wanted = by_hand(objective, 0.5)
    np.testing.assert_allclose(found, total, rtol=1e-5)
    chex.assert_trees_all_close(gradient, wanted, rtol=1e-4, atol=1e-6)
    # In the unit of the rewards.
    taken = SCALE * TABLES["q"][:, S, A].mean()
    np.testing.assert_allclose(metrics["critic/q_recorded"], taken, rtol=1e-5)
    assert metrics["actor/entropy"] < 0.1


def test_above_a_lower_bound_there_is_no_error_and_below_there_is():
    predicted = jnp.array([[[2.0]], [[0.0]]])
    found = following.Found(
        jnp.ones((2, 1)), jnp.ones((2, 1), bool), jnp.ones((2, 1), bool)
    )
    actions = jnp.zeros(2, jnp.int32)
    errors = functools.partial(following.squared_errors, actions=actions, found=found)
    both = jax.jit(jax.value_and_grad(lambda p: errors(p).sum()))
    total, slope = both(predicted)
    np.testing.assert_allclose(total, 0.5)
    np.testing.assert_allclose(slope[:, 0, 0], [0.0, -1.0])


def test_validation_weights_and_loss_by_hand():
    objective = multitask_loss.Objective(0.8, 0.9, 1.5, 0.0, 0.3)
    given = batch()
    weigh = multitask_loss.make_weigh(objective, LOOK_UP)
    weights = jax.jit(weigh)(TABLES, TARGET, given.steps, given.scale)
    u = SCALE * (TARGET["q"][:, S, A].min(axis=0) - TABLES["v"][S])
    wanted = np.minimum(np.exp(u / 0.9), 1.5)
    np.testing.assert_allclose(weights, wanted / wanted.sum(), rtol=1e-5)
    judge = multitask_loss.make_judge(objective, LOOK_UP)
    weights = jnp.array([0.5, 0.2, 0.3])
    p = np.exp(TABLES["logits"]) / np.exp(TABLES["logits"]).sum(axis=1, keepdims=True)
    log_p = np.log(p)[S, A]
    errors = np.where(MEASURED, VALUES - TABLES["following"][S, A], 0.0) ** 2
    loss = 0.3 * (errors.sum(axis=0) / [2, 1]).sum() - log_p @ np.asarray(weights)
    found = jax.jit(judge)(TABLES, weights, given.steps, given.found)
    np.testing.assert_allclose(found, loss, rtol=1e-5)


# --- Tables with a known optimum.


def learned(config, given, space=SPACE):
    state, policy, _ = trained(multitask_iql.make(config, space), given)
    return state, policy, multitask_iql.values(config, space)


@pytest.mark.parametrize(("tau", "std"), [(0.5, 4.0), (0.999, 1.0)])
def test_values_go_from_the_experts_to_the_best_recorded_ones(tau, std):
    config = dataclasses.replace(TABULAR, expectile=tau)
    state, policy, values = learned(config, in_units(data(), std))
    q, v = optimum(functools.partial(expectile_of, tau=tau))
    found = values(state, jnp.eye(3))
    # Rewards of any standard deviation: the values are in their unit all the same.
    assert state.scale == std
    np.testing.assert_allclose(found.q, q, atol=0.2)
    np.testing.assert_allclose(found.v, v, atol=0.2)
    mean_v = optimum(lambda q: (MU * q).sum(axis=1))[1]
    best_v = optimum(lambda q: q.max(axis=1))[1]
    wanted = {0.5: mean_v, 0.999: best_v}[tau]
    np.testing.assert_allclose(found.v, wanted, atol=0.25)
    assert np.abs(best_v - mean_v).min() > 0.8
    weights = MU * np.minimum(np.exp(1.5 * (q - v[:, None])), 1.4)
    weights /= weights.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(policy, weights, atol=0.04)


# --- Few records, of which most actions are absent.


def few_stays(stays=12, steps=8, actions=5):
    """Stays that end with +15 or -15; of five actions the experts only took two."""
    rng = np.random.default_rng(0)
    rows = np.arange(stays * (steps + 1))
    step, stay = rows % (steps + 1), rows // (steps + 1)
    reward = np.where(step == steps - 1, np.where(stay % 2, 15.0, -15.0), 0.0)
    there = jnp.asarray(np.flatnonzero(step < steps), jnp.int32)
    std = float(reward[there].std())
    column = jnp.asarray(reward / std, jnp.float32)[:, None]
    none = jnp.zeros_like(column, bool)
    train = data().train._replace(
        states=jnp.asarray(rng.normal(size=(rows.size, 3)), jnp.float32),
        actions=jnp.asarray(rng.integers(0, 2, rows.size), jnp.int32),
        outcome=column,
        measured=none,
        censored=none,
        discount=jnp.asarray(step != steps - 1, jnp.float32),
        transitions=there,
    )
    return in_units(data(), std)._replace(train=train, behaviour=None)


def test_values_stay_below_the_best_return_where_double_dqn_goes_above():
    """Double DQN bootstraps from actions nobody took, whose values nothing holds."""
    given, space = few_stays(), dataclasses.replace(SPACE, num_actions=5)
    agent = dataclasses.replace(
        AGENT,
        critic_hidden=(8,),
        critic_learning_rate=3e-3,
        discount=0.99,
        batch_size=32,
    )
    config = dataclasses.replace(
        SMALL, hidden=(8,), dropout=0.0, learning_rate=3e-3, batch_size=32
    )
    config = dataclasses.replace(config, patience=0, agent=agent)
    anything = Policy(lambda params, states: jnp.zeros((*states.shape[:-1], 5)))
    free = q_learning.make(q_learning.Config(0.0, agent=agent), space, anything)
    critic = critic_lib.make(agent.critic_hidden, 3, 5, copies=1)
    states = given.train.states[given.train.transitions]

    @jax.jit
    def largest(key, given):
        keys = jax.random.split(key, 4)
        state = free.update(free.init(keys[0], given), keys[1], given)[0]
        held = multitask_iql.make(config, space)
        other = held.update(held.init(keys[2], given), keys[3], given)[0]
        found = multitask_iql.values(config, space)(other, states)
        return jnp.max(critic.values(state.critic.params, states)), jnp.max(found.q)

    overestimated, implicit = largest(jax.random.key(0), given)
    # No return is above 15; the network's error at the end of stays is in the margin.
    assert 5.0 < implicit < 15.0 * 1.2
    assert overestimated > 2 * 15.0


# --- Auxiliary heads.


def test_without_weight_auxiliary_heads_change_nothing_else():
    """Neither what the others begin with nor how they move."""
    given = two_channels(np.full((3, 2), 3), np.full((3, 2), 3))
    config = dataclasses.replace(SMALL, auxiliary_weight=0.0, patience=0)
    state = learned(config, given, TWO_CHANNELS)[0]
    alone = dataclasses.replace(TWO_CHANNELS, channels=("reward",), recorded_reward=0)
    first = given.train._replace(
        outcome=given.train.outcome[:, 1:],
        measured=given.train.measured[:, 1:],
        censored=given.train.censored[:, 1:],
    )
    unit = Standardiser(jnp.zeros(1), jnp.ones(1), jnp.zeros(1, bool))
    world = given.world._replace(scales=Scales(unit, unit, jnp.zeros(2)))
    less = given._replace(
        train=first, world=world, validation=None, measurements=first.outcome
    )
    other = learned(config, less, alone)[0]
    shared = dict(state.learner.params["params"])
    assert set(shared) - set(other.learner.params["params"]) == {"auxiliary"}
    shared.pop("auxiliary")
    chex.assert_trees_all_close(
        shared, other.learner.params["params"], rtol=1e-5, atol=1e-6
    )


def test_auxiliary_channels_are_named():
    names = functools.partial(following.channels_of, TWO_CHANNELS)
    np.testing.assert_array_equal(names(()), [0])
    np.testing.assert_array_equal(names(("map",)), [0])
    for name in ("lactate", "reward"):
        config = dataclasses.replace(SMALL, auxiliary=(name,))
        with pytest.raises(ValueError, match=f"--multitask_iql_auxiliary={name}.*map"):
            multitask_iql.make(config, TWO_CHANNELS)


# --- Early stop.


@functools.cache
def stopper():
    config = dataclasses.replace(SMALL, hidden=())
    algorithm = multitask_iql.make(config, TWO_CHANNELS)
    return jax.jit(algorithm.init), jax.jit(algorithm.update)


OFTEN_0, OFTEN_1 = np.tile([6, 1], (3, 1)), np.tile([1, 6], (3, 1))


def epochs(given, count=5):
    """The states before and after each epoch, and the metrics."""
    init, update = stopper()
    states, history = [init(jax.random.key(0), given)], []
    for number in range(count):
        state, metrics = update(states[-1], jax.random.key(number + 1), given)
        states.append(state)
        history.append(metrics)
    return states, history


def test_where_validation_only_gets_worse_the_first_parameters_stay_and_it_stops():
    states, history = epochs(two_channels(OFTEN_0, OFTEN_1))
    assert [int(state.waited) for state in states] == [0, 1, 2, 2, 2, 2]
    assert [float(m["validation/stopped"]) for m in history] == [0, 0, 1, 1, 1]
    chex.assert_trees_all_equal(states[-1].best, states[0].learner.params)
    chex.assert_trees_all_equal(states[2], states[-1])
    for part in ("learner", "target"):
        before, after = (getattr(states[n], part) for n in (1, 2))
        moved = jax.tree.map(lambda a, b: np.any(a != b), before, after)
        assert any(jax.tree.leaves(moved))
    assert history[0].keys() == history[-1].keys()


def test_where_validation_gets_better_the_newest_parameters_dose():
    states, history = epochs(two_channels(OFTEN_0, OFTEN_0), 3)
    assert [int(state.waited) for state in states] == [0, 0, 0, 0]
    for state in states[1:]:
        chex.assert_trees_all_equal(state.best, state.learner.params)
    losses = [float(metrics["validation/loss"]) for metrics in history]
    assert losses[-1] < losses[0]


def test_auxiliary_targets_are_what_was_measured_not_what_a_model_estimates():
    given = two_channels(OFTEN_0, OFTEN_0)
    estimated = given.train.outcome.at[:, 0].add(5.0)
    other = given._replace(train=given.train._replace(outcome=estimated))
    one, same = epochs(given, 1)[0][1], epochs(other, 1)[0][1]
    chex.assert_trees_all_equal(one.learner.params, same.learner.params)
    shifted = given._replace(measurements=estimated)
    moved = epochs(shifted, 1)[0][1]
    heads = (state.learner.params["params"]["auxiliary"] for state in (one, moved))
    assert not np.allclose(*(head["bias"] for head in heads))


def test_validation_records_are_asked_for():
    given = two_channels(OFTEN_0, OFTEN_0)._replace(validation=None)
    algorithm = multitask_iql.make(SMALL, TWO_CHANNELS)
    state = jax.eval_shape(algorithm.init, jax.random.key(0), given)
    with pytest.raises(ValueError, match="--multitask_iql_patience=0"):
        jax.eval_shape(algorithm.update, state, jax.random.key(0), given)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("expectile", 1.0),
        ("temperature", 0.0),
        ("max_weight", 0.0),
        ("entropy_weight", -1.0),
        ("dropout", 1.0),
        ("learning_rate", 0.0),
        ("patience", -1),
    ],
)
def test_settings_that_cannot_work_are_named(field, value):
    with pytest.raises(ValueError, match=field):
        multitask_iql.Config(**{field: value})

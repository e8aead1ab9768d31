"""Off-policy evaluation of whole logs: what goes in, Q, intervals, doubts."""

import functools
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny_dataset
import tiny_mdp

from omgrl_jax.data import records as records_lib
from omgrl_jax.data import scales as scales_lib
from omgrl_jax.data import space as space_lib
from omgrl_jax.evaluation import episodes as episodes_lib
from omgrl_jax.evaluation import off_policy
from omgrl_jax.evaluation.episodes import Episodes
from omgrl_jax.learners import fitted_q, known_reward
from omgrl_jax.ops import estimators
from omgrl_jax.types import Dynamics, Policy, Step

HORIZON, DISCOUNT = tiny_mdp.HORIZON, tiny_mdp.DISCOUNT
CONFIG = off_policy.Config(horizon=HORIZON, discount=DISCOUNT, resamples=1000)
PI = np.array([[0.8, 0.2], [0.3, 0.7], [0.6, 0.4]])
MU = np.array([[0.5, 0.5], [0.6, 0.4], [0.3, 0.7]])
QUICK = fitted_q.Config(
    hidden=(16,), learning_rate=0.01, batch_size=64, steps=1200, target_rate=0.05
)
# States are one-hot: parameters [S, A] are log-probabilities.
TABLE = Policy(lambda params, states: states @ params)


steps_of = jax.jit(episodes_lib.steps_of)


def log_table(policy):
    return np.log(policy).astype(np.float32)


def exact(policy, ends):
    """Q [H, S, A] by backward induction; with `ends`, entering state 2 ends a stay."""
    q, v = np.zeros((HORIZON, 3, 2)), np.zeros(3)
    for t in reversed(range(HORIZON)):
        q[t] = tiny_mdp.REWARD + DISCOUNT * v[tiny_mdp.NEXT]
        v = np.sum(policy * q[t], axis=1) * ([1, 1, 0] if ends else 1)
    return q


def play(policy, count, seed=0, ends=False):
    """Episodes of the tiny process under a policy [S, A]."""
    rng = np.random.default_rng(seed)
    states = np.zeros((count, HORIZON + 1), int)
    actions = np.zeros((count, HORIZON), int)
    states[:, 0] = rng.choice(3, count, p=tiny_mdp.START)
    for t in range(HORIZON):
        actions[:, t] = rng.random(count) > policy[states[:, t], 0]
        states[:, t + 1] = tiny_mdp.NEXT[states[:, t], actions[:, t]]
    alive = np.ones((count, HORIZON), bool)
    if ends:
        alive[:, 1:] = np.cumprod(states[:, 1:-1] != 2, axis=1)
    rewards = np.where(alive, tiny_mdp.REWARD[states[:, :-1], actions], 99.0)
    return Episodes(
        states=np.eye(3, dtype=np.float32)[states],
        actions=actions.astype(np.int32),
        rewards=rewards.astype(np.float32),
        alive=alive,
        patients=np.arange(count, dtype=np.int32),
    )


def lookup():
    """Action values that are their parameters: [H + 1, S, A]."""

    def values(params, states, times):
        hour = jnp.round(times * HORIZON).astype(jnp.int32)
        return jnp.einsum("...s,...sa->...a", states, params[hour])

    return fitted_q.ActionValues(
        lambda key: jax.random.normal(key, (HORIZON + 1, 3, 2)), values, 1.0
    )


@pytest.mark.parametrize("ends", [False, True])
def test_fitted_q_converges_to_the_exact_values(ends):
    """Every step occurs; the log is mu's, the values are pi's."""
    log = play(MU, 200, ends=ends)
    steps = steps_of(log, log.states @ log_table(PI), DISCOUNT)
    config = fitted_q.Config(
        learning_rate=0.03, batch_size=64, steps=1500, target_rate=0.1
    )
    found = jax.jit(lambda: fitted_q.fit(jax.random.key(0), config, lookup(), steps))()
    states = np.argmax(np.asarray(log.states[:, :-1]), axis=-1)
    hour = np.broadcast_to(np.arange(HORIZON), states.shape)
    alive = np.asarray(log.alive)
    cells = tuple(x[alive] for x in (hour, states, np.asarray(log.actions)))
    assert len(set(zip(*cells, strict=True))) > 10
    np.testing.assert_allclose(
        np.asarray(found)[cells], exact(PI, ends)[cells], atol=0.01
    )


def test_a_network_learns_nearly_the_same():
    log, judged = play(MU, 200), play(MU, 50, seed=1)
    log_pi = log.states @ log_table(PI)
    found = off_policy.fitted_values(
        jax.random.key(1), CONFIG, QUICK, log, log_pi, judged
    )
    states = np.argmax(judged.states[:, :-1], axis=-1)
    wanted = exact(PI, False)[np.arange(HORIZON), states]
    assert found.shape == wanted.shape
    # Far nearer than ignoring the time would be: values shrink as hours run out.
    assert np.abs(found - wanted).mean() < 0.15


def test_steps_of_a_cut_stay_end_with_it():
    log = play(MU, 30, ends=True)
    steps = steps_of(log, log.states @ log_table(PI), DISCOUNT)
    continues = np.asarray(steps.continues).reshape(30, HORIZON)
    alive = np.asarray(log.alive)
    assert (continues[:, -1] == 0).all()
    np.testing.assert_allclose(continues[:, :-1], DISCOUNT * alive[:, 1:])
    times = np.asarray(steps.next_time).reshape(30, HORIZON)
    np.testing.assert_allclose(times[4], [1 / 3, 2 / 3, 1])


@functools.cache
def split(name="train", horizon=3):
    schema, arrays = tiny_dataset.schema(delay=1), tiny_dataset.trajectories(24)
    space = space_lib.make_space(schema)
    scales = scales_lib.fit_scales(schema, space, arrays)
    made = records_lib.make_records(schema, space, scales, arrays, name, horizon)
    return space, scales, arrays, made


def test_episodes_hold_the_recorded_stays():
    space, scales, arrays, made = split()
    chosen = np.flatnonzero(arrays.split == 0)
    reward = known_reward.make(space, scales)
    found = episodes_lib.episodes_of(made, reward, 8, arrays.patients[chosen])
    rewards = np.zeros(made.states.shape[0])
    rewards[made.transitions] = reward(
        records_lib.transition_at(made, made.transitions)
    )
    found, made = jax.tree.map(np.asarray, (found, made))
    assert {*arrays.lengths[chosen]} > {3, 12}  # some are padded, some are cut
    row = 0
    for n, i in enumerate(chosen):
        kept = min(arrays.lengths[i], 8)
        np.testing.assert_array_equal(found.alive[n], np.arange(8) < kept)
        rows = row + np.arange(kept)
        np.testing.assert_array_equal(found.actions[n, :kept], made.actions[rows])
        rows = row + np.minimum(np.arange(9), arrays.lengths[i])
        np.testing.assert_array_equal(found.states[n], made.states[rows])
        # Padding repeats the last step, and reads nothing of the next stay.
        wanted = rewards[row + np.minimum(np.arange(8), arrays.lengths[i] - 1)]
        np.testing.assert_allclose(found.rewards[n], wanted, rtol=1e-6)
        row += arrays.lengths[i] + 1
    patients = arrays.patients[chosen]
    same = patients[:, None] == patients
    number = np.asarray(found.patients)
    np.testing.assert_array_equal(number[:, None] == number, same)
    assert episodes_lib.count_patients(found) == np.unique(patients).size < chosen.size


def test_patients_must_be_those_of_the_split():
    space, scales, arrays, made = split()
    reward = known_reward.make(space, scales)
    alone = episodes_lib.episodes_of(made, reward, 2)
    assert episodes_lib.count_patients(alone) == alone.actions.shape[0]
    with pytest.raises(ValueError, match=r"patients has shape \(24,\)"):
        episodes_lib.episodes_of(made, reward, 2, arrays.patients)


def test_the_reported_reward_is_that_of_the_last_value_in_the_next_state():
    space, scales, _, made = split()
    at = records_lib.transition_at(made, made.transitions)
    found = episodes_lib.reported_reward(space, scales)(at)
    defined = known_reward.make(space, scales)(at)
    fresh = np.asarray(made.measured)[np.asarray(made.transitions), 0]
    assert 0.1 < fresh.mean() < 0.9
    np.testing.assert_allclose(found[fresh], defined[fresh], atol=1e-3)
    before = at._replace(next_state=at.state)
    held = episodes_lib.reported_reward(space, scales)(before)
    np.testing.assert_allclose(found[~fresh], held[~fresh], atol=1e-6)


def test_a_state_without_the_last_value_has_no_reported_reward():
    schema = tiny_dataset.schema()
    space = space_lib.make_space(schema, "paper")
    with pytest.raises(ValueError, match="--state=full"):
        episodes_lib.reported_reward(space, split()[1])


def test_a_softened_policy_by_hand():
    pi, mu = np.array([[1 - 1e-30, 1e-30]] * 3), MU
    params = (log_table(pi), log_table(mu))
    soft = off_policy.softened(TABLE, TABLE, 0.25)
    found = np.exp(soft.log_probs(params, jnp.eye(3)))
    np.testing.assert_allclose(found, 0.75 * pi + 0.25 * mu, rtol=1e-5)
    assert (found / mu).min() >= 0.25 * (1 - 1e-5)
    even = off_policy.softened(TABLE, off_policy.uniform(2), 0.5)
    found = np.exp(even.log_probs((log_table(pi), None), jnp.eye(3)))
    np.testing.assert_allclose(found, [[0.75, 0.25]] * 3, rtol=1e-5)
    with pytest.raises(ValueError, match=r"share=1\.0"):
        off_policy.softened(TABLE, TABLE, 1.0)


def log_of(episodes, pi=PI, mu=MU):
    at = np.argmax(episodes.states[:, :-1], axis=-1)
    q = exact(pi, False)[np.arange(HORIZON), at].astype(np.float32)
    make = jax.jit(episodes_lib.log_of)
    return make(episodes, log_table(pi)[at], log_table(mu)[at], q)


def test_the_log_by_hand():
    episodes = play(MU, 5)
    found = log_of(episodes)
    s, a = np.argmax(episodes.states[3, 0]), int(episodes.actions[3, 0])
    np.testing.assert_allclose(
        found.log_ratios[3, 0], np.log(PI[s, a] / MU[s, a]), rtol=1e-5
    )
    q = exact(PI, False)[0, s]
    np.testing.assert_allclose(found.q[3, 0], q[a], rtol=1e-5)
    np.testing.assert_allclose(found.v[3, 0], PI[s] @ q, rtol=1e-5)


def test_intervals_are_those_of_the_mean_where_no_weight_differs():
    """200 patients: percentiles of the bootstrap against mean +- 1.96 sd / sqrt(n)."""
    episodes = play(MU, 200)
    log = log_of(episodes, MU, MU)
    found = off_policy.estimate(jax.random.key(0), CONFIG, log, episodes.patients, 200)
    returns = np.asarray(episodes.rewards) @ DISCOUNT ** np.arange(HORIZON)
    error = 1.96 * returns.std() / np.sqrt(200)
    for name in ("is", "wis", "pdis", "pdwis"):
        one = found[name]
        np.testing.assert_allclose(one.value, returns.mean(), rtol=1e-4)
        np.testing.assert_allclose(one.value - one.low, error, rtol=0.15)
        np.testing.assert_allclose(one.high - one.value, error, rtol=0.15)
        np.testing.assert_allclose(one.ess, [200] * HORIZON, rtol=1e-4)
        np.testing.assert_allclose(one.largest, [1 / 200] * HORIZON, rtol=1e-4)
        assert not off_policy.doubtful(one)


def test_a_patient_with_two_stays_is_one_patient():
    """Every stay twice is no more evidence: the intervals and the ESS of one."""
    log = log_of(play(MU, 100))
    twice = jax.tree.map(lambda x: np.concatenate([x, x]), jax.device_get(log))
    found = off_policy.estimate(
        jax.random.key(2), CONFIG, twice, np.arange(200, dtype=np.int32) % 100, 100
    )["wis"]
    rho = np.exp(np.sum(log.log_ratios, axis=1))
    returns = log.rewards @ DISCOUNT ** np.arange(HORIZON)
    rng = np.random.default_rng(0)
    counts = rng.multinomial(100, np.full(100, 0.01), 4000)
    values = (counts @ (rho * returns)) / (counts @ rho)
    low, high = np.quantile(values, [0.025, 0.975])
    np.testing.assert_allclose(found.high - found.low, high - low, rtol=0.1)
    ess = rho.sum() ** 2 / (rho**2).sum()
    np.testing.assert_allclose(found.ess, [ess] * HORIZON, rtol=1e-4)


def test_diagnostics_follow_what_an_estimator_weights_by():
    episodes = play(MU, 50)
    log = log_of(episodes)
    found = off_policy.estimate(jax.random.key(0), CONFIG, log, episodes.patients, 50)
    rho = np.exp(np.cumsum(np.asarray(log.log_ratios, float), axis=1))
    ess = rho.sum(axis=0) ** 2 / (rho**2).sum(axis=0)
    largest = rho.max(axis=0) / rho.sum(axis=0)
    for name in ("pdis", "pdwis", "dr", "wdr"):
        np.testing.assert_allclose(found[name].ess, ess, rtol=1e-4)
        np.testing.assert_allclose(found[name].largest, largest, rtol=1e-4)
    for name in ("is", "wis"):
        np.testing.assert_allclose(found[name].ess, [ess[-1]] * HORIZON, rtol=1e-4)
    np.testing.assert_allclose(found["fqe"].ess, [50.0] * HORIZON, rtol=1e-4)
    assert off_policy.doubtful(found["wis"]) and not off_policy.doubtful(found["fqe"])


def test_undefined_estimates_are_doubtful():
    nothing = off_policy.Estimate(*[jnp.full(3, jnp.nan)] * 5)
    assert off_policy.doubtful(nothing)


def test_evaluation_from_end_to_end():
    """With 200 patients the ratios leave 100 effective ones, with 50 less than 50."""
    fitting = play(MU, 200)
    policy, behaviour = (TABLE, log_table(PI)), (TABLE, log_table(MU))
    keys = jax.random.split(jax.random.key(0))

    def run(key, judged):
        return off_policy.evaluate(
            key, CONFIG, QUICK, fitting, judged, policy, behaviour
        )

    found = run(keys[0], play(MU, 200, seed=1))
    assert found.keys() == estimators.ESTIMATORS.keys()
    truth = tiny_mdp.START @ np.sum(PI * exact(PI, False)[0], axis=1)
    for name, one in found.items():
        assert abs(float(one.value) - truth) < 0.25, name
        assert one.low <= one.value <= one.high
    assert found["wdr"].high - found["wdr"].low < found["is"].high - found["is"].low
    assert not any(off_policy.doubtful(one) for one in found.values())

    few = run(keys[1], play(MU, 50, seed=1))
    # The direct method uses no ratios: it rests on all 50.
    assert off_policy.doubtful(few["wis"]) and not off_policy.doubtful(few["fqe"])


def test_the_value_in_a_model_that_is_true():
    """Rollouts from the recorded starts, for as long as each stay was recorded."""

    def sample(params, key, states, actions):
        del params, key
        here = jnp.argmax(states, axis=-1)
        following = jnp.asarray(tiny_mdp.NEXT)[here, actions]
        return Step(jnp.eye(3)[following], jnp.zeros((states.shape[0], 1)))

    def reward(transitions):
        here = jnp.argmax(transitions.state, axis=-1)
        return jnp.asarray(tiny_mdp.REWARD, jnp.float32)[here, transitions.action]

    world = types.SimpleNamespace(dynamics=Dynamics(sample, None))
    always = np.array([[1 - 1e-30, 1e-30], [1e-30, 1 - 1e-30], [1 - 1e-30, 1e-30]])
    judged = play(MU, 50, ends=True)
    found = off_policy.model_value(
        jax.random.key(0),
        CONFIG,
        (world, None),
        (TABLE, log_table(always)),
        reward,
        judged,
    )
    returns = np.zeros(50)
    here = np.argmax(judged.states[:, 0], axis=-1)
    for t in range(HORIZON):
        action = np.argmax(always[here], axis=-1)
        gained = tiny_mdp.REWARD[here, action]
        returns += DISCOUNT**t * gained * np.asarray(judged.alive[:, t])
        here = tiny_mdp.NEXT[here, action]
    np.testing.assert_allclose(found.value, returns.mean(), rtol=1e-4)
    assert found.low < found.value < found.high
    np.testing.assert_allclose(found.ess, [50.0] * HORIZON, rtol=1e-4)

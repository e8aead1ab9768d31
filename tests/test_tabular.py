"""Exact values of tabular processes: by hand, by enumeration, by play, as published."""

import itertools

import numpy as np
import pytest
import tiny_mdp

from omgrl_jax.envs import icu_sepsis, tabular
from omgrl_jax.evaluation import tabular as exact

UNIFORM = np.full((tiny_mdp.STATES, tiny_mdp.ACTIONS), 0.5)


def tiny():
    moves = np.eye(tiny_mdp.STATES)[tiny_mdp.NEXT]
    return tabular.make(moves, tiny_mdp.REWARD[:, :, None], tiny_mdp.START)


def game(stay=0.75):
    """State 0 ends with .25 (reward 2) or is kept; 1 may wait for ever; 2 is the end.

    Action 0 of state 0 keeps playing, action 1 ends it at once with reward 1.
    """
    moves = np.zeros((3, 2, 3))
    moves[0, 0] = [stay, 0, 1 - stay]
    moves[0, 1, 2] = 1
    moves[1, 0, 1] = 1
    moves[1, 1, 0] = 1
    moves[2, :, 0] = 1  # ignored: episodes are over there
    rewards = np.zeros((3, 2, 3))
    rewards[0, 0, 2], rewards[0, 1, 2] = 2, 1
    return tabular.make(moves, rewards, [0.5, 0.5, 0], terminal=[2])


def test_values_by_hand():
    # Playing on from 0 earns 2 in the end; from 1 one goes to 0 first.
    play_on = np.array([[1, 0], [0, 1], [1, 0]])
    np.testing.assert_allclose(exact.state_values(game(), play_on), [2, 2, 0])
    # Halving the worth of each step: V0 = .25 * 2 + .5 * .75 V0 = .5 / .625 = .8.
    np.testing.assert_allclose(exact.state_values(game(), play_on, 0.5), [0.8, 0.4, 0])
    assert exact.value(game(), play_on, 0.5) == pytest.approx(0.6)
    # A mean of four steps from 0, five from 1.
    assert exact.episode_length(game(), play_on) == pytest.approx(4.5)


def test_the_optimum_by_hand():
    policy, values = exact.optimum(game())
    np.testing.assert_allclose(values, [2, 2, 0])
    np.testing.assert_array_equal(policy[0], [1, 0])
    # Impatient players take the 1 at once.
    policy, values = exact.optimum(game(), 0.5)
    np.testing.assert_allclose(values, [1, 0.5, 0])
    np.testing.assert_array_equal(policy[:2], [[0, 1], [0, 1]])


def test_waiting_for_ever_has_no_value_without_a_discount():
    wait = np.array([[1, 0], [1, 0], [1, 0]])
    with pytest.raises(np.linalg.LinAlgError):
        exact.state_values(game(), wait)
    np.testing.assert_allclose(exact.state_values(game(), wait, 0.5)[1], 0)


def test_values_satisfy_a_long_sum():
    """Sums rewards over 200 steps of the state distribution: .8^200 is nothing."""
    policy = np.random.default_rng(0).dirichlet([1, 1], tiny_mdp.STATES)
    total, weight, here = 0.0, 1.0, tiny_mdp.START
    for _ in range(200):
        joint = here[:, None] * policy
        total += weight * np.sum(joint * tiny_mdp.REWARD)
        weight *= tiny_mdp.DISCOUNT
        here = np.zeros(tiny_mdp.STATES)
        np.add.at(here, tiny_mdp.NEXT, joint)
    found = exact.value(tiny(), policy, tiny_mdp.DISCOUNT)
    assert found == pytest.approx(total, abs=1e-12)


def test_the_optimum_beats_every_policy_there_is():
    each = itertools.product(range(tiny_mdp.ACTIONS), repeat=tiny_mdp.STATES)
    tables = [np.eye(tiny_mdp.ACTIONS)[list(actions)] for actions in each]
    values = [exact.state_values(tiny(), t, tiny_mdp.DISCOUNT) for t in tables]
    policy, found = exact.optimum(tiny(), tiny_mdp.DISCOUNT)
    np.testing.assert_allclose(found, np.max(values, axis=0), atol=1e-12)
    best = int(np.argmax(np.sum(values, axis=1)))
    np.testing.assert_array_equal(policy, tables[best])


def test_play_agrees_with_the_exact_value():
    rng = np.random.default_rng(1)
    policy = np.array([[0.7, 0.3], [0.5, 0.5], [0, 0]])
    played = tabular.simulate(game(), policy, rng, 4000, 300)
    assert played.ended.all()
    returns = played.rewards.sum(axis=1)
    error = returns.std() / np.sqrt(returns.size)
    assert abs(returns.mean() - exact.value(game(), policy)) < 4 * error
    error = played.lengths.std() / np.sqrt(played.lengths.size)
    expected = exact.episode_length(game(), policy)
    assert abs(played.lengths.mean() - expected) < 4 * error


def test_play_is_cut_where_the_time_is_up():
    wait = np.array([[0, 1], [1, 0], [0, 0]])
    played = tabular.simulate(game(), wait, np.random.default_rng(0), 50, 6)
    started_at_1 = played.states[:, 0] == 1
    assert 0 < started_at_1.sum() < 50
    np.testing.assert_array_equal(played.ended, ~started_at_1)
    np.testing.assert_array_equal(played.lengths, np.where(started_at_1, 6, 1))
    np.testing.assert_array_equal(played.rewards[~started_at_1].sum(axis=1), 1.0)
    assert played.rewards.shape == (50, 6) and played.states.shape == (50, 7)


def test_draws_never_fall_on_what_cannot_happen():
    rows = np.tile([0.0, 0.3, 0.0, 0.7 - 1e-12, 0.0], (20000, 1))
    drawn = tabular._draw(np.random.default_rng(0), rows)
    assert set(drawn.tolist()) == {1, 3}
    assert abs((drawn == 1).mean() - 0.3) < 0.02


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (dict(transitions=np.full((2, 2, 2), 0.4)), "sum to one"),
        (dict(transitions=np.tile([1.5, -0.5], (2, 2, 1))), "sum to one"),
        (dict(start=[0.5, 0.4]), "sum to one"),
        (dict(transitions=np.full((2, 2, 3), 1 / 3)), "transitions"),
        (dict(rewards=np.zeros((3, 2, 1))), "broadcast"),
    ],
)
def test_unsound_tables_are_refused(change, words):
    sound = dict(
        transitions=np.full((2, 2, 2), 0.5), rewards=np.zeros(2), start=[0.5, 0.5]
    )
    tabular.make(**sound)
    with pytest.raises(ValueError, match=words):
        tabular.make(**{**sound, **change})


def test_a_policy_of_another_shape_is_refused():
    with pytest.raises(ValueError, match=r"policy \(2, 3\)"):
        exact.state_values(tiny(), UNIFORM.T, 0.5)


@pytest.fixture(scope="module")
def sepsis():
    if not icu_sepsis.installed():
        pytest.skip("icu-sepsis is not installed")
    return icu_sepsis.load()


def test_icu_sepsis_has_its_published_values(sepsis):
    """Returns .78, .78, .88 and steps 9.45, 9.22, 10.99 (README of the package).

    The published figures are averages over simulated episodes.
    """
    process, clinicians = sepsis
    assert process.transitions.shape == (716, 25, 716)
    best, values = exact.optimum(process)
    found = {
        "random": np.full(clinicians.shape, 1 / 25),
        "clinicians": clinicians,
        "optimal": best,
    }
    returns = [exact.value(process, policy) for policy in found.values()]
    np.testing.assert_allclose(returns, [0.78, 0.78, 0.88], atol=0.005)
    np.testing.assert_allclose(returns, [0.780071, 0.781845, 0.875142], atol=1e-6)
    assert returns[2] == pytest.approx(process.start @ values)
    steps = [exact.episode_length(process, policy) for policy in found.values()]
    np.testing.assert_allclose(steps, [9.45, 9.22, 10.99], atol=0.03)


def test_icu_sepsis_by_play(sepsis):
    """1,000 stays: the share of survivors has a standard error of .013."""
    process, clinicians = sepsis
    rng = np.random.default_rng(0)
    played = tabular.simulate(process, clinicians, rng, 1000, icu_sepsis.MAX_STEPS)
    last = played.states[np.arange(1000), played.lengths]
    assert set(last.tolist()) == {icu_sepsis.DEATH, icu_sepsis.SURVIVAL}
    returns = played.rewards.sum(axis=1)
    np.testing.assert_array_equal(returns, last == icu_sepsis.SURVIVAL)
    assert abs(returns.mean() - exact.value(process, clinicians)) < 0.05

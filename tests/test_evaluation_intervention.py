"""Intervention test and reward alignment, on tables whose answers are known."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from omgrl_jax.data import scales as scales_lib
from omgrl_jax.envs import heparin
from omgrl_jax.evaluation import alignment, intervention
from omgrl_jax.types import Dynamics, Step

DOSES = np.array([0.0, 600.0, 1000.0, 1500.0])
PEOPLE = heparin.PatientDistribution()


def log_linear(slope, bases=(30.0, 50.0, 80.0)):
    """aPTT [N, A] whose logarithm rises by `slope` per 1000 U/h."""
    return np.array(bases)[:, None] * np.exp(slope * DOSES / 1000.0)[None, :]


def test_slopes_of_log_linear_tables_are_exact():
    test = intervention.summarise(DOSES, log_linear(0.45), log_linear(0.6))
    assert test.slope_model == pytest.approx(0.45)
    assert test.slope_truth == pytest.approx(0.6)
    assert test.ratio == pytest.approx(0.75)
    assert (test.rank, test.monotone) == (1.0, 1.0)
    everything = stats.spearmanr(test.model.ravel(), test.truth.ravel()).statistic
    assert test.rank_all == pytest.approx(everything) and test.rank_all < 1.0


def test_a_model_with_the_wrong_sign_is_shown_as_such():
    test = intervention.summarise(DOSES, log_linear(-0.3), log_linear(0.6))
    assert test.ratio == pytest.approx(-0.5)
    assert (test.rank, test.monotone) == (pytest.approx(-1.0), 0.0)


def test_ranks_and_rises_are_means_over_states_and_neighbours():
    truth = log_linear(0.6, (40.0, 40.0))
    model = truth.copy()
    model[1] = model[1, [0, 2, 1, 3]]  # one neighbouring pair is the wrong way round
    test = intervention.summarise(DOSES, model, truth)
    # Spearman of (1, 3, 2, 4) with (1, 2, 3, 4): 1 - 6 * 2 / (4 * 15) = 0.8.
    assert test.rank == pytest.approx((1.0 + 0.8) / 2)
    assert test.monotone == pytest.approx(5 / 6)


def test_a_model_that_ignores_the_dose_has_no_rank():
    flat = np.full((3, 4), 70.0)
    test = intervention.summarise(DOSES, flat, log_linear(0.6))
    assert (test.slope_model, test.ratio) == pytest.approx((0.0, 0.0))
    assert (test.rank, test.rank_all, test.monotone) == (0.0, 0.0, 0.0)


def test_values_as_reported_end_at_the_limit_in_model_and_truth():
    model, truth = log_linear(2.0, (40.0,)), log_linear(0.8, (40.0,))
    whole = intervention.summarise(DOSES, model, truth)
    limited = intervention.as_reported(whole, 100.0)
    np.testing.assert_allclose(limited.model, [[40, 100, 100, 100]])
    expected = [[40, 40 * np.exp(0.48), 40 * np.exp(0.8), 100]]
    np.testing.assert_allclose(limited.truth, expected)
    x = (DOSES - DOSES.mean()) / 1000
    by_hand = np.polyfit(x, np.log(limited.model[0]), 1)[0]
    assert limited.slope_model == pytest.approx(by_hand)
    assert limited.slope_model < whole.slope_model


def scales(doses=DOSES):
    """One state feature and one channel, both on the logarithm of aPTT over 10."""
    one = scales_lib.Standardiser(jnp.array([3.0]), jnp.array([0.5]), jnp.array([True]))
    return scales_lib.Scales(one, one, jnp.asarray(doses, jnp.float32))


def steps_by_dose(params, states, actions, amounts=None):
    """The standardised log value rises by the action's number, every step."""
    del amounts
    following = states + params * actions[:, None].astype(states.dtype)
    return Step(following, following)


WORLD = Dynamics(None, steps_by_dose)


@functools.cache
def cases():
    patients, _ = jax.jit(jax.vmap(functools.partial(heparin.reset, PEOPLE)))(
        jax.random.split(jax.random.key(0), 3)
    )
    states = jnp.array([[0.0], [0.2], [-0.4]])
    return intervention.Cases(states, patients, jnp.array([0.0, 600.0, 1500.0]))


def test_every_dose_is_held_for_all_the_hours_in_model_and_truth():
    at = cases()
    rise = jnp.float32(0.1)
    test = intervention.run(PEOPLE, WORLD, rise, scales(), at, hours=6)
    z = np.asarray(at.states) + 6 * 0.1 * np.arange(4)[None, :]
    np.testing.assert_allclose(test.model, np.exp(3.0 + 0.5 * z), rtol=1e-5)
    np.testing.assert_array_equal(test.doses, DOSES)
    for i in range(3):
        patient = jax.tree.map(lambda x, i=i: x[i], at.patients)
        for a in (0, 3):
            held = heparin.true_aptt_after(PEOPLE, patient, float(DOSES[a]), 6)
            assert test.truth[i, a] == pytest.approx(float(held[-1]), rel=1e-5)
    assert test.slope_truth > 0.1


def test_true_reward_is_the_mean_over_the_coming_hours():
    at = cases()
    found = alignment.true_reward(PEOPLE, at, jnp.asarray(DOSES, "f4"), 60.0, 100.0, 4)
    assert found.shape == (3, 4)
    for i in range(3):
        patient = jax.tree.map(lambda x, i=i: x[i], at.patients)
        for a, dose in enumerate(DOSES):
            aptt = np.asarray(heparin.true_aptt_after(PEOPLE, patient, float(dose), 4))
            inside = 2 / (1 + np.exp(60 - aptt)) - 2 / (1 + np.exp(100 - aptt)) - 1
            assert found[i, a] == pytest.approx(inside.mean(), abs=1e-4)
    assert np.ptp(found) > 0.5


def test_reward_table_asks_for_every_action_in_every_state():
    def reward(params, transitions):
        return (
            params * transitions.state[..., 0]
            + 10.0 * transitions.action
            + 100.0 * transitions.next_state[..., 0]
            + 1000.0 * transitions.outcome[..., 0]
        )

    states = jnp.array([[1.0], [2.0]])
    found, outcome = alignment.reward_table(
        reward, jnp.float32(5.0), WORLD, jnp.float32(0.5), states, 3
    )
    actions = np.arange(3)[None, :]
    following = np.asarray(states) + 0.5 * actions
    np.testing.assert_allclose(outcome[..., 0], following)
    by_hand = 5 * np.asarray(states) + 10 * actions + 1100 * following
    np.testing.assert_allclose(found, by_hand)


def test_correlations_are_scipys_and_recorded_pairs_are_the_chosen_ones():
    rng = np.random.default_rng(0)
    scores, truth = rng.normal(size=(6, 5)), rng.normal(size=(6, 5))
    chosen = np.array([4, 0, 3, 1, 1, 2])
    found = alignment.correlate(scores, truth, chosen)
    rows = [stats.spearmanr(a, b).statistic for a, b in zip(scores, truth, strict=True)]
    assert found.within_state == pytest.approx(np.mean(rows))
    everything = stats.spearmanr(scores.ravel(), truth.ravel()).statistic
    assert found.all_pairs == pytest.approx(everything)
    # At the clinicians' choices, and only there, the scores follow the truth.
    scores[np.arange(6), chosen] = 100 * truth[np.arange(6), chosen]
    assert alignment.correlate(scores, truth, chosen).recorded_pairs == (
        pytest.approx(1.0)
    )
    other = (chosen + 1) % 5
    assert alignment.correlate(scores, truth, other).recorded_pairs < 0.99


def test_a_row_without_an_opinion_counts_as_zero():
    truth = np.tile(np.arange(4.0), (2, 1))
    scores = np.array([[1.0, 2.0, 3.0, 4.0], [7.0, 7.0, 7.0, 7.0]])
    found = alignment.correlate(scores, truth, np.array([0, 0]))
    assert found.within_state == pytest.approx(0.5)
    # The truth is the same for both chosen pairs: nothing to rank.
    assert found.recorded_pairs == 0.0
    constant = alignment.correlate(np.zeros((2, 4)), truth, np.array([0, 1]))
    assert constant == (0.0, 0.0, 0.0)


def test_regret_is_what_the_scores_best_action_loses_of_the_best():
    truth = np.array([[0.1, 0.7, 0.4], [0.9, -0.5, 0.2], [0.0, 0.3, 0.6]])
    # Their best actions: 2, 0, 1. Lost: .7 - .4, nothing, .6 - .3; mean .6 / 3.
    scores = np.array([[1.0, 2.0, 3.0], [5.0, 4.0, 4.9], [-3.0, -1.0, -2.0]])
    assert alignment.regret(scores, truth) == pytest.approx(0.2)
    # Only the order within a state counts, and the truth itself loses nothing.
    moved = 10 * scores + np.array([[100.0], [-100.0], [0.0]])
    assert alignment.regret(moved, truth) == pytest.approx(0.2)
    assert alignment.regret(truth, truth) == 0.0


def test_actions_of_one_score_are_taken_alike_often():
    truth = np.array([[0.0, 0.6, 0.3], [0.2, 0.2, 0.8]])
    # No opinion: .6 - .3 and .8 - .4. Two share the first place: .6 - .45 and .8 - .2.
    assert alignment.regret(np.zeros((2, 3)), truth) == pytest.approx((0.3 + 0.4) / 2)
    scores = np.array([[0.0, 1.0, 1.0], [1.0, 1.0, 0.0]])
    assert alignment.regret(scores, truth) == pytest.approx((0.15 + 0.6) / 2)


def test_rank_correlations_are_scipys_row_by_row():
    rng = np.random.default_rng(0)
    swept = np.array([-2.0, -1.0, 0.0, 1.0, 1.0])
    rows = rng.integers(0, 4, (40, 5)).astype(float)  # with ties
    rows[0] = 3.0  # constant: nothing to correlate
    found = intervention.rank_correlations(swept, rows)
    assert found[0] == 0.0
    for row, value in zip(rows[1:], found[1:], strict=True):
        wanted = stats.spearmanr(swept, row).statistic if np.ptp(row) else 0.0
        assert value == pytest.approx(wanted, abs=1e-12)
    assert intervention.rank_correlation(swept, rows[1]) == found[1]
    assert not intervention.rank_correlations(np.ones(5), rows).any()

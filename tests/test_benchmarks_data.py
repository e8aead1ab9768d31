"""Logs of the two public tasks against the real environments."""

import numpy as np
import pytest
from absl import flags

from data_prep import cartpole as cartpole_logs
from data_prep import icu_sepsis as sepsis_logs
from omgrl_jax.data import dataset, records
from omgrl_jax.data import scales as scales_lib
from omgrl_jax.data import space as space_lib
from omgrl_jax.envs import cartpole, icu_sepsis, tabular
from omgrl_jax.runtime import flags as config_flags

gymnasium = pytest.importorskip("gymnasium")
linalg = pytest.importorskip("scipy.linalg")


@pytest.fixture(scope="module")
def slips():
    """Whole episodes with many random actions, most of which end in a fall."""
    config = cartpole_logs.Config(3, held_out=2, subsample=1, epsilon=0.9, seed=2)
    return config, cartpole_logs.record(config)


@pytest.fixture(scope="module")
def sepsis():
    if not icu_sepsis.installed():
        pytest.skip("icu-sepsis is not installed")
    return icu_sepsis.load()


def real_step(environment, observation, action):
    """Gymnasium's own step from a recorded state."""
    environment.reset(seed=0)
    environment.unwrapped.state = observation.astype(np.float64)
    return environment.step(int(action))


def drawn(seed):
    """The expert's policy as a way of acting."""
    rng = np.random.default_rng(seed)
    return lambda seen: rng.random(len(seen)) < cartpole.expert(seen)[:, 1]


def test_the_expert_reaches_the_end_every_time():
    episodes = cartpole.play(drawn(0), range(100))
    episodes += cartpole.play(lambda seen: cartpole.expert(seen).argmax(1), range(10))
    assert [episode.rewards.sum() for episode in episodes] == [500.0] * 110
    assert not any(episode.fell for episode in episodes)


def test_the_expert_is_unsure_where_the_force_is_small():
    """Odds of e where the controller asks for 2 N to the right, of 1 for none."""
    gains = cartpole.gains()
    wanted = np.array([0.0, 2.0, -4.0, 500.0])
    seen = -wanted[:, None] * gains / (gains @ gains)
    left, right = cartpole.expert(seen).T
    np.testing.assert_allclose(right / (left + right), 1 / (1 + np.exp(-wanted / 2)))
    np.testing.assert_allclose(left + right, 1.0)


@pytest.mark.parametrize("offset", [6, 7])
def test_thinned_episodes_show_as_many_states_as_whole_ones(offset):
    """A controller in a short cycle would show one state again and again.

    Even steps differ from odd ones: speeds after them lie 0.39 m/s apart.
    """
    kept = []
    for episode in cartpole.play(drawn(3), range(12)):
        thinned = episode.observations[offset::20].std(axis=0)
        kept.append(thinned / episode.observations.std(axis=0))
    assert np.min(kept) > 0.3
    assert np.median(kept, axis=0).min() > 0.75


def test_the_linear_system_is_gymnasiums_near_the_upright():
    """A step from a hair off the upright, per unit of state, without the push."""
    environment = gymnasium.make(cartpole.NAME)
    move, push = cartpole.linearised()
    for axis in range(4):
        small = 1e-3 * np.eye(4)[axis]
        seen = real_step(environment, small, 1)[0]
        np.testing.assert_allclose(seen, move @ small + 10 * push, atol=1e-5)


def test_gains_solve_the_riccati_equation():
    move, push = cartpole.linearised()
    cost = linalg.solve_discrete_are(
        move, push[:, None], np.eye(4), np.array([[cartpole.FORCE_COST]])
    )
    wanted = push @ cost @ move / (cartpole.FORCE_COST + push @ cost @ push)
    np.testing.assert_allclose(cartpole.gains(), wanted, rtol=1e-6)


def test_episodes_are_gymnasiums_own(slips):
    environment = gymnasium.make(cartpole.NAME)
    for episode in slips[1]:
        assert episode.fell and 5 < episode.actions.size < 500
        for t in range(episode.actions.size):
            seen, reward, terminated, _, _ = real_step(
                environment, episode.observations[t], episode.actions[t]
            )
            np.testing.assert_allclose(
                seen, episode.observations[t + 1], rtol=1e-5, atol=1e-6
            )
            assert reward == episode.rewards[t] == 1.0
            assert terminated == (t == episode.actions.size - 1)


def test_whole_logs_say_who_fell_and_who_ran_out_of_time(slips):
    config, episodes = slips
    upright = cartpole.play(drawn(1), [3])
    arrays = cartpole_logs.to_trajectories(config, [*episodes[:-1], *upright])
    dataset.validate(cartpole_logs.to_schema(config), arrays)
    np.testing.assert_array_equal(arrays.terminals, [True] * 6 + [False])
    np.testing.assert_array_equal(arrays.split, [0, 0, 0, 1, 1, 2, 2])
    assert arrays.lengths[-1] == 500 and arrays.lengths[0] == episodes[0].actions.size


@pytest.mark.parametrize("every", [7, 20])
def test_subsampling_keeps_true_transitions(slips, every, tmp_path):
    episodes = slips[1]
    config = cartpole_logs.Config(3, held_out=2, subsample=every, seed=5)
    arrays = cartpole_logs.to_trajectories(config, episodes)
    dataset.save(tmp_path, cartpole_logs.to_schema(config), arrays)
    arrays = dataset.load(tmp_path).trajectories
    assert (arrays.lengths == 1).all()
    environment = gymnasium.make(cartpole.NAME)
    kept = [[] for _ in episodes]
    for stay, number in enumerate(arrays.patients):
        before, after = arrays.observations[2 * stay : 2 * stay + 2]
        seen, _, fell, _, _ = real_step(environment, before, arrays.actions[stay])
        np.testing.assert_allclose(seen, after, rtol=1e-5, atol=1e-6)
        assert arrays.terminals[stay] == fell
        same = (episodes[number].observations == before).all(axis=1)
        kept[number].append(int(np.flatnonzero(same)[0]))
    for episode, steps in zip(episodes, kept, strict=True):
        assert steps == list(range(steps[0], episode.actions.size, every))
        assert steps[0] < every


def test_offsets_differ_between_episodes_and_seeds(slips):
    starts = set()
    for seed in range(6):
        config = cartpole_logs.Config(3, held_out=2, subsample=5, seed=seed)
        arrays = cartpole_logs.to_trajectories(config, slips[1])
        starts.add(tuple(arrays.observations[0]))
    assert len(starts) > 1


def test_one_demonstration_thinned_by_twenty(tmp_path):
    """The set-up of IQ-Learn: 25 transitions, and the same seed gives the same."""
    config = cartpole_logs.Config(seed=1)
    for name in ("one", "again"):
        cartpole_logs.write(config, tmp_path / name)
    cartpole_logs.write(cartpole_logs.Config(seed=2), tmp_path / "other")
    one, again, other = (dataset.load(tmp_path / n) for n in ("one", "again", "other"))
    assert one.hash == again.hash != other.hash
    stays = one.trajectories
    assert [(stays.split == s).sum() for s in range(3)] == [25, 25, 25]
    np.testing.assert_array_equal(stays.patients, stays.split)
    np.testing.assert_array_equal(stays.rewards, np.ones(75))


def test_flags_reject_what_cannot_be_logged():
    values = flags.FlagValues()
    cartpole_logs.define_flags(values)
    values(["x", "--out=d", "--subsample=1", "--epsilon=.5"])
    assert config_flags.read(cartpole_logs.Config, flag_values=values).epsilon == 0.5
    for wrong in ("--subsample=0", "--epsilon=2", "--demonstrations=0"):
        with pytest.raises(flags.IllegalFlagValueError):
            values(["x", "--out=d", wrong])
    with pytest.raises(ValueError, match="--validation"):
        sepsis_logs.Config(validation=0.6, test=0.4)


@pytest.fixture(scope="module")
def logs(sepsis, tmp_path_factory):
    out = tmp_path_factory.mktemp("sepsis")
    sepsis_logs.write(sepsis_logs.Config(stays=30, seed=3), out)
    return dataset.load(out)


def test_sepsis_rows_are_the_states_that_were_played(sepsis, logs):
    rng = np.random.default_rng(3)
    played = tabular.simulate(sepsis.process, sepsis.clinicians, rng, 30, 500)
    stays = logs.trajectories
    assert stays.observations.shape == (stays.lengths.sum() + 30, 716)
    np.testing.assert_array_equal(stays.observations.sum(axis=1), 1.0)
    states, row = stays.observations.argmax(axis=1), dataset.row_starts(stays.lengths)
    step = np.concatenate([[0], np.cumsum(stays.lengths)])
    for i, t in enumerate(stays.lengths):
        own = states[row[i] : row[i] + t + 1]
        np.testing.assert_array_equal(own, played.states[i, : t + 1])
        actions = stays.actions[step[i] : step[i + 1]]
        np.testing.assert_array_equal(actions, played.actions[i, :t])
        assert (sepsis.clinicians[own[:-1], actions] > 0).all()
        # The reward is that of survival, in the last step alone.
        rewards = stays.rewards[step[i] : step[i + 1]]
        np.testing.assert_array_equal(rewards[:-1], 0)
        assert rewards[-1] == (own[-1] == icu_sepsis.SURVIVAL)
        assert own[-1] in (icu_sepsis.DEATH, icu_sepsis.SURVIVAL)
    assert stays.terminals.all() and 0 < stays.rewards.sum() < 30
    assert [(stays.split == s).sum() for s in range(3)] == [24, 3, 3]


def test_sepsis_states_stay_one_hot_where_methods_see_them(logs):
    schema, arrays, _ = logs
    space = space_lib.make_space(schema)
    scales = scales_lib.fit_scales(schema, space, arrays)
    train = records.make_records(schema, space, scales, arrays, "train", 1)
    assert set(np.unique(train.states).tolist()) == {0.0, 1.0}
    np.testing.assert_array_equal(train.states.sum(axis=1), 1.0)
    kept = arrays.split == 0
    np.testing.assert_array_equal(
        np.sum(np.asarray(train.discount) == 0), np.sum(kept & arrays.terminals)
    )

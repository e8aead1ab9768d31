import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import runtime_toy

from omgrl_jax.runtime import checkpoint, train
from omgrl_jax.types import Algorithm


def run(algorithm, members=0, num_updates=20, interval=5, **options):
    return train.train(
        algorithm,
        runtime_toy.make_key(members),
        runtime_toy.make_data(),
        num_updates=num_updates,
        interval=interval,
        progress=False,
        **options,
    )


def make_echo():
    """An algorithm whose metric is the draw of each update, and its state their sum."""

    def update(state, key, data):
        draw = jax.random.uniform(key)
        return state + draw * data, {"draw": draw}

    return Algorithm(lambda key, data: jnp.zeros(()), update, None, None)


def test_update_t_draws_from_the_run_key_folded_with_t():
    result = train.train(
        make_echo(),
        jax.random.key(3),
        jnp.float32(2.0),
        num_updates=7,
        interval=3,
        progress=False,
    )
    _, run_key = jax.random.split(jax.random.key(3))
    expected = [jax.random.uniform(jax.random.fold_in(run_key, t)) for t in range(7)]
    np.testing.assert_array_equal(result.history.metrics["draw"], expected)
    assert len(set(np.asarray(expected).tolist())) == 7
    np.testing.assert_allclose(result.state, 2 * np.sum(expected), rtol=1e-6)


def test_length_of_intervals_changes_nothing():
    algorithm, _ = runtime_toy.make()
    short = run(algorithm, interval=4)
    whole = run(algorithm, interval=20)
    chex.assert_trees_all_equal(
        runtime_toy.as_arrays(short), runtime_toy.as_arrays(whole)
    )


@pytest.mark.parametrize("members", [0, 2, 3])
def test_each_function_is_traced_once(members, tmp_path):
    algorithm, traces = runtime_toy.make()
    with checkpoint.Checkpoints(tmp_path) as checkpoints:
        run(algorithm, members, checkpoints=checkpoints)
    assert traces == {"init": 1, "update": 1}


@pytest.mark.parametrize("members", [0, 2, 3])
def test_state_is_donated(members):
    algorithm, _ = runtime_toy.make()
    states = []
    run(algorithm, members, callback=lambda step, state: states.append(state))
    *earlier, last = states
    assert len(earlier) == 3
    assert all(state["params"]["weight"].is_deleted() for state in earlier)
    assert not last["params"]["weight"].is_deleted()


def test_members_of_a_sweep_equal_single_runs():
    algorithm, _ = runtime_toy.make()
    swept = runtime_toy.as_arrays(run(algorithm, 3))
    for member, key in enumerate(runtime_toy.make_key(3)):
        single = train.train(
            algorithm,
            key,
            runtime_toy.make_data(),
            num_updates=20,
            interval=5,
            progress=False,
        )
        for name, values in runtime_toy.as_arrays(single).items():
            if name != "history.evaluation_steps":
                np.testing.assert_array_equal(swept[name][member], values, name)


def test_members_may_have_data_of_their_own():
    def update(state, key, data):
        shared, own = data
        draw = jax.random.uniform(key)
        return state + shared * own * draw, {"own": own}

    algorithm = Algorithm(lambda key, data: data[1] * 10, update, None, None)
    keys = runtime_toy.make_key(3)
    own = jnp.asarray([1.0, 2.0, 3.0])

    def train_with(key, member_data):
        return train.train(
            algorithm,
            key,
            jnp.float32(0.5),
            num_updates=4,
            interval=2,
            member_data=member_data,
            progress=False,
        )

    swept = train_with(jax.random.clone(keys), own)
    assert swept.history.metrics["own"].tolist() == [[1] * 4, [2] * 4, [3] * 4]
    for member in range(3):
        single = train_with(keys[member], own[member])
        np.testing.assert_array_equal(swept.state[member], single.state)
    assert np.all(np.asarray(swept.state) > 10 * np.asarray(own))


def test_callback_sees_each_interval_and_fills_the_history():
    algorithm, _ = runtime_toy.make()
    seen = []

    def callback(step, state):
        seen.append((step, int(state["count"])))
        return {"square": step**2}

    result = run(algorithm, num_updates=7, interval=3, callback=callback)
    assert seen == [(3, 3), (6, 6), (7, 7)]
    assert result.history.evaluations["square"].tolist() == [9, 36, 49]
    assert result.history.evaluation_steps.tolist() == [3, 6, 7]
    assert result.history.metrics["toy/loss"].shape == (7,)


def test_callback_may_not_change_its_names():
    algorithm, _ = runtime_toy.make()
    with pytest.raises(ValueError, match=r"\['10', '5'\]"):
        run(algorithm, callback=lambda step, state: {str(step): 0.0})


@pytest.mark.parametrize(("members", "member"), [(0, None), (3, 0)])
def test_stops_at_the_first_bad_metric(tmp_path, members, member):
    algorithm, _ = runtime_toy.make(bad_update=12)
    with checkpoint.Checkpoints(tmp_path) as checkpoints:
        with pytest.raises(train.NonFiniteMetric) as error:
            run(algorithm, members, checkpoints=checkpoints)
        assert checkpoints.latest_step() == 10
    assert error.value.metric == "toy/loss"
    assert error.value.step == 12
    assert error.value.member == member
    assert "'toy/loss'" in str(error.value)
    assert "nan at update 12" in str(error.value)


def test_names_the_earliest_of_several_bad_metrics():
    def update(state, key, data):
        del key, data
        first = jnp.where(state >= 4, jnp.inf, 0.0)
        second = jnp.where(state >= 2, -jnp.inf, 0.0)
        return state + 1, {"a": first, "b": second}

    algorithm = Algorithm(lambda key, data: jnp.zeros(()), update, None, None)
    with pytest.raises(train.NonFiniteMetric, match="'b' became -inf at update 3"):
        run(algorithm)


@pytest.mark.parametrize("members", [0, 2, 3])
def test_resumed_run_equals_uninterrupted_run(tmp_path, members):
    algorithm, _ = runtime_toy.make()
    whole = run(algorithm, members, callback=runtime_toy.evaluate)
    for num_updates in (5, 15, 20):
        # A new object each time: nothing survives but the files.
        with checkpoint.Checkpoints(tmp_path) as checkpoints:
            result = run(
                algorithm,
                members,
                num_updates=num_updates,
                checkpoints=checkpoints,
                callback=runtime_toy.evaluate,
            )
    expected, found = runtime_toy.as_arrays(whole), runtime_toy.as_arrays(result)
    assert expected.keys() == found.keys()
    for name in expected:
        assert expected[name].tobytes() == found[name].tobytes(), name


def test_resumed_run_returns_to_the_multiples_of_the_interval(tmp_path):
    algorithm, _ = runtime_toy.make()
    for num_updates in (7, 20):
        with checkpoint.Checkpoints(tmp_path) as checkpoints:
            result = run(
                algorithm,
                num_updates=num_updates,
                checkpoints=checkpoints,
                callback=runtime_toy.evaluate,
            )
    assert result.history.evaluation_steps.tolist() == [5, 7, 10, 15, 20]


@pytest.mark.parametrize("members", [0, 2, 3])
def test_later_intervals_compile_nothing(members):
    algorithm, _ = runtime_toy.make()
    compiled, at_visits = [], []
    jax.monitoring.register_event_duration_secs_listener(
        lambda name, *_, **__: compiled.append(name) if "backend" in name else None
    )
    try:
        run(
            algorithm,
            members,
            callback=lambda step, state: at_visits.append(len(compiled)),
        )
    finally:
        jax.monitoring.clear_event_listeners()
    assert at_visits[0] > 0
    assert at_visits == at_visits[:1] * 4


def test_finished_run_is_not_run_again(tmp_path):
    algorithm, traces = runtime_toy.make()
    with checkpoint.Checkpoints(tmp_path) as checkpoints:
        run(algorithm, checkpoints=checkpoints)
        traces.clear()
        again = run(algorithm, checkpoints=checkpoints)
    assert traces["update"] == 0
    assert again.history.metrics["toy/loss"].shape == (20,)


def test_checkpoints_are_saved_as_seldom_as_asked_and_at_the_end(tmp_path):
    algorithm, _ = runtime_toy.make()
    with checkpoint.Checkpoints(tmp_path, keep=9) as checkpoints:
        run(
            algorithm,
            num_updates=7,
            interval=1,
            checkpoint_every=3,
            checkpoints=checkpoints,
        )
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["3", "6", "7"]


def test_another_seed_is_refused(tmp_path):
    algorithm, _ = runtime_toy.make()
    with checkpoint.Checkpoints(tmp_path) as checkpoints:
        run(algorithm, checkpoints=checkpoints)
        with pytest.raises(checkpoint.CheckpointError, match="seed"):
            train.train(
                algorithm,
                jax.random.key(8),
                runtime_toy.make_data(),
                num_updates=20,
                interval=5,
                checkpoints=checkpoints,
                progress=False,
            )


@pytest.mark.parametrize("name", ["num_updates", "interval", "checkpoint_every"])
def test_counts_must_be_positive(name):
    algorithm, _ = runtime_toy.make()
    with pytest.raises(ValueError, match="positive"):
        run(algorithm, **{name: 0})


def test_progress_bar_shows_metrics_and_time_left(capsys):
    algorithm, _ = runtime_toy.make()
    train.train(
        algorithm,
        runtime_toy.make_key(0),
        runtime_toy.make_data(),
        num_updates=20,
        interval=5,
        description="toy",
        show=["toy/loss"],
    )
    shown = capsys.readouterr().err
    assert "toy:" in shown
    assert "20/20" in shown
    assert "toy/loss=" in shown
    assert "<00:00" in shown

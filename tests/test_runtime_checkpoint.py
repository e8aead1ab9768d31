import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from absl import logging as absl_logging

from omgrl_jax.runtime import checkpoint

CONFIG = {"width": 32, "mode": "paper", "net": {"sizes": (64, 64), "act": "relu"}}
HISTORY = {"metrics": {"loss": np.arange(3, dtype=np.float32)}, "empty": {}}


def make_state(impl=None):
    return {
        "weights": (jnp.arange(6, dtype=jnp.float32).reshape(2, 3) / 7,),
        "keys": jax.random.split(jax.random.key(5, impl=impl), 4),
        "key": jax.random.key(1, impl=impl),
        "count": jnp.int32(12),
        "done": jnp.array([True, False]),
        "nothing": jnp.zeros((0, 3)),
        "half": jnp.array([0.1], jnp.bfloat16),
    }


def assert_states_equal(found, expected):
    assert jax.tree.structure(found) == jax.tree.structure(expected)
    for one, other in zip(
        jax.tree.leaves(found), jax.tree.leaves(expected), strict=True
    ):
        assert one.dtype == other.dtype
        if jnp.issubdtype(one.dtype, jax.dtypes.prng_key):
            one, other = jax.random.key_data(one), jax.random.key_data(other)
        assert np.asarray(one).tobytes() == np.asarray(other).tobytes()


def write(directory, state, config=CONFIG, **options):
    with checkpoint.Checkpoints(directory, config, **options) as checkpoints:
        checkpoints.save(3, state, HISTORY)


@pytest.mark.parametrize("impl", ["threefry2x32", "rbg"])
def test_round_trip_keeps_keys_types_and_structure(tmp_path, impl):
    state = make_state(impl)
    write(tmp_path, state)
    with checkpoint.Checkpoints(tmp_path, CONFIG) as checkpoints:
        saved = checkpoints.restore(jax.eval_shape(lambda: make_state(impl)))
    assert saved.step == 3
    assert_states_equal(saved.state, state)
    assert saved.history["empty"] == {}
    np.testing.assert_array_equal(saved.history["metrics"]["loss"], [0, 1, 2])
    # A restored key is a key: it draws what the original draws.
    np.testing.assert_array_equal(
        jax.random.normal(saved.state["key"]), jax.random.normal(state["key"])
    )


def test_empty_directory_has_no_checkpoint(tmp_path):
    with checkpoint.Checkpoints(tmp_path / "new", CONFIG) as checkpoints:
        assert checkpoints.latest_step() is None
        assert checkpoints.restore(make_state()) is None


def test_keeps_the_newest(tmp_path):
    state = make_state()
    with checkpoint.Checkpoints(tmp_path, CONFIG, keep=2) as checkpoints:
        for step in (1, 5, 9):
            checkpoints.save(step, {**state, "count": jnp.int32(step)}, HISTORY)
        saved = checkpoints.restore(state)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["5", "9"]
    assert saved.step == int(saved.state["count"]) == 9


def test_half_written_checkpoint_is_ignored_and_removed(tmp_path):
    state = make_state()
    write(tmp_path, state)
    half = tmp_path / "6.orbax-checkpoint-tmp"
    half.mkdir()
    (half / "state").write_text("half")
    with checkpoint.Checkpoints(tmp_path, CONFIG) as checkpoints:
        saved = checkpoints.restore(state)
    assert saved.step == 3
    assert not half.exists()


def test_another_configuration_is_refused_by_name(tmp_path):
    state = make_state()
    write(tmp_path, state)
    other = {"width": 32, "net": {"sizes": (64, 32), "act": "relu"}, "depth": 2}
    with (
        checkpoint.Checkpoints(tmp_path, other) as checkpoints,
        pytest.raises(checkpoint.CheckpointError) as error,
    ):
        checkpoints.restore(state)
    message = str(error.value)
    assert "net.sizes was [64, 64], is now [64, 32]" in message
    assert "mode was 'paper', is now 'absent'" in message
    assert "depth was 'absent', is now 2" in message
    assert "width" not in message and "act" not in message
    assert str(tmp_path) in message


def test_another_state_is_refused_by_the_name_of_the_leaf(tmp_path):
    state = make_state()
    write(tmp_path, state)
    other = {**state, "count": jnp.float32(0), "weights": (jnp.zeros((2, 4)),)}
    del other["done"]
    with (
        checkpoint.Checkpoints(tmp_path, CONFIG) as checkpoints,
        pytest.raises(checkpoint.CheckpointError) as error,
    ):
        checkpoints.restore(other)
    message = str(error.value)
    assert "count was 'int32[]', is now 'float32[]'" in message
    assert "weights/0 was 'float32[2, 3]', is now 'float32[2, 4]'" in message
    assert "done was 'bool[2]', is now 'absent'" in message
    assert "keys" not in message


def test_unknown_format_is_refused(tmp_path):
    state = make_state()
    write(tmp_path, state)
    (meta,) = (tmp_path / "3" / "meta").glob("metadata")
    content = json.loads(meta.read_text())
    meta.write_text(json.dumps({**content, "version": 99}))
    with (
        checkpoint.Checkpoints(tmp_path, CONFIG) as checkpoints,
        pytest.raises(checkpoint.CheckpointError, match="format 99"),
    ):
        checkpoints.restore(state)


def test_steps_must_grow(tmp_path):
    state = make_state()
    with checkpoint.Checkpoints(tmp_path, CONFIG) as checkpoints:
        checkpoints.save(3, state, HISTORY)
        for step in (3, 2):
            with pytest.raises(checkpoint.CheckpointError, match=f"step {step}"):
                checkpoints.save(step, state, HISTORY)


def test_values_that_json_cannot_hold_are_found_at_the_start(tmp_path):
    with pytest.raises(TypeError, match="JSON serializable"):
        checkpoint.Checkpoints(tmp_path, {"function": print})
    with pytest.raises(ValueError, match="keep"):
        checkpoint.Checkpoints(tmp_path, CONFIG, keep=0)


def test_nothing_is_pickled(tmp_path):
    write(tmp_path, make_state())
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert files
    # Protocols 2 and later begin with this opcode and end with a full stop.
    assert not [
        path
        for path in files
        if path.read_bytes()[:1] == b"\x80" and path.read_bytes()[-1:] == b"."
    ]


def test_only_the_chatter_of_orbax_is_dropped(tmp_path, caplog):
    verbosity = absl_logging.get_verbosity()
    absl_logging.set_verbosity(absl_logging.INFO)
    try:
        write(tmp_path, make_state())
        assert not caplog.records
        absl_logging.info("a script's own line")
        assert [record.message for record in caplog.records] == ["a script's own line"]
    finally:
        absl_logging.set_verbosity(verbosity)

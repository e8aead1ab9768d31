import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from omgrl_jax.runtime import sweep


def make_members(count):
    return {
        "key": jax.random.split(jax.random.key(0), count),
        "start": jnp.arange(4.0 * count).reshape(count, 4),
    }


def walk(member, data):
    """A loop with a draw and a product in each step, as in a trainer."""

    def body(state, index):
        noise = jax.random.normal(jax.random.fold_in(member["key"], index), (4,))
        state = jnp.tanh(data @ state) + noise
        return state, state.sum()

    state, sums = jax.lax.scan(body, member["start"], jnp.arange(6))
    return {"state": state, "sums": sums}


def make_data():
    return jnp.asarray(np.random.default_rng(1).normal(size=(4, 4)), jnp.float32)


def singly(count):
    members, data = make_members(count), make_data()
    one = jax.jit(walk)
    results = [
        one(jax.tree.map(lambda leaf, i=i: leaf[i], members), data)
        for i in range(count)
    ]
    return jax.tree.map(lambda *leaves: np.stack(leaves), *results)


def swept(count, strategy):
    function = jax.jit(lambda members, data: sweep.sweep(walk, members, data, strategy))
    return jax.device_get(function(make_members(count), make_data()))


@pytest.mark.parametrize("strategy", ["map", "shard", None])
@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_members_equal_single_runs_bitwise(strategy, count):
    chex.assert_trees_all_equal(swept(count, strategy), singly(count))


@pytest.mark.parametrize("strategy", ["vmap", "shard_vmap"])
@pytest.mark.parametrize("count", [1, 3, 4])
def test_batched_members_equal_single_runs_up_to_rounding(strategy, count):
    chex.assert_trees_all_close(
        swept(count, strategy), singly(count), rtol=1e-5, atol=1e-6
    )


def test_keys_may_be_results_where_a_device_has_no_member_left():
    keys = jax.random.split(jax.random.key(3), 3)
    found = jax.jit(lambda k: sweep.sweep(lambda m, d: m, k, 0.0, "shard"))(keys)
    assert (jax.random.key_data(found) == jax.random.key_data(keys)).all()


def test_members_differ():
    state = swept(3, "shard")["state"]
    assert len({row.tobytes() for row in state}) == 3


def test_work_is_split_over_the_host_devices():
    assert jax.local_device_count() == 2
    assert sweep.choose() == "shard"
    members = jax.device_put(make_members(4), sweep.member_sharding(4))
    data = jax.device_put(make_data(), sweep.data_sharding(4))
    compiled = jax.jit(lambda members, data: sweep.sweep(walk, members, data))
    assert len(compiled(members, data)["state"].sharding.device_set) == 2
    assert members["start"].sharding.spec == jax.sharding.PartitionSpec("member")


@pytest.mark.parametrize(
    ("backend", "devices", "chosen"),
    [
        ("cpu", 1, "map"),
        ("cpu", 2, "shard"),
        ("gpu", 1, "vmap"),
        ("tpu", 4, "shard_vmap"),
    ],
)
def test_the_backend_chooses_the_map(monkeypatch, backend, devices, chosen):
    monkeypatch.setattr(jax, "default_backend", lambda: backend)
    monkeypatch.setattr(jax, "local_device_count", lambda: devices)
    assert sweep.choose() == chosen
    alone = not chosen.startswith("shard")
    assert (sweep.member_sharding(2) is None) == alone
    assert (sweep.data_sharding(2) is None) == alone


def test_unknown_strategy_is_refused():
    with pytest.raises(ValueError, match=r"'pmap'.*vmap"):
        sweep.sweep(walk, make_members(2), make_data(), "pmap")


@pytest.mark.parametrize(
    "members",
    [
        {},
        {"a": np.zeros((0, 2))},
        {"a": np.float32(1)},
        {"a": np.zeros(2), "b": np.zeros(3)},
    ],
)
def test_members_must_agree_in_number(members):
    with pytest.raises(ValueError, match="same positive number"):
        sweep.size(members)

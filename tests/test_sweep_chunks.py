"""How many members run at once, and what happens where memory runs out."""

import jax
import jax.numpy as jnp
import pytest

from experiments.sweep import chunks

OUT = jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating")


def on(monkeypatch, backend, devices):
    monkeypatch.setattr(jax, "default_backend", lambda: backend)
    monkeypatch.setattr(jax, "local_device_count", lambda: devices)


@pytest.mark.parametrize(
    ("members", "devices", "fit", "wanted"),
    [
        (64, 1, 1000, 64),  # all fit
        (64, 1, 40, 32),  # two even chunks
        (7, 2, 4, 4),  # 4 and 3, each device two
        (5, 2, 3, 2),  # 3 would fit, but each device would hold all of them
        (5, 2, 100, 6),  # one place more, so that they divide
        (65, 8, 100, 72),
        (5, 2, 0, 1),  # nothing fits: one is tried
        (3, 8, 100, 3),  # fewer than devices
    ],
)
def test_chunks_of_accelerators_are_even_and_divide(
    monkeypatch, members, devices, fit, wanted
):
    on(monkeypatch, "gpu", devices)
    assert chunks.size(10, members, 30 * fit) == wanted


def test_chunks_of_a_cpu_are_small_enough_to_lose(monkeypatch):
    on(monkeypatch, "cpu", 2)
    assert chunks.size(10, 64, 10**9) == 8
    assert chunks.size(10, 10, 10**9) == 5
    assert chunks.size(10, 3, 10**9) == 3
    assert chunks.size(10, 3, 60) == 2


def test_bytes_are_counted_with_keys():
    tree = {"a": jnp.zeros((3, 2)), "k": jax.random.split(jax.random.key(0), 5)}
    assert chunks.bytes_of(tree) == 3 * 2 * 4 + 5 * 8
    assert chunks.bytes_of(jax.eval_shape(lambda: tree)) == 64


def test_memory_that_runs_out_halves_the_chunk(caplog, monkeypatch):
    on(monkeypatch, "gpu", 1)
    tried = []

    def work(members):
        tried.append(list(members))
        if len(members) > 3:
            raise OUT
        return [m * 10 for m in members]

    with caplog.at_level("WARNING"):
        done = list(chunks.run(range(8), 8, work))
    assert tried == [
        [0, 1, 2, 3, 4, 5, 6, 7],
        [0, 1, 2, 3],
        [0, 1],
        [2, 3],
        [4, 5],
        [6, 7],
    ]
    assert [members for members, _ in done] == [[0, 1], [2, 3], [4, 5], [6, 7]]
    assert "chunks of 4 members" in caplog.text and "of 2 members" in caplog.text


def test_short_chunks_are_filled_with_repeats():
    done = list(chunks.run("abcde", 3, lambda members: "".join(members)))
    assert done == [(["a", "b", "c"], "abc"), (["d", "e"], "ded")]


def test_a_member_that_does_not_fit_alone_is_an_error():
    def work(members):
        raise OUT

    with pytest.raises(chunks.TooLargeError, match="--agent_critic_hidden"):
        list(chunks.run(range(3), 2, work))


def test_other_faults_are_not_taken_for_memory():
    def work(members):
        raise jax.errors.JaxRuntimeError("INTERNAL: something else")

    with pytest.raises(jax.errors.JaxRuntimeError, match="INTERNAL"):
        list(chunks.run(range(3), 2, work))


def test_what_is_free_is_a_share_of_the_machine():
    free = chunks.free_bytes()
    assert 10**7 < free < 10**13

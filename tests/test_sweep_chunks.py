"""How many members run at once, and what happens where memory runs out."""

import jax
import jax.numpy as jnp
import pytest

from experiments.sweep import chunks

OUT = jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating")


@pytest.mark.parametrize(
    ("each", "members", "devices", "free", "wanted"),
    [
        (10, 64, 2, 10_000, 64),  # all fit
        (10, 64, 2, 30 * 40, 32),  # 40 would fit: two even chunks
        (10, 7, 2, 30 * 4, 4),  # 4 + 3, each device two
        (10, 5, 2, 30 * 3, 3),  # 4 would suit two devices, but do not fit
        (10, 5, 2, 0, 1),  # nothing fits: one is tried
        (10, 3, 8, 10_000, 3),  # fewer than devices
    ],
)
def test_chunks_are_even_and_fit(each, members, devices, free, wanted):
    assert chunks.size(each, members, devices, free) == wanted


def test_bytes_are_counted_with_keys():
    tree = {"a": jnp.zeros((3, 2)), "k": jax.random.split(jax.random.key(0), 5)}
    assert chunks.bytes_of(tree) == 3 * 2 * 4 + 5 * 8
    assert chunks.bytes_of(jax.eval_shape(lambda: tree)) == 64


def test_memory_that_runs_out_halves_the_chunk(caplog):
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

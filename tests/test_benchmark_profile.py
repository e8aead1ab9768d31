"""Time is told by kind of kernel, what lies inside something else only once."""

import jax
import jax.numpy as jnp
import pytest

from experiments.benchmark import profile, timing
from experiments.benchmark.profile import Event


def event(start, end, name="x"):
    return Event(start, end, name, "module")


def test_what_lies_inside_counts_once():
    events = [
        *(event(0, 10, "outer"), event(2, 5, "inner"), event(3, 4, "innermost")),
        *(event(6, 8, "second"), event(12, 13, "after")),
    ]
    found = {e.name: own for e, own in profile.alone(reversed(events))}
    wanted = {"outer": 5, "inner": 2, "innermost": 1, "second": 2, "after": 1}
    assert found == wanted


@pytest.mark.parametrize("kind", [profile.PRODUCTS, profile.SORTS, profile.RANDOM])
def test_a_program_of_one_kind_of_work_is_told_so(kind):
    x = jnp.ones((600, 600)) / 600

    @jax.jit
    def work(x, key):
        if kind == profile.PRODUCTS:
            return jax.lax.fori_loop(0, 20, lambda _, y: y @ x, x)
        if kind == profile.SORTS:
            return jax.lax.fori_loop(0, 3, lambda _, y: jnp.sort(-y, axis=0), x)
        return jax.random.normal(key, (2000, 600))

    def run():
        jax.block_until_ready(work(x, jax.random.key(0)))

    run()
    shares = profile.of(run)
    assert sum(shares.values()) == pytest.approx(1.0, abs=0.05)
    busy = {k: v for k, v in shares.items() if k != profile.IDLE}
    assert max(busy, key=busy.get) == kind


def test_what_was_timed_is_given_to_who_watches():
    seen = []
    callables = {"ours": lambda: None, "ceiling": lambda: None}
    with timing.watched(seen.append):
        timing.interleaved(callables, 1)
    timing.interleaved(callables, 1)
    assert seen == [callables]


def test_what_is_not_a_program_of_xla_is_not_told():
    assert profile.of(lambda: sum(range(1000))) == {}


def test_shares_are_told_the_largest_first():
    shares = dict.fromkeys(profile.KINDS, 0.0)
    shares |= {profile.SORTS: 0.2, profile.PRODUCTS: 0.7, profile.IDLE: 0.1}
    wanted = "products of matrices 70 %, sorts 20 %, idle 10 %"
    assert profile.told(shares) == wanted

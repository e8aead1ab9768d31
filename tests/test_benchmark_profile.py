"""Time is told by kind of kernel, what lies inside something else only once."""

import jax
import jax.numpy as jnp
import pytest

from experiments.benchmark import profile, timing
from experiments.benchmark.profile import Event


def event(start, end, name="x"):
    return Event(start, end, name, "module")


def test_time_in_which_several_go_on_counts_once():
    events = [
        *(event(0, 10), event(2, 5), event(3, 12)),
        *(event(20, 21), event(20, 21), event(21, 23)),
    ]
    assert profile.covered(reversed(events)) == 12 + 3
    assert profile.covered([]) == 0


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
    assert all(0.0 <= share <= 1.0 for share in shares.values())
    assert sum(shares.values()) > 0.95
    del shares[profile.BETWEEN]
    assert max(shares, key=shares.get) == kind


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
    shares = {profile.SORTS: 0.2, profile.PRODUCTS: 0.7, profile.BETWEEN: 0.1}
    shares |= {profile.COPIES: 0.001}
    wanted = f"products of matrices 70 %, sorts 20 %, {profile.BETWEEN} 10 %"
    assert profile.told(shares) == wanted

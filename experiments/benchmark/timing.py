"""Times of several callables side by side, so that ratios hold on a busy machine.

A machine that is shared is fast in one second and slow in the next. Each repeat times
every callable once, in turn: a ratio is taken within a repeat, then its median over
the repeats.
"""

import contextlib
import contextvars
import time
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

import numpy as np

Clock = Callable[[], float]
Callables = Mapping[str, Callable[[], object]]

_WATCHER: contextvars.ContextVar[Callable[[Callables], None] | None]
_WATCHER = contextvars.ContextVar("watcher", default=None)


@contextlib.contextmanager
def watched(by: Callable[[Callables], None]) -> Iterator[None]:
    """Within it, what was timed is given to somebody afterwards, such as a profiler.

    Args:
      by: called with the callables of each `interleaved` when their times are taken.
    """
    token = _WATCHER.set(by)
    try:
        yield
    finally:
        _WATCHER.reset(token)


class Spread(NamedTuple):
    """A quantity over repeats.

    Attributes:
      least: smallest value.
      median: the value that counts.
      most: largest value.
    """

    least: float
    median: float
    most: float


class Times(NamedTuple):
    """Seconds of one callable.

    Attributes:
      seconds: one number for each repeat, in their order.
    """

    seconds: tuple[float, ...]

    def rate(self, units: float) -> Spread:
        """Units a second, of a callable that does so many."""
        return spread([units / s for s in self.seconds])

    def ratio(self, other: "Times") -> Spread:
        """How many times as fast this one is as another of the same repeats."""
        pairs = zip(self.seconds, other.seconds, strict=True)
        return spread([theirs / own for own, theirs in pairs])

    def scaled(self, factor: float) -> Spread:
        """Seconds times a factor, such as one over the number of runs."""
        return spread([factor * s for s in self.seconds])


def again(run: Callable[[], object], calls: int) -> Callable[[], object]:
    """So many calls as one, of what takes too few milliseconds to be timed alone."""

    def every() -> object:
        found = None
        for _ in range(calls):
            found = run()
        return found

    return every


def spread(values: list[float]) -> Spread:
    """Least, median and most of some values."""
    return Spread(min(values), float(np.median(values)), max(values))


def interleaved(
    callables: Callables,
    repeats: int,
    clock: Clock = time.perf_counter,
) -> dict[str, Times]:
    """Times callables in turn, again and again.

    Args:
      callables: by name; each ends when its work is done, not when it is queued. The
        first call of each, which compiles, does not count.
      repeats: how often each is timed.
      clock: seconds.

    Returns:
      Times by name.
    """
    for run in callables.values():
        run()
    seconds: dict[str, list[float]] = {name: [] for name in callables}
    names = list(callables)
    for repeat in range(repeats):
        # Each goes first in turn: what runs before leaves its mark on caches.
        first = repeat % len(names)
        for name in names[first:] + names[:first]:
            begun = clock()
            callables[name]()
            seconds[name].append(clock() - begun)
    watcher = _WATCHER.get()
    if watcher is not None:
        watcher(callables)
    return {name: Times(tuple(found)) for name, found in seconds.items()}

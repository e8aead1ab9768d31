"""Where the time of a callable goes, by kind of kernel, as JAX's own profiler saw it.

Kernels are told by the names that XLA gives them and by what they were traced from.
Recording takes time of its own, most of it where kernels are small: shares are for
finding what to mend, not for quoting speed. Only what runs on a CPU is seen.
"""

import pathlib
import re
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable
from typing import NamedTuple

import jax
from jax.extend import backend

from experiments.benchmark import timing
from omgrl_jax.runtime import devices

PRODUCTS = "products of matrices"
RANDOM = "random numbers"
GATHERS = "gathers and scatters"
SORTS = "sorts"
COPIES = "copies"
OTHERS = "all other arithmetic"
DISPATCH = "loops and dispatch"
IDLE = "idle"
KINDS = (PRODUCTS, RANDOM, GATHERS, SORTS, COPIES, OTHERS, DISPATCH, IDLE)
_TOLD = (
    (PRODUCTS, re.compile(r"^(ynn_|dot|convolution|custom-call)|dot_general")),
    (DISPATCH, re.compile(r"^(while|call|conditional)\b")),
    (RANDOM, re.compile(r"threefry|random|_uniform|_normal|_gumbel|erf_inv|_randint")),
    (SORTS, re.compile(r"^sort|/sort|argsort")),
    (GATHERS, re.compile(r"gather|scatter|dynamic[-_](update[-_])?slice|take_along")),
    (COPIES, re.compile(r"^copy")),
)
_INSTRUCTION = re.compile(r'^\s*(?:ROOT )?%?([\w.-]+) = .*op_name="([^"]*)"')
_WAITING = re.compile(r"wait|Await")


class Event(NamedTuple):
    """Something that a thread did.

    Attributes:
      start: ns.
      end: ns.
      name: of the kernel, or of a part of the runtime.
      module: of the program; None for a part of the runtime.
    """

    start: float
    end: float
    name: str
    module: str | None


def of(run: Callable[[], object]) -> dict[str, float]:
    """Shares of the time of all cores, by kind.

    Args:
      run: what is looked at; it has run before, so that all is compiled.

    Returns:
      Shares of `KINDS`, which sum to one, or to a little more where more was recorded
      than there was time; empty where no program of XLA ran.

    Raises:
      RuntimeError: if the profiler wrote nothing.
    """
    with tempfile.TemporaryDirectory() as folder:
        with jax.profiler.trace(folder):
            begun = time.perf_counter()
            run()
            elapsed = time.perf_counter() - begun
        found = next(pathlib.Path(folder).glob("**/*.xplane.pb"), None)
        if found is None:
            raise RuntimeError("JAX's profiler wrote no trace")
        threads = list(_threads(jax.profiler.ProfileData.from_file(str(found))))
    if not any(event.module for events in threads for event in events):
        return {}
    sources = _sources()
    spent: Counter[str] = Counter()
    for events in threads:
        for event, own in alone(events):
            kind = _kind(event, sources)
            if kind is not None:
                spent[kind] += own
    whole = elapsed * 1e9 * devices.available_cores()
    shares = {kind: spent[kind] / whole for kind in KINDS}
    shares[IDLE] = max(0.0, 1.0 - sum(shares.values()))
    return shares


def alone(events: Iterable[Event]) -> list[tuple[Event, float]]:
    """Each event of a thread and its time in ns, without that of events inside it."""
    found: list[list] = []
    open_: list[tuple[Event, list]] = []
    for event in sorted(events, key=lambda e: (e.start, -e.end)):
        while open_ and open_[-1][0].end <= event.start:
            open_.pop()
        entry = [event, event.end - event.start]
        if open_:
            outer, own = open_[-1]
            own[1] -= min(event.end, outer.end) - event.start
        open_.append((event, entry))
        found.append(entry)
    return [(event, own) for event, own in found]


def show(timed: timing.Callables) -> None:
    """Prints where the time of each callable of ours goes."""
    for name, run in timed.items():
        shares = {} if name == "ceiling" else of(run)
        # Rivals run nothing that is seen.
        if shares:
            print(f"    {name} spends its time on: {told(shares)}", flush=True)


def told(shares: dict[str, float]) -> str:
    """The shares as text, the largest first."""
    largest = sorted(shares.items(), key=lambda pair: -pair[1])
    return ", ".join(f"{kind} {100 * x:.0f} %" for kind, x in largest if x >= 0.005)


def _threads(data: jax.profiler.ProfileData) -> Iterable[list[Event]]:
    for plane in data.planes:
        if plane.name != "/host:CPU":
            continue
        for line in plane.lines:
            events = [
                Event(e.start_ns, e.start_ns + e.duration_ns, e.name, _module(e))
                for e in line.events
            ]
            # Of the thread that calls, only programs that run on it.
            called = line.name == "python"
            yield [event for event in events if event.module or not called]


def _module(event: jax.profiler.ProfileEvent) -> str | None:
    return next((str(v) for k, v in event.stats if k == "hlo_module"), None)


def _kind(event: Event, sources: dict[tuple[str, str], str]) -> str | None:
    """What kind of work it is; None for waiting, which is none."""
    if event.module is None:
        return None if _WAITING.search(event.name) else DISPATCH
    source = sources.get((event.module, event.name), "")
    for kind, pattern in _TOLD:
        if pattern.search(event.name) or pattern.search(source):
            return kind
    return OTHERS


def _sources() -> dict[tuple[str, str], str]:
    """What the kernels of all compiled programs were traced from; of two, neither."""
    found: dict[tuple[str, str], str] = {}
    for program in backend.get_backend().live_executables():
        for module in program.hlo_modules():
            for line in module.to_string().splitlines():
                match = _INSTRUCTION.match(line)
                if match is not None:
                    place = module.name, match[1]
                    same = found.setdefault(place, match[2]) == match[2]
                    found[place] = match[2] if same else ""
    return found

"""Where the time of a callable goes, by kind of kernel, as JAX's own profiler saw it.

Kernels are told by the names that XLA gives them and by what they were traced from. A
share is of the time in which some core runs such a kernel. Products that Eigen splits
over cores are recorded in part: what they do when their kernel has returned is told as
time between kernels. Recording takes time of its own, most of it where kernels are
small: shares are for finding what to mend, not for quoting speed. Only what runs on a
CPU is seen.
"""

import pathlib
import re
import tempfile
import time
from collections.abc import Callable, Iterable
from typing import NamedTuple

import jax
from jax.extend import backend

from experiments.benchmark import timing

PRODUCTS = "products of matrices"
RANDOM = "random numbers"
GATHERS = "gathers and scatters"
SORTS = "sorts"
COPIES = "copies"
OTHERS = "all other arithmetic"
BETWEEN = "between kernels, or not recorded"
_TOLD = (
    (PRODUCTS, re.compile(r"^(ynn_|dot|convolution|custom-call)|dot_general")),
    (RANDOM, re.compile(r"threefry|random|_uniform|_normal|_gumbel|erf_inv|_randint")),
    (SORTS, re.compile(r"^sort|/sort|argsort")),
    (GATHERS, re.compile(r"gather|scatter|dynamic[-_](update[-_])?slice|take_along")),
    (COPIES, re.compile(r"^copy")),
)
_INSTRUCTION = re.compile(r'^\s*(?:ROOT )?%?([\w.-]+) = .*op_name="([^"]*)"')
# What holds other kernels is none.
_HOLDS = re.compile(r"^(while|call|conditional)\b")


class Event(NamedTuple):
    """A kernel that ran.

    Attributes:
      start: ns.
      end: ns.
      name: of the kernel.
      module: of its program.
    """

    start: float
    end: float
    name: str
    module: str


def of(run: Callable[[], object]) -> dict[str, float]:
    """Shares of the time that it takes, by kind.

    Args:
      run: what is looked at; it has run before, so that all is compiled.

    Returns:
      The share of each kind, and of the time `BETWEEN` kernels. Kinds that run at once
      on several cores count each, so that the sum may be above one; empty where no
      program of XLA ran.

    Raises:
      RuntimeError: if the profiler wrote nothing.
    """
    with tempfile.TemporaryDirectory() as folder:
        with jax.profiler.trace(folder):
            begun = time.perf_counter()
            run()
            elapsed = 1e9 * (time.perf_counter() - begun)
        found = next(pathlib.Path(folder).glob("**/*.xplane.pb"), None)
        if found is None:
            raise RuntimeError("JAX's profiler wrote no trace")
        events = list(_events(jax.profiler.ProfileData.from_file(str(found))))
    if not events:
        return {}
    sources = _sources()
    kinds: dict[str, list[Event]] = {}
    for event in events:
        kinds.setdefault(_kind(event, sources), []).append(event)
    shares = {kind: covered(own) / elapsed for kind, own in kinds.items()}
    shares[BETWEEN] = max(0.0, 1.0 - covered(events) / elapsed)
    return shares


def covered(events: Iterable[Event]) -> float:
    """Time in ns in which at least one of the events goes on."""
    total, until = 0.0, float("-inf")
    for event in sorted(events):
        total += max(0.0, event.end - max(event.start, until))
        until = max(until, event.end)
    return total


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


def _events(data: jax.profiler.ProfileData) -> Iterable[Event]:
    for plane in data.planes:
        if plane.name != "/host:CPU":
            continue
        for line in plane.lines:
            for e in line.events:
                module = next((str(v) for k, v in e.stats if k == "hlo_module"), None)
                if module is not None and not _HOLDS.search(e.name):
                    end = e.start_ns + e.duration_ns
                    yield Event(e.start_ns, end, e.name, module)


def _kind(event: Event, sources: dict[tuple[str, str], str]) -> str:
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

"""Seconds to the end of the first epoch of a fresh process, the second time it starts.

A first process fills a compilation cache of its own; the timed ones find what they
compile there. `first_epoch` is what these processes run.
"""

import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

from experiments.benchmark import timing
from experiments.benchmark.config import Startup
from experiments.benchmark.row import Row
from omgrl_jax.runtime import devices

SECONDS = 1.5
_ROOT = pathlib.Path(__file__).parents[2]


def measure(config: Startup, repeats: int) -> list[Row]:
    """Starts processes one after the other.

    Args:
      config: sizes.
      repeats: timed starts, after the one that fills the cache.
    """
    with tempfile.TemporaryDirectory() as scratch:
        place = pathlib.Path(scratch)
        data, cache = place / "data", place / "cache"
        stays = f"--stays={config.stays}"
        _python(cache, "data_prep.virtual", stays, f"--out={data}")
        arguments = (f"--dataset={data}", f"--epochs={config.interval}", *config.flags)
        found = [_start(cache, arguments) for _ in range(repeats + 1)]
    first, later = found[0], found[1:]
    told = {
        "first": ("from loaded data to the end of the first epoch", SECONDS),
        "compile": ("of that, compiling or finding what was compiled", None),
        "imports": ("importing", None),
        "load": ("loading the dataset", None),
        "process": ("the whole process", None),
    }
    return [
        Row(
            "startup",
            f"second start: {what}",
            "s",
            timing.spread([one[name] for one in later]),
            target=target,
            at_most=target is not None,
            note=f"first start: {first[name]:.2f} s",
        )
        for name, (what, target) in told.items()
    ]


def _start(cache: pathlib.Path, arguments: tuple[str, ...]) -> dict[str, float]:
    """Seconds by stage of one process."""
    begun = time.perf_counter()
    printed = _python(cache, "experiments.benchmark.first_epoch", *arguments)
    found = json.loads(printed.splitlines()[-1])
    return {**found, "process": time.perf_counter() - begun}


def _python(cache: pathlib.Path, module: str, *arguments: str) -> str:
    """What a module prints.

    Raises:
      RuntimeError: with what it said, if it fails.
    """
    result = subprocess.run(
        [sys.executable, "-m", module, *arguments],
        cwd=_ROOT,
        env={**os.environ, devices.CACHE_VARIABLE: str(cache)},
        capture_output=True,
        text=True,
        check=False,
    )
    if result.returncode:
        raise RuntimeError(f"{module} failed: {result.stderr.strip()[-2000:]}")
    return result.stdout

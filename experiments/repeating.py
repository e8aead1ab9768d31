"""What it takes to repeat a run: the command, the versions, and how long it took."""

import pathlib
import re
import shlex
import sys
import time
from importlib import metadata
from typing import Any

PACKAGES = ("jax", "flax", "optax", "orbax-checkpoint", "numpy", "pandas", "omgrl_jax")


class Clock:
    """Seconds by stage."""

    def __init__(self) -> None:
        """Starts the clock."""
        self.laps: dict[str, float] = {}
        self._last = time.perf_counter()

    def lap(self, name: str) -> None:
        """Ends a stage."""
        now = time.perf_counter()
        self.laps[name] = round(now - self._last, 1)
        self._last = now


def sections(clock: Clock) -> dict[str, Any]:
    """The sections of `results.json` that tell how to repeat a run.

    Args:
      clock: its stages so far.

    Returns:
      `versions`, `timing` and `commands`.
    """
    return {
        "versions": {name: _version(name) for name in PACKAGES},
        "timing": dict(clock.laps),
        "commands": [command()],
    }


def command() -> str:
    """The command that started this process, as a report may show it.

    A study calls the code of other experiments: what was run is asked of the process,
    never written down by the code that happens to be at work.
    """
    spec = getattr(sys.modules["__main__"], "__spec__", None)
    if spec is None:  # started by the path of its file
        program = pathlib.Path(sys.argv[0]).name
    else:
        program = f"-m {spec.name.removesuffix('.__main__')}"
    return f"python {program} {shown_arguments(sys.argv[1:])}".rstrip()


def shown_arguments(arguments: list[str]) -> str:
    """The command line for a shared report; paths, which name users, cut short."""
    path = re.compile(r"^(-[^=]*=)?.*/(?=[^/]+/?$)")
    return shlex.join(path.sub(lambda m: m[1] or "", one) for one in arguments)


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"

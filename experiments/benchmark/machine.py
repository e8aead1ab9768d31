"""On what and with what was measured."""

import pathlib
import platform
import resource
from importlib import metadata
from typing import Any

from omgrl_jax.runtime import devices

PACKAGES = ("jax", "jaxlib", "flax", "optax", "numpy", "duckdb", "torch", "d3rlpy")
_CPU = pathlib.Path("/proc/cpuinfo")
_STATUS = pathlib.Path("/proc/self/status")


def describe() -> dict[str, Any]:
    """Machine and versions; asks JAX for its devices, which starts it."""
    import jax

    found = jax.local_devices()
    return {
        "cpu": cpu_model(),
        "cores": devices.available_cores(),
        "backend": jax.default_backend(),
        "device": found[0].device_kind,
        "devices": len(found),
        "system": platform.platform(),
        "versions": {"python": platform.python_version(), **versions()},
    }


def cpu_model(source: pathlib.Path = _CPU) -> str:
    """Name of the processor.

    Args:
      source: where Linux lists it; elsewhere the platform's own word is taken.
    """
    try:
        lines = source.read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [x.partition(":")[2].strip() for x in lines if x.startswith("model name")]
    return names[0] if names else platform.machine()


def peak_memory(source: pathlib.Path = _STATUS) -> int:
    """Bytes that this process had in memory at most.

    Linux tells it of the program that runs; what `getrusage` tells is inherited from
    the process that started it, however large that was.

    Args:
      source: where Linux tells it; elsewhere `getrusage` is asked.
    """
    try:
        lines = source.read_text().splitlines()
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    told = dict(line.partition(":")[::2] for line in lines)
    return int(told["VmHWM"].split()[0]) * 1024


def versions() -> dict[str, str]:
    """Versions of the packages that are installed."""
    found = {}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found

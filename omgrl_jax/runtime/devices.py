"""Host devices, kernels and a compilation cache, settled before JAX starts.

On a CPU a sweep gains from splitting its members over several host devices
(`sweep.py`), and small products from the right kernels. Both are fixed when JAX starts
its backend, so scripts call `configure_host_devices` first thing in `main`.
"""

import importlib.util
import os
import pathlib
from importlib import metadata

import jax

from omgrl_jax.runtime.errors import RunError

COUNT_VARIABLE = "OMGRL_HOST_DEVICES"
CACHE_VARIABLE = "OMGRL_COMPILATION_CACHE"
FLAGS_VARIABLE = "XLA_FLAGS"

_COUNT_FLAG = "--xla_force_host_platform_device_count"
_KERNELS_FLAG = "--xla_cpu_experimental_ynn_fusion_type"
# Versions of jaxlib that know the flag: XLA ends a process at one that it does not.
_KNOWING = "0.10."


class DevicesError(RunError):
    """The host devices can no longer be configured, or the request is invalid."""


def available_cores() -> int:
    """Returns the number of CPU cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def configure_host_devices(count: int | None = None) -> int:
    """Splits the CPU into host devices, chooses kernels, turns on the cache.

    Has no influence on accelerators, and does nothing to the devices when
    `XLA_FLAGS` already sets `--xla_force_host_platform_device_count`: that is the
    user's own word.

    Args:
      count: number of host devices; None takes the environment variable
        `OMGRL_HOST_DEVICES`, or else one device for each core.

    Returns:
      The number of host devices asked for.

    Raises:
      DevicesError: if the count is not a positive number, or if JAX has started.
    """
    enable_compilation_cache()
    forced = _forced_by_xla_flags()
    if forced is not None:
        choose_kernels()
        return forced
    if count is None:
        count = _count_from_environment()
    if count < 1:
        raise DevicesError(f"The number of host devices must be positive, not {count}.")
    try:
        jax.config.update("jax_num_cpu_devices", count)
    except RuntimeError as error:
        raise DevicesError(
            "Host devices must be configured before JAX is used: call "
            "configure_host_devices first thing in main, before any array is made."
        ) from error
    choose_kernels()
    return count


def choose_kernels() -> bool:
    """Has products of matrices computed by Eigen instead of by YNNPACK on a CPU.

    jaxlib 0.10 gives them to YNNPACK, with which the updates, fits and rollouts of this
    package, of 64 to 1,000 rows of 64 to 256 units, were measured to take up to twice
    as long. Call it before JAX starts: later it has no effect. A choice in `XLA_FLAGS`
    is the user's own word.

    Returns:
      Whether it was asked for; not where it is chosen already, nor where jaxlib, or an
      accelerator's plugin with an XLA of its own, may not know how.
    """
    given = os.environ.get(FLAGS_VARIABLE, "")
    # XLA takes what does not begin with a dash for the name of a file of flags.
    if given and not given.lstrip().startswith("-"):
        return False
    platforms = jax.config.jax_platforms  # pyright: ignore
    if _has_plugins() and platforms != "cpu":
        return False
    known = metadata.version("jaxlib").startswith(_KNOWING)
    if _KERNELS_FLAG in given or not known:
        return False
    os.environ[FLAGS_VARIABLE] = f"{given} {_KERNELS_FLAG}=".strip()
    return True


def _has_plugins() -> bool:
    plugins = metadata.entry_points(group="jax_plugins")
    return bool(plugins) or importlib.util.find_spec("libtpu") is not None


def enable_compilation_cache() -> pathlib.Path | None:
    """Keeps compiled programs in the user's cache folder between runs.

    The folder is `$XDG_CACHE_HOME/omgrl_jax` (by default `~/.cache/omgrl_jax`). Set
    `OMGRL_COMPILATION_CACHE` to another folder, or to an empty value to turn the
    cache off; a folder chosen through JAX's own settings is left alone.

    Returns:
      The folder, or None where the cache stays off.
    """
    present = jax.config.jax_compilation_cache_dir  # pyright: ignore
    if present:
        return pathlib.Path(present)
    chosen = os.environ.get(CACHE_VARIABLE)
    if chosen == "":
        return None
    base = os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache"
    folder = pathlib.Path(chosen) if chosen else pathlib.Path(base) / "omgrl_jax"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        # A read-only home costs compile time, never the run.
        return None
    jax.config.update("jax_compilation_cache_dir", str(folder))
    # A script compiles hundreds of small programs: together they take as long as the
    # large ones, which alone JAX would keep.
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    return folder


def _count_from_environment() -> int:
    text = os.environ.get(COUNT_VARIABLE)
    if text is None:
        return available_cores()
    try:
        return int(text)
    except ValueError:
        raise DevicesError(
            f"{COUNT_VARIABLE} must be a whole number, not {text!r}."
        ) from None


def _forced_by_xla_flags() -> int | None:
    for word in os.environ.get(FLAGS_VARIABLE, "").split():
        name, _, value = word.partition("=")
        if name == _COUNT_FLAG and value.isdigit():
            return int(value)
    return None

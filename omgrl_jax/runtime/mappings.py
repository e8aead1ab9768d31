"""Keeps long studies from running out of memory mappings.

Every compiled program takes some mappings of the process, and Linux allows a process
only so many (vm.max_map_count, 65,530 by default): a study of about thirty settings
comes to an end with "Cannot allocate memory" while most of the memory is free. Programs
that are forgotten are compiled again when they are needed, or read from the
compilation cache.
"""

import gc
import pathlib

import jax
from absl import logging

_MAPS = pathlib.Path("/proc/self/maps")
_LIMIT = pathlib.Path("/proc/sys/vm/max_map_count")


def forget_programs(share: float = 0.5) -> bool:
    """Forgets compiled programs where they take too many mappings.

    To be called between the settings of a study, while no program is running.

    Args:
      share: of the mappings that a process may have.

    Returns:
      Whether programs were forgotten; never where the system does not count mappings.
    """
    used, allowed = _count(), _allowed()
    if used is None or allowed is None or used <= share * allowed:
        return False
    jax.clear_caches()
    gc.collect()
    logging.info(
        "Compiled programs are forgotten: %d of %d mappings were in use", used, allowed
    )
    return True


def _count() -> int | None:
    try:
        with _MAPS.open("rb") as file:
            return sum(1 for _ in file)
    except OSError:
        return None


def _allowed() -> int | None:
    try:
        return int(_LIMIT.read_text())
    except (OSError, ValueError):
        return None

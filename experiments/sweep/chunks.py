"""Chunks: as many members at once as memory holds, and fewer where it does not."""

import pathlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

import jax
import psutil
from absl import logging

from omgrl_jax.runtime.errors import RunError

Member = TypeVar("Member")
Found = TypeVar("Found")

# Members of a CPU run one after the other: more of them at once gain nothing, and a
# chunk that is killed is lost.
_MOST_EACH = 4
# A member's state and models stand there up to three times: as the host made them, on
# the device, and where an interval's results are written.
_COPIES = 3
# Of what is free; the rest is for the program itself and for what else runs.
_SHARE = 0.6
_EXHAUSTED = "RESOURCE_EXHAUSTED"


class TooLargeError(RunError):
    """Not even one member fits the device."""


def size(bytes_each: int, members: int, free: int) -> int:
    """How many members run at once.

    Chunks are even, so that few of the last one's places are filled with repeats.

    Args:
      bytes_each: memory of a member's state and models.
      members: how many there are.
      free: bytes that may be used, of all devices together.

    Returns:
      From 1 to `members`, or a little more where `rounded` says so.
    """
    fit = max(1, free // max(1, _COPIES * bytes_each))
    if jax.default_backend() == "cpu":
        fit = min(fit, _MOST_EACH * jax.local_device_count())
    chunks = -(-members // fit)
    return rounded(-(-members // chunks), fit)


def rounded(count: int, most: int) -> int:
    """A number of members that accelerators can divide evenly: else each holds all.

    Args:
      count: members; where there are fewer than accelerators, some have none.
      most: as many as fit.
    """
    devices = jax.local_device_count()
    if jax.default_backend() == "cpu" or count <= devices:
        return count
    up = -(-count // devices) * devices
    return up if up <= most else up - devices


def free_bytes() -> int:
    """Bytes that members may use: of the accelerators, or of the host for a CPU."""
    total = 0
    for device in jax.local_devices():
        stats = device.memory_stats() if device.platform != "cpu" else None
        if not stats or "bytes_limit" not in stats:
            return int(_SHARE * _free_on_host())
        total += stats["bytes_limit"] - stats.get("bytes_in_use", 0)
    return int(_SHARE * total)


def bytes_of(tree: Any) -> int:
    """Bytes of all arrays of a tree, or of what `jax.eval_shape` says of it."""
    return sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(tree))


def run(
    members: Sequence[Member],
    at_once: int,
    work: Callable[[list[Member]], Found],
) -> Iterator[tuple[list[Member], Found]]:
    """Works on members chunk by chunk, on half as many where memory runs out.

    Args:
      members: what is to be done.
      at_once: members of a chunk.
      work: `(members, exactly `at_once` of them) -> results`; the last places of a
        short chunk repeat its first members.

    Yields:
      The chunk's members, without repeats, and their results, with them.

    Raises:
      TooLargeError: if one member alone does not fit.
    """
    left = list(members)
    while left:
        chunk = left[:at_once]
        padded = [chunk[i % len(chunk)] for i in range(at_once)]
        try:
            found = work(padded)
        except jax.errors.JaxRuntimeError as error:
            if _EXHAUSTED not in str(error):
                raise
            if at_once == 1:
                raise TooLargeError(
                    "one member alone does not fit the device's memory: use smaller "
                    "networks (--agent_critic_hidden), fewer rollouts "
                    "(--rollout_rollouts, --rollout_kept_epochs) or fewer stays "
                    "(--train_stays)"
                ) from error
            at_once = rounded(-(-at_once // 2), at_once - 1)
            logging.warning(
                "Out of memory: going on with chunks of %d members", at_once
            )
            continue
        yield chunk, found
        left = left[len(chunk) :]


def _free_on_host() -> int:
    """Free memory of the machine, or what a container leaves of its own limit."""
    free = psutil.virtual_memory().available
    limit, used = (_number(f"/sys/fs/cgroup/memory.{n}") for n in ("max", "current"))
    return free if limit is None or used is None else min(free, limit - used)


def _number(path: str) -> int | None:
    try:
        return int(pathlib.Path(path).read_text())
    except (OSError, ValueError):  # no such file, or "max": no limit
        return None

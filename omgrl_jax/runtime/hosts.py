"""Many hosts: who they are, what each does, and what all of them found.

The members of a sweep never talk to each other, so that hosts share nothing but the
list of what is to be done: each takes its own part, and their results are gathered in
the end. JAX finds the hosts of a Slurm job or a Cloud TPU slice by itself; elsewhere
each process is told where the first one listens, how many there are and which it is.
"""

import dataclasses
import zlib
from collections.abc import Sequence
from typing import Any, TypeVar

import jax
from absl import logging

# The service by which the processes found each other also keeps what they tell. Its
# client has no public name yet; collectives, which have, give up after a minute and
# want as many devices on every host.
from jax._src import distributed

from omgrl_jax.runtime.errors import RunError

Item = TypeVar("Item")

_KEY = "omgrl_jax/gathered"
_PART = 1 << 20  # bytes of one message
_PATIENCE = 7 * 24 * 3600 * 1000  # milliseconds that a host waits for the slowest


class HostsError(RunError):
    """The hosts cannot be joined as asked."""


@dataclasses.dataclass(frozen=True)
class HostsConfig:
    """Several processes that work on one sweep.

    Attributes:
      distributed: whether this is one of several processes; in a Slurm job and on Cloud
        TPU nothing more need be said.
      coordinator: where the first process listens, as HOST:PORT; empty: JAX finds out.
      processes: how many processes there are; 0: JAX finds out.
      process: which of them this one is, from 0; -1: JAX finds out.
    """

    distributed: bool = False
    coordinator: str = ""
    processes: int = dataclasses.field(default=0, metadata={"min": 0})
    process: int = dataclasses.field(default=-1, metadata={"min": -1})

    def __post_init__(self) -> None:
        """Rejects hosts that are told in part."""
        told = (bool(self.coordinator), self.processes > 0, self.process >= 0)
        if any(told) and not all(told):
            raise ValueError(
                "--coordinator, --processes and --process belong together: give all "
                "three, or none where Slurm or a Cloud TPU tells them"
            )
        if all(told) and self.process >= self.processes:
            raise ValueError(
                f"--process={self.process}: processes are numbered from 0 to "
                f"{self.processes - 1}"
            )


def join(config: HostsConfig) -> None:
    """Joins the other processes; to be called before JAX is used.

    Args:
      config: who they are; where nothing is said, this process is alone.

    Raises:
      HostsError: if they cannot be found or reached.
    """
    if not config.distributed and not config.coordinator:
        return
    try:
        jax.distributed.initialize(
            config.coordinator or None,
            config.processes or None,
            None if config.process < 0 else config.process,
        )
    except (RuntimeError, ValueError) as error:
        raise HostsError(
            f"the hosts cannot be joined ({error}); outside of Slurm and Cloud TPU "
            "give --coordinator=HOST:PORT, --processes and --process, the same "
            "coordinator everywhere"
        ) from error


def share(items: Sequence[Item]) -> list[Item]:
    """This process's part of a list: neighbours, parts as even as can be.

    Args:
      items: the same list on every process.
    """
    count, own = jax.process_count(), jax.process_index()
    ends = [len(items) * n // count for n in range(count + 1)]
    return list(items[ends[own] : ends[own + 1]])


def is_first() -> bool:
    """Whether this is the process that writes what all of them found."""
    return jax.process_index() == 0


def gather(text: str) -> list[str]:
    """The texts of all processes, in their order; every process has to call it, once.

    Args:
      text: this process's own.
    """
    count, own = jax.process_count(), jax.process_index()
    if count == 1:
        return [text]
    client: Any = distributed.global_state.client
    packed = zlib.compress(text.encode())
    parts = [packed[i : i + _PART] for i in range(0, len(packed), _PART)]
    for number, part in enumerate(parts):
        client.key_value_set_bytes(f"{_KEY}/{own}/{number}", part)
    # The number of parts comes last: it says that all of them are there.
    client.key_value_set_bytes(f"{_KEY}/{own}", str(len(parts)).encode())
    logging.info("Waiting for what the other hosts found")
    return [_told_by(client, host) for host in range(count)]


def _told_by(client: Any, host: int) -> str:
    """What a process told, when it has told it."""
    count = int(client.blocking_key_value_get_bytes(f"{_KEY}/{host}", _PATIENCE))
    parts = [
        client.blocking_key_value_get_bytes(f"{_KEY}/{host}/{number}", _PATIENCE)
        for number in range(count)
    ]
    return zlib.decompress(b"".join(parts)).decode()

"""Many hosts: who they are, what each does, and what all of them found.

The members of a sweep never talk to each other, so that hosts share nothing but the
list of what is to be done: each takes its own part, and their results are gathered in
the end. JAX finds the hosts of a Slurm job or a Cloud TPU slice by itself; elsewhere
each process is told where the first one listens, how many there are and which it is.
"""

import dataclasses
from collections.abc import Sequence
from typing import TypeVar

import jax
import numpy as np
from jax.experimental import multihost_utils

from omgrl_jax.runtime.errors import RunError

Item = TypeVar("Item")


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
    """The texts of all processes, in their order; every process has to call it.

    Args:
      text: this process's own.
    """
    if jax.process_count() == 1:
        return [text]
    own = np.frombuffer(text.encode(), np.uint8)
    sizes = np.asarray(multihost_utils.process_allgather(np.int32(own.size)))
    padded = np.zeros(int(sizes.max()), np.uint8)
    padded[: own.size] = own
    every = np.asarray(multihost_utils.process_allgather(padded))
    found = zip(every, sizes.reshape(-1).tolist(), strict=True)
    return [row[:size].tobytes().decode() for row, size in found]

"""Compiled intervals of training of one seed or many, as `runtime.train` runs them."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from experiments.benchmark import program
from omgrl_jax.runtime import sweep, train
from omgrl_jax.types import Algorithm


class Interval(NamedTuple):
    """A compiled interval.

    Attributes:
      run: trains on by one interval, `() -> metrics` on the host.
      program: what it consists of, on one device.
      devices: over how many its members are split.
    """

    run: Callable[[], dict[str, Any]]
    program: program.Program
    devices: int


def make(algorithm: Algorithm, key: jax.Array, data: Any, epochs: int) -> Interval:
    """Compiles an interval ahead of its first run.

    Args:
      algorithm: what is trained.
      key: of one seed [], or of members [N].
      data: what the algorithm is given.
      epochs: of the interval.
    """
    step, state, run_key, data, _, _ = train._prepare(algorithm, key, data, None, None)
    begun = jnp.int32(step)
    lowered = train.run_interval.lower(algorithm, state, run_key, begun, data, epochs)
    compiled = lowered.compile()

    def run() -> dict[str, Any]:
        nonlocal state, begun
        state, metrics = compiled(state, run_key, begun, data)
        begun = begun + epochs
        return jax.device_get(metrics)

    split = key.ndim > 0 and sweep.choose() == "shard"
    devices = min(key.shape[0], jax.local_device_count()) if split else 1
    return Interval(run, program.of(compiled), devices)


def members(count: int, seed: int = 0) -> jax.Array:
    """Keys [N] of so many seeds."""
    return jax.vmap(jax.random.key)(jnp.arange(seed, seed + count))

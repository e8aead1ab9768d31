"""Settings of methods: numbers, or arrays where a sweep batches their values."""

from jax.core import Tracer

from omgrl_jax.types import Array


def is_off(weight: float | Array) -> bool:
    """Whether a term's weight is known to be zero, so that the term is left out.

    A weight that differs between the members of a program is not known: the term is
    computed, and a weight of zero makes nothing of it.

    Args:
      weight: a number, or an array [] that is traced.
    """
    return not isinstance(weight, Tracer) and not weight

"""Settings put in a configuration's place, and which of them may be arrays."""

import dataclasses

import jax.numpy as jnp
import pytest

from omgrl_jax.runtime import flags as config_flags
from omgrl_jax.runtime import traced


@dataclasses.dataclass(frozen=True)
class Part:
    """A part.

    Attributes:
      rate: a number.
      width: a size.
    """

    rate: float = 0.5
    width: int = 3

    def __post_init__(self):
        if self.rate > 10:
            raise ValueError("rate")


@dataclasses.dataclass(frozen=True)
class Method:
    """A method that shares a part.

    Attributes:
      weight: a number.
      part: shared.
    """

    weight: float = 1.0
    part: Part = dataclasses.field(default_factory=Part)


@dataclasses.dataclass(frozen=True)
class Run:
    """A run.

    Attributes:
      part: the part.
      method: the method.
      method_two: another whose name begins alike.
    """

    part: Part = dataclasses.field(default_factory=Part)
    method: Method = dataclasses.field(default_factory=Method)
    method_two: Method = dataclasses.field(default_factory=lambda: Method(weight=2.0))

    def __post_init__(self):
        config_flags.share(self)


def test_shared_parts_are_replaced_wherever_they_stand():
    run = Run()
    changed = traced.put(run, {"part_rate": 99.0, "method_weight": 7.0})
    assert (changed.part.rate, changed.method.part.rate) == (99.0, 99.0)
    assert changed.method_two.part.rate == 99.0
    assert (changed.method.weight, changed.method_two.weight) == (7.0, 2.0)
    assert (run.part.rate, run.method.weight) == (0.5, 1.0)
    assert changed.part.width == 3


def test_names_that_are_no_settings_are_refused():
    with pytest.raises(ValueError, match="method_part_rate"):
        traced.put(Run(), {"method_part_rate": 1.0})


def test_what_a_program_asks_for_while_it_is_traced_is_found():
    def run(values):
        config = traced.put(Run(), values)
        scaled = config.method.weight * jnp.ones(config.part.width)
        return scaled if config.method_two.weight > 1 else -scaled

    assert traced.take_arrays(run, ["method_weight"])
    assert traced.take_arrays(run, [])
    assert not traced.take_arrays(run, ["part_width"])
    assert not traced.take_arrays(run, ["method_two_weight"])
    assert not traced.take_arrays(run, ["method_weight", "part_width"])

"""Settings that one compiled program takes as numbers, one for each member.

A method is built from a configuration of Python numbers, which its program then holds
as constants. Put an array in a setting's place and build the method while the program
is traced: the same mathematics then takes the setting as an input, so that a sweep
batches its values with the seeds. Not every setting allows it (a width decides a
shape); whether one does is found by trying (`take_arrays`).
"""

import copy
import dataclasses
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

import jax
import jax.numpy as jnp

from omgrl_jax.runtime import flags as config_flags

Config = TypeVar("Config")


def put(config: Config, values: Mapping[str, Any]) -> Config:
    """A configuration with some settings replaced, by the names of their flags.

    Nothing is checked and nothing computed, so that values may be traced arrays. Parts
    that nested configurations share are replaced wherever they stand.

    Args:
      config: a frozen dataclass, see `flags`; it stays as it is.
      values: flag name -> value.

    Returns:
      The new configuration.

    Raises:
      ValueError: on a name that is no flag of the configuration.
    """
    unknown = sorted(set(values) - set(config_flags.flatten(config)))
    if unknown:
        raise ValueError(f"no settings: {', '.join(unknown)}")
    return _put(config, "", values, {})


def take_arrays(run: Callable[[dict[str, Any]], Any], names: Iterable[str]) -> bool:
    """Whether a program can take settings as numbers that are not known beforehand.

    Args:
      run: builds and traces the program with settings by flag name put in their place.
      names: the settings, all of them at once.

    Returns:
      False where the program asks for a number while it is traced: to choose its
      operations or a shape by it.
    """
    values = {name: jax.ShapeDtypeStruct((), jnp.float32) for name in names}
    try:
        jax.eval_shape(run, values)
    except TypeError:  # that is what JAX raises where a number is wanted
        return False
    return True


def _put(
    part: Any, prefix: str, values: Mapping[str, Any], owners: Mapping[type, str]
) -> Any:
    """`part` with values; `owners` are the flags' prefixes of parts it shares."""
    changed = copy.copy(part)
    fields = [field.name for field in dataclasses.fields(part) if field.init]
    given = {name: getattr(part, name) for name in fields}
    nested = {name for name in fields if dataclasses.is_dataclass(given[name])}
    own = {type(given[name]): f"{prefix}{name}_" for name in fields if name in nested}
    for name in fields:
        new = given[name]
        if name in nested:
            where = owners.get(type(new), f"{prefix}{name}_")
            new = _put(new, where, values, {**owners, **own})
        elif f"{prefix}{name}" in values:
            new = values[f"{prefix}{name}"]
        object.__setattr__(changed, name, new)
    return changed

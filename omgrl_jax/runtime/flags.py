"""Command-line flags made from the fields of configuration dataclasses.

A configuration is a frozen dataclass whose docstring explains each field under
`Attributes:`. Each field becomes one flag: its default stands once, in the dataclass,
and its help is the sentence that documents it. Limits stand in the field's metadata:

    learning_rate: float = dataclasses.field(default=3e-4, metadata={"above": 0})

Known limits: `choices`, `min`, `max` (inclusive), `above`, `below` (exclusive). They
hold for each element of a tuple. A nested configuration contributes its fields with
the field's name in front. Where methods share a part (an agent, a way of rolling out),
the part stands once in the outer configuration: a nested configuration with a field of
the same type makes no flags for it and is given the outer one.
"""

import dataclasses
import inspect
import re
import types
import typing
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

from absl import flags

# Flags belong to the script that defines them, so that its --help lists them.
flags.disclaim_key_flags()

Config = TypeVar("Config")
ALLOW_GIT_WORKTREE = "allow_git_worktree"

_LIMITS: dict[str, tuple[str, Callable[[Any, Any], bool]]] = {
    "choices": ("must be one of", lambda value, limit: value in limit),
    "min": ("must be at least", lambda value, limit: value >= limit),
    "max": ("must be at most", lambda value, limit: value <= limit),
    "above": ("must be greater than", lambda value, limit: value > limit),
    "below": ("must be less than", lambda value, limit: value < limit),
}
_SCALARS: dict[type, Callable[[], flags.ArgumentParser]] = {
    bool: flags.BooleanParser,
    int: flags.IntegerParser,
    float: flags.FloatParser,
    str: flags.ArgumentParser,
}


def define(
    config_class: type,
    prefix: str = "",
    flag_values: flags.FlagValues = flags.FLAGS,
    shared: frozenset[type] = frozenset(),
    usual: Any = None,
) -> None:
    """Defines one flag for each field of a configuration.

    Args:
      config_class: dataclass whose fields are bool, int, float, str, `Literal`, tuples
        `tuple[type, ...]` of these, optional ones, or dataclasses again.
      prefix: put before every name, for instance `dynamics_`.
      flag_values: where to register; the global flags by default.
      shared: configurations that an outer one holds already: no flags for them.
      usual: instance whose values are the defaults, such as an outer configuration's
        own choice of a part; None for the class's.

    Raises:
      TypeError: if a field's type, metadata or documentation makes no flag.
      flags.DuplicateFlagError: if the name is taken already.
    """
    help_texts = attribute_docs(config_class)
    inner = shared | _parts_of(config_class)
    for field, kind in _fields(config_class):
        name, default = prefix + field.name, _default(field, usual)
        if dataclasses.is_dataclass(kind):
            if kind not in shared:
                given = None if default is dataclasses.MISSING else default
                part = typing.cast(type, kind)
                define(part, f"{name}_", flag_values, inner, given)
            continue
        if field.name not in help_texts:
            raise TypeError(
                f"{config_class.__name__}.{field.name} has no line under Attributes: "
                "in the docstring; its flag would have no help."
            )
        _define_one(name, field, kind, default, help_texts[field.name], flag_values)


def define_dataset_script(
    config_class: type, flag_values: flags.FlagValues = flags.FLAGS
) -> None:
    """The flags of a script that makes a dataset: --out, and those of `define`.

    Args:
      config_class: what to make, see `define`.
      flag_values: where to register; the global flags by default.
    """
    flags.DEFINE_string(
        "out", None, "Directory to write the dataset into.", flag_values=flag_values
    )
    flags.mark_flag_as_required("out", flag_values=flag_values)
    define(config_class, flag_values=flag_values)


def define_study_script(
    config_classes: Sequence[type],
    flag_values: flags.FlagValues = flags.FLAGS,
    without_dataset: str = "",
) -> None:
    """Flags of a script that learns from a dataset: --dataset, --out and the settings.

    Args:
      config_classes: one flag for each of their fields.
      flag_values: where to register; the global flags by default.
      without_dataset: what happens where no dataset is named; empty: one must be.
    """
    told = f"; empty: {without_dataset}" if without_dataset else " (see WORKSPACE.md)"
    flags.DEFINE_string(
        "dataset",
        "" if without_dataset else None,
        f"Directory of the dataset{told}.",
        flag_values=flag_values,
    )
    flags.DEFINE_string(
        "out",
        None,
        "Directory to write to; made when missing.",
        flag_values=flag_values,
    )
    flags.DEFINE_bool(
        ALLOW_GIT_WORKTREE,
        False,
        "Write output made from records inside a git work tree anyway.",
        flag_values=flag_values,
    )
    required = ["out"] if without_dataset else ["dataset", "out"]
    flags.mark_flags_as_required(required, flag_values=flag_values)
    for config_class in config_classes:
        define(config_class, flag_values=flag_values)


def read(
    config_class: type[Config],
    prefix: str = "",
    flag_values: flags.FlagValues = flags.FLAGS,
    shared: frozenset[type] = frozenset(),
) -> Config:
    """Builds the configuration from parsed flags.

    Args:
      config_class: the class given to `define`.
      prefix: the prefix given to `define`.
      flag_values: the flags given to `define`.
      shared: configurations that an outer one holds already: left at their defaults,
        until the outer one gives its own (`share`).

    Returns:
      A new instance.
    """
    values = {}
    inner = shared | _parts_of(config_class)
    for field, kind in _fields(config_class):
        if not dataclasses.is_dataclass(kind):
            values[field.name] = flag_values[prefix + field.name].value
        elif kind not in shared:
            part = typing.cast(type, kind)
            values[field.name] = read(
                part, f"{prefix}{field.name}_", flag_values, inner
            )
    return config_class(**values)


def flatten(
    config: Any, prefix: str = "", shared: frozenset[type] = frozenset()
) -> dict[str, Any]:
    """Returns a configuration's values by the names of its flags.

    Args:
      config: an instance.
      prefix: put before every name.
      shared: configurations that an outer one holds already: left out.
    """
    found: dict[str, Any] = {}
    inner = shared | _parts_of(type(config))
    for field, kind in _fields(type(config)):
        value = getattr(config, field.name)
        if not dataclasses.is_dataclass(kind):
            found[prefix + field.name] = value
        elif kind not in shared:
            found |= flatten(value, f"{prefix}{field.name}_", inner)
    return found


def changed(config: Config, arguments: Sequence[str]) -> Config:
    """A configuration with some flags given anew, as on a command line.

    Args:
      config: the configuration underneath; it stays as it is.
      arguments: for instance `--reward_mode=gcl` or `--flagfile=PATH`.

    Returns:
      A new instance.

    Raises:
      flags.Error: on unknown flags or values out of their limits.
    """
    values = flags.FlagValues()
    define(type(config), flag_values=values)
    for name, value in flatten(config).items():
        values[name].value = value
    values(["changed", *arguments])
    return read(type(config), flag_values=values)


def share(config: Any) -> None:
    """Gives a configuration's own parts to those nested in it that share them.

    Meant for `__post_init__`, so that it holds however the instance was made.

    Args:
      config: an instance under construction, frozen or not.
    """
    own = {kind: field.name for field, kind in _fields(type(config))}
    for field, kind in _fields(type(config)):
        if not dataclasses.is_dataclass(kind):
            continue
        given = {
            inner.name: getattr(config, own[part])
            for inner, part in _fields(typing.cast(type, kind))
            if dataclasses.is_dataclass(part) and part in own
        }
        if given:
            value = dataclasses.replace(getattr(config, field.name), **given)
            object.__setattr__(config, field.name, value)


def attribute_docs(config_class: type) -> dict[str, str]:
    """Returns the text under `Attributes:` in a docstring, by attribute name.

    Inherited fields are found in the docstrings of the bases.

    Args:
      config_class: class with a Google-style docstring.
    """
    found: dict[str, str] = {}
    for base in reversed(config_class.__mro__):
        found.update(_attributes_of(inspect.cleandoc(base.__doc__ or "")))
    return found


def _attributes_of(docstring: str) -> dict[str, str]:
    _, _, section = docstring.partition("Attributes:\n")
    found: dict[str, list[str]] = {}
    indent = None
    for line in section.splitlines():
        if not line.strip():
            continue
        depth = len(line) - len(line.lstrip())
        if depth == 0:
            break
        indent = indent or depth
        entry = re.match(r"(\w+)(?: \([^)]*\))?:\s*(.*)", line.strip())
        if depth == indent and entry:
            found[entry.group(1)] = [entry.group(2)]
        elif found:
            found[next(reversed(found))].append(line.strip())
    return {name: " ".join(parts).strip() for name, parts in found.items()}


def _parts_of(config_class: type) -> frozenset[type]:
    """The types of the configurations nested directly in one."""
    kinds = (kind for _, kind in _fields(config_class))
    return frozenset(
        kind
        for kind in kinds
        if isinstance(kind, type) and dataclasses.is_dataclass(kind)
    )


def _fields(config_class: type) -> Iterator[tuple[dataclasses.Field, Any]]:
    kinds = typing.get_type_hints(config_class)
    for field in dataclasses.fields(config_class):
        if field.init:
            yield field, kinds[field.name]


def _default(field: dataclasses.Field, usual: Any) -> Any:
    """A field's default; MISSING where it has none."""
    if usual is not None:
        return getattr(usual, field.name)
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    return field.default


def _define_one(
    name: str,
    field: dataclasses.Field,
    kind: Any,
    default: Any,
    help_text: str,
    flag_values: flags.FlagValues,
) -> None:
    limits = _limits(field, kind)
    required = default is dataclasses.MISSING
    notes = [f"{_LIMITS[limit][0]} {_show(value)}" for limit, value in limits.items()]
    flag = flags.Flag(
        parser=_parser(name, kind),
        serializer=_Serializer(),
        name=name,
        default=None if required else default,
        help_string="; ".join([help_text.rstrip("."), *notes]) + ".",
        boolean=kind is bool,
    )
    flags.DEFINE_flag(flag, flag_values=flag_values, required=required)
    for limit, value in limits.items():
        words, holds = _LIMITS[limit]
        flags.register_validator(
            name,
            lambda given, holds=holds, value=value: all(
                holds(part, value) for part in _parts(given)
            ),
            message=f"--{name} {words} {_show(value)}.",
            flag_values=flag_values,
        )


def _limits(field: dataclasses.Field, kind: Any) -> dict[str, Any]:
    unknown = set(field.metadata) - set(_LIMITS)
    if unknown:
        raise TypeError(
            f"Field {field.name!r} has unknown metadata {sorted(unknown)}; known are "
            f"{sorted(_LIMITS)}."
        )
    limits = dict(field.metadata)
    for part in (kind, *typing.get_args(kind)):
        if typing.get_origin(part) is typing.Literal:
            limits["choices"] = typing.get_args(part)
    return limits


def _parts(given: Any) -> tuple[Any, ...]:
    if given is None:
        return ()
    return given if isinstance(given, tuple) else (given,)


def _show(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, tuple | list) else str(value)


def _parser(name: str, kind: Any) -> flags.ArgumentParser:
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if kind in _SCALARS:
        return _SCALARS[kind]()
    if origin is typing.Literal and len({type(value) for value in arguments}) == 1:
        return _parser(name, type(arguments[0]))
    if origin is tuple and len(arguments) == 2 and arguments[1] is Ellipsis:
        return _TupleParser(_parser(name, arguments[0]))
    if origin in (typing.Union, types.UnionType):
        inner = [part for part in arguments if part is not type(None)]
        if len(inner) == 1:
            return _OptionalParser(_parser(name, inner[0]))
    raise TypeError(f"Flag --{name}: no parser for fields of type {kind}.")


class _Serializer(flags.ArgumentSerializer):
    """Writes values as the parsers read them."""

    def serialize(self, value: Any) -> str:
        return _text(value)


class _TupleParser(flags.ArgumentParser):
    """Reads `1,2,3` as a tuple; an empty text is the empty tuple."""

    syntactic_help = "a comma separated list"

    def __init__(self, inner: flags.ArgumentParser):
        self._inner = inner

    def parse(self, argument: Any) -> tuple[Any, ...]:
        if isinstance(argument, tuple):
            return argument
        return tuple(self._inner.parse(part.strip()) for part in _words(argument))

    def flag_type(self) -> str:
        return f"comma separated list of {self._inner.flag_type()}"


class _OptionalParser(flags.ArgumentParser):
    """Reads `none` as None, everything else as the inner type."""

    syntactic_help = "'none' for no value"

    def __init__(self, inner: flags.ArgumentParser):
        self._inner = inner

    def parse(self, argument: Any) -> Any:
        if argument is None or str(argument).lower() == "none":
            return None
        return self._inner.parse(argument)

    def flag_type(self) -> str:
        return f"{self._inner.flag_type()} or none"


def _words(argument: str) -> list[str]:
    return argument.split(",") if argument.strip() else []


def _text(value: Any) -> str:
    if isinstance(value, tuple):
        return ",".join(_text(part) for part in value)
    return "none" if value is None else str(value)

"""What a compiled program consists of, which no busy machine can change."""

import re
from typing import Any, NamedTuple

_CALLED = re.compile(r"= [^=]*? (fusion|custom-call|dot|convolution)\(")
_INSTRUCTION = re.compile(r"^\s+(ROOT )?%?[\w.-]+ = ", re.MULTILINE)
_FREE = re.compile(
    r"^\s+(ROOT )?%?[\w.-]+ = [^=]*? "
    r"(parameter|constant|tuple|get-tuple-element|bitcast)\(",
    re.MULTILINE,
)


class Program(NamedTuple):
    """Size of a compiled program.

    Attributes:
      kernels: fusions, products and custom calls: what is launched one by one.
      instructions: all instructions but those that do nothing when run.
      temporary: bytes of working memory.
      arguments: bytes of what it is given.
      results: bytes of what it gives, without what takes the place of an argument.
    """

    kernels: int
    instructions: int
    temporary: int
    arguments: int
    results: int

    @property
    def peak(self) -> int:
        """Bytes that live at once, at most."""
        return self.temporary + self.arguments + self.results


def of(compiled: Any) -> Program:
    """The size of a program.

    Args:
      compiled: what `jax.jit(f).lower(...).compile()` gives.
    """
    text, memory = compiled.as_text(), compiled.memory_analysis()
    return Program(
        kernels=len(_CALLED.findall(text)),
        instructions=len(_INSTRUCTION.findall(text)) - len(_FREE.findall(text)),
        temporary=memory.temp_size_in_bytes,
        arguments=memory.argument_size_in_bytes,
        results=memory.output_size_in_bytes - memory.alias_size_in_bytes,
    )

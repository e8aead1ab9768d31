"""How every script starts and how it ends when something is wrong with its input."""

import logging as std_logging
import sys
from collections.abc import Callable
from typing import NoReturn

from absl import app, logging

from omgrl_jax.runtime.errors import RunError

# What users can put right. Anything else is our own fault and keeps its traceback.
FAULTS = (ValueError, OSError, FloatingPointError, RunError)


def run(main: Callable[[], None], define_flags: Callable[[], None]) -> NoReturn:
    """Defines and parses the flags, runs `main`, and ends the process.

    Faults of the input end in one line on stderr and exit code 1; --verbosity=1 shows
    where they came from. A script calls this only under `__name__ == "__main__"`, so
    that importing it has no effect.

    Args:
      main: the script; it reads the flags.
      define_flags: defines them.
    """
    quiet()
    define_flags()

    def guarded(argv: list[str]) -> None:
        try:
            if len(argv) > 1:
                raise ValueError(f"unknown argument '{argv[1]}'; see --help")
            main()
        except FAULTS as error:
            logging.debug("Traceback of the error below", exc_info=True)
            print(f"error: {error}", file=sys.stderr)
            sys.exit(1)

    app.run(guarded)
    raise AssertionError("app.run ends the process")


def quiet() -> None:
    """Silences what JAX says about accelerators that are not there."""
    std_logging.getLogger("jax._src.xla_bridge").setLevel(std_logging.WARNING)

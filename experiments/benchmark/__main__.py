"""Every part of the package timed, beside what the machine could do and beside rivals.

    python -m experiments.benchmark
    python -m experiments.benchmark --piece=update,rollouts --out=FILE.json

Prints a line for each measurement: median, least and most of the repeats, share of what
one large product of matrices reaches in the same repeats, target, and whether it is
met. All of it takes some minutes on two cores; each size is a flag. With --out
everything is also written as JSON, and the curves of growth as growth.svg beside it.
`pip install -e .[bench]` adds the rivals that are timed where they are found.
"""

import json
import pathlib
import time
from typing import Any

from absl import flags

from experiments import repeating
from experiments.benchmark import machine, printed
from experiments.benchmark.config import NAMES, Settings
from experiments.benchmark.row import Row
from omgrl_jax.runtime import devices, script, storage
from omgrl_jax.runtime import flags as config_flags


def define_flags(values: flags.FlagValues = flags.FLAGS) -> None:
    """Which pieces, where to write, and every size."""
    flags.DEFINE_list(
        "piece",
        list(NAMES),
        f"What to measure, of {', '.join(NAMES)}.",
        flag_values=values,
    )
    flags.DEFINE_string(
        "out", "", "JSON file to write; empty: none.", flag_values=values
    )
    flags.DEFINE_boolean(
        "profile",
        False,
        "Also show where the time of what is timed goes, by kind of kernel (on a CPU).",
        flag_values=values,
    )
    config_flags.define(Settings, flag_values=values)


def main() -> None:
    """Measures what the flags ask for."""
    settings = config_flags.read(Settings)
    names = chosen(flags.FLAGS.piece)
    out = pathlib.Path(flags.FLAGS.out) if flags.FLAGS.out else None
    devices.configure_host_devices()
    if not flags.FLAGS.profile:
        run(settings, names, out)
        return
    from experiments.benchmark import profile, timing

    with timing.watched(profile.show):
        run(settings, names, out)


def chosen(names: list[str]) -> list[str]:
    """The pieces asked for.

    Raises:
      ValueError: naming one that there is not.
    """
    unknown = [name for name in names if name not in NAMES]
    if unknown or not names:
        raise ValueError(f"--piece={','.join(names)}: use {', '.join(NAMES)}")
    return names


def run(settings: Settings, names: list[str], out: pathlib.Path | None) -> list[Row]:
    """Measures pieces, and writes after each, so that an end of it loses little.

    Args:
      settings: sizes.
      names: of the pieces.
      out: file for JSON; None for none.

    Returns:
      The rows.
    """
    # JAX starts with these imports, after the host devices were configured.
    import jax

    from experiments.benchmark import pieces

    described = machine.describe()
    print(printed.heading(described), flush=True)
    rows: list[Row] = []
    seconds: dict[str, float] = {}
    for name in names:
        begun, piece = time.perf_counter(), pieces.PIECES[name]
        found = piece.measure(getattr(settings, name), settings.repeats)
        seconds[name] = round(time.perf_counter() - begun, 1)
        rows += found
        print("\n".join(map(printed.line, found)), flush=True)
        if out is not None:
            write(out, described, settings, seconds, rows)
            if piece.draw is not None:
                print(f"figure: {piece.draw(found, out.parent)}")
        # Programs and buffers of one piece must not crowd the next one's.
        jax.clear_caches()
    print(f"\n{printed.summary(rows)}")
    return rows


def write(
    out: pathlib.Path,
    described: dict[str, Any],
    settings: Settings,
    seconds: dict[str, float],
    rows: list[Row],
) -> None:
    """Writes what was measured so far.

    Args:
      out: the file.
      described: machine and versions.
      settings: sizes.
      seconds: that each piece took, compilation included.
      rows: what was measured.
    """
    content = {
        "machine": described,
        "command": repeating.command(),
        "settings": config_flags.flatten(settings),
        "seconds": seconds,
        "rows": [row.as_dict() for row in rows],
    }
    storage.atomic_write(out, json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    script.run(main, define_flags)

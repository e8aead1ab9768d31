"""Virtual patients with sepsis, for studies that were given no dataset."""

import json
import pathlib
from collections.abc import Mapping

from data_prep import virtual_sepsis


def made(
    wanted: virtual_sepsis.Config, directory: pathlib.Path, flags: Mapping[str, str]
) -> str:
    """The directory of the dataset, which is made where it is not there yet.

    Args:
      wanted: which patients.
      directory: where they lie, or will.
      flags: field of `wanted` -> the study's flag that sets it.

    Returns:
      The directory.

    Raises:
      ValueError: naming the flag, if those that are there are others.
    """
    path = directory / "schema.json"
    if not path.is_file():  # written last
        virtual_sepsis.write(wanted, directory)
        return str(directory)
    there = json.loads(path.read_text())["simulator"]["run"]
    for field, flag in flags.items():
        if there[field] != getattr(wanted, field):
            raise ValueError(
                f"--{flag}={getattr(wanted, field)}: the virtual patients in "
                f"{directory} were made with {there[field]}; use another --out"
            )
    return str(directory)

"""What study scripts share: flags, the mark in the folder, units kept when done."""

import dataclasses
import json
import pathlib
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import tqdm
from absl import flags

from experiments.config import RunConfig
from omgrl_jax.runtime import devices, storage
from omgrl_jax.runtime import flags as config_flags

Rows = dict[str, list[dict[str, Any]]]


def together(study: Any, methods: RunConfig) -> Any:
    """The whole configuration, for the mark in the folder.

    Args:
      study: what is compared.
      methods: settings of the methods.
    """
    fields = [("study", type(study)), ("methods", RunConfig)]
    return dataclasses.make_dataclass("StudyOf", fields, frozen=True)(study, methods)


def define(
    study: type,
    defaults: Mapping[str, Any],
    without_dataset: str,
    values: flags.FlagValues,
) -> None:
    """Flags for the dataset, where to write, the study and the methods.

    Args:
      study: the study's own settings.
      defaults: where they differ from those of heparin, by flag.
      without_dataset: what happens where no dataset is named.
      values: where to register.
    """
    config_flags.define_study_script([study, RunConfig], values, without_dataset)
    for name, default in defaults.items():
        values.set_default(name, default)


def start(
    study: type, run: Callable[[Any, RunConfig, str, pathlib.Path, bool], pathlib.Path]
) -> None:
    """Runs the study that the flags describe.

    Args:
      study: the study's own settings.
      run: `(study, config, dataset, out, allow_git_worktree) -> page`.
    """
    own, config = (config_flags.read(kind) for kind in (study, RunConfig))
    devices.configure_host_devices()
    given = flags.FLAGS
    allow = bool(given[config_flags.ALLOW_GIT_WORKTREE].value)
    page = run(own, config, given.dataset, pathlib.Path(given.out), allow)
    print(f"\nReport: {page}")


def kept(
    names: Collection[str],
    judge: Callable[[str], Rows],
    sections: Sequence[str],
    out: pathlib.Path,
) -> Rows:
    """Judges what is not there yet, unit by unit, each kept when it is done.

    Args:
      names: of the units.
      judge: `(name) -> section -> rows`.
      sections: names of all sections.
      out: where results are kept.

    Returns:
      Section -> rows of all units.
    """
    # Not at the top: it starts JAX.
    from omgrl_jax.runtime import mappings

    found: Rows = {name: [] for name in sections}
    with tqdm.tqdm(names, "policies", disable=None) as bar:
        for name in bar:
            bar.set_postfix_str(name)
            path = out / "units" / f"{name}.json"
            if not path.is_file():
                storage.atomic_write(path, json.dumps(judge(name)))
                mappings.forget_programs()
            for section, rows in json.loads(path.read_text()).items():
                found[section] += rows
    return found

"""ICU-Sepsis: the treatment of sepsis as a table of 716 states and 25 actions.

Choudhary, Gupta and Thomas (2024), "ICU-Sepsis: A Benchmark MDP Built from Real Medical
Data", arXiv 2406.05646; the PyPI package `icu-sepsis`, version 2. An episode earns 1
where the patient survives and 0 where not, without a discount. Actions that clinicians
rarely took in a state move as the average of those they took (the package's default).

Only the package's table is read. Importing the package would import `gym`, which is no
longer maintained and says so on every start.
"""

import importlib.util
import pathlib
from typing import NamedTuple

import numpy as np

from omgrl_jax.envs import tabular
from omgrl_jax.runtime.errors import RunError

NAME = "Sepsis/ICU-Sepsis-v2"
STATES, ACTIONS = 716, 25
DEATH, SURVIVAL = 713, 714
# The last one is where the package's chain rests after an episode.
TERMINAL = (DEATH, SURVIVAL, 715)
MAX_STEPS = 500  # where the package cuts an episode


class Sepsis(NamedTuple):
    """The process and what clinicians do in it.

    Attributes:
      process: 716 states, 25 actions.
      clinicians: [716, 25] the behaviour policy estimated from MIMIC-III; uniform in
        terminal states, where the table leaves it open.
    """

    process: tabular.Process
    clinicians: np.ndarray


def load() -> Sepsis:
    """Reads the table of the installed package.

    Returns:
      The process and the clinicians' policy.

    Raises:
      RunError: if the package is not installed.
    """
    with np.load(_assets() / "dynamics.npz", allow_pickle=False) as table:
        process = tabular.make(table["tx_mat"], table["r_mat"], table["d_0"], TERMINAL)
        clinicians = table["expert_policy"]
    clinicians[list(TERMINAL)] = 1.0 / clinicians.shape[1]
    return Sepsis(process, clinicians)


def installed() -> bool:
    """Whether the package is there."""
    return importlib.util.find_spec("icu_sepsis") is not None


def _assets() -> pathlib.Path:
    found = importlib.util.find_spec("icu_sepsis")
    if found is None or not found.submodule_search_locations:
        raise RunError(
            "ICU-Sepsis needs an optional package; install it with "
            "pip install 'omgrl_jax[benchmarks]'"
        )
    return pathlib.Path(found.submodule_search_locations[0]) / "envs" / "assets"

"""Of how many people a figure tells: those of fewer than eleven are not shown."""

import numpy as np

from experiments.report.estimates import SMALLEST_COUNT
from experiments.task import Task
from omgrl_jax.data import dataset


def of_stays(task: Task, split: str) -> np.ndarray:
    """The patient of each stay of a split, [N]; a patient may have several stays."""
    arrays = task.arrays
    return np.asarray(arrays.patients)[arrays.split == dataset.SPLITS.index(split)]


def too_few(patients: np.ndarray) -> bool:
    """Whether these are too few different patients to show what is found of them.

    Args:
      patients: [K] numbers of patients, in any order, repeated or not.
    """
    return np.unique(patients).size < SMALLEST_COUNT

"""A dataset made ready for training: what every experiment script starts from."""

from typing import NamedTuple

import numpy as np

from omgrl_jax.data import dataset as dataset_lib
from omgrl_jax.data import records as records_lib
from omgrl_jax.data import scales as scales_lib
from omgrl_jax.data import space as space_lib
from omgrl_jax.data.records import Records
from omgrl_jax.data.scales import Scales
from omgrl_jax.data.schema import Schema
from omgrl_jax.data.space import Space


class Task(NamedTuple):
    """A loaded dataset in one of its states.

    Attributes:
      schema: the description.
      arrays: the recorded arrays.
      hash: content hash of the dataset.
      state: name of the state in use.
      space: static shape.
      scales: standardisation, fitted on training stays.
      train: training records.
      validation: records of other patients, for early stops.
      test: held-out records.
    """

    schema: Schema
    arrays: dataset_lib.Trajectories
    hash: str
    state: str
    space: Space
    scales: Scales
    train: Records
    validation: Records
    test: Records


def load(
    directory: str,
    state: str,
    horizon: int,
    train_stays: int = 0,
    continuous: bool = False,
) -> Task:
    """Loads and prepares a dataset.

    Args:
      directory: where it lies.
      state: name of the state; empty for the dataset's default.
      horizon: length of rollouts and experts' windows.
      train_stays: training stays to use, drawn by patient; 0 for all.
      continuous: whether actions may be continuous.

    Returns:
      The task.

    Raises:
      DatasetError: if the dataset is not sound.
      ValueError: if a split is empty, no training stay is as long as the horizon, or
        there are fewer training stays than wanted.
    """
    data = dataset_lib.load(directory)
    schema, arrays = data.schema, data.trajectories
    if train_stays:
        arrays = arrays._replace(split=fewer_stays(arrays, train_stays))
    space = space_lib.make_space(schema, state or None, continuous)
    scales = scales_lib.fit_scales(schema, space, arrays)
    splits = {
        name: records_lib.make_records(schema, space, scales, arrays, name, horizon)
        for name in dataset_lib.SPLITS
    }
    if splits["train"].windows.shape[0] == 0:
        longest = int(arrays.lengths[arrays.split == 0].max())
        raise ValueError(
            f"--rollout_horizon={horizon}: the longest training stay has {longest} "
            "steps; use a shorter horizon"
        )
    return Task(
        schema=schema,
        arrays=arrays,
        hash=data.hash,
        state=state or schema.default_state or "all features",
        space=space,
        scales=scales,
        **splits,
    )


def fewer_stays(arrays: dataset_lib.Trajectories, count: int) -> np.ndarray:
    """The split with training reduced to `count` stays, the others set to -1.

    Patients are drawn in one fixed order, so that fewer stays are a part of more.

    Args:
      arrays: the dataset.
      count: training stays to keep; the last patient's may be kept in part.

    Returns:
      [N] split.

    Raises:
      ValueError: if there are not so many.
    """
    training = np.flatnonzero(arrays.split == 0)
    if training.size < count:
        raise ValueError(
            f"--train_stays={count}: the dataset has {training.size} training stays"
        )
    patients = np.unique(arrays.patients[training])
    place = np.empty(int(patients.max()) + 1, np.int64)
    place[np.random.default_rng(0).permutation(patients)] = np.arange(patients.size)
    order = np.argsort(place[arrays.patients[training]], kind="stable")
    split = np.array(arrays.split, np.int32)
    split[training[order[count:]]] = -1
    return split


def last_values(task: Task, split: str, channel: int) -> np.ndarray:
    """Standardised last measured value of a channel at every row of a split, [R].

    Args:
      task: the task.
      split: one of the splits.
      channel: index of a stored channel.

    Returns:
      [R] values as known at the start of each step.
    """
    arrays = task.arrays
    chosen = np.flatnonzero(arrays.split == dataset_lib.SPLITS.index(split))
    starts = dataset_lib.row_starts(arrays.lengths)
    rows = np.concatenate(
        [np.arange(starts[i], starts[i] + arrays.lengths[i] + 1) for i in chosen]
    )
    if channel >= len(task.schema.channels):
        return np.zeros(rows.size, np.float32)
    values = np.asarray(arrays.channel_values)[rows, channel].astype(np.float64)
    scale = task.scales.channel
    lifted = np.log(values) if bool(scale.log[channel]) else values
    z = (lifted - float(scale.mean[channel])) / float(scale.std[channel])
    return z.astype(np.float32)

"""What a run has reported so far, and the check that it is finite."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import numpy as np

from omgrl_jax.runtime.errors import RunError


class NonFiniteMetric(RunError):
    """A training metric became NaN or infinite.

    Attributes:
      metric: name of the first bad metric.
      step: the update that reported it, counted from 1.
      member: index of the seed in a sweep, None for a single run.
    """

    def __init__(self, metric: str, step: int, member: int | None, value: float):
        """Composes the message from what was found."""
        self.metric, self.step, self.member = metric, step, member
        who = "" if member is None else f" of member {member}"
        super().__init__(
            f"Metric {metric!r}{who} became {value} at update {step}; training "
            "stopped, and the last checkpoint from before it is kept."
        )


class History(NamedTuple):
    """Everything a run has reported.

    Attributes:
      metrics: training metrics by name, [U] or [N, U] for U updates of N members.
      evaluations: what the callback returned by name, [V] or [N, V] for V visits.
      evaluation_steps: [V] updates done at each visit.
    """

    metrics: dict[str, np.ndarray]
    evaluations: dict[str, np.ndarray]
    evaluation_steps: np.ndarray


def empty() -> History:
    """Returns the history of a run that has not begun."""
    return History({}, {}, np.zeros(0, np.int32))


def extend(
    history: History,
    metrics: Mapping[str, np.ndarray],
    evaluation: Mapping[str, Any] | None,
    step: int,
) -> History:
    """Adds one interval.

    Args:
      history: what was reported before.
      metrics: the interval's training metrics, [U] or [N, U].
      evaluation: what the callback returned after it, [] or [N], or None.
      step: updates done after it.

    Returns:
      A new history.

    Raises:
      ValueError: if the names differ from those of earlier intervals.
    """
    history = history._replace(metrics=_append(history.metrics, metrics))
    if evaluation is None:
        return history
    visit = {
        name: np.asarray(jax.device_get(value))[..., None]
        for name, value in evaluation.items()
    }
    return history._replace(
        evaluations=_append(history.evaluations, visit),
        evaluation_steps=np.append(history.evaluation_steps, np.int32(step)),
    )


def to_saved(history: History) -> dict[str, Any]:
    """Returns the parts that hold anything, as a checkpoint keeps them."""
    return {name: part for name, part in history._asdict().items() if np.size(part)}


def from_saved(saved: Mapping[str, Any]) -> History:
    """Reverses `to_saved`."""
    return empty()._replace(**saved)


def check_finite(metrics: Mapping[str, np.ndarray], step: int) -> None:
    """Looks for the earliest bad value of an interval.

    Args:
      metrics: training metrics by name, [U] or [N, U].
      step: updates done before the interval.

    Raises:
      NonFiniteMetric: if a value is NaN or infinite; of several, for the one of the
        earliest update, and among those for the first name.
    """
    found = []
    for name, values in metrics.items():
        bad = np.argwhere(~np.isfinite(values))
        if bad.size:
            where = tuple(bad[np.argmin(bad[:, -1])])
            found.append((int(where[-1]), name, where))
    if found:
        index, name, where = min(found)
        member = int(where[0]) if len(where) == 2 else None
        value = float(metrics[name][where])
        raise NonFiniteMetric(name, step + index + 1, member, value)


def _append(
    old: Mapping[str, np.ndarray], new: Mapping[str, np.ndarray]
) -> dict[str, np.ndarray]:
    if old and set(old) != set(new):
        raise ValueError(
            "The names of the metrics must not change during a run; they differ in "
            f"{sorted(set(old) ^ set(new))}."
        )
    return {
        name: np.concatenate([old[name], values], axis=-1) if old else np.array(values)
        for name, values in new.items()
    }

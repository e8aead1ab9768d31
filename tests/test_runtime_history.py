import numpy as np
import pytest

from omgrl_jax.runtime import history


def make_metrics(**bad):
    """Returns metrics [2, 4] with NaN at (member, index)."""
    metrics = {name: np.zeros((2, 4), np.float32) for name in ("a", "b")}
    for name, place in bad.items():
        metrics[name][place] = np.nan
    return metrics


def test_finite_metrics_pass():
    assert history.check_finite(make_metrics(), 10) is None


@pytest.mark.parametrize(
    ("bad", "metric", "step", "member"),
    [
        ({"a": (1, 2)}, "a", 13, 1),
        # The earliest update decides, then the first name.
        ({"a": (0, 3), "b": (1, 1)}, "b", 12, 1),
        ({"a": (1, 1), "b": (0, 1)}, "a", 12, 1),
        ({"a": ([0, 1], [3, 0])}, "a", 11, 1),
    ],
)
def test_earliest_bad_value_is_named(bad, metric, step, member):
    with pytest.raises(history.NonFiniteMetric) as error:
        history.check_finite(make_metrics(**bad), 10)
    found = error.value
    assert (found.metric, found.step, found.member) == (metric, step, member)
    assert f"{metric!r} of member {member} became nan at update {step}" in str(found)


def test_intervals_follow_each_other():
    found = history.empty()
    first = {"loss": np.array([[1.0, 2.0], [3.0, 4.0]])}
    second = {"loss": np.array([[5.0], [6.0]])}
    found = history.extend(found, first, None, 2)
    assert history.to_saved(found).keys() == {"metrics", "evaluations"}
    found = history.extend(found, second, {"score": np.array([7.0, 8.0])}, 3)
    assert found.metrics["loss"].tolist() == [[1, 2, 5], [3, 4, 6]]
    assert found.evaluations["score"].tolist() == [[7], [8]]
    assert found.evaluation_steps.tolist() == [3]
    assert first["loss"].shape == (2, 2)


def test_saved_parts_give_the_history_back():
    begun = history.extend(history.empty(), {"loss": np.ones(2)}, None, 2)
    again = history.from_saved(history.to_saved(begun))
    assert again.metrics["loss"].tolist() == [1, 1]
    assert again.evaluations == {}
    assert again.evaluation_steps.shape == (0,)
    assert again.evaluation_steps.dtype == np.int32

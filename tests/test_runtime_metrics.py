import json
import math

import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest

from omgrl_jax.runtime import metrics


def test_rows_carry_their_labels():
    frame = metrics.tidy(
        "combo",
        {"loss": np.array([[1.0, 2.0], [3.0, 4.0]]), "norm": jnp.ones((2, 2))},
        seeds=[7, 9],
        steps=[10, 20],
    )
    assert tuple(frame.columns) == metrics.COLUMNS
    assert frame.iloc[:4].to_numpy().tolist() == [
        ["combo", 7, 10, "loss", 1.0],
        ["combo", 7, 20, "loss", 2.0],
        ["combo", 9, 10, "loss", 3.0],
        ["combo", 9, 20, "loss", 4.0],
    ]
    assert frame.shape == (8, 5)


def test_single_run_counts_updates_from_one():
    frame = metrics.tidy("bc", {"loss": np.array([5.0, 6.0, 7.0])}, seeds=[0])
    assert frame["step"].tolist() == [1, 2, 3]
    assert frame["value"].tolist() == [5.0, 6.0, 7.0]
    assert metrics.tidy("bc", {}, seeds=[0]).columns.tolist() == list(metrics.COLUMNS)


@pytest.mark.parametrize("shape", [(3,), (3, 2), (2, 3, 1)])
def test_wrong_shape_is_refused_by_name(shape):
    with pytest.raises(ValueError, match="'loss'"):
        metrics.tidy("bc", {"loss": np.zeros(shape)}, seeds=[0, 1], steps=[1, 2, 3])


def test_numbers_read_back_exactly(tmp_path):
    values = np.array([0.1, 1 / 3, 1e-30, -2.5], np.float32)
    frame = metrics.tidy("bc", {"loss": values}, seeds=[0])
    metrics.write_csv(tmp_path / "metrics.csv", frame)
    read = pd.read_csv(tmp_path / "metrics.csv")
    np.testing.assert_array_equal(read["value"].to_numpy(np.float32), values)
    assert read.drop(columns="value").equals(
        frame.drop(columns="value").astype(read.drop(columns="value").dtypes)
    )
    assert [path.name for path in tmp_path.iterdir()] == ["metrics.csv"]


def test_summary_is_plain_json(tmp_path):
    metrics.write_summary(
        tmp_path / "summary.json",
        {
            "spread": metrics.Spread(1.0, math.nan, math.inf, 1),
            "array": np.arange(2),
            "jax": jnp.float32(0.5),
            "nested": {"b": (1, "x", None), "a": np.bool_(True)},
        },
    )
    text = (tmp_path / "summary.json").read_text()
    assert json.loads(text) == {
        "array": [0, 1],
        "jax": 0.5,
        "nested": {"a": True, "b": [1, "x", None]},
        "spread": {"count": 1, "deviation": None, "error": None, "mean": 1.0},
    }
    assert text.index('"array"') < text.index('"spread"')
    with pytest.raises(TypeError):
        metrics.write_summary(tmp_path / "summary.json", {"x": object()})
    assert (tmp_path / "summary.json").read_text() == text


def test_spread_by_hand():
    # mean 4; squares 4 + 0 + 4 = 8 over n - 1 = 2; sqrt(4) = 2.
    found = metrics.spread([2.0, 4.0, 6.0, math.nan])
    assert found == metrics.Spread(4.0, 2.0, 2.0 / math.sqrt(3), 3)
    single = metrics.spread([5.0])
    assert (single.mean, single.count) == (5.0, 1)
    assert math.isnan(single.deviation)
    assert math.isnan(single.error)
    assert metrics.spread([math.nan]).count == 0
    with pytest.raises(ValueError, match="shape"):
        metrics.spread(np.zeros((2, 2)))


def test_paired_difference_removes_what_seeds_share():
    patients = np.array([10.0, 20.0, 30.0])
    found = metrics.paired_difference(patients + np.arange(1, 4), patients)
    assert found == metrics.Spread(2.0, 1.0, 1.0 / math.sqrt(3), 3)
    with pytest.raises(ValueError, match="same seeds"):
        metrics.paired_difference([1.0, 2.0], [1.0])


def test_summarise_groups_rows():
    frame = pd.DataFrame(
        {
            "algorithm": ["a", "b", "a", "b"],
            "metric": ["m", "m", "m", "m"],
            "value": [1.0, 5.0, 3.0, 5.0],
        }
    )
    for by in (["algorithm"], ["algorithm", "metric"]):
        found = metrics.summarise(frame, by)
        assert found["algorithm"].tolist() == ["a", "b"]
        assert found["mean"].tolist() == [2.0, 5.0]
        assert found["deviation"].tolist() == [math.sqrt(2), 0.0]
        assert found["count"].tolist() == [2, 2]

"""The planner's benchmark scores what it says, and refuses to time another sum."""

import itertools

import jax.numpy as jnp
import numpy as np
import pytest

from experiments import benchmark_planner
from omgrl_jax.envs import control


def by_hand(own, plans):
    """Sums of positions until the goal, one plan and one network after the other."""
    layer = own.members.body["params"]["Dense_0"]
    head, shift = np.asarray(own.members.head), np.asarray(own.members.bias)
    totals = []
    for plan in plans:
        state, total = np.array([-0.5, 0.0]), 0.0
        for action in plan:
            changes = []
            for k in range(head.shape[0]):
                hidden = np.maximum(state @ layer["kernel"][k] + layer["bias"][k], 0.0)
                changes.append(hidden @ head[k, action] + shift[k, action])
            moved = own.changes.mean + own.changes.deviation * np.mean(changes, axis=0)
            state = state + moved
            total += state[0]
            if state[0] >= 0.5 and state[1] >= 0.0:
                break
        totals.append(total)
    return totals


def test_what_is_timed_is_the_sum_over_a_plan():
    own = benchmark_planner.simulator(2, 4)
    plans = np.random.default_rng(1).integers(3, size=(5, 12))
    task = control.mountain_car()
    found = benchmark_planner.score(task, own, jnp.asarray(plans, jnp.int32))
    np.testing.assert_allclose(found, by_hand(own, plans), rtol=1e-4)
    assert np.ptp(found) > 1e-3


def test_the_rate_is_of_the_fastest_run_after_the_first(monkeypatch):
    ticks = itertools.chain([0.0, 4.0, 10.0, 12.0, 20.0, 25.0])
    monkeypatch.setattr(benchmark_planner.time, "perf_counter", lambda: next(ticks))
    runs = []
    assert benchmark_planner.rate(lambda: runs.append(1), 100, 3) == 50.0
    assert len(runs) == 4


def test_another_sum_is_not_compared(monkeypatch):
    def other(own):
        return lambda plans: np.asarray(by_hand(own, plans)) + error

    monkeypatch.setattr(benchmark_planner, "torch_score", other)
    error = 0.0
    here, there = benchmark_planner.measure(1, 4, 3, 6, 1)
    assert here > there > 0
    error = 0.1
    with pytest.raises(RuntimeError, match="score the same plans differently"):
        benchmark_planner.measure(1, 4, 3, 6, 1)


def test_pytorch_scores_the_same_plans_alike():
    pytest.importorskip("torch")
    assert all(rate > 0 for rate in benchmark_planner.measure(2, 4, 6, 12, 1))

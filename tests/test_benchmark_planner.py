"""The planner's benchmark scores what it says, and refuses to time another sum."""

import jax.numpy as jnp
import numpy as np
import pytest

from experiments.benchmark import planner
from experiments.benchmark.config import Planner
from experiments.benchmark.controls import torch_planner
from omgrl_jax.envs import control

SMALL = Planner(members=(2,), width=4, plans=6, horizon=12, calls=2)


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
    own = planner.simulator(2, 4)
    plans = np.random.default_rng(1).integers(3, size=(5, 12))
    task = control.mountain_car()
    found = planner.score(task, own, jnp.asarray(plans, jnp.int32))
    np.testing.assert_allclose(found, by_hand(own, plans), rtol=1e-4)
    assert np.ptp(found) > 1e-3


def test_another_sum_is_not_compared(monkeypatch):
    def other(own):
        return lambda plans: np.asarray(by_hand(own, plans)) + error

    monkeypatch.setattr(torch_planner, "make", other)
    error = 0.0
    own, beside = planner.measure(SMALL, 1)
    assert own.value.median > 0 and beside.value.median > 0
    error = 0.1
    with pytest.raises(RuntimeError, match="score the same plans differently"):
        planner.measure(SMALL, 1)


def test_plans_that_all_score_alike_prove_nothing():
    with pytest.raises(RuntimeError, match="differently"):
        planner.check(np.ones(3), np.ones(3))


def test_without_pytorch_the_row_says_so(monkeypatch):
    monkeypatch.setattr(torch_planner, "make", lambda own: None)
    own, beside = planner.measure(SMALL, 1)
    assert own.flops == 12 * 2 * 2 * (2 * 4 + 4 * 6)
    assert beside.value is None and "not installed" in beside.note


def test_pytorch_scores_the_same_plans_alike():
    pytest.importorskip("torch")
    assert all(row.value.least > 0 for row in planner.measure(SMALL, 1))

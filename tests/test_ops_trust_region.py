"""Constrained steps beside dense algebra and a general solver."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from omgrl_jax.ops import trust_region

SIZE = 6


@pytest.fixture(autouse=True)
def float64():
    with jax.enable_x64(True):
        yield


def curvature(rng):
    root = rng.normal(size=(SIZE, SIZE))
    return root @ root.T + 0.5 * np.eye(SIZE)


def test_conjugate_gradients_solve_as_dense_algebra_does():
    rng = np.random.default_rng(0)
    matrix, target = curvature(rng), rng.normal(size=SIZE)
    found = trust_region.conjugate_gradient(
        lambda x: jnp.asarray(matrix) @ x, jnp.asarray(target), SIZE
    )
    np.testing.assert_allclose(found, np.linalg.solve(matrix, target), rtol=1e-7)


def test_conjugate_gradients_go_on_after_the_solution_is_found():
    found = trust_region.conjugate_gradient(lambda x: 2.0 * x, jnp.ones(3), 10)
    np.testing.assert_allclose(found, 0.5 * np.ones(3))
    none = trust_region.conjugate_gradient(lambda x: x, jnp.zeros(3), 4)
    np.testing.assert_array_equal(none, np.zeros(3))


def step_of(matrix, g, costs, excess, radius):
    """The step that `solve` says, and whether limits can be met."""
    inverse = np.linalg.inv(matrix)
    problem = trust_region.Problem(
        gain=jnp.asarray(g @ inverse @ g),
        mixed=jnp.asarray(costs @ inverse @ g),
        gram=jnp.asarray(costs @ inverse @ costs.T),
        excess=jnp.asarray(excess),
        radius=jnp.asarray(radius),
    )
    found = trust_region.solve(problem)
    g = g if found.feasible else 0.0 * g
    step = inverse @ (g - costs.T @ np.asarray(found.costs)) / float(found.divergence)
    return step, bool(found.feasible)


def by_solver(matrix, g, costs, excess, radius):
    optimize = pytest.importorskip("scipy.optimize")
    limits = [
        {"type": "ineq", "fun": lambda x, b=b, e=e: -(e + b @ x)}
        for b, e in zip(costs, excess, strict=True)
    ]
    limits.append({"type": "ineq", "fun": lambda x: radius - 0.5 * x @ matrix @ x})
    return optimize.minimize(
        lambda x: -g @ x,
        np.zeros(SIZE),
        constraints=limits,
        method="SLSQP",
        options={"maxiter": 500, "ftol": 1e-12},
    )


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("count", [0, 1, 3])
def test_steps_are_those_of_a_general_solver(count, seed):
    """Slack, binding and violated limits, as the seed has it."""
    rng = np.random.default_rng(seed)
    matrix, g = curvature(rng), rng.normal(size=SIZE)
    costs = rng.normal(size=(count, SIZE))
    excess = rng.normal(scale=0.1, size=count)
    found, feasible = step_of(matrix, g, costs, excess, 0.05)
    known = by_solver(matrix, g, costs, excess, 0.05)
    if not known.success:
        return  # no step meets the limits: see the recovery below
    assert feasible
    np.testing.assert_allclose(g @ found, -known.fun, rtol=1e-3, atol=1e-4)
    assert (excess + costs @ found <= 1e-4).all()
    assert 0.5 * found @ matrix @ found <= 0.05 * (1 + 1e-4)


def test_two_states_by_hand():
    """H = I, g = (1, 0), one cost with b = (1, 0): the step stops at the limit."""
    one = np.eye(1, SIZE)
    found, feasible = step_of(np.eye(SIZE), one[0], one, np.array([-0.1]), 0.5)
    # Without the limit the step would be of length one; it may grow by .1 alone.
    # Objective and cost point the same way, where the solution is a quotient of zeros.
    assert feasible
    np.testing.assert_allclose(found[0], 0.1, atol=2e-4)
    found, _ = step_of(np.eye(SIZE), one[0], one, np.array([-5.0]), 0.5)
    np.testing.assert_allclose(found, one[0], atol=1e-6)  # slack: no limit is felt


def test_what_cannot_be_met_is_lowered_as_far_as_the_radius_allows():
    one = np.eye(1, SIZE)
    found, feasible = step_of(np.eye(SIZE), one[0], one, np.array([3.0]), 0.5)
    assert not feasible
    np.testing.assert_allclose(found, -one[0], atol=1e-6)


def test_costs_alike_do_not_break_the_solution():
    rng = np.random.default_rng(3)
    matrix, g, b = curvature(rng), rng.normal(size=SIZE), rng.normal(size=SIZE)
    single, _ = step_of(matrix, g, b[None], np.array([-0.01]), 0.05)
    double, feasible = step_of(matrix, g, np.stack([b, b]), np.full(2, -0.01), 0.05)
    assert feasible
    np.testing.assert_allclose(g @ double, g @ single, rtol=1e-3)

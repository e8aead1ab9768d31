"""The step of constrained policy optimisation (Achiam et al. 2017, arXiv 1705.10528).

Around the present policy the objective and the costs are linear in a step `x` of the
parameters and the divergence from it is quadratic:

    maximise g x   subject to   excess_j + b_j x <= 0  and  x H x / 2 <= radius

with g the gradient of the objective, b_j that of cost j, and excess_j what the cost
lies above its limit. Every solution is a sum of `H^-1 g` and the `H^-1 b_j`, so that
after one conjugate gradient for each all that is left is a problem of J multipliers,
solved here exactly.
"""

import itertools
from collections.abc import Callable
from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np

from omgrl_jax.types import Array

_SMALL = 1e-8


def conjugate_gradient(
    product: Callable[[Array], Array], target: Array, iterations: int
) -> Array:
    """Solves `product(x) = target` for a symmetric positive definite product.

    Args:
      product: `(x [D]) -> [D]`.
      target: [D].
      iterations: steps; after D of them the solution is exact but for rounding.

    Returns:
      [D] the solution, as far as the steps lead.
    """
    chex.assert_rank(target, 1)

    def step(carry: tuple, _: None) -> tuple[tuple, None]:
        x, residual, direction, size = carry
        image = product(direction)
        # Where the residual is spent the direction is zero too: then nothing moves.
        length = size / jnp.maximum(direction @ image, _SMALL * _SMALL)
        length = jnp.where(size > 0, length, 0.0)
        x, residual = x + length * direction, residual - length * image
        new_size = residual @ residual
        turn = jnp.where(size > 0, new_size / jnp.maximum(size, 1e-30), 0.0)
        return (x, residual, residual + turn * direction, new_size), None

    start = (jnp.zeros_like(target), target, target, target @ target)
    (x, *_), _ = jax.lax.scan(step, start, None, length=iterations)
    return x


class Problem(NamedTuple):
    """The local problem in numbers; J costs.

    Attributes:
      gain: [] `g H^-1 g`.
      mixed: [J] `b_j H^-1 g`.
      gram: [J, J] `b_i H^-1 b_j`.
      excess: [J] what each cost lies above its limit; negative below.
      radius: [] largest divergence.
    """

    gain: Array
    mixed: Array
    gram: Array
    excess: Array
    radius: Array


class Multipliers(NamedTuple):
    """The step `(H^-1 g - sum_j costs_j H^-1 b_j) / divergence`.

    Attributes:
      divergence: [] multiplier of the divergence, above 0.
      costs: [J] multipliers of the costs, at least 0.
      feasible: [] bool, whether any step within the radius meets all limits. Where
        none does, the numbers are those of a step that lowers what is violated:
        `recovery`.
    """

    divergence: Array
    costs: Array
    feasible: Array


def solve(problem: Problem) -> Multipliers:
    """The exact multipliers, by trying which costs bind.

    For given binding costs A the dual has a closed form: with `S` the Gram matrix and
    `r` the mixed products of A,

        divergence^2 = (g H^-1 g - r S^-1 r) / (2 radius - excess S^-1 excess)
        costs = S^-1 (r + divergence excess)

    which for one cost is the paper's solution (its Appendix 10.2). The problem is
    convex: what satisfies all conditions is the solution.

    Args:
      problem: the problem.

    Returns:
      The multipliers.
    """
    chex.assert_rank([problem.mixed, problem.gram, problem.excess], [1, 2, 1])
    count = problem.excess.shape[0]
    subsets = np.array(list(itertools.product((False, True), repeat=count)), bool)
    found = jax.vmap(_with_binding, in_axes=(None, 0))(
        problem, jnp.asarray(subsets.reshape(2**count, count))
    )
    divergence, costs, fault = found
    best = jnp.argmin(fault)
    feasible = fault[best] <= 0.0
    saved = recovery(problem)
    return Multipliers(
        jnp.where(feasible, divergence[best], saved.divergence),
        jnp.where(feasible, costs[best], saved.costs),
        feasible,
    )


def recovery(problem: Problem) -> Multipliers:
    """A step that only lowers the violated costs (the paper's Eq. 14), by their excess.

    To be put into `Multipliers`' formula without the objective.

    Args:
      problem: the problem.
    """
    weights = jax.nn.relu(problem.excess)
    curvature = weights @ problem.gram @ weights
    divergence = jnp.sqrt(jnp.maximum(curvature, _SMALL) / (2.0 * problem.radius))
    return Multipliers(divergence, weights, jnp.bool_(False))


def _with_binding(problem: Problem, binding: Array) -> tuple[Array, Array, Array]:
    """Multipliers if exactly `binding` costs bind, and by how much that is wrong."""
    both = binding[:, None] & binding[None, :]
    # Costs that do not bind get an equation of their own whose answer is zero.
    own = jnp.where(binding, _SMALL * jnp.diagonal(problem.gram), 1.0)
    gram = jnp.where(both, problem.gram, 0.0) + jnp.diag(own)
    mixed = jnp.where(binding, problem.mixed, 0.0)
    excess = jnp.where(binding, problem.excess, 0.0)
    of_mixed = jnp.linalg.solve(gram, mixed)
    of_excess = jnp.linalg.solve(gram, excess)
    left = jnp.maximum(problem.gain - mixed @ of_mixed, 0.0)
    room = 2.0 * problem.radius - excess @ of_excess
    divergence = jnp.sqrt(jnp.maximum(left, _SMALL) / jnp.maximum(room, _SMALL))
    costs = of_mixed + divergence * of_excess
    # Of costs that do not bind the step must leave a rest below zero.
    moved = (problem.mixed - problem.gram @ costs) / divergence
    rest = jnp.where(binding, 0.0, problem.excess + moved)
    unit = jnp.sqrt(2.0 * problem.radius * jnp.diagonal(problem.gram)) + _SMALL
    wrong = jnp.max(jax.nn.relu(rest / unit - 1e-4), initial=0.0)
    wrong += jnp.max(jax.nn.relu(-costs - 1e-6 * (1.0 + divergence)), initial=0.0)
    return divergence, costs, jnp.where(room > 0, wrong, jnp.inf)

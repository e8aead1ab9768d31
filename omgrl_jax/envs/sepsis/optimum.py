"""The best treatment of a virtual patient with sepsis, by dynamic programming.

A body has four numbers; with the frailty and the step they say all about the future. So
the Bellman optimum is computed backwards over a grid of bodies, linear in between. It
sees the body itself, which no policy of charts can: a bound for those, up to the error
of the grid: tests/test_sepsis_stays.py compares what it promises with what it earns.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import jax.scipy.ndimage
import numpy as np

from omgrl_jax.envs.sepsis import body as body_lib
from omgrl_jax.envs.sepsis import stays
from omgrl_jax.envs.sepsis.body import Body, Dose
from omgrl_jax.ops import sofa_rewards
from omgrl_jax.types import Array, Key


class Axis(NamedTuple):
    """One side of the grid.

    Attributes:
      low: first point.
      high: last point.
      points: how many.
      log: whether they are evenly spaced on the log scale.
    """

    low: float
    high: float
    points: int
    log: bool = False


# In the order of `Body`. Damage lies between whole points, where SOFA steps.
GRID = (
    Axis(0.05, 2.5, 24),
    Axis(-3.0, 3.5, 14),
    Axis(0.5, 15.0, 9, True),
    Axis(0.25, 20.25, 41),
)
# Six points that have the moments of three standard normal numbers up to the third.
_NOISE = np.sqrt(3.0) * np.concatenate([np.eye(3), -np.eye(3)])


class After(NamedTuple):
    """What follows a step.

    Attributes:
      values: [*grid] of the bodies at its end, for who is alive.
      discount: [] discount factor of a step.
    """

    values: Array
    discount: Array


class Optimum(NamedTuple):
    """Values of the best treatment.

    Attributes:
      values: [FRAILTIES, STEPS, *grid] before each step, for who is alive.
      doses: leaves [A] what it chooses among.
      discount: [] discount factor of a step.
    """

    values: Array
    doses: Dose
    discount: Array


@functools.partial(jax.jit, static_argnums=(0, 3))
def solve(
    world: stays.World, doses: Dose, discount: Array, grid: tuple[Axis, ...] = GRID
) -> Optimum:
    """Dynamic programming backwards over the steps.

    Args:
      world: what patients live in.
      doses: leaves [A] to choose among.
      discount: [] discount factor of a step.
      grid: of the bodies.
    """
    sides = [_points(axis) for axis in grid]
    shape = tuple(axis.points for axis in grid)
    mesh = np.meshgrid(*sides, indexing="ij")
    bodies = Body(*(jnp.asarray(x.reshape(-1), jnp.float32) for x in mesh))

    def of(frailty: Array) -> Array:
        def back(following: Array, last: Array) -> tuple[Array, Array]:
            after = After(following, discount)
            q = action_values(world, after, doses, grid, frailty, bodies, last)
            best = jnp.max(q, axis=0).reshape(shape)
            return best, best

        last = jnp.arange(stays.STEPS) == stays.STEPS - 1
        _, values = jax.lax.scan(back, jnp.zeros(shape), last, reverse=True)
        return values

    frailties = jnp.arange(body_lib.FRAILTIES, dtype=jnp.float32)
    return Optimum(jax.lax.map(of, frailties), doses, discount)


def action_values(
    world: stays.World,
    after: After,
    doses: Dose,
    grid: tuple[Axis, ...],
    frailty: Array,
    bodies: Body,
    last: Array,
) -> Array:
    """Values [A, B] of one step with each dose and the best ones from then on.

    Args:
      world: what patients live in.
      after: what follows the step.
      doses: leaves [A] to choose among.
      grid: of the bodies.
      frailty: [].
      bodies: leaves [B].
      last: [] bool, whether the step is the last one.
    """
    physiology, reward = world.physiology, world.reward

    def under(dose: Dose) -> Array:
        def with_noise(noise: Array) -> Array:
            def one(body: Body) -> tuple[Body, Array]:
                new = body_lib.advance(physiology, frailty, body, dose, noise)
                points = (body_lib.sofa(body), body_lib.sofa(new))
                return new, sofa_rewards.of_points(reward, *points)

            new, earned = jax.vmap(one)(bodies)
            late = body_lib.dies_late(physiology, frailty, new)
            settled = sofa_rewards.of_outcome(reward, late)
            going_on = after.discount * _at(after.values, grid, new)
            ahead = jnp.where(last, settled, going_on)
            gone = body_lib.dies(physiology, frailty, new)
            return (
                earned
                + (1.0 - gone) * ahead
                + gone * sofa_rewards.of_outcome(reward, 1.0)
            )

        return jnp.mean(jax.lax.map(with_noise, jnp.asarray(_NOISE, jnp.float32)), 0)

    return jax.lax.map(under, doses)


def policy(
    world: stays.World, optimum: Optimum, grid: tuple[Axis, ...] = GRID
) -> stays.Policy:
    """The best treatment, by looking one step ahead of the body itself."""

    def act(memory: None, key: Key, bedside: stays.Bedside) -> tuple[None, Dose]:
        del key
        t = bedside.given.steps.astype(jnp.int32)
        following = jnp.minimum(t + 1, stays.STEPS - 1)
        frailty = bedside.patient.frailty
        values = optimum.values[frailty.astype(jnp.int32), following]
        after = After(values, optimum.discount)
        body = jax.tree.map(lambda x: x[None], bedside.body)
        last = t >= stays.STEPS - 1
        q = action_values(world, after, optimum.doses, grid, frailty, body, last)
        chosen = jnp.argmax(q[:, 0])
        return memory, jax.tree.map(lambda x: x[chosen], optimum.doses)

    return stays.Policy(lambda key: None, act)


def value(
    optimum: Optimum, bedside: stays.Bedside, grid: tuple[Axis, ...] = GRID
) -> Array:
    """The value [] of a patient before the first step."""
    table = optimum.values[bedside.patient.frailty.astype(jnp.int32), 0]
    return _at(table, grid, jax.tree.map(lambda x: x[None], bedside.body))[0]


def _points(axis: Axis) -> np.ndarray:
    if axis.log:
        return np.geomspace(axis.low, axis.high, axis.points)
    return np.linspace(axis.low, axis.high, axis.points)


def _at(table: Array, grid: tuple[Axis, ...], bodies: Body) -> Array:
    """The table between its points [B]; beyond its edges the edge counts."""
    where = []
    for axis, x in zip(grid, bodies, strict=True):
        low, high = axis.low, axis.high
        if axis.log:
            low, high, x = np.log(low), np.log(high), jnp.log(x)
        where.append((x - low) / (high - low) * (axis.points - 1))
    return jax.scipy.ndimage.map_coordinates(table, where, 1, mode="nearest")

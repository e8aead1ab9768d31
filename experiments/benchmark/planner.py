"""Plans scored a second, beside the same sums in PyTorch.

Random plans of MountainCar in a simulator folded for one agent (PerSim's sizes: 1,000
plans of 50 steps, a layer of 256 units), as `models.planner` scores them, and by the
same folded network in PyTorch without gradients, on as many threads. Its products have
two and six columns: they do not bound it. On one core: `taskset -c 0`.
"""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from experiments.benchmark import ceiling, flops, timing
from experiments.benchmark.config import Planner
from experiments.benchmark.controls import torch_planner
from experiments.benchmark.row import Row, bound_by_products
from omgrl_jax.envs import control
from omgrl_jax.models import low_rank, personal, planner
from omgrl_jax.models.personal import Simulator

AGENTS, RANK = 500, 3
STATES, ACTIONS = 2, 3
RATE = 150_000.0  # plans a second for one network of 256 units, on one core


def simulator(members: int, width: int) -> Simulator:
    """Random simulators of one agent whose states stay within bounds."""
    model = low_rank.make(low_rank.Config(RANK, (width,)), AGENTS, STATES, ACTIONS)
    factors = jax.vmap(model.init)(jax.random.split(jax.random.key(0), members))
    folded = jax.vmap(model.fold)(factors.shared, factors.agents[:, 0])
    return Simulator(folded, personal.Changes(jnp.zeros(2), jnp.full(2, 1e-2)))


@functools.partial(jax.jit, static_argnums=(0,))
def score(task: control.Control, own: Simulator, plans: jax.Array) -> jax.Array:
    """Scores plans [K, H] from one state."""
    advance = functools.partial(personal.advance, own)
    start = jnp.array([-0.5, 0.0])
    return planner.imagined_return(advance, height, task.done, start)(plans)


def height(state: jax.Array, action: jax.Array, following: jax.Array) -> jax.Array:
    """A reward by which plans differ at once: how far right the car is."""
    del state, action
    return following[0]


def check(theirs: np.ndarray, ours: np.ndarray) -> None:
    """Stops where two sums that are compared are not the same.

    Raises:
      RuntimeError: if they do not agree on what plans are worth.
    """
    if np.ptp(ours) < 1e-3 or not np.allclose(theirs, ours, atol=1e-3):
        raise RuntimeError("PyTorch and this package score the same plans differently")


def measure(config: Planner, repeats: int) -> list[Row]:
    """Times each number of networks.

    Args:
      config: sizes.
      repeats: timed repeats.

    Raises:
      RuntimeError: if PyTorch does not agree on what plans are worth.
    """
    rows = []
    for members in config.members:
        rows += _measure(config, members, repeats)
    return rows


def _measure(config: Planner, members: int, repeats: int) -> list[Row]:
    task, own = control.mountain_car(), simulator(members, config.width)
    shape = (config.plans, config.horizon)
    drawn = np.random.default_rng(0).integers(ACTIONS, size=shape)
    plans, product = jnp.asarray(drawn, jnp.int32), ceiling.product()
    callables: dict[str, Callable[[], object]] = {
        "ours": lambda: jax.block_until_ready(score(task, own, plans)),
        "ceiling": product.run,
    }
    other = torch_planner.make(own) if config.peers else None
    if other is not None:
        check(other(drawn), np.asarray(score(task, own, plans)))
        callables["torch"] = lambda: other(drawn)
    # The product takes long enough as it is.
    timed = {
        name: run if name == "ceiling" else timing.again(run, config.calls)
        for name, run in callables.items()
    }
    times = timing.interleaved(timed, repeats)
    step = flops.plan_step(members, config.width, STATES, ACTIONS)
    fields = bound_by_products(
        times["ours"],
        times["ceiling"],
        config.calls * config.plans,
        config.horizon * step,
        product.flops,
    )
    told = f"{members} network{'s' * (members > 1)}"
    known = members == 1 and config.width == 256
    rows = [
        Row(
            "planner",
            f"plans of {config.horizon} steps, {told} of {config.width} units",
            "plans/s",
            **fields,
            target=RATE if known else None,
            note="not bound by products",
        )
    ]
    if not config.peers:
        return rows
    beside, note = None, "torch is not installed"
    if other is not None:
        beside = times["ours"].ratio(times["torch"])
        theirs = times["torch"].rate(config.calls * config.plans).median
        note = f"theirs {theirs:,.0f} plans/s"
    what = f"times the same sums in PyTorch, {told}"
    return [*rows, Row("planner", what, "x", beside, note=note)]

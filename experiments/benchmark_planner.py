"""Speed of planning: plans scored a second, beside the same sums in PyTorch.

    python -m experiments.benchmark_planner
    taskset -c 0 python -m experiments.benchmark_planner    # one core

Scores random plans of MountainCar in a simulator folded for one agent (PerSim's sizes:
1,000 plans of 50 steps, a layer of 256 units), as `models.planner` does, and with the
same folded network in PyTorch without gradients, on as many threads. Takes half a
minute; the PyTorch column needs `pip install torch` and is left out without it. To
reach on one CPU core: 150,000 plans a second for one network.
"""

import functools
import time
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from absl import flags

from omgrl_jax.envs import control
from omgrl_jax.models import low_rank, personal, planner
from omgrl_jax.models.personal import Simulator
from omgrl_jax.runtime import devices, script

AGENTS, RANK = 500, 3


def simulator(members: int, width: int) -> Simulator:
    """Random simulators of one agent whose states stay within bounds."""
    model = low_rank.make(low_rank.Config(RANK, (width,)), AGENTS, 2, 3)
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


def torch_score(own: Simulator) -> Callable[[np.ndarray], np.ndarray] | None:
    """The same sums in PyTorch, or None where it is not installed."""
    try:
        import torch
    except ImportError:
        return None
    torch.set_num_threads(devices.available_cores())
    layer = own.members.body["params"]["Dense_0"]
    kernel, bias, head, shift, mean, deviation = (
        torch.from_numpy(np.array(x))
        for x in (
            layer["kernel"],
            layer["bias"],
            own.members.head,
            own.members.bias,
            *own.changes,
        )
    )
    members, count = head.shape[:2]
    wide = head.permute(0, 2, 1, 3).reshape(members, head.shape[2], -1)

    def run(plans: np.ndarray) -> np.ndarray:
        actions = torch.from_numpy(plans).long()
        rows = torch.arange(len(plans))
        state = torch.tensor([-0.5, 0.0]).expand(len(plans), 2)
        alive = torch.ones(len(plans), dtype=torch.bool)
        total = torch.zeros(len(plans))
        with torch.inference_mode():
            for t in range(plans.shape[1]):
                hidden = torch.relu(state @ kernel + bias[:, None])
                every = (hidden @ wide).reshape(members, len(plans), count, 2)
                every = every + shift[:, None]
                change = every[:, rows, actions[:, t]].mean(0)
                state = state + mean + deviation * change
                done = (state[:, 0] >= 0.5) & (state[:, 1] >= 0.0)
                total += torch.where(alive, state[:, 0], 0.0)
                alive &= ~done
        return total.numpy()

    return run


def rate(run: Callable[[], object], plans: int, repeats: int) -> float:
    """Best of some repeats, plans a second; the first run does not count."""
    run()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return plans / min(times)


def measure(
    members: int, width: int, plans: int, horizon: int, repeats: int
) -> tuple[float, float | None]:
    """Plans a second of this package, and of PyTorch where it is installed.

    Raises:
      RuntimeError: if the two do not agree on what plans are worth.
    """
    task, own = control.mountain_car(), simulator(members, width)
    drawn = np.random.default_rng(0).integers(3, size=(plans, horizon))
    ours = jnp.asarray(drawn, jnp.int32)
    here = rate(lambda: jax.block_until_ready(score(task, own, ours)), plans, repeats)
    other = torch_score(own)
    if other is None:
        return here, None
    theirs, same = other(drawn), np.asarray(score(task, own, ours))
    if np.ptp(same) < 1e-3 or not np.allclose(theirs, same, atol=1e-3):
        raise RuntimeError("PyTorch and this package score the same plans differently")
    return here, rate(lambda: other(drawn), plans, repeats)


def define_flags() -> None:
    """What to time."""
    flags.DEFINE_list("members", ["1", "5"], "Numbers of networks that are averaged.")
    flags.DEFINE_integer("width", 256, "Units of their layer.", lower_bound=1)
    flags.DEFINE_integer("plans", 1000, "Plans of a step.", lower_bound=1)
    flags.DEFINE_integer("horizon", 50, "Steps of a plan.", lower_bound=1)
    flags.DEFINE_integer("repeats", 20, "Timed runs; the best counts.", lower_bound=1)


def main() -> None:
    """Prints one line for each number of networks."""
    given = flags.FLAGS
    for members in map(int, given.members):
        here, other = measure(
            members, given.width, given.plans, given.horizon, given.repeats
        )
        beside = "PyTorch is not installed"
        if other is not None:
            beside = f"PyTorch {other:,.0f}, ratio {here / other:.1f}"
        print(f"{members} networks: {here:,.0f} plans a second; {beside}")


if __name__ == "__main__":
    script.run(main, define_flags)

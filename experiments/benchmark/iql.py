"""Updates a second of IQL with multi-task heads, inside its loop."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from experiments.benchmark import ceiling, flops, problem, timing
from experiments.benchmark.config import Iql
from experiments.benchmark.row import Row, bound_by_products
from experiments.config import ALGORITHMS, Problem, RunConfig
from omgrl_jax.types import Algorithm

SHARE = 0.60


def configured(config: Iql) -> RunConfig:
    """The method's own settings in the sizes of the piece, without the early stop."""
    widths = ",".join(map(str, config.hidden))
    return problem.recommended(
        (
            f"--agent_updates={config.updates}",
            f"--multitask_iql_batch_size={config.batch}",
            f"--multitask_iql_hidden={widths}",
            "--multitask_iql_patience=0",
        )
    )


def made_method(run: RunConfig, made: problem.Made) -> Algorithm:
    """The method for the task."""
    asked = Problem(made.space, made.world.dynamics, made.behaviour)
    return ALGORITHMS["multitask_iql"](run, asked)


def running(algorithm: Algorithm, data: Any) -> Callable[[], object]:
    """A callable that learns on, one epoch a call."""
    compiled = jax.jit(algorithm.update, donate_argnums=(0,))
    # Networks that stand in a state twice cannot be taken twice.
    state = jax.tree.map(jnp.copy, algorithm.init(jax.random.key(0), data))
    count = 0

    def run() -> object:
        nonlocal state, count
        key, count = jax.random.fold_in(jax.random.key(1), count), count + 1
        state, metrics = compiled(state, key, data)
        return jax.block_until_ready((state, metrics))

    return run


def measure(config: Iql, repeats: int) -> list[Row]:
    """Times updates beside the ceiling.

    Args:
      config: sizes.
      repeats: timed repeats.
    """
    run = configured(config)
    made, product = problem.make(run), ceiling.product()
    method = made_method(run, made)
    times = timing.interleaved(
        {"ours": running(method, made.data), "ceiling": product.run}, repeats
    )
    each = flops.iql_update(run.multitask_iql, made.space)
    return [
        Row(
            "iql",
            f"updates of IQL with multi-task heads, batch {config.batch}",
            "updates/s",
            **bound_by_products(
                times["ours"], times["ceiling"], config.updates, each, product.flops
            ),
            share_target=SHARE,
        )
    ]

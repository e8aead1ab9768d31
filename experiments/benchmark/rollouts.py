"""Transitions a second of rollouts in the world model, beside a published design."""

from collections.abc import Callable

import jax
import numpy as np

from experiments.benchmark import ceiling, flops, problem, timing
from experiments.benchmark.config import Rollouts
from experiments.benchmark.controls import loop_rollout
from experiments.benchmark.row import Row, bound_by_products
from experiments.config import RunConfig
from omgrl_jax.learners import actor as actor_lib
from omgrl_jax.models.rollout import rollout

RATE, FASTER_THAN_LOOPS = 400_000.0, 6.0


def configured(config: Rollouts) -> RunConfig:
    """The recommended settings in the sizes of the piece."""
    widths = ",".join([str(config.hidden)] * 4)
    policy = ",".join([str(config.policy_hidden)] * 3)
    return problem.recommended(
        (f"--world_hidden={widths}", f"--agent_actor_hidden={policy}")
    )


def rolling(
    run: RunConfig, made: problem.Made, horizon: int, states: int
) -> Callable[[], object]:
    """A callable that rolls a policy out from so many states.

    Args:
      run: settings.
      made: the task.
      horizon: steps.
      states: from which it starts.
    """
    space = made.space
    actor = actor_lib.make(run.agent.actor_hidden, space.state_dim, space.num_actions)
    params = actor.init(jax.random.key(2))
    records = made.data.train.states
    starts = records[np.arange(states) % records.shape[0]]

    @jax.jit
    def roll(world, params, key, starts):
        return rollout(
            made.world.dynamics, world, actor.policy, params, key, starts, horizon
        )

    count = 0

    def run_once() -> object:
        nonlocal count
        key, count = jax.random.fold_in(jax.random.key(3), count), count + 1
        return jax.block_until_ready(roll(made.data.world, params, key, starts))

    return run_once


def measure(config: Rollouts, repeats: int) -> list[Row]:
    """Times rollouts from few and many states, the ceiling, and the control.

    Args:
      config: sizes.
      repeats: timed repeats.
    """
    run = configured(config)
    made = problem.make(run, members=config.members)
    each = flops.transition(run.agent, run.world, made.space)
    rows = []
    for states in config.states:
        product = ceiling.product()
        callables = {
            "ours": rolling(run, made, config.horizon, states),
            "ceiling": product.run,
        }
        if config.peers:
            control = loop_rollout.make(config, made.space, states)
            callables["control"] = control.run
        times = timing.interleaved(callables, repeats)
        steps = states * config.horizon
        rows.append(
            Row(
                "rollouts",
                f"transitions, {config.horizon} steps from {states:,} states",
                "transitions/s",
                **bound_by_products(
                    times["ours"], times["ceiling"], steps, each, product.flops
                ),
                target=RATE,
            )
        )
        if config.peers:
            rows.append(_beside(times, control.library, states, steps))
    return rows


def _beside(
    times: dict[str, timing.Times], library: str, states: int, steps: int
) -> Row:
    """How many times as fast as the control."""
    theirs = times["control"].rate(steps).median
    note = f"theirs {theirs:,.0f} transitions/s in {library}"
    published = library == "PyTorch"
    if not published:
        note += ", slower than with PyTorch as published: no target"
    return Row(
        "rollouts",
        f"times loops over all members' predictions, {states:,} states",
        "x",
        times["ours"].ratio(times["control"]),
        target=FASTER_THAN_LOOPS if published else None,
        note=note,
    )

"""Guards that no slow machine can trip: sizes of compiled programs, traces, memory.

Bounds lie some way above what was counted: a rise beyond them is a change of kind, such
as an operation that no longer fuses, or a copy of the buffer.
"""

import contextlib
import functools

import jax
import jax.numpy as jnp
import pytest

from experiments.benchmark import ceiling, flops, problem, program, timing, update
from experiments.benchmark.config import Update
from experiments.benchmark.row import bound_by_products
from omgrl_jax.learners import actor as actor_lib
from omgrl_jax.models.rollout import rollout


@contextlib.contextmanager
def optimised():
    """Compiles as users do; other tests leave most optimisations out."""
    jax.config.update("jax_disable_most_optimizations", False)
    try:
        yield
    finally:
        jax.config.update("jax_disable_most_optimizations", True)


# Counted: 357 and 158 kernels, 2,453 and 1,488 instructions.
KERNELS = {"update": 470, "rollout": 210}
INSTRUCTIONS = {"update": 3_200, "rollout": 1_950}
UPDATES = 10


@functools.cache
def made():
    run = update.configured(Update(updates=UPDATES))
    return run, problem.make(run, stays=20, hours=24)


@functools.cache
def update_program():
    loop = update.make_loop(*made())
    with optimised():
        function = jax.jit(loop.improve, donate_argnums=(0,))
        key = jax.random.key(0)
        compiled = function.lower(loop.state, key, loop.given).compile()
    return loop, compiled


@functools.cache
def rollout_program(states, optimise=False):
    run, task = made()
    space = task.space
    actor = actor_lib.make(run.agent.actor_hidden, space.state_dim, space.num_actions)
    params = actor.init(jax.random.key(0))

    def roll(world, params, key, starts):
        return rollout(
            task.world.dynamics, world, actor.policy, params, key, starts, 20
        )

    starts = task.data.train.states[:states]
    given = task.data.world, params, jax.random.key(1), starts
    with optimised() if optimise else contextlib.nullcontext():
        return jax.jit(roll).lower(*given).compile()


@pytest.mark.slow
def test_an_update_stays_a_few_kernels():
    found = program.of(update_program()[1])
    assert 0 < found.kernels < KERNELS["update"]
    assert found.kernels < found.instructions < INSTRUCTIONS["update"]


def test_a_rollout_stays_a_few_kernels():
    found = program.of(rollout_program(200, True))
    assert 0 < found.kernels < KERNELS["rollout"]
    assert found.kernels < found.instructions < INSTRUCTIONS["rollout"]


@pytest.mark.slow
def test_an_update_copies_neither_records_nor_buffer():
    loop, compiled = update_program()
    found = program.of(compiled)
    buffer, _, _ = loop.given
    held = sum(x.nbytes for x in jax.tree.leaves(buffer.rows))
    state = sum(x.nbytes for x in jax.tree.leaves(loop.state))
    # Counted: 5.4 MB beside a buffer of 9.2 MB, for batches of 256.
    assert found.temporary < 0.8 * held
    # The state takes the place of the one that was given.
    assert found.results < 0.5 * state


def test_memory_of_rollouts_grows_in_proportion():
    few, many = (program.of(rollout_program(n)) for n in (100, 400))
    assert many.temporary < 4.5 * few.temporary + 2**20


@pytest.mark.slow
def test_updates_are_within_reach_of_the_ceiling():
    loop, compiled = update_program()
    run, task = made()
    state, epoch = jax.tree.map(jnp.copy, loop.state), 0

    def learn():
        nonlocal state, epoch
        key, epoch = jax.random.fold_in(jax.random.key(3), epoch), epoch + 1
        state, metrics = compiled(state, key, loop.given)
        jax.block_until_ready((state, metrics))

    with optimised():
        product = ceiling.product(1024)
    times = timing.interleaved({"ours": learn, "ceiling": product.run}, 5)
    each = flops.update(run.agent, task.space, run.reward)
    fields = bound_by_products(
        times["ours"], times["ceiling"], UPDATES, each, product.flops
    )
    # Measured: 60 to 80 %. The best repeat: another process may take a core.
    assert fields["share"].most > 0.15
    assert epoch == 6


def test_many_epochs_are_one_trace():
    config = Update(updates=1, batch=8, hidden=8)
    run = update.configured(config)
    loop = update.make_loop(run, problem.make(run, stays=10, hours=24))
    traces = []

    @jax.jit
    def improve(*given):
        traces.append(1)
        return loop.improve(*given)

    state = loop.state
    for epoch in range(3):
        key = jax.random.fold_in(jax.random.key(3), epoch)
        state, _ = improve(state, key, loop.given)
    assert len(traces) == 1


def test_the_counts_tell_programs_apart():
    def few(x):
        return jnp.tanh(x @ x)

    def many(x):
        for _ in range(5):
            x = jnp.sort(jnp.tanh(x @ x), axis=0)
        return x

    x = jnp.ones((8, 8))
    with optimised():
        small, large = (program.of(jax.jit(f).lower(x).compile()) for f in (few, many))
    assert 0 < small.kernels < large.kernels
    assert 0 < small.instructions < large.instructions
    assert small.arguments == 4 * 64 and small.results == 4 * 64
    kept = jax.jit(lambda x: x + 1.0, donate_argnums=(0,)).lower(x).compile()
    assert program.of(kept).results == 0


@pytest.mark.parametrize("size", [1, 3])
def test_peak_is_all_that_lives_at_once(size):
    one = program.Program(0, 0, size, 10, 100)
    assert one.peak == 110 + size

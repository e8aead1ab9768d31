"""Training steps a second of the dynamics ensemble, through its own fit."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from experiments.benchmark import ceiling, flops, problem, timing
from experiments.benchmark.config import Ensemble
from experiments.benchmark.row import Row, bound_by_products
from experiments.config import RunConfig
from omgrl_jax.models import ensemble
from omgrl_jax.models.example import Example, examples
from omgrl_jax.models.world import World
from omgrl_jax.runtime import sweep

SHARE = 0.70
_HELD = 256  # validation rows, once an epoch


class Fit(NamedTuple):
    """A fit in progress.

    Attributes:
      state: where it stands.
      arguments: further arguments of `ensemble._run_epochs`, but the number of epochs.
      steps: training steps of an epoch.
    """

    state: ensemble.FitState
    arguments: tuple
    steps: int


def configured(config: Ensemble) -> RunConfig:
    """The recommended settings in the sizes of the piece."""
    widths = ",".join([str(config.hidden)] * 4)
    elites = min(config.members, RunConfig().fit.elites)
    return problem.recommended(
        (
            f"--fit_members={config.members}",
            f"--fit_elites={elites}",
            f"--fit_batch_size={config.batch}",
            f"--world_hidden={widths}",
        )
    )


def make_fit(run: RunConfig, world: World, scales: Any, train: Example) -> Fit:
    """The fit of the feature networks to all rows.

    Args:
      run: settings.
      world: the functions.
      scales: the standardisation.
      train: rows [M].
    """
    rows = train.action.shape[0]
    key = jax.random.key(0)
    home = sweep.member_sharding(run.fit.members)
    state = ensemble._start(world.init_features, run.fit, key)
    of_members = jnp.tile(jnp.arange(rows, dtype=jnp.int32), (run.fit.members, 1))
    held = jax.tree.map(lambda x: x[:_HELD], train)
    data = jax.random.key(1), scales, train, held
    arguments = (
        jax.device_put(of_members, home),
        *jax.device_put(data, sweep.data_sharding(run.fit.members)),
        *(world.feature_loss, run.fit),
    )
    return Fit(
        jax.device_put(state, home), arguments, max(1, -(-rows // run.fit.batch_size))
    )


def running(fit: Fit) -> Callable[[], object]:
    """A callable that goes on fitting, one epoch a call."""
    state, home = fit.state, sweep.member_sharding(fit.arguments[0].shape[0])

    def run() -> object:
        nonlocal state
        found, losses = ensemble._run_epochs(state, *fit.arguments, 1)
        state = jax.device_put(found, home)
        return jax.block_until_ready((state, losses))

    return run


def epoch_flops(run: RunConfig, made: problem.Made, steps: int, held: int) -> float:
    """Operations of an epoch: its steps, then the loss of held-out rows."""
    network = flops.features(run.world, made.space)
    trained = steps * flops.ensemble_step(network, run.fit)
    return trained + run.fit.members * held * network.forward


def measure(config: Ensemble, repeats: int) -> list[Row]:
    """Times epochs beside the ceiling.

    Args:
      config: sizes.
      repeats: timed repeats.
    """
    run = configured(config)
    made = problem.make(run)
    train = examples(made.data.train)
    wanted = config.steps * config.batch
    drawn = jnp.arange(wanted) % train.action.shape[0]
    train = jax.tree.map(lambda x: x[drawn], train)
    fit = make_fit(run, made.world, made.data.world.scales, train)
    product = ceiling.product()
    times = timing.interleaved({"ours": running(fit), "ceiling": product.run}, repeats)
    total = epoch_flops(run, made, fit.steps, min(_HELD, wanted))
    return [
        Row(
            "ensemble",
            f"training steps of {config.members} members, batch {config.batch}",
            "steps/s",
            **bound_by_products(
                times["ours"],
                times["ceiling"],
                fit.steps,
                total / fit.steps,
                product.flops,
            ),
            share_target=SHARE,
        )
    ]

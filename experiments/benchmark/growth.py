"""How time and memory grow with stays, seeds, members, horizon and batch.

Along stays and members an epoch of the ensemble's fit is timed, along the others an
epoch of OMG-RL in which what grows is most of the work. Memory is what the compiled
program needs at once. The power with which a quantity grows is the slope of its
logarithm: one is linear.
"""

import pathlib
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np

from experiments.benchmark import ensemble as ensemble_piece
from experiments.benchmark import interval, problem, program, seeds, timing
from experiments.benchmark.config import Growth
from experiments.benchmark.row import Row
from experiments.config import RunConfig
from omgrl_jax.models import ensemble
from omgrl_jax.models.example import examples

_MEBI = 2**20
_STAYS, _HOURS = 100, 48


class Point(NamedTuple):
    """One point of a curve.

    Attributes:
      run: one epoch.
      memory: bytes that its program needs at once.
    """

    run: Callable[[], object]
    memory: int


def _flags(width: int, **changes: int) -> tuple[str, ...]:
    """Flags of small networks of one width, and what is changed."""
    usual = {
        "world_hidden": f"{width},{width}",
        "agent_actor_hidden": f"{width},{width}",
        "agent_critic_hidden": f"{width},{width}",
        "agent_updates": 5,
        "reward_steps": 2,
    }
    return tuple(f"--{name}={value}" for name, value in {**usual, **changes}.items())


def _epoch(run: RunConfig, count: int) -> Point:
    """An epoch of OMG-RL over some seeds."""
    hours = max(_HOURS, run.rollout.horizon)
    made = problem.make(run, _STAYS, hours)
    keys = interval.members(count)
    own = interval.make(problem.omg_rl(run, made), keys, made.data, 1)
    return Point(own.run, seeds.memory(own))


def _fit(run: RunConfig, stays: int) -> Point:
    """An epoch of the ensemble's fit to some stays."""
    made = problem.make(run, stays, _HOURS)
    train = examples(made.data.train)
    fit = ensemble_piece.make_fit(run, made.world, made.data.world.scales, train)
    given: Any = (fit.state, *fit.arguments, 1)
    compiled = ensemble._run_epochs.lower(*given).compile()
    return Point(ensemble_piece.running(fit), program.of(compiled).peak)


def along_stays(config: Growth, value: int) -> Point:
    """A fit to so many stays."""
    return _fit(problem.recommended(_flags(config.hidden)), value)


def along_members(config: Growth, value: int) -> Point:
    """A fit of so many members."""
    flags = _flags(config.hidden, fit_members=value, fit_elites=1)
    return _fit(problem.recommended(flags), _STAYS)


def along_seeds(config: Growth, value: int) -> Point:
    """An epoch of so many seeds."""
    return _epoch(problem.recommended(_flags(config.hidden)), value)


def along_horizon(config: Growth, value: int) -> Point:
    """An epoch whose rollouts have so many steps, from many states."""
    changes = {"rollout_horizon": value, "rollout_rollouts": 500, "agent_updates": 1}
    changes["rollout_kept_epochs"] = 2
    return _epoch(problem.recommended(_flags(config.hidden, **changes)), 1)


def along_batch(config: Growth, value: int) -> Point:
    """An epoch whose updates have so large a batch."""
    flags = _flags(config.hidden, agent_batch_size=value, agent_updates=20)
    return _epoch(problem.recommended(flags), 1)


# By the field that lists the values.
ALONG: dict[str, Callable[[Growth, int], Point]] = {
    "stays": along_stays,
    "seeds": along_seeds,
    "members": along_members,
    "horizon": along_horizon,
    "batch": along_batch,
}


def measure(config: Growth, repeats: int) -> list[Row]:
    """Times every point of every curve, those of one curve side by side.

    Args:
      config: sizes.
      repeats: timed repeats.
    """
    rows = []
    for name, build in ALONG.items():
        values = getattr(config, name)
        points = {value: build(config, value) for value in values}
        times = timing.interleaved({str(v): p.run for v, p in points.items()}, repeats)
        seconds = [times[str(v)].scaled(1.0) for v in values]
        mebibytes = [points[v].memory / _MEBI for v in values]
        of_memory = [timing.Spread(m, m, m) for m in mebibytes]
        for what, unit, found in (
            ("seconds of an epoch", "s", seconds),
            ("memory", "MiB", of_memory),
        ):
            rows += [
                Row("growth", what, unit, one, against=name, at=float(v))
                for v, one in zip(values, found, strict=True)
            ]
            slope = power(values, [one.median for one in found])
            told = f"power with which {what} grow{'s' * (unit == 'MiB')}"
            if slope is not None:
                spread = timing.Spread(slope, slope, slope)
                rows.append(Row("growth", told, "", spread, against=name))
        jax.clear_caches()
    return rows


def power(values: tuple[int, ...], found: list[float]) -> float | None:
    """Slope of the logarithm along the logarithm of the values.

    Args:
      values: where it was measured.
      found: what was.

    Returns:
      The slope by least squares; None of fewer than two values.
    """
    if len(set(values)) < 2:
        return None
    return float(np.polyfit(np.log(values), np.log(found), 1)[0])


def draw(rows: list[Row], folder: pathlib.Path) -> pathlib.Path | None:
    """Draws the curves into `growth.svg`.

    Args:
      rows: of `measure`.
      folder: where the figure goes.

    Returns:
      Its path; None where matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError:
        return None
    names = [name for name in ALONG if any(row.against == name for row in rows)]
    figure = Figure(figsize=(2.6 * len(names), 4.8), layout="constrained")
    axes = figure.subplots(2, len(names), squeeze=False)
    units = {"s": "seconds of an epoch", "MiB": "memory (MiB)"}
    for line, (unit, label) in enumerate(units.items()):
        for column, name in enumerate(names):
            own = [r for r in rows if r.against == name and r.unit == unit]
            _curve(axes[line, column], own, name)
        axes[line, 0].set_ylabel(label)
    figure.suptitle("Time and memory: median, least to most; dashed: in proportion")
    path = folder / "growth.svg"
    figure.savefig(path)
    return path


def _curve(plot: Any, rows: list[Row], name: str) -> None:
    """One curve, beside the line of what grows in proportion."""
    from matplotlib.ticker import LogLocator

    points = [r for r in rows if r.at is not None and r.value is not None]
    where = np.array([r.at for r in points])
    low, middle, high = (
        np.array([getattr(r.value, end) for r in points])
        for end in ("least", "median", "most")
    )
    plot.plot(where, middle[0] * where / where[0], "--", color="#8A8A8A", lw=1)
    error = [middle - low, high - middle]
    plot.errorbar(where, middle, error, fmt="o-", color="#0072B2", capsize=2)
    plot.set_xscale("log")
    plot.set_yscale("log")
    # The sizes that were measured, since powers of ten would name none of them.
    plot.set_xticks(where, [f"{value:,.0f}" for value in where], fontsize=8)
    plot.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    plot.yaxis.set_major_formatter("{x:g}")
    plot.minorticks_off()
    plot.set_xlabel(name)

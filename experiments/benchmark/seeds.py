"""Many seeds beside one: throughput, and memory for each more."""

import itertools

from experiments.benchmark import interval, problem, timing
from experiments.benchmark.config import Seeds
from experiments.benchmark.row import Row

THROUGHPUT = 1.9


def measure(config: Seeds, repeats: int) -> list[Row]:
    """Times intervals of one seed and of many, as one program each.

    Args:
      config: sizes.
      repeats: timed repeats.
    """
    run = problem.recommended(config.flags)
    made = problem.make(run)
    algorithm = problem.omg_rl(run, made)
    counts = sorted({1, 2, config.seeds})
    intervals = {
        str(n): interval.make(algorithm, interval.members(n), made.data, config.epochs)
        for n in counts
    }
    times = timing.interleaved({n: own.run for n, own in intervals.items()}, repeats)
    many, one = times[str(config.seeds)], times["1"]
    ratio = many.ratio(one)
    devices = intervals[str(config.seeds)].devices
    rows = [
        Row(
            "seeds",
            f"throughput of {config.seeds} seeds beside one, {devices} devices",
            "x",
            timing.Spread(*(config.seeds * part for part in ratio)),
            target=THROUGHPUT,
        )
    ]
    for n in counts:
        rate = times[str(n)].rate(n * config.epochs)
        what = f"epochs of {n} seed{'s together' * (n > 1)}"
        rows.append(Row("seeds", what, "epochs/s", rate))
    peak = {n: memory(intervals[str(n)]) for n in counts}
    for before, after in itertools.pairwise(counts):
        extra = (peak[after] - peak[before]) / (after - before) / 2**20
        rows.append(
            Row(
                "seeds",
                f"memory for each more seed, from {before} to {after}",
                "MiB",
                timing.Spread(extra, extra, extra),
                note=f"one program's peak {peak[after] / 2**20:,.0f} MiB",
            )
        )
    return rows


def memory(own: interval.Interval) -> int:
    """Bytes that a program needs at once, over all of its devices."""
    return own.devices * own.program.peak

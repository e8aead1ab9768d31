"""Virtual patients: patient-hours a second of the simulator, whole stays kept."""

from collections.abc import Callable

import jax

from experiments.benchmark import timing
from experiments.benchmark.config import Patients
from experiments.benchmark.row import Row
from omgrl_jax.envs import clinicians, heparin, stays

RATE = 2e6


def simulating(patients: int, hours: int) -> Callable[[], object]:
    """A callable that simulates so many stays, others in each call."""
    config, practice = heparin.PatientDistribution(), clinicians.Practice()
    seed = 0

    def run() -> object:
        nonlocal seed
        key, seed = jax.random.key(seed), seed + 1
        found = stays.simulate(config, practice, key, patients, hours)
        return jax.block_until_ready(found)

    return run


def measure(config: Patients, repeats: int) -> list[Row]:
    """Times each number of patients.

    Args:
      config: sizes.
      repeats: timed repeats.
    """
    callables = {
        str(n): timing.again(simulating(n, config.hours), config.calls)
        for n in config.patients
    }
    times = timing.interleaved(callables, repeats)
    return [
        Row(
            "patients",
            f"patient-hours, {n:,} virtual patients at once",
            "patient-hours/s",
            times[str(n)].rate(config.calls * n * config.hours),
            target=RATE,
        )
        for n in config.patients
    ]

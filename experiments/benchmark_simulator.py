"""Throughput of the simulator: patient-hours a second, whole stays kept.

    python -m experiments.benchmark_simulator

Takes about half a minute. To reach on two CPU cores: 1.0e+06 patient-hours a second.
"""

import time

import jax
from absl import flags

from omgrl_jax.envs import clinicians, heparin, stays
from omgrl_jax.runtime import script


def measure(patients: int, hours: int, repeats: int) -> float:
    """Best of some repeats, patient-hours a second, compilation left out."""
    config, practice = heparin.PatientDistribution(), clinicians.Practice()

    def once(seed: int) -> float:
        start = time.perf_counter()
        jax.block_until_ready(
            stays.simulate(config, practice, jax.random.key(seed), patients, hours)
        )
        return time.perf_counter() - start

    once(0)  # compiles
    return patients * hours / min(once(seed) for seed in range(1, repeats + 1))


def define_flags() -> None:
    """What to time."""
    flags.DEFINE_list(
        "patients", ["500", "4000", "16000"], "Numbers of patients simulated at once."
    )
    flags.DEFINE_integer("hours", 48, "Hours of each stay.", lower_bound=1)
    flags.DEFINE_integer("repeats", 5, "Timed runs; the best counts.", lower_bound=1)


def main() -> None:
    """Prints one line for each number of patients."""
    values = flags.FLAGS
    for patients in map(int, values.patients):
        rate = measure(patients, values.hours, values.repeats)
        print(f"{patients:>8,} patients: {rate:.2e} patient-hours a second")


if __name__ == "__main__":
    script.run(main, define_flags)

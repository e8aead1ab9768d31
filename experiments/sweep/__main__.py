"""One method over many seeds and settings, as few compiled programs.

    python -m experiments.sweep --experiment=omg_rl --dataset=DIR --out=SWEEP \
        --seeds=64 --grid='penalty=0.5,1,5;agent_discount=0.95,0.99'

Settings whose mathematics takes them as numbers (rates, weights, coefficients) are
batched with the seeds in one program; others (widths, counts, switches) are compiled
once for each value. Members run one after the other on every core of a CPU, as one
batch on an accelerator, shared by all local devices, and by all hosts with
--distributed (Slurm, Cloud TPU) or --coordinator, --processes and --process. A sweep
larger than the memory runs in chunks. What is there already is kept: the same command
goes on after a kill, and with more seeds or values runs the new ones alone.

Writes table.csv (configuration, settings, seed, metric, value: a row for each), and
below members/ the trained networks of every seed and setting.
"""

import pathlib

from absl import flags

from experiments.config import RunConfig
from experiments.sweep.config import SweepConfig
from omgrl_jax.runtime import devices, hosts, script
from omgrl_jax.runtime import flags as config_flags

_PARTS = (SweepConfig, hosts.HostsConfig, RunConfig)


def define_flags() -> None:
    """Flags for the sweep, the hosts and the settings of all methods."""
    config_flags.define_study_script(_PARTS)


def main() -> None:
    """Runs the sweep that the flags describe."""
    sweep, joined, config = (config_flags.read(kind) for kind in _PARTS)
    if flags.FLAGS["algorithms"].present:
        raise ValueError("--algorithms: a sweep has one method, named by --experiment")
    devices.configure_host_devices()
    hosts.join(joined)
    # JAX starts with these imports.
    from experiments.sweep import study, summary

    out = pathlib.Path(flags.FLAGS.out)
    allow = flags.FLAGS.allow_git_worktree
    table = study.run(sweep, config, flags.FLAGS.dataset, out, allow)
    if hosts.is_first():
        print(summary.write(out, sweep, config, table))


if __name__ == "__main__":
    script.run(main, define_flags)

"""PerSim's study: a simulator for each agent from one log each, and planning with it.

    python -m experiments.persim --env=cart_pole --data=pure --out=DIR
    python -m experiments.persim --env=mountain_car --data=random --out=DIR
    python -m experiments.persim --env=half_cheetah --data=random --out=DIR
    python -m experiments.persim --env=cart_pole --data=pure --full --out=DIR

Records agents whose physics differ (`data_prep.control`), fits PerSim and its rivals to
the logs, and judges all of them on five agents in the true world: predictions up to 50
steps ahead, and returns of planning, beside planning with the true physics, which says
what planning can reach. Then: fewer agents, agents never seen, and how well a linear
probe reads the hidden physics from the latent factors.

Everything is fitted and judged again with each seed; the logs are the same
(`--data_seed`). Writes rows.csv, summary.csv and report/index.html. The same
command goes on where it stopped, and the same --out takes further seeds, methods,
learners and numbers of agents later. The default is a reduced size (three small
networks each, 100 plans a step); --full takes the paper's sizes wherever a flag is not
given, but for what learns policies from logs, which keeps its reduced one.
"""

import pathlib

from absl import flags

from experiments.persim.config import FULL, USUAL, Config
from omgrl_jax.runtime import devices, metrics, script
from omgrl_jax.runtime import flags as config_flags


def define_flags(values: flags.FlagValues = flags.FLAGS) -> None:
    """Where to write, the size, and every field of the configuration."""
    flags.DEFINE_string(
        "out", None, "Directory to write to; made when missing.", flag_values=values
    )
    flags.DEFINE_boolean(
        "full",
        False,
        "The paper's sizes of simulators and plans: hours, for half_cheetah days. Of "
        "mountain_car its plans of 50 single steps reach no hill from gravity .0025 "
        "on, even with the true physics: see --plan_horizon=150 --plan_hold=10.",
        flag_values=values,
    )
    flags.mark_flag_as_required("out", flag_values=values)
    config_flags.define(Config, flag_values=values)


def settings(values: flags.FlagValues = flags.FLAGS) -> Config:
    """The configuration: what was given, else what the environment and size say."""
    usual = USUAL[values.env] | (FULL[values.env] if values.full else {})
    for name, value in usual.items():
        if not values[name].present:
            values[name].value = value
    if not values["fit_elites"].present:
        values["fit_elites"].value = values.fit_members  # all are kept
    return config_flags.read(Config, flag_values=values)


def main() -> None:
    """Runs the study that the flags describe."""
    config, out = settings(), pathlib.Path(flags.FLAGS.out)
    devices.configure_host_devices()
    # Not at the top: they start JAX.
    from experiments.persim import page, study, summary, units

    ready = units.prepare(config, out)
    rows = study.run(ready)
    found = summary.summarise(rows)
    metrics.write_csv(out / "rows.csv", rows)
    metrics.write_csv(out / "summary.csv", found)
    print(summary.table(found))
    factors = study.factors_of_first_seed(ready)
    print(f"\nReport: {page.write(out, config, rows, factors)}")


if __name__ == "__main__":
    script.run(main, define_flags)

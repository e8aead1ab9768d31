"""How OMG-RL degrades where the truth is known: less data, worse data, other patients.

    python -m experiments.ground_truth --out=DIR --seeds=10 \
        --flagfile=experiments/presets/recommended.flags

Simulates one cohort for each condition (fewer stays, noisier clinicians, a confounder
that no record holds), trains the methods on it (--algorithms: OMG-RL and COMBO unless
others are named), and judges them on new patients;
`shifted` trains on the usual cohort and judges on older, heavier patients with renal
impairment. Writes ground_truth.csv (a row for each condition, policy and seed) and
prints, beside the outcomes, how well r_psi ranks doses by the clinicians' true
intention, and what is lost by not knowing it (`regret`: COMBO under the true r_p less
OMG-RL).
Every condition is kept when it is complete.
"""

import pathlib
from collections.abc import Sequence
from typing import Any, NamedTuple

import pandas as pd
from absl import flags

from experiments import printing
from experiments.config import RunConfig
from omgrl_jax.runtime import devices, metrics, script
from omgrl_jax.runtime import flags as config_flags

STAYS = 715  # at the default shares, 500 of them for training
MEASURES = ("r_p", "in_range", "above", "all_pairs", "within_state", "regret")


class Condition(NamedTuple):
    """One way in which the world is less kind.

    Attributes:
      cohort: changes of `data_prep.virtual.Config`; equal ones share a cohort.
      setting: changes of the run, as on a command line.
    """

    cohort: dict[str, Any]
    setting: tuple[str, ...] = ()


CONDITIONS = {
    "usual": Condition({}),
    "100 stays": Condition({}, ("--train_stays=100",)),
    "250 stays": Condition({}, ("--train_stays=250",)),
    "noisier clinicians": Condition({"adherence": 0.6, "gain_cv": 0.8}),
    "hidden confounder": Condition({"insight": 0.5}),
    "shifted": Condition({}, ("--shifted_patients=true",)),
}


def run(
    config: RunConfig, out: pathlib.Path, cohort_seed: int, names: Sequence[str]
) -> pd.DataFrame:
    """Trains and judges under every condition.

    Args:
      config: what the conditions share.
      out: where to write.
      cohort_seed: seed of the cohorts.
      names: conditions to run.

    Returns:
      A row for each condition, policy and seed.

    Raises:
      ValueError: on an unknown condition.
    """
    from data_prep import virtual
    from experiments import cells

    unknown = [name for name in names if name not in CONDITIONS]
    if unknown:
        raise ValueError(
            f"--conditions={','.join(names)}: choose among {', '.join(CONDITIONS)}"
        )
    tables = []
    for name in names:
        condition = CONDITIONS[name]
        cohort = virtual.Config(stays=STAYS, seed=cohort_seed, **condition.cohort)
        words = [f"{k}={v}" for k, v in condition.cohort.items()]
        folder = out / ("_".join(words) or "usual")
        if not (folder / "data" / "trajectories.npz").is_file():
            virtual.write(cohort, folder / "data")
        study = cells.Study(str(folder / "data"), folder)
        setting = config_flags.changed(config, condition.setting)
        cell = cells.Cell(name.replace(" ", "_"), setting)
        table = cells.seed_table({name: study.run(cell, baselines=True)}, "stochastic")
        tables.append(with_regret(table.rename(columns={"cell": "condition"})))
        found = pd.concat(tables, ignore_index=True)
        metrics.write_csv(out / "ground_truth.csv", found)
    return found


def with_regret(table: pd.DataFrame) -> pd.DataFrame:
    """Adds `regret`: r_p an hour that OMG-RL loses to COMBO, where both are there."""
    best = table[table.policy == "combo"].set_index("seed").r_p
    regret = table.seed.map(best) - table.r_p
    return table.assign(regret=regret.where(table.policy == "omg_rl"))


def define_flags() -> None:
    """The output directory, the conditions and every field of the setting."""
    flags.DEFINE_string("out", None, "Directory to write to; made when missing.")
    flags.DEFINE_integer("cohort_seed", 0, "Seed of the simulated cohorts.")
    flags.DEFINE_list(
        "conditions", list(CONDITIONS), f"What to try, of: {', '.join(CONDITIONS)}."
    )
    flags.mark_flag_as_required("out")
    config_flags.define(RunConfig)


def main() -> None:
    """Runs the study that the flags describe."""
    config = config_flags.read(RunConfig)
    devices.configure_host_devices()
    devices.enable_compilation_cache()
    given = flags.FLAGS
    out = pathlib.Path(given.out)
    table = run(config, out, given.cohort_seed, given.conditions)
    print(printing.seed_means(table, "condition", MEASURES))


if __name__ == "__main__":
    script.run(main, define_flags)

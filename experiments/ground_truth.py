"""How OMG-RL degrades where the truth is known: less data, worse data, other patients.

    python -m experiments.ground_truth --out=DIR --seeds=10 \
        --flagfile=experiments/presets/recommended.flags

Simulates one cohort for each condition (fewer stays, noisier clinicians, a confounder
that no record holds), trains the methods on it (--algorithms: OMG-RL and COMBO unless
others are named), and judges them on new patients;
`shifted` trains on the usual cohort and judges on older, heavier patients with renal
impairment. Writes ground_truth.csv (a row for each condition, policy and seed) and
report/index.html, and prints, beside the outcomes, how well r_psi ranks doses by their
true reward, and two losses. `regret`: true reward lost where the dose is given that
r_psi puts first, not the best one (cloned clinicians' rows: that their log-probability
puts first). `behind_combo`: what OMG-RL earns less than COMBO, which is told r_p.
Every condition is kept when it is complete.
"""

import pathlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import pandas as pd
from absl import flags

from experiments import printing
from experiments.config import RunConfig
from omgrl_jax.runtime import devices, metrics, script
from omgrl_jax.runtime import flags as config_flags

STAYS = 715  # at the default shares, 500 of them for training
MEASURES = (
    *("r_p", "in_range", "above", "within_state", "recorded_pairs"),
    *("regret", "behind_combo"),
)
# What is known of a reward, beside whose it is.
_OF_REWARDS = ("within_state", "all_pairs", "recorded_pairs", "regret")


class Condition(NamedTuple):
    """One way in which the world is less kind.

    Attributes:
      note: what is different, for readers of the page.
      cohort: changes of `data_prep.virtual.Config`; equal ones share a cohort.
      setting: changes of the run, as on a command line.
    """

    note: str
    cohort: dict[str, Any]
    setting: tuple[str, ...] = ()


CONDITIONS = {
    "usual": Condition("500 stays to learn from, clinicians as they usually are", {}),
    "100 stays": Condition(
        "100 of the usual stays to learn from", {}, ("--train_stays=100",)
    ),
    "250 stays": Condition(
        "250 of the usual stays to learn from", {}, ("--train_stays=250",)
    ),
    "noisier clinicians": Condition(
        "clinicians follow their nomogram in 60 % of decisions instead of 90 %, and "
        "differ twice as much in how far they change a rate",
        {"adherence": 0.6, "gain_cv": 0.8},
    ),
    "hidden confounder": Condition(
        "clinicians know something of how fast a patient clears heparin, which no "
        "record holds, and dose by it",
        {"insight": 0.5},
    ),
    "shifted": Condition(
        "learned from the usual stays, judged on older, heavier patients with renal "
        "impairment",
        {},
        ("--shifted_patients=true",),
    ),
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
    unknown = [name for name in names if name not in CONDITIONS]
    if unknown:
        raise ValueError(
            f"--conditions={','.join(names)}: choose among {', '.join(CONDITIONS)}"
        )
    tables = []
    for name in names:
        tables.append(_judged(name, config, out, cohort_seed))
        found = pd.concat(tables, ignore_index=True)
        metrics.write_csv(out / "ground_truth.csv", found)
    return found


def _judged(
    name: str, config: RunConfig, out: pathlib.Path, cohort_seed: int
) -> pd.DataFrame:
    """The rows of one condition."""
    # Not at the top: they start JAX.
    from data_prep import virtual
    from experiments import cells

    condition = CONDITIONS[name]
    cohort = virtual.Config(stays=STAYS, seed=cohort_seed, **condition.cohort)
    words = [f"{k}={v}" for k, v in condition.cohort.items()]
    folder = out / ("_".join(words) or "usual")
    if not (folder / "data" / "trajectories.npz").is_file():
        virtual.write(cohort, folder / "data")
    study = cells.Study(str(folder / "data"), folder)
    setting = config_flags.changed(config, condition.setting)
    cell = cells.Cell(name.replace(" ", "_"), setting)
    sections = study.run(cell, baselines=True)
    table = cells.seed_table({name: sections}, "stochastic")
    table = with_imitation(table, sections["reward_alignment"])
    return with_distance(table.rename(columns={"cell": "condition"}))


def with_imitation(
    table: pd.DataFrame, alignment: Sequence[Mapping[str, Any]]
) -> pd.DataFrame:
    """Gives cloned clinicians what is known of their log-probability as a reward.

    Args:
      table: rows of policies and seeds, those of learned rewards beside their policies.
      alignment: section `reward_alignment`.

    Returns:
      The table, with the yardstick of r_psi in the rows of behavioural cloning.
    """
    own = [row for row in alignment if row["reward"] == "log_mu"]
    cloned = table.policy == "behavioural_cloning"
    columns = {}
    for name in _OF_REWARDS:
        by_seed = {row["seed"]: row[name] for row in own if name in row}
        if by_seed:
            others = table[name] if name in table else float("nan")
            columns[name] = table.seed.map(by_seed).where(cloned, others)
    return table.assign(**columns)


def with_distance(table: pd.DataFrame) -> pd.DataFrame:
    """Adds `behind_combo`: r_p an hour that OMG-RL earns less than COMBO, by seed."""
    told = table[table.policy == "combo"].set_index("seed").r_p
    behind = table.seed.map(told) - table.r_p
    return table.assign(behind_combo=behind.where(table.policy == "omg_rl"))


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
    # Not at the top: it needs matplotlib, which the study itself does not.
    from experiments.conditions import page

    config = config_flags.read(RunConfig)
    devices.configure_host_devices()
    given = flags.FLAGS
    out = pathlib.Path(given.out)
    table = run(config, out, given.cohort_seed, given.conditions)
    print(printing.seed_means(table, "condition", MEASURES))
    notes = {name: CONDITIONS[name].note for name in given.conditions}
    print(f"\nReport: {page.write(out, config, table, notes)}")


if __name__ == "__main__":
    script.run(main, define_flags)

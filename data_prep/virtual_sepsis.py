"""A dataset of virtual patients with sepsis: fluids and vasopressors, the truth known.

    python -m data_prep.virtual_sepsis --stays=4000 --seed=0 --out=DIR

Writes trajectories.npz and schema.json in the format of `data_prep.mimic_sepsis`: 3 x 3
levels of fluid and vasopressor every four hours for three days, or until death. The
same seed gives the same arrays. 4,000 stays take some seconds, compilation included.
"""

import dataclasses
import functools
import pathlib
from typing import Any

import jax
import numpy as np
from absl import flags, logging

from data_prep import levels
from data_prep.virtual import CHUNK
from omgrl_jax.data import dataset
from omgrl_jax.envs.sepsis import chart, clinicians
from omgrl_jax.envs.sepsis import stays as stays_lib
from omgrl_jax.ops import sofa_rewards
from omgrl_jax.runtime import flags as config_flags
from omgrl_jax.runtime import script, storage

DRUGS = (("fluid", "mL"), ("pressor", "ug/kg/min"))
ACTIONS = ("levels", "doses")
ORDERS = ("levels", "exact")
PURPOSE = 86  # folded into the seed for the stays below
_PILOT = 500  # stays from which the levels of ordered doses are fitted


@dataclasses.dataclass(frozen=True)
class Config:
    """What to simulate; every field is a flag of the same name.

    Attributes:
      stays: number of stays, one patient each.
      seed: seed of everything that is drawn.
      validation: share of patients for validation.
      test: share of patients for testing.
      actions: levels (3 x 3 discrete ones, by quantiles of doses: those of training
        stays where clinicians order any dose, else of 500 stays made for it) or doses
        (continuous).
      reward: sofa (+-15 for the outcome, and .1 for each point of SOFA less, -.25 for
        each more), terminal (+-15 alone) or negative_sofa (-SOFA of each step).
      orders: levels (clinicians order the usual dose of a level, as policies will, so
        that an action is worth the same to both) or exact (any dose, as continuous
        actions take them in any case).
      habit: share of orders that habit decides, whatever the patient.
      style: how much clinicians differ in what they aim at: 1 as much as is usual, 0
        not at all. Above 0 a stay's doses depend on who gives them, which no record
        tells: importance ratios take them for independent.
      lungs: oxygen saturation that a litre too much costs, %, which no reward sees: the
        larger, the more a safety cost is needed to keep it.
    """

    stays: int = dataclasses.field(default=4000, metadata={"min": 3})
    seed: int = 0
    validation: float = dataclasses.field(default=0.15, metadata={"min": 0, "max": 1})
    test: float = dataclasses.field(default=0.15, metadata={"min": 0, "max": 1})
    actions: str = dataclasses.field(default="levels", metadata={"choices": ACTIONS})
    reward: str = dataclasses.field(
        default="sofa", metadata={"choices": tuple(sofa_rewards.REWARDS)}
    )
    orders: str = dataclasses.field(default="levels", metadata={"choices": ORDERS})
    habit: float = dataclasses.field(
        default=clinicians.Practice.habit, metadata={"min": 0, "max": 1}
    )
    style: float = dataclasses.field(default=0.0, metadata={"min": 0})
    lungs: float = dataclasses.field(
        default=stays_lib.Physiology.lungs, metadata={"min": 0}
    )

    def __post_init__(self) -> None:
        """Raises ValueError naming the flag that cannot be fulfilled."""
        if self.validation + self.test >= 1:
            raise ValueError("--validation, --test: shares must leave training stays")
        for field in dataclasses.fields(self):
            allowed = field.metadata.get("choices")
            if allowed and getattr(self, field.name) not in allowed:
                raise ValueError(f"--{field.name}: use one of {', '.join(allowed)}")

    @property
    def world(self) -> stays_lib.World:
        """What patients live in."""
        return stays_lib.World(
            stays_lib.Physiology(lungs=self.lungs),
            reward=sofa_rewards.REWARDS[self.reward],
        )

    @property
    def practice(self) -> clinicians.Practice:
        """How clinicians dose."""
        usual = clinicians.Practice(habit=self.habit)
        return dataclasses.replace(
            usual,
            wanted_sd=self.style * usual.wanted_sd,
            fluid_sd=self.style * usual.fluid_sd,
        )


def orders_of(config: Config) -> dataset.Actions | None:
    """The levels in which clinicians order; None where they order any dose."""
    if config.orders == "exact" or config.actions == "doses":
        return None
    return _pilot_levels(config.world, config.practice, config.seed)


def policy_of(config: Config) -> stays_lib.Policy:
    """Who treats the patients."""
    exact, ordered = stays_lib.clinician(config.practice), orders_of(config)
    if ordered is None:
        return exact
    return stays_lib.rounded(exact, stays_lib.levels_of(ordered))


@functools.cache
def _pilot_levels(
    world: stays_lib.World, practice: clinicians.Practice, seed: int
) -> dataset.Actions:
    """The levels of clinicians who may order any dose, from stays of their own."""
    key = jax.random.fold_in(jax.random.key(seed), PURPOSE)
    exact = stays_lib.clinician(practice)
    pilot = jax.device_get(stays_lib.treat(world, exact, key, _PILOT))
    alive = np.asarray(pilot.alive)
    doses = np.stack([np.asarray(x)[alive] for x in pilot.doses], axis=1)
    return levels.fit(DRUGS, doses)


def simulate(config: Config) -> stays_lib.Stays:
    """All stays at full length, numpy arrays [N, STEPS (+ 1), ...]."""
    key = jax.random.key(config.seed)
    policy = policy_of(config)
    size = min(CHUNK, config.stays)
    chunks = [
        jax.device_get(
            stays_lib.treat(config.world, policy, jax.random.fold_in(key, start), size)
        )
        for start in range(0, config.stays, CHUNK)
    ]
    return jax.tree.map(lambda *x: np.concatenate(x)[: config.stays], *chunks)


def to_dataset(
    config: Config, simulated: stays_lib.Stays
) -> tuple[dataset.Schema, dataset.Trajectories]:
    """Cuts the stays at their ends and makes actions of the doses.

    Args:
      config: the settings.
      simulated: numpy arrays of `simulate`.
    """
    rng = np.random.default_rng(config.seed)
    lengths = np.asarray(simulated.alive).sum(axis=1).astype(np.int32)
    steps = np.arange(stays_lib.STEPS)[None] < lengths[:, None]
    rows = np.arange(stays_lib.STEPS + 1)[None] <= lengths[:, None]
    counts = [round(s * config.stays) for s in (config.validation, config.test)]
    split = np.zeros(config.stays, np.int32)
    split[: counts[0]], split[counts[0] : sum(counts)] = 1, 2
    split = rng.permutation(split)
    doses = np.stack([np.asarray(x)[steps] for x in simulated.doses], axis=1)
    training = doses[np.repeat(split == 0, lengths)]
    ordered = orders_of(config)
    if config.actions == "levels":
        actions = ordered or levels.fit(DRUGS, training)
        chosen = levels.assign(actions, doses)
    else:
        actions = levels.continuous(DRUGS, training)
        chosen = np.clip(doses, actions.low, actions.high).astype(np.float32)
    simulator: dict[str, Any] = {
        "sepsis": dataclasses.asdict(config.world),
        "clinicians": dataclasses.asdict(config.practice),
        "run": {
            **dataclasses.asdict(config),
            "orders": "exact" if ordered is None else "levels",
        },
    }
    schema = dataset.Schema(
        name="virtual sepsis",
        kind="virtual",
        features=chart.FEATURES,
        channels=chart.CHANNELS,
        actions=actions,
        step_hours=chart.STEP_HOURS,
        states={"full": chart.NAMES, "compact": chart.COMPACT},
        default_state="full",
        reward={"kind": "recorded"},
        simulator=simulator,
    )
    charted = {k: np.asarray(v)[rows] for k, v in simulated.rows._asdict().items()}
    return schema, dataset.Trajectories(
        observations=charted["features"],
        actions=chosen,
        lengths=lengths,
        patients=np.arange(config.stays, dtype=np.int32),
        split=split,
        terminals=np.asarray(simulated.ended) | config.world.reward.settles,
        rewards=np.asarray(simulated.rewards)[steps],
        channel_values=charted["channel_value"],
        channel_measured=charted["channel_measured"],
        channel_ages=charted["channel_age"],
    )


def write(config: Config, out: str | pathlib.Path) -> dataset.Schema:
    """Simulates and writes the dataset.

    Args:
      config: what to simulate.
      out: directory, made when missing.

    Returns:
      The schema written.
    """
    out = pathlib.Path(out)
    schema, arrays = to_dataset(config, simulate(config))
    dataset.save(out, schema, arrays)
    flow = f"rule,removed,remaining\nvirtual patients simulated,0,{config.stays}\n"
    storage.atomic_write(out / "cohort_flow.csv", flow)
    return schema


def define_flags(values: flags.FlagValues = flags.FLAGS) -> None:
    """One flag for each field of `Config`, and --out."""
    config_flags.define_dataset_script(Config, values)


def main() -> None:
    """Writes the dataset named by the flags."""
    config, out = config_flags.read(Config), flags.FLAGS.out
    write(config, out)
    logging.info("%d stays in %s", config.stays, out)


if __name__ == "__main__":
    script.run(main, define_flags)

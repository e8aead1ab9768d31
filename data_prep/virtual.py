"""A dataset of virtual patients: the same format as from records, the truth known.

    python -m data_prep.virtual --stays=1500 --seed=0 --out=DIR

Writes trajectories.npz, schema.json, cohort_flow.csv and missingness.csv. The same
seed gives the same arrays. 1,500 stays take a few seconds, compilation included.
"""

import dataclasses
import pathlib
from typing import Any

import jax
import numpy as np
import tqdm
from absl import flags, logging

from data_prep import bins as bins_lib
from omgrl_jax.data import dataset
from omgrl_jax.envs import clinicians, heparin, patients, population, stays
from omgrl_jax.runtime import flags as config_flags
from omgrl_jax.runtime import script, storage

STATES = ("paper", "full", "history")
CHUNK = 1000  # stays simulated at once: bounds memory, compiles a single shape


@dataclasses.dataclass(frozen=True)
class Config:
    """What to simulate; every field is a flag of the same name.

    Attributes:
      stays: number of stays, one patient each.
      seed: seed of everything that is drawn.
      min_hours: shortest stay in hours.
      max_hours: longest stay in hours; longer ones are cut there.
      median_hours: median length of a stay before cutting.
      bins: number of dose bins.
      zero_share: share of zero doses from which zero is a bin of its own.
      validation: share of patients for validation.
      test: share of patients for testing.
      state: default state.
      indicators: add a feature that says where laboratory values are held from an
        earlier hour, to the default state and to one form of every other.
      shifted: draw older, heavier patients with renal impairment instead.
      adherence: probability that clinicians follow their nomogram when they act; the
        less, the noisier their doses.
      gain_cv: spread between clinicians of how far they change a rate.
      insight: power of the patient's hidden clearance by which clinicians multiply
        their orders: above 0, a confounder that no record holds.
    """

    stays: int = 1500
    seed: int = 0
    min_hours: int = 7
    max_hours: int = 72
    median_hours: float = 36.0
    bins: int = 6
    zero_share: float = 0.005
    validation: float = 0.1
    test: float = 0.2
    state: str = dataclasses.field(default="history", metadata={"choices": STATES})
    indicators: bool = False
    shifted: bool = False
    adherence: float = clinicians.Practice.adherence
    gain_cv: float = clinicians.Practice.gain_cv
    insight: float = clinicians.Practice.insight

    def __post_init__(self):
        """Raises ValueError naming the flag that cannot be fulfilled."""
        if self.stays < 3:
            raise ValueError("--stays: at least 3, one for each split.")
        if not 1 <= self.min_hours <= self.max_hours:
            raise ValueError("--min_hours: needs 1 <= min_hours <= max_hours.")
        if min(self.validation, self.test) < 0 or self.validation + self.test >= 1:
            raise ValueError("--validation, --test: shares must leave training stays.")
        if not 0 <= self.adherence <= 1:
            raise ValueError(f"--adherence={self.adherence}: a share from 0 to 1.")
        if self.state not in STATES:
            raise ValueError(f"--state={self.state}: use one of {', '.join(STATES)}.")


def simulate(
    config: Config,
    distribution: heparin.PatientDistribution,
    practice: clinicians.Practice,
) -> stays.Stays:
    """All stays at full length, numpy arrays [N, max_hours (+ 1), ...]."""
    key = jax.random.key(config.seed)
    starts = range(0, config.stays, CHUNK)
    chunks = [
        jax.device_get(
            stays.simulate(
                distribution,
                practice,
                jax.random.fold_in(key, start),
                min(CHUNK, config.stays),
                config.max_hours,
            )
        )
        for start in tqdm.tqdm(starts, "simulating", disable=len(starts) < 3)
    ]
    return jax.tree.map(lambda *x: np.concatenate(x)[: config.stays], *chunks)


def true_patients(
    config: Config, distribution: heparin.PatientDistribution
) -> tuple[patients.Patient, np.ndarray]:
    """The patients of a cohort once more, for judges: no dataset holds their kinetics.

    Args:
      config: the cohort's settings.
      distribution: its population.

    Returns:
      The constants of each stay, leaves [N, ...], and the observed features at the
      start [N, F], by which they can be told to be the same.
    """
    key = jax.random.key(config.seed)
    admit = jax.jit(stays.admit, static_argnums=(0, 2))
    chunks = []
    for start in range(0, config.stays, CHUNK):
        size = min(CHUNK, config.stays)
        admitted = admit(distribution, jax.random.fold_in(key, start), size)
        known = admitted.patient.patient, admitted.observation.features
        chunks.append(jax.device_get(known))
    return jax.tree.map(lambda *x: np.concatenate(x)[: config.stays], *chunks)


def draw_lengths(config: Config, rng: np.random.Generator) -> np.ndarray:
    """Lengths of stays in hours, [N]: log-normal, within the limits.

    Lengths do not depend on the course: the recording is cut, nothing ends.
    """
    hours = config.median_hours * np.exp(0.6 * rng.standard_normal(config.stays))
    return np.clip(np.round(hours), config.min_hours, config.max_hours).astype(np.int32)


def draw_split(config: Config, rng: np.random.Generator) -> np.ndarray:
    """Split of every stay, [N] int8, with at least one stay for training."""
    counts = [round(share * config.stays) for share in (config.validation, config.test)]
    split = np.zeros(config.stays, np.int8)
    split[: counts[0]] = 1
    split[counts[0] : sum(counts)] = 2
    return rng.permutation(split)


def to_trajectories(
    config: Config, all_stays: stays.Stays
) -> tuple[dataset.Trajectories, bins_lib.DoseBins, np.ndarray]:
    """Cuts the stays to their lengths and bins the doses.

    Args:
      config: the settings.
      all_stays: numpy arrays [N, max_hours (+ 1), ...].

    Returns:
      The arrays of the dataset, the bins fitted on training stays, and [R, 17] bool,
      which variable (features, then aPTT) was measured afresh in which row.
    """
    rng = np.random.default_rng(config.seed)
    lengths, split = draw_lengths(config, rng), draw_split(config, rng)
    hours = np.arange(config.max_hours + 1)
    rows = hours[None] <= lengths[:, None]
    steps = hours[None, :-1] < lengths[:, None]

    seen = {
        name: np.asarray(values)[rows]
        for name, values in all_stays.observations._asdict().items()
    }
    amounts = np.asarray(all_stays.orders.total)[steps]
    in_training = np.repeat(split == 0, lengths)
    bins = bins_lib.fit_bins(amounts[in_training], config.bins, config.zero_share)
    trajectories = dataset.Trajectories(
        observations=seen["features"][:, : len(stored_features(config))],
        actions=bins_lib.assign(bins, amounts),
        lengths=lengths,
        patients=np.arange(config.stays, dtype=np.int32),
        split=split,
        terminals=np.zeros(config.stays, bool),
        amounts=amounts,
        channel_values=seen["channel_value"],
        channel_measured=seen["channel_measured"],
        channel_ages=seen["channel_age"],
        channel_censored=seen["channel_censored"],
    )
    from_panel = np.isin(heparin.FEATURE_NAMES, heparin.PANEL_NAMES)
    fresh = ~from_panel | np.asarray(all_stays.panel_measured)[rows][:, None]
    return (
        trajectories,
        bins,
        np.concatenate([fresh, seen["channel_measured"]], axis=1),
    )


def stored_features(config: Config) -> tuple[dataset.Feature, ...]:
    """The features that the dataset stores, in column order."""
    if not config.indicators:
        return dataset.HEPARIN_FEATURES
    return dataset.HEPARIN_FEATURES + tuple(
        dataset.Feature(name, "1 = held", scale="unit")
        for name in heparin.INDICATOR_NAMES
    )


def to_schema(
    config: Config,
    bins: bins_lib.DoseBins,
    distribution: heparin.PatientDistribution,
    practice: clinicians.Practice,
) -> dataset.Schema:
    """The schema, with the simulator's whole configuration in it."""
    features = stored_features(config)
    indicators = heparin.INDICATOR_NAMES if config.indicators else ()
    tracked, states = dataset.heparin_states(
        heparin.FEATURE_NAMES, delay=1, indicators=indicators
    )
    simulator: dict[str, Any] = {
        "population": population.to_dict(distribution),
        "practice": dataclasses.asdict(practice),
        "run": dataclasses.asdict(config),
    }
    return dataset.Schema(
        name="virtual-shifted" if config.shifted else "virtual",
        kind="virtual",
        features=features,
        channels=(dataset.APTT,),
        actions=dataset.Actions(
            count=len(bins.amounts),
            unit="U/h",
            edges=tuple(bins.edges.tolist()),
            amounts=tuple(bins.amounts.tolist()),
            labels=bins.labels,
        ),
        tracked=tracked,
        states=states,
        default_state=f"{config.state}_missing" if indicators else config.state,
        reward={"kind": "range", "channel": "aptt"},
        simulator=simulator,
    )


def write(config: Config, out: str | pathlib.Path) -> dataset.Schema:
    """Simulates and writes the dataset with its two tables.

    Args:
      config: what to simulate.
      out: directory, made when missing.

    Returns:
      The schema written.
    """
    distribution = heparin.PatientDistribution()
    if config.shifted:
        distribution = heparin.shifted(distribution)
    practice = clinicians.Practice(
        adherence=config.adherence, gain_cv=config.gain_cv, insight=config.insight
    )
    all_stays = simulate(config, distribution, practice)
    trajectories, bins, fresh = to_trajectories(config, all_stays)
    schema = to_schema(config, bins, distribution, practice)
    out = pathlib.Path(out)
    dataset.save(out, schema, trajectories)
    flow = f"rule,removed,remaining\nvirtual patients simulated,0,{config.stays}\n"
    storage.atomic_write(out / "cohort_flow.csv", flow)
    # "before": hours without a new value; "after": still missing once values are held.
    values = trajectories.observations[:, : len(heparin.FEATURE_NAMES)]
    held = np.concatenate([values, np.asarray(trajectories.channel_values)], axis=1)
    shares = zip(
        (*heparin.FEATURE_NAMES, "aptt"),
        1.0 - fresh.mean(axis=0),
        np.isnan(held).mean(axis=0),
        strict=True,
    )
    lines = [f"{name},{before:.4f},{after:.4f}" for name, before, after in shares]
    storage.atomic_write(
        out / "missingness.csv", "\n".join(["variable,before,after", *lines, ""])
    )
    return schema


def define_flags(values: flags.FlagValues = flags.FLAGS) -> None:
    """One flag for each field of `Config`, and --out."""
    config_flags.define_dataset_script(Config, values)


def main() -> None:
    """Writes the dataset named by the flags."""
    config, out = config_flags.read(Config), flags.FLAGS.out
    schema = write(config, out)
    bins = ", ".join(schema.actions.labels)
    logging.info("%d stays in %s; dose bins (U/h): %s", config.stays, out, bins)


if __name__ == "__main__":
    script.run(main, define_flags)

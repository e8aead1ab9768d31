"""Puts the steps together: candidates, organs, cohort, states, treatments, dataset."""

from collections import Counter
from collections.abc import Sequence

import numpy as np
import pandas as pd
import tqdm

from data_prep import command, hold, levels, people
from data_prep import states as states_lib
from data_prep import tables as tables_lib
from data_prep.clock import HOUR, Clock
from data_prep.measurements import Measurements, Repairs
from data_prep.sepsis import cohort as cohort_lib
from data_prep.sepsis import evidence as evidence_lib
from data_prep.sepsis import (
    features,
    infection,
    items,
    pressors,
    rewards,
    selections,
    volumes,
)
from data_prep.sepsis.config import Config
from data_prep.sepsis.databases import Fourth, Third
from data_prep.sepsis.items import SEPSIS
from omgrl_jax.data import dataset

_STAGES = 10


def build(source: Third | Fourth, config: Config) -> command.Built:
    """Extracts the cohort.

    The state of a row knows what was charted at or before its time; the action of the
    row is what is given in the step that follows. What is fitted (weights, imputation,
    dose levels) is fitted on training patients.

    Args:
      source: MIMIC-III or MIMIC-IV.
      config: what to extract.

    Returns:
      The dataset and its tables.

    Raises:
      SourceError: if a table cannot be read.
      ValueError: if no usable cohort is left, or the database cannot be split so.
    """
    if config.split == "temporal" and not source.has_eras:
        raise ValueError(
            "--split=temporal: MIMIC-III shifts the dates of each patient by another "
            "amount, so that patients cannot be ordered in time; use --split=patients"
        )
    repairs: Repairs = Counter()
    with tqdm.tqdm(total=_STAGES, unit="stage", disable=None) as bar:
        stage = command.Stages(bar)
        frame, evidence, sieve, cohort = _recruit(source, config, repairs, stage)
        cohort, split = _settle(cohort, config)
        clock = Clock(cohort["steps"].to_numpy(np.int64), config.step_hours * HOUR)
        found = evidence_lib.read(source, SEPSIS, cohort, clock, repairs, stage)
        stage("states")
        known = _known(frame, cohort, clock, evidence, found, config)
        states = features.make(cohort, clock, found, known, config.intubated, repairs)
        stage("imputation")
        filled = states_lib.fill(
            states,
            clock,
            cohort["patient"].to_numpy(),
            split == 0,
            donors=config.donors,
            seed=config.seed,
            progress=stage.chunks,
        )
        stage("dataset")
        described, chosen = _actions(known, clock, split == 0, config, repairs)
        schema, filled = _schema(source.name, states, filled, described, config)
        channels = features.channels(clock, found, known, split == 0)
        arrays = _arrays(
            cohort=cohort,
            split=split,
            filled=filled,
            chosen=chosen,
            channels=channels,
            known=known,
            clock=clock,
            config=config,
        )
    suppress = config.suppress_small_counts
    tables = {
        "cohort_flow": tables_lib.cohort_flow(sieve.flow, suppress),
        "repairs": tables_lib.repairs(repairs, suppress),
        "missingness": _missingness(states),
        "table1": _table1(cohort, known, clock, config),
        "doses": tables_lib.doses(schema.actions, arrays.actions, suppress),
    }
    return command.Built(schema, arrays, tables, stage.seconds())


def _recruit(
    source: Third | Fourth, config: Config, repairs: Repairs, stage: command.Stages
) -> tuple[pd.DataFrame, evidence_lib.Evidence, people.Sieve, pd.DataFrame]:
    """Candidates, what is known of their organs, who was left out, and the cohort."""
    stage("infection")
    suspected = infection.suspicions(
        selections.antibiotics(source),
        selections.cultures(source),
        source.prescribed_by_day,
    )
    frame, sieve = cohort_lib.candidates(selections.stays(source), suspected, config)
    if frame.empty:
        raise ValueError(sieve.nobody())
    evidence = evidence_lib.gather(source, frame, config.intubated, repairs, stage)
    score = evidence.points.sum(axis=1)
    cohort = cohort_lib.septic(frame, suspected, score, config, sieve)
    if cohort.empty:
        raise ValueError(sieve.nobody())
    return frame, evidence, sieve, cohort


def _missingness(states: states_lib.States) -> str:
    known = ~np.isnan(states.values)
    return tables_lib.missingness(
        states.names, states.fresh, known, np.ones_like(known)
    )


def _arrays(
    *,
    cohort: pd.DataFrame,
    split: np.ndarray,
    filled: np.ndarray,
    chosen: np.ndarray,
    channels: Sequence[hold.Held],
    known: features.Known,
    clock: Clock,
    config: Config,
) -> dataset.Trajectories:
    died = cohort_lib.mortality(cohort, config.mortality)
    window_died = cohort["window_died"].to_numpy(bool)
    return dataset.Trajectories(
        observations=filled.astype(np.float32),
        actions=chosen,
        lengths=clock.steps.astype(np.int32),
        patients=cohort["patient"].to_numpy(np.int32),
        split=split,
        terminals=rewards.terminals(config.reward, window_died),
        rewards=rewards.recorded(config.reward, known.sofa, died, clock),
        channel_values=np.column_stack([channel.value for channel in channels]),
        channel_measured=np.column_stack([channel.fresh for channel in channels]),
        channel_ages=np.column_stack([channel.age for channel in channels]),
    )


def _settle(cohort: pd.DataFrame, config: Config) -> tuple[pd.DataFrame, np.ndarray]:
    """Draws the split and orders stays by opaque patient."""
    patients = cohort["subject_id"].to_numpy()
    shares = config.validation, config.test, config.seed
    if config.split == "temporal":
        eras = cohort["era"].to_numpy(str)
        number, split = people.split_by_era(patients, eras, *shares)
    else:
        number, split = people.split_patients(patients, *shares)
    order = np.lexsort((np.arange(len(cohort)), number))
    cohort = cohort.assign(patient=number).iloc[order].reset_index(drop=True)
    return cohort, split[order]


def _known(
    frame: pd.DataFrame,
    cohort: pd.DataFrame,
    clock: Clock,
    evidence: evidence_lib.Evidence,
    found: Measurements,
    config: Config,
) -> features.Known:
    """What was found of the candidates, on the rows of the cohort."""
    candidate = cohort["candidate"].to_numpy(np.int64)
    start = cohort["start"].to_numpy(np.int64)
    stay, step = clock.rows()
    hourly = cohort_lib.hourly_clock(frame).first_rows()[candidate]
    hourly += (start - frame["start"].to_numpy(np.int64)[candidate]) // HOUR
    drugs = pressors.chosen(evidence.pressors, candidate, len(frame))
    fluids = volumes.chosen(evidence.fluids, candidate, len(frame))
    urine = volumes.chosen(evidence.urine, candidate, len(frame))
    rate = pressors.per_step(
        drugs, clock, start, pressors.EQUIVALENTS, config.vasopressor
    )
    return features.Known(
        hold.hold(found, SEPSIS, clock, "weight").value,
        evidence.points.sum(axis=1)[hourly[stay] + step * config.step_hours],
        volumes.flowed(fluids, clock, start),
        volumes.flowed(urine, clock, start),
        rate[:, 0],
    )


def _actions(
    known: features.Known,
    clock: Clock,
    training: np.ndarray,
    config: Config,
    repairs: Repairs,
) -> tuple[dataset.Actions, np.ndarray]:
    """The action of a row is what the row after it knows to have been given."""
    stay, step = clock.rows()
    doses = np.column_stack([known.fluid.step, known.pressor])[step > 0]
    own = doses[training[stay][step > 0]]
    if config.actions == "levels":
        described = levels.fit(items.DRUGS, own)
        return described, levels.assign(described, doses)
    described = levels.continuous(items.DRUGS, own, config.dose_quantile)
    bounds = np.asarray(described.high, np.float32)
    for column, (name, _) in enumerate(items.DRUGS):
        above = doses[:, column] > bounds[column]
        repairs[name, "dose above its bound: cut (steps)"] += int(above.sum())
    return described, np.minimum(doses, bounds).astype(np.float32)


def _schema(
    name: str,
    states: states_lib.States,
    filled: np.ndarray,
    described: dataset.Actions,
    config: Config,
) -> tuple[dataset.Schema, np.ndarray]:
    """The schema and its observations [R, F]."""
    features_ = states.features
    chosen = {"full": tuple(states.names), "compact": items.COMPACT}
    if config.indicators:
        features_, filled = states_lib.with_indicators(
            states, filled, features.ALWAYS_KNOWN
        )
        chosen["full_missing"] = tuple(feature.name for feature in features_)
    schema = dataset.Schema(
        name=f"{name} sepsis",
        kind="records",
        step_hours=float(config.step_hours),
        features=features_,
        channels=items.CHANNELS,
        actions=described,
        states=chosen,
        default_state="full_missing" if config.indicators else "full",
        reward={"kind": "recorded"},
    )
    return schema, filled


def _table1(
    cohort: pd.DataFrame, known: features.Known, clock: Clock, config: Config
) -> str:
    first = clock.first_rows()
    last = first + clock.steps
    hours = (cohort["onset"] - cohort["admission"]).to_numpy() / HOUR
    return tables_lib.baseline(
        cohort["subject_id"],
        [
            *tables_lib.demographics(cohort, known.weight[last]),
            ("hours from ICU admission to onset, median [quartiles]", hours),
            ("hours followed, median [quartiles]", clock.steps * clock.hours),
            ("SOFA at the start, median [quartiles]", known.sofa[first]),
            ("died in hospital", cohort_lib.mortality(cohort, "hospital")),
            ("died within 90 days", cohort_lib.mortality(cohort, "90_days")),
            ("died within the window", cohort["window_died"]),
        ],
        config.suppress_small_counts,
    )

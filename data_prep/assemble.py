"""Puts the steps together: selections, cohort, grid, imputation, doses, dataset."""

from collections import Counter

import numpy as np
import pandas as pd
import tqdm

from data_prep import bins as bins_lib
from data_prep import (
    charting,
    command,
    heparin_doses,
    hold,
    measurements,
    people,
    selections,
)
from data_prep import cohort as cohort_lib
from data_prep import grid as grid_lib
from data_prep import states as states_lib
from data_prep import tables as tables_lib
from data_prep.clock import Clock
from data_prep.config import ARTERIAL_CO2, Config
from data_prep.items import HEPARIN
from data_prep.measurements import Measurements, Repairs
from data_prep.sources import Source
from omgrl_jax.data import dataset

_STAGES = 8


def build(source: Source, config: Config) -> command.Built:
    """Extracts the cohort.

    The state of row t knows what was charted at or before hour t; the action of row t
    is the dose of the hour that follows. What is fitted (weights, imputation, dose
    bins) is fitted on training patients.

    Args:
      source: the engine that holds MIMIC-III.
      config: what to extract.

    Returns:
      The dataset and its tables.

    Raises:
      SourceError: if a table cannot be read.
      ValueError: if no usable cohort is left.
    """
    repairs: Repairs = Counter()
    with tqdm.tqdm(total=_STAGES, unit="stage", disable=None) as bar:
        stage = command.Stages(bar)
        stage("heparin")
        metavision = selections.heparin_metavision(source)
        doses = _doses(source, metavision, config, repairs)
        stage("cohort")
        cohort, sieve = _cohort(source, doses, config)
        cohort["metavision"] = cohort["icustay_id"].isin(metavision["icustay_id"])
        stage("CHARTEVENTS")
        charted = _collect(source, "chartevents", cohort, repairs, stage)
        stage("LABEVENTS")
        drawn = _collect(source, "labevents", cohort, repairs, stage)
        gas = ARTERIAL_CO2[config.arterial_co2]
        drawn = measurements.match_specimen(drawn, [gas], HEPARIN, repairs)
        found = measurements.concatenate([charted, drawn])
        cohort, split, found = _settle(cohort, found, sieve, config)
        clock = Clock(cohort["hours"].to_numpy(np.int64))
        stage("sample and hold")
        found = measurements.merge_duplicates(found, HEPARIN, repairs)
        weight = hold.weight_at_start(
            found, HEPARIN, cohort_lib.metavision_weights(metavision, cohort), repairs
        )
        grid = grid_lib.make(cohort, found, weight, gas, config.intubated, repairs)
        stage("imputation")
        filled = states_lib.fill(
            grid.states,
            clock,
            cohort["patient"].to_numpy(),
            split == 0,
            donors=config.donors,
            seed=config.seed,
            progress=stage.chunks,
        )
        stage("doses")
        amounts = cohort_lib.dose_matrix(cohort, doses)
        stage("dataset")
        schema, trajectories = _dataset(cohort, split, grid, filled, amounts, config)
    tables = _tables(cohort, grid, weight, sieve, repairs, config.suppress_small_counts)
    return command.Built(schema, trajectories, tables, stage.seconds())


def _tables(
    cohort: pd.DataFrame,
    grid: grid_lib.Grid,
    weight: np.ndarray,
    sieve: people.Sieve,
    repairs: Repairs,
    suppress: bool,
) -> dict[str, str]:
    """The small tables beside the dataset."""
    known = ~np.isnan(grid.states.values)
    return {
        "cohort_flow": tables_lib.cohort_flow(sieve.flow, suppress),
        "repairs": tables_lib.repairs(repairs, suppress),
        "missingness": tables_lib.missingness(
            [*grid.states.names, "aptt"],
            np.column_stack([grid.states.fresh, grid.aptt.fresh]),
            np.column_stack([known, ~np.isnan(grid.aptt.value)]),
            np.ones((known.shape[0], known.shape[1] + 1), bool),
        ),
        "table1": tables_lib.baseline(
            cohort["subject_id"],
            [
                *tables_lib.demographics(cohort, weight),
                ("hours from first dose, median [quartiles]", cohort["hours"]),
                ("died within the window", cohort["died"]),
                ("charted in MetaVision", cohort["metavision"]),
            ],
            suppress,
        ),
    }


def _doses(
    source: Source, metavision: pd.DataFrame, config: Config, repairs: Repairs
) -> heparin_doses.Doses:
    doses = heparin_doses.combine(
        charting.metavision(metavision, repairs),
        charting.carevue(selections.heparin_carevue(source), repairs),
    )
    doses = heparin_doses.attach_pushes(doses, repairs)
    return doses if config.boluses else doses._replace(pushes=doses.pushes.iloc[:0])


def _cohort(
    source: Source, doses: heparin_doses.Doses, config: Config
) -> tuple[pd.DataFrame, people.Sieve]:
    rules = cohort_lib.Rules(
        config.min_age,
        config.min_hours,
        config.max_hours,
        config.tail_hours if config.tail_hours >= 0 else None,
    )
    cohort, sieve = cohort_lib.select(selections.stays(source), doses, rules)
    if cohort.empty:
        raise ValueError(sieve.nobody())
    return cohort, sieve


def _collect(
    source: Source,
    table: str,
    cohort: pd.DataFrame,
    repairs: Repairs,
    stage: command.Stages,
) -> Measurements:
    """Streams one table; only the cleaned numbers are kept."""
    clock = Clock(cohort["hours"].to_numpy(np.int64))
    windows = people.windows(cohort, clock, HEPARIN.reach_hours)
    start = cohort["start"].to_numpy(np.int64)
    return measurements.gather(
        selections.measurements(source, table, windows, HEPARIN),
        start,
        HEPARIN,
        repairs,
        stage.rows,
    )


def _settle(
    cohort: pd.DataFrame,
    found: Measurements,
    sieve: people.Sieve,
    config: Config,
) -> tuple[pd.DataFrame, np.ndarray, Measurements]:
    """Applies the last rule, draws the split and orders stays by opaque patient."""
    place = np.arange(len(cohort))
    if config.require_aptt:
        # Without a single aPTT a stay has no clinical reward at any hour.
        tested = found.stay[found.variable == HEPARIN.code("aptt")]
        has = pd.Series(np.isin(place, tested), index=cohort.index)
        cohort = sieve.keep("aPTT measured at least once", cohort, has)
        place = place[has]
    if cohort.empty:
        raise ValueError(sieve.nobody())
    number, split = people.split_patients(
        cohort["subject_id"].to_numpy(), config.validation, config.test, config.seed
    )
    order = np.lexsort((place, number))
    cohort = cohort.assign(patient=number).iloc[order].reset_index(drop=True)
    return cohort, split[order], measurements.renumber(found, place[order])


def _dataset(
    cohort: pd.DataFrame,
    split: np.ndarray,
    grid: grid_lib.Grid,
    filled: np.ndarray,
    amounts: np.ndarray,
    config: Config,
) -> tuple[dataset.Schema, dataset.Trajectories]:
    clock = Clock(cohort["hours"].to_numpy(np.int64))
    training = split == 0
    bins = bins_lib.fit_bins(amounts[np.repeat(training, clock.steps)], config.bins)
    features, names = grid.states.features, grid.states.names
    if config.indicators:
        features, filled = grid_lib.with_indicators(grid, filled)
    indicators = [feature.name for feature in features[len(names) :]]
    channel = states_lib.channel(
        "aptt", grid.aptt, clock, training, HEPARIN.variables["aptt"].hold_hours
    )
    tracked, states = dataset.heparin_states(names, indicators=indicators)
    schema = dataset.Schema(
        name="mimic-iii heparin",
        kind="records",
        step_hours=1.0,
        features=features,
        channels=(dataset.APTT,),
        actions=dataset.Actions(
            count=len(bins.amounts),
            unit="U/h",
            edges=tuple(float(edge) for edge in bins.edges),
            amounts=tuple(float(amount) for amount in bins.amounts),
            labels=tuple(bins.labels),
        ),
        tracked=tracked,
        states=states,
        default_state=f"{config.state}_missing" if indicators else config.state,
        reward={"kind": "range", "channel": "aptt"},
    )
    return schema, dataset.Trajectories(
        observations=filled.astype(np.float32),
        actions=bins_lib.assign(bins, amounts),
        lengths=clock.steps.astype(np.int32),
        patients=cohort["patient"].to_numpy(np.int32),
        split=split,
        terminals=cohort["died"].to_numpy(bool),
        amounts=amounts.astype(np.float32),
        channel_values=channel.value[:, None].astype(np.float32),
        channel_measured=channel.fresh[:, None],
        channel_ages=channel.age[:, None].astype(np.float32),
        channel_censored=channel.censored[:, None],
    )

"""Puts the steps together: selections, cohort, grid, imputation, doses, dataset."""

import time
from collections import Counter
from typing import NamedTuple

import numpy as np
import pandas as pd
import tqdm

from data_prep import bins as bins_lib
from data_prep import charting, heparin_doses, hold, items, measurements, selections
from data_prep import cohort as cohort_lib
from data_prep import grid as grid_lib
from data_prep import tables as tables_lib
from data_prep.config import ARTERIAL_CO2, Config
from data_prep.measurements import Measurements, Repairs
from data_prep.sources import Source
from omgrl_jax.data import dataset

_STAGES = 8


class Built(NamedTuple):
    """What `build` makes.

    Attributes:
      schema: the dataset's description.
      trajectories: its arrays.
      tables: the small tables beside it, name -> CSV text.
      seconds: how long each stage took.
    """

    schema: dataset.Schema
    trajectories: dataset.Trajectories
    tables: dict[str, str]
    seconds: dict[str, float]


def build(source: Source, config: Config) -> Built:
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
    begun: dict[str, float] = {}
    with tqdm.tqdm(total=_STAGES, unit="stage", disable=None) as bar:

        def stage(name: str) -> None:
            begun[name] = time.perf_counter()
            bar.set_description(name)
            bar.update()

        stage("heparin")
        metavision = selections.heparin_metavision(source)
        doses = _doses(source, metavision, config, repairs)
        stage("cohort")
        cohort, flow = _cohort(source, doses, config)
        cohort["metavision"] = cohort["icustay_id"].isin(metavision["icustay_id"])
        stage("CHARTEVENTS")
        charted = _collect(source, "chartevents", cohort, repairs, bar)
        stage("LABEVENTS")
        drawn = _collect(source, "labevents", cohort, repairs, bar)
        gas = ARTERIAL_CO2[config.arterial_co2]
        drawn = measurements.match_specimen(drawn, gas, repairs)
        found = measurements.concatenate([charted, drawn])
        cohort, split, found, flow = _settle(cohort, found, flow, config)
        stage("sample and hold")
        found = measurements.merge_duplicates(found, repairs)
        weight = hold.weight_at_start(
            found, cohort_lib.metavision_weights(metavision, cohort), repairs
        )
        grid = grid_lib.make(cohort, found, weight, gas, config.intubated, repairs)
        stage("imputation")
        filled = grid_lib.fill(
            grid,
            cohort,
            split == 0,
            donors=config.donors,
            seed=config.seed,
            progress=lambda chunks: tqdm.tqdm(
                chunks, "nearest neighbours", leave=False, disable=None
            ),
        )
        stage("doses")
        amounts = cohort_lib.dose_matrix(cohort, doses)
        stage("dataset")
        schema, trajectories = _dataset(cohort, split, grid, filled, amounts, config)
    suppress = config.suppress_small_counts
    known = ~np.isnan(grid.values)
    return Built(
        schema,
        trajectories,
        {
            "cohort_flow": tables_lib.cohort_flow(flow, suppress),
            "repairs": tables_lib.repairs(repairs, suppress),
            "missingness": tables_lib.missingness(
                [*(feature.name for feature in grid.features), "aptt"],
                np.column_stack([grid.fresh, grid.aptt.fresh]),
                np.column_stack([known, ~np.isnan(grid.aptt.value)]),
                np.ones((known.shape[0], known.shape[1] + 1), bool),
            ),
            "table1": tables_lib.baseline(cohort, weight, suppress),
        },
        dict(zip(begun, np.diff([*begun.values(), time.perf_counter()]), strict=True)),
    )


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
) -> tuple[pd.DataFrame, list[cohort_lib.Flow]]:
    rules = cohort_lib.Rules(
        config.min_age,
        config.min_hours,
        config.max_hours,
        config.tail_hours if config.tail_hours >= 0 else None,
    )
    cohort, flow = cohort_lib.select(selections.stays(source), doses, rules)
    if cohort.empty:
        raise ValueError(_nobody(flow))
    return cohort, flow


def _collect(
    source: Source,
    table: str,
    cohort: pd.DataFrame,
    repairs: Repairs,
    bar: tqdm.tqdm,
) -> Measurements:
    """Streams one table; only the cleaned numbers are kept."""
    reach = max(
        v.hold_hours for v in items.VARIABLES.values() if np.isfinite(v.hold_hours)
    )
    start = cohort["start"].to_numpy(np.int64)
    parts, rows = [], 0
    for batch in selections.measurements(
        source, table, cohort_lib.windows(cohort, reach)
    ):
        parts.append(measurements.clean(batch, start, repairs))
        rows += len(batch)
        bar.set_postfix(records=f"{rows:,}")
    return measurements.concatenate(parts)


def _settle(
    cohort: pd.DataFrame,
    found: Measurements,
    flow: list[cohort_lib.Flow],
    config: Config,
) -> tuple[pd.DataFrame, np.ndarray, Measurements, list[cohort_lib.Flow]]:
    """Applies the last rule, draws the split and orders stays by opaque patient."""
    kept = np.arange(len(cohort))
    if config.require_aptt:
        # Without a single aPTT a stay has no clinical reward at any hour.
        tested = found.stay[found.variable == measurements.code("aptt")]
        kept = kept[np.isin(kept, tested)]
        rule = "aPTT measured at least once"
        flow = [*flow, cohort_lib.Flow(rule, len(cohort) - kept.size, kept.size)]
    if not kept.size:
        raise ValueError(_nobody(flow))
    number, split = cohort_lib.split_patients(
        cohort["subject_id"].to_numpy()[kept],
        config.validation,
        config.test,
        config.seed,
    )
    order = np.lexsort((kept, number))
    kept, number, split = kept[order], number[order], split[order]
    place = np.full(len(cohort), -1, np.int32)
    place[kept] = np.arange(kept.size)
    inside = place[found.stay] >= 0
    found = Measurements(*(field[inside] for field in found))
    found = found._replace(stay=place[found.stay])
    cohort = cohort.iloc[kept].reset_index(drop=True).assign(patient=number)
    return cohort, split, found, flow


def _nobody(flow: list[cohort_lib.Flow]) -> str:
    steps = "; ".join(f"{row.rule}: {row.remaining}" for row in flow)
    return f"no stay is left in the cohort ({steps})"


def _dataset(
    cohort: pd.DataFrame,
    split: np.ndarray,
    grid: grid_lib.Grid,
    filled: np.ndarray,
    amounts: np.ndarray,
    config: Config,
) -> tuple[dataset.Schema, dataset.Trajectories]:
    hours = cohort["hours"].to_numpy(np.int64)
    training = split == 0
    bins = bins_lib.fit_bins(amounts[np.repeat(training, hours)], config.bins)
    features = grid.features
    names = [feature.name for feature in features]
    if config.indicators:
        features, filled = grid_lib.with_indicators(grid, filled)
    indicators = [feature.name for feature in features[len(names) :]]
    channel = grid_lib.aptt_channel(grid, hours, training)
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
        lengths=hours.astype(np.int32),
        patients=cohort["patient"].to_numpy(np.int32),
        split=split,
        terminals=cohort["died"].to_numpy(bool),
        amounts=amounts.astype(np.float32),
        channel_values=channel.value[:, None].astype(np.float32),
        channel_measured=channel.fresh[:, None],
        channel_ages=channel.age[:, None].astype(np.float32),
        channel_censored=channel.censored[:, None],
    )

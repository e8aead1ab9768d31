"""What the records say of the candidates, and whose SOFA score they make."""

from collections import Counter
from typing import NamedTuple

import numpy as np
import pandas as pd

from data_prep import command, measurements, people
from data_prep import selections as shared_selections
from data_prep.catalogue import Catalogue
from data_prep.clock import Clock, times
from data_prep.measurements import Measurements, Repairs
from data_prep.sepsis import cohort as cohort_lib
from data_prep.sepsis import items, organs, pressors, selections, volumes
from data_prep.sources import Source


class Evidence(NamedTuple):
    """What was found of N candidates.

    Attributes:
      points: [R, 6] SOFA points on their hourly clock.
      pressors: vasoactive drugs.
      fluids: intravenous fluids.
      urine: urine output.
    """

    points: np.ndarray
    pressors: pressors.Segments
    fluids: volumes.Volumes
    urine: volumes.Volumes


def gather(
    source: Source,
    frame: pd.DataFrame,
    intubated: str,
    repairs: Repairs,
    stage: command.Stages,
) -> Evidence:
    """Reads treatments and organs of all candidates.

    Args:
      source: the engine.
      frame: columns of `cohort.candidates`.
      intubated: see `hold.coma_score`.
      repairs: counts of what was repaired in treatments, added to in place.
      stage: told what is being read.

    Returns:
      The evidence.
    """
    clock = cohort_lib.hourly_clock(frame)
    start = frame["start"].to_numpy(np.int64)
    windows = pd.DataFrame(
        {
            "stay": np.arange(len(frame)),
            "icustay_id": frame["icustay_id"].to_numpy(np.int64),
            "since": times(frame["admission"].to_numpy(np.int64)),
            "until": times(frame["end"].to_numpy(np.int64)),
        }
    )
    # Records of the cohort are read and counted again; these would count twice.
    found = read(source, items.ORGANS, frame, clock, Counter(), stage)
    stage("treatments")
    segments = pressors.metavision(
        selections.pressors_metavision(source, windows), repairs
    )
    samples = pressors.carevue(
        selections.pressors_carevue(source, windows),
        found,
        items.ORGANS,
        start,
        repairs,
    )
    drugs = pressors.combine([segments, samples])
    fluids = volumes.fluids(
        selections.fluids_metavision(source, windows),
        selections.fluids_carevue(source, windows),
        repairs,
    )
    urine = volumes.urine(selections.urine(source, windows), repairs)
    stage("SOFA")
    hourly = volumes.flowed(urine, clock, start)
    points = organs.points(
        found,
        clock,
        start,
        frame["admission"].to_numpy(np.int64),
        drugs,
        hourly.step,
        hourly.charted,
        intubated,
    )
    return Evidence(points, drugs, fluids, urine)


def read(
    source: Source,
    catalogue: Catalogue,
    frame: pd.DataFrame,
    clock: Clock,
    repairs: Repairs,
    stage: command.Stages,
) -> Measurements:
    """Streams what was charted and drawn.

    Args:
      source: the engine.
      catalogue: what to look for.
      frame: columns subject_id, start and admission, N stays.
      clock: their rows.
      repairs: counts, added to in place.
      stage: told what is being read.

    Returns:
      Sorted measurements with ratios.
    """
    windows = people.windows(frame, clock, catalogue.reach_hours)
    start = frame["start"].to_numpy(np.int64)
    parts = {}
    for table in ("chartevents", "labevents"):
        stage(table.upper())
        batches = shared_selections.measurements(source, table, windows, catalogue)
        parts[table] = measurements.gather(
            batches, start, catalogue, repairs, stage.rows
        )
    gases = [gas for gas in items.GASES if gas in catalogue.variables]
    drawn = measurements.match_specimen(parts["labevents"], gases, catalogue, repairs)
    found = measurements.concatenate([parts["chartevents"], drawn])
    found = measurements.merge_duplicates(found, catalogue, repairs)
    return organs.with_ratios(found, catalogue)

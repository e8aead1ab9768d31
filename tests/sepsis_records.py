"""Hand-made tables with sepsis: times are hours from the ICU admission."""

import pathlib

import mimic3_records
import numpy as np
import pandas as pd
from mimic3_records import at

from data_prep.sepsis import assemble, databases
from data_prep.sepsis.config import Config

VITALS = ((220045, 80), (220050, 120), (220051, 60), (220052, 80), (220210, 18))
VITALS += ((220277, 97), (223835, 40))
LABS = (
    *((50813, 1.5), (50821, 200.0), (50818, 40.0), (50820, 7.4), (50802, 0.0)),
    *((50882, 24.0), (50971, 4.0), (50983, 140.0), (50902, 104.0), (50893, 8.5)),
    *((50960, 2.0), (50931, 110.0), (51006, 15.0), (50912, 1.0), (50878, 30.0)),
    *((50861, 25.0), (50885, 0.8), (51222, 11.0), (51301, 9.0), (51265, 200.0)),
    *((51274, 13.0), (51275, 30.0), (51237, 1.1)),
)


class Records(mimic3_records.Records):
    """Tables of MIMIC-III; `septic()` adds a patient who qualifies.

    Patient `n` is 30 + n years old, which is how a test finds the stay again.
    """

    tables = databases.MIMIC3

    def septic(
        self,
        subject: int = 1,
        *,
        hours: float = 30.5,
        sick_at: float = 4.0,
        suspected: float = 2.0,
        death: float | None = None,
        hadm: int | None = None,
        treated: float = 1.0,
        urine: float = 200.0,
        dod: str | None = None,
    ) -> int:
        """Platelets of 90 at `sick_at` make the SOFA score 2; returns the stay."""
        stay, hadm = 9000 + subject, hadm or 5000 + subject
        self.add(
            "patients",
            subject_id=subject,
            gender="F" if subject % 2 else "M",
            dob=f"{2120 - subject}-01-01 00:00:00",
            dod=dod,
        )
        self.add(
            "admissions",
            hadm_id=hadm,
            deathtime=None if death is None else at(death),
            hospital_expire_flag=int(death is not None),
        )
        self.stay(subject, stay, hadm, 0.0, hours)
        self.culture(subject, suspected)
        self.antibiotic(subject, suspected)
        self.lab(subject, 51265, sick_at, 90.0)
        self.chart_all(subject, hours)
        for hour in np.arange(2.0, hours, 2.0):
            self.passed(stay, hour, urine)
        if treated:
            for hour in (4.5, 12.5, 20.5):
                self.segment(stay, 221906, hour, hour + 2, 0.1 * treated)
                self.fluid(stay, 225158, hour, hour + 1, 400.0 * treated)
            # Only the lower half of doses, of fluid and of vasopressor.
            self.segment(stay, 221906, 24.5, 26.5, 0.02 * treated)
            self.fluid(stay, 225158, 24.5, 25.5, 50.0 * treated)
        return stay

    def chart_all(self, subject: int, hours: float) -> None:
        """Every variable, often enough to be held throughout."""
        self.chart(subject, 224639, 0.0, 80)
        for hour in np.arange(0.0, hours, 2.0):
            for item, value in VITALS:
                self.chart(subject, item, hour, value)
        for hour in np.arange(0.0, hours, 6.0):
            self.chart(subject, 223762, hour, 37.0)
            for item, value in ((220739, 4), (223900, 5), (223901, 6)):
                self.chart(subject, item, hour, value, text="as charted")
        for hour in np.arange(-1.0, hours, 8.0):
            for item, value in LABS:
                if item != 51265 or hour < 0:
                    self.lab(subject, item, hour, value)
            self.lab(subject, 50800, hour, None, "ART")

    def stay(self, subject, stay, hadm, admitted, left) -> None:
        self.add(
            "icustays",
            subject_id=subject,
            hadm_id=hadm,
            icustay_id=stay,
            intime=at(admitted),
            outtime=at(left),
        )

    def culture(self, subject, hour, kind="BLOOD CULTURE", day_only=False) -> None:
        time = at(hour)
        self.add(
            "microbiologyevents",
            subject_id=subject,
            chartdate=f"{time[:10]} 00:00:00",
            charttime=None if day_only else time,
            spec_type_desc=kind,
        )

    def antibiotic(self, subject, hour, drug="Vancomycin", route="IV") -> None:
        self.add(
            "prescriptions",
            subject_id=subject,
            startdate=f"{at(hour)[:10]} 00:00:00",
            drug=drug,
            route=route,
        )

    def segment(self, stay, item, start, end, rate, **changes) -> None:
        """A rate of MetaVision."""
        self.add(
            "inputevents_mv",
            **{
                "icustay_id": stay,
                "starttime": at(start),
                "endtime": at(end),
                "itemid": item,
                "rate": rate,
                "rateuom": "mcg/kg/min",
                "statusdescription": "FinishedRunning",
                **changes,
            },
        )

    def fluid(self, stay, item, start, end, volume, **changes) -> None:
        """A volume of MetaVision."""
        changes = {"amount": volume, "amountuom": "ml", "rateuom": None} | changes
        self.segment(stay, item, start, end, None, **changes)

    def sampled(self, stay, item, hour, **values) -> None:
        """A row of CareVue."""
        self.add(
            "inputevents_cv", icustay_id=stay, itemid=item, charttime=at(hour), **values
        )

    def passed(self, stay, hour, volume, item=226559) -> None:
        """Urine."""
        self.add(
            "outputevents",
            icustay_id=stay,
            charttime=at(hour),
            itemid=item,
            value=volume,
        )

    def build(self, directory: pathlib.Path, **config) -> "Outcome":
        """Runs the whole pipeline on these records."""
        source = databases.open_directory(self.write(directory / "source"))
        given = {"suppress_small_counts": False, "validation": 0.0, "test": 0.0}
        return Outcome(assemble.build(source, Config(**given | config)))


def build(directory, *patients, config=None):
    """Patients as (subject, what `septic` takes, rows that a function adds)."""
    records = Records()
    for subject, given, fill in patients:
        stay = records.septic(subject, **given)
        if fill:
            fill(records, subject, stay)
    return records.build(directory, **(config or {}))


class Outcome(mimic3_records.Outcome):
    """A built dataset, addressed by name."""

    def stay_of(self, subject: int) -> int:
        """The number of a patient's stay."""
        ages = [self.feature("age", i)[0] for i in range(self.arrays.lengths.size)]
        return ages.index(30 + subject)

    def subjects(self) -> list[int]:
        """Who is in."""
        stays = range(self.arrays.lengths.size)
        return sorted(int(self.feature("age", i)[0]) - 30 for i in stays)

    def rewards(self, stay: int = 0) -> np.ndarray:
        return self.arrays.rewards[self._steps(stay)]

    def levels(self, stay: int = 0) -> list[list[int]]:
        """Levels of fluid and vasopressor of each step."""
        chosen = self.arrays.actions[self._steps(stay)]
        return self.built.schema.actions.levels(chosen).tolist()

    def given(self, stay: int = 0) -> np.ndarray:
        """Doses of fluid and vasopressor that are known to have been given, [T, 2]."""
        names = ("fluid_last", "pressor_last")
        return np.column_stack([self.feature(name, stay) for name in names])[1:]

    def channel(self, name: str, field: str, stay: int = 0) -> np.ndarray:
        column = self.built.schema.channel_names.index(name)
        return getattr(self.arrays, f"channel_{field}")[self.rows(stay), column]

    def _steps(self, stay: int) -> slice:
        begin = int(self.arrays.lengths[:stay].sum())
        return slice(begin, begin + int(self.arrays.lengths[stay]))


def as_mimic4(records: Records, directory: pathlib.Path) -> pathlib.Path:
    """Writes the same records as MIMIC-IV lays them out."""
    frames = records.frames()
    frames["patients"] = frames["patients"].assign(
        anchor_age=30 + frames["patients"]["subject_id"],
        anchor_year=2150,
        anchor_year_group="2008 - 2010",
    )
    # When a result was reported; where no row says so, when it was drawn.
    frames["labevents"]["storetime"] = [
        row.get("storetime") for row in records.rows["labevents"]
    ]
    for place, columns in databases.MIMIC4.items():
        name = place.split("/")[1]
        name = "inputevents_mv" if name == "inputevents" else name
        frame = frames[name].rename(
            columns={"icustay_id": "stay_id", "startdate": "starttime"}
        )
        path = directory / f"{place}.csv"
        path.parent.mkdir(parents=True, exist_ok=True)
        frame[list(columns)].to_csv(path, index=False)
    return directory


def table(text: str) -> pd.DataFrame:
    return pd.read_csv(mimic3_records._text(text), dtype=str)

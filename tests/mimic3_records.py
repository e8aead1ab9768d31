"""Hand-made MIMIC-III tables: times are hours from the first dose of heparin."""

import datetime
import pathlib

import numpy as np
import pandas as pd

from data_prep import assemble, command, files, sources

FIRST_DOSE = datetime.datetime(2150, 6, 1, 8, 30)

# Columns that the real tables have and the program does not read.
_UNREAD = {"chartevents": ["storetime", "cgid", "resultstatus"], "labevents": ["flag"]}


class Records:
    """Rows of the tables of one source, to be written as files.

    `adult()` adds a patient whose every variable is charted before the first dose, so
    that a test adds only the rows it is about.
    """

    tables: files.Tables = files.TABLES

    def __init__(self):
        self.rows: dict[str, list[dict]] = {name: [] for name in self.tables}

    def add(self, table: str, **values) -> None:
        self.rows[table].append(values)

    def adult(
        self,
        subject: int = 1,
        *,
        gender: str = "F",
        born: str = "2090-01-01 00:00:00",
        admitted: float = -6.0,
        hours: float = 12.5,
        death: float | None = None,
        complete: bool = True,
    ) -> int:
        """A stay of `hours` after the first dose; returns its icustay_id."""
        stay = 9000 + subject
        self.add("patients", subject_id=subject, gender=gender, dob=born)
        dead = None if death is None else at(death)
        self.add("admissions", hadm_id=5000 + subject, deathtime=dead)
        self.add(
            "icustays",
            subject_id=subject,
            hadm_id=5000 + subject,
            icustay_id=stay,
            intime=at(admitted),
            outtime=at(hours),
        )
        if complete:
            self.chart(subject, 762, -1.0, 80)
            for hour in np.arange(-1.0, hours, 2.0):
                for item, value in ((220050, 120), (220051, 70), (220210, 18)):
                    self.chart(subject, item, hour, value)
            for hour in np.arange(-1.0, hours, 6.0):
                self.chart(subject, 198, hour, 15)
                self.chart(subject, 223762, hour, 37.0)
                self.gas(subject, hour, 40)
            for item, value in _LABS:
                self.lab(subject, item, -1.0, value)
        return stay

    def chart(self, subject, item, hour, number, text=None, unit=None, error=0):
        self.add(
            "chartevents",
            subject_id=subject,
            itemid=item,
            charttime=at(hour),
            value=number if text is None else text,
            valuenum=number,
            valueuom=unit,
            error=error,
        )

    def lab(self, subject, item, hour, number, text=None):
        self.add(
            "labevents",
            subject_id=subject,
            itemid=item,
            charttime=at(hour),
            value=number if text is None else text,
            valuenum=number,
        )

    def gas(self, subject, hour, number, specimen="ART"):
        self.lab(subject, 50818, hour, number)
        if specimen:
            self.lab(subject, 50800, hour, None, specimen)

    def drip(self, stay, start, end, rate, **changes):
        """A segment of MetaVision."""
        self.add(
            "inputevents_mv",
            **{
                "icustay_id": stay,
                "starttime": at(start),
                "endtime": at(end),
                "itemid": 225152,
                "amount": None if rate is None else rate * (end - start),
                "rate": rate,
                "rateuom": "units/hour",
                "ordercategorydescription": "Continuous Med",
                "statusdescription": "FinishedRunning",
                **changes,
            },
        )

    def push(self, stay, hour, amount, **changes):
        """A bolus of MetaVision."""
        self.drip(
            stay,
            hour,
            hour + 1 / 60,
            None,
            **{
                "amount": amount,
                "rateuom": None,
                "ordercategorydescription": "Drug Push",
                **changes,
            },
        )

    def sample(self, stay, hour, rate=None, amount=None, stopped=None, order=1):
        """A row of CareVue: a rate, or the amount of a so-called push."""
        self.add(
            "inputevents_cv",
            icustay_id=stay,
            charttime=at(hour),
            itemid=30025,
            amount=amount,
            rate=rate,
            rateuom=None if rate is None else "Uhr",
            linkorderid=order,
            stopped=stopped,
        )

    def frames(self) -> dict[str, pd.DataFrame]:
        return {
            name: pd.DataFrame(
                self.rows[name], columns=[*columns, *_UNREAD.get(name, [])]
            )
            for name, columns in self.tables.items()
        }

    def write(self, directory: pathlib.Path, upper: bool = False) -> pathlib.Path:
        directory.mkdir(parents=True, exist_ok=True)
        for name, frame in self.frames().items():
            frame.insert(0, "row_id", range(len(frame)))
            if upper:
                frame.columns = frame.columns.str.upper()
            frame.to_csv(
                directory / f"{name.upper()}.csv",
                index=False,
                quoting=2 if upper else 0,
            )
        return directory

    def build(self, directory: pathlib.Path, **config) -> "Outcome":
        """Runs the whole pipeline on these records."""
        source = sources.FileSource(self.write(directory / "source"))
        return Outcome(
            assemble.build(
                source,
                assemble.Config(**{"bins": 2, "suppress_small_counts": False} | config),
            )
        )


class Outcome:
    """A built dataset, addressed by name."""

    def __init__(self, built: command.Built):
        self.built = built
        self.arrays = built.trajectories

    def rows(self, stay: int = 0) -> slice:
        lengths = self.arrays.lengths
        begin = int((lengths[:stay] + 1).sum())
        return slice(begin, begin + int(lengths[stay]) + 1)

    def feature(self, name: str, stay: int = 0) -> np.ndarray:
        names = [feature.name for feature in self.built.schema.features]
        return self.arrays.observations[self.rows(stay), names.index(name)]

    def doses(self, stay: int = 0) -> list[float]:
        lengths = self.arrays.lengths
        begin = int(lengths[:stay].sum())
        return self.arrays.amounts[begin : begin + int(lengths[stay])].tolist()

    def aptt(self, field: str, stay: int = 0) -> list:
        return getattr(self.arrays, f"channel_{field}")[self.rows(stay), 0].tolist()

    def repaired(self, variable: str, rule: str) -> int:
        lines = self.built.tables["repairs"].splitlines()
        found = [s for s in lines if s.startswith(f"{variable},") and rule in s]
        assert len(found) <= 1, found
        return int(found[0].rsplit(",", 1)[1]) if found else 0

    def remaining(self) -> dict[str, tuple[str, str]]:
        rows = pd.read_csv(_text(self.built.tables["cohort_flow"]), dtype=str)
        return {r.rule: (r.removed, r.remaining) for r in rows.itertuples(index=False)}


_LABS = (
    (51222, 12.0),
    (51301, 8.0),
    (51265, 200.0),
    (51275, 60.0),
    (51274, 13.0),
    (50912, 1.0),
    (50885, 0.8),
    (51237, 1.1),
)


def at(hour: float) -> str:
    """The time `hour` hours after the first dose, as MIMIC-III writes it."""
    seconds = round(hour * 3600)
    return str(FIRST_DOSE + datetime.timedelta(seconds=seconds))


def _text(content: str):
    import io

    return io.StringIO(content)


def one(tmp_path, fill, *, complete=True, hours=12.5, **config):
    """A single treated patient with the rows that `fill` adds."""
    records = Records()
    stay = records.adult(complete=complete, hours=hours)
    records.drip(stay, 0, 4, 1000.0)
    fill(records, stay)
    return records.build(tmp_path, **config)


def two(tmp_path, fill, **config):
    """The same beside a second patient, in whom everything is charted."""
    records = Records()
    stay = records.adult(1, complete=False)
    records.drip(stay, 0, 4, 1000.0)
    other = records.adult(2)
    records.drip(other, 0, 4, 1200.0)
    records.lab(1, 51275, -1.0, 60)
    fill(records, stay)
    outcome = records.build(tmp_path, validation=0.0, test=0.0, **config)
    # Which of the two the seed put first shows in the doses.
    return outcome, 0 if outcome.doses(0)[0] == 1000.0 else 1

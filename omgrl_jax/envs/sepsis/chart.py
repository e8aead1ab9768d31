"""What is charted of a virtual patient with sepsis: signs, laboratory, treatment.

A sign is a line through what the body is like, around a set point of the patient's own,
with the error of its measurement. Lactate is measured only now and then, the more often
the higher it is, and held until the next time. Thirty features stand for the 46 that
`data_prep.mimic_sepsis` reads from records: among others there is no ventilation and no
SIRS.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from omgrl_jax.data.schema import Channel, Feature
from omgrl_jax.envs.sepsis import body as body_lib
from omgrl_jax.envs.sepsis.body import Body, Dose, Physiology
from omgrl_jax.types import Array

STEP_HOURS = 4.0


class Sign(NamedTuple):
    """One charted value: `base + loadings . body + own + noise`.

    Attributes:
      name: feature name.
      unit: its unit.
      base: value of a healthy body; its natural logarithm where `log`.
      severity: change for a severity of one.
      dry: change for a litre of deficit.
      wet: change for a litre of overload.
      damage: change for a point of organ damage.
      own: deviation of the patients' set points.
      noise: deviation of one measurement.
      low: lowest value charted.
      high: highest value charted.
      log: whether all of these are on the natural-log scale.
    """

    name: str
    unit: str
    base: float
    severity: float
    dry: float
    wet: float
    damage: float
    own: float
    noise: float
    low: float
    high: float
    log: bool = False


SIGNS = (
    Sign("gcs", "points", 15.0, 0.0, 0.0, 0.0, -0.45, 0.5, 0.7, 3.0, 15.0),
    Sign("hr", "1/min", 76.0, 16.0, 13.0, 0.0, 0.0, 8.0, 5.0, 30.0, 200.0),
    Sign("rr", "1/min", 17.0, 4.0, 0.0, 1.5, 0.2, 2.0, 2.0, 5.0, 60.0),
    Sign("spo2", "%", 97.5, 0.0, 0.0, 0.0, -0.15, 0.5, 0.9, 60.0, 100.0),
    Sign("temperature", "degC", 36.9, 0.9, 0.0, 0.0, 0.0, 0.3, 0.3, 33.0, 42.0),
    Sign("pao2_fio2", "mmHg", 5.85, 0.0, 0.0, -0.25, -0.06, 0.15, 0.1, 40, 600, True),
    Sign("creatinine", "mg/dL", -0.1, 0.0, 0.05, 0.0, 0.07, 0.3, 0.05, 0.2, 15, True),
    Sign("bilirubin", "mg/dL", -0.3, 0.0, 0.0, 0.0, 0.09, 0.5, 0.08, 0.1, 40.0, True),
    Sign("platelets", "K/uL", 5.4, 0.0, 0.0, 0.0, -0.06, 0.35, 0.05, 5.0, 900.0, True),
    Sign("bun", "mg/dL", 2.8, 0.0, 0.1, 0.0, 0.05, 0.4, 0.05, 3.0, 200.0, True),
    Sign("wbc", "K/uL", 2.2, 0.4, 0.0, 0.0, 0.0, 0.3, 0.1, 0.3, 90.0, True),
    Sign("hemoglobin", "g/dL", 11.0, 0.0, 0.4, -0.4, -0.05, 1.3, 0.3, 4.0, 19.0),
    Sign("sodium", "mmol/L", 139.0, 0.0, 0.8, 0.0, 0.0, 4.0, 1.2, 115.0, 170.0),
    Sign("potassium", "mmol/L", 4.1, 0.0, 0.0, 0.0, 0.03, 0.4, 0.2, 2.0, 8.0),
    Sign("glucose", "mg/dL", 4.85, 0.1, 0.0, 0.0, 0.0, 0.2, 0.15, 30.0, 700.0, True),
)
_SPO2 = [sign.name for sign in SIGNS].index("spo2")
_STATIC = (
    Feature("age", "years", static=True),
    Feature("gender", "1 = female", static=True),
    Feature("weight", "kg", static=True),
    Feature("frailty", "0 to 2", static=True),
)
_REST = (
    Feature("sbp", "mmHg"),
    Feature("mbp", "mmHg"),
    Feature("dbp", "mmHg"),
    Feature("lactate", "mmol/L", scale="log"),
    Feature("ph", "1"),
    Feature("urine", "mL/kg/h", scale="log"),
    Feature("sofa", "points"),
    Feature("fluid_last", "mL"),
    Feature("pressor_last", "ug/kg/min"),
    Feature("fluid_total", "mL"),
    Feature("hours", "h since the start"),
)
FEATURES = (
    *_STATIC,
    *(Feature(s.name, s.unit, scale="log" if s.log else "linear") for s in SIGNS),
    *_REST,
)
NAMES = tuple(feature.name for feature in FEATURES)
COMPACT = (
    *("age", "frailty", "hr", "spo2", "mbp", "lactate", "urine", "sofa"),
    *("fluid_last", "pressor_last", "fluid_total", "hours"),
)
"""What doses act on, and what they were: in a short state a world model that is rolled
out to the end of a stay drifts less than in all features."""
CHANNELS = (
    Channel("mbp", "mmHg"),
    Channel("lactate", "mmol/L", scale="log"),
    Channel("spo2", "%"),
    Channel("urine", "mL/kg/h", scale="log"),
)
UNIFORMS, NORMALS = 1, len(SIGNS) + 5  # numbers that charting one row takes


class Patient(NamedTuple):
    """Constants of a stay. Scalars unless said otherwise.

    Attributes:
      age: years.
      female: 0 or 1.
      weight: kg.
      frailty: 0, 1 or 2.
      set_points: [len(SIGNS)] the patient's own, standard normal.
    """

    age: Array
    female: Array
    weight: Array
    frailty: Array
    set_points: Array


class Given(NamedTuple):
    """Treatment up to now. Scalars.

    Attributes:
      last: doses of the step before.
      fluid: mL since the start.
      steps: steps since the start.
    """

    last: Dose
    fluid: Array
    steps: Array


class Row(NamedTuple):
    """What is known at the start of a step; raw units, held values.

    Attributes:
      features: [len(FEATURES)].
      channel_value: [4] last measured values of `CHANNELS`.
      channel_measured: [4] bool, measured anew.
      channel_age: [4] steps since.
    """

    features: Array
    channel_value: Array
    channel_measured: Array
    channel_age: Array


def feature(row: Row, name: str) -> Array:
    """One feature [] of a row."""
    return row.features[NAMES.index(name)]


def write(
    physiology: Physiology,
    patient: Patient,
    body: Body,
    given: Given,
    before: Row | None,
    uniform: Array,
    noise: Array,
) -> Row:
    """Charts one patient at the start of a step.

    Args:
      physiology: sizes of the effects.
      patient: who it is.
      body: present condition.
      given: treatment up to now; a vasopressor of the last step still runs.
      before: the row of the step before; None at the start, where all is measured.
      uniform: [UNIFORMS] in [0, 1).
      noise: [NORMALS] standard normal.
    """
    signs = _signs(physiology, patient, body, noise[: len(SIGNS)])
    spo2 = signs[_SPO2]
    rest = noise[len(SIGNS) :]
    pressure = body_lib.mean_pressure(physiology, body, given.last.pressor)
    mbp = jnp.clip(pressure + 3.0 * rest[0], 25.0, 150.0)
    pulse = 45.0 - 6.0 * jax.nn.relu(body.deficit) + 5.0 * rest[1]
    pulse = jnp.clip(pulse, 12.0, 90.0)
    drawn = jnp.clip(body.lactate * jnp.exp(0.05 * rest[2]), 0.3, 20.0)
    measured = uniform[0] < jax.nn.sigmoid(body.lactate - 2.0)
    age = jnp.zeros(())
    if before is None:
        measured = jnp.ones((), bool)
    else:
        held = feature(before, "lactate")
        drawn = jnp.where(measured, drawn, held)
        age = jnp.where(measured, 0.0, before.channel_age[1] + 1.0)
    short = body_lib.shortfall(physiology, pressure)
    dry = jax.nn.relu(body.deficit)
    flow = 0.15 - 0.5 * short - 0.4 * dry - 0.05 * body.damage + 0.25 * rest[3]
    urine = jnp.clip(jnp.exp(flow), 0.02, 8.0)
    ph = jnp.clip(7.42 - 0.025 * (body.lactate - 1.0) + 0.03 * rest[4], 6.8, 7.7)
    features = jnp.concatenate(
        [
            jnp.stack([patient.age, patient.female, patient.weight, patient.frailty]),
            signs,
            jnp.stack(
                [
                    *(mbp + 2.0 * pulse / 3.0, mbp, mbp - pulse / 3.0, drawn, ph),
                    *(urine, body_lib.sofa(body), *given.last, given.fluid),
                    STEP_HOURS * given.steps,
                ]
            ),
        ]
    )
    always = jnp.ones((), bool)
    return Row(
        features=features,
        channel_value=jnp.stack([mbp, drawn, spo2, urine]),
        channel_measured=jnp.stack([always, measured, always, always]),
        channel_age=jnp.stack([jnp.zeros(()), age, jnp.zeros(()), jnp.zeros(())]),
    )


def _signs(physiology: Physiology, patient: Patient, body: Body, noise: Array) -> Array:
    """[len(SIGNS)] values in their units."""

    def column(field: str) -> np.ndarray:
        return np.asarray([getattr(sign, field) for sign in SIGNS], np.float32)

    wet = jax.nn.relu(-body.deficit)
    value = column("base") + column("severity") * body.severity
    value += column("dry") * jax.nn.relu(body.deficit) + column("wet") * wet
    value = jnp.asarray(value).at[_SPO2].add(-physiology.lungs * wet)
    value += column("damage") * body.damage + column("own") * patient.set_points
    value += column("noise") * noise
    log = column("log") > 0
    value = jnp.where(log, jnp.exp(jnp.where(log, value, 0.0)), value)
    return jnp.clip(value, column("low"), column("high"))

"""Simulated clinicians: a nomogram followed with delays and personal habits.

A nomogram maps the last REPORTED aPTT to a bolus, a change of the infusion rate
and a pause. Clinicians know the patient's approximate weight, start at a habitual
rate, multiply the prescribed changes by a personal gain, order in steps of 50 U/h,
sometimes react an hour late and sometimes not at all.
"""

import dataclasses
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from omgrl_jax.envs import heparin, patients
from omgrl_jax.envs import noise as noise_lib
from omgrl_jax.types import Array, Key


@dataclasses.dataclass(frozen=True)
class Practice:
    """How a group of clinicians doses.

    Zone z of the nomogram holds aPTT values from `edges[z - 1]` up to, but not
    including, `edges[z]`.

    Attributes:
      edges: [Z - 1] borders of the zones, s.
      boluses: [Z] U/kg.
      changes: [Z] change of the infusion rate, U/kg/h.
      holds: [Z] hours without infusion before the new rate starts.
      initial_rate: habitual first rate, U/kg/h.
      initial_rate_cv: its spread between clinicians.
      initial_bolus: U/kg.
      initial_bolus_share: share of clinicians who open with a bolus.
      bolus_share: share who give the nomogram's later boluses.
      gain: median multiplier of the nomogram's changes.
      gain_cv: its spread between clinicians.
      weight_cv: error of the weight they dose by.
      promptness: probability per hour that a waiting report is acted upon.
      adherence: probability that the nomogram is followed when acting.
      rounding: rates and boluses are multiples of this, U/h and U.
      largest_rate: U/kg/h.
      insight: power of the patient's relative clearance by which orders are multiplied.
        Above zero, clinicians know at the bedside what no record holds and dose by it:
        a hidden confounder.
    """

    edges: tuple[float, ...] = (45.0, 60.0, 100.0, 120.0)
    boluses: tuple[float, ...] = (30.0, 0.0, 0.0, 0.0, 0.0)
    changes: tuple[float, ...] = (4.0, 2.0, 0.0, -2.0, -3.0)
    holds: tuple[int, ...] = (0, 0, 0, 0, 1)
    initial_rate: float = 17.0
    initial_rate_cv: float = 0.20
    initial_bolus: float = 60.0
    initial_bolus_share: float = 0.4
    bolus_share: float = 0.3
    gain: float = 1.1
    gain_cv: float = 0.40
    weight_cv: float = 0.05
    promptness: float = 0.80
    adherence: float = 0.90
    rounding: float = 50.0
    largest_rate: float = 45.0
    insight: float = 0.0

    def __post_init__(self):
        """Raises ValueError when the tables do not fit together."""
        zones = len(self.edges) + 1
        for name in ("boluses", "changes", "holds"):
            if len(getattr(self, name)) != zones:
                raise ValueError(
                    f"Practice.{name} has {len(getattr(self, name))} entries; "
                    f"{len(self.edges)} edges make {zones} zones."
                )
        if list(self.edges) != sorted(set(self.edges)):
            raise ValueError("Practice.edges must increase strictly.")


def from_dict(fields: dict[str, Any]) -> Practice:
    """Restores a practice from plain JSON types (`dataclasses.asdict` makes them).

    Args:
      fields: field names and values, possibly read back from JSON.

    Returns:
      An equal configuration.

    Raises:
      ValueError: on unknown fields.
    """
    known = {field.name for field in dataclasses.fields(Practice)}
    if unknown := sorted(set(fields) - known):
        raise ValueError(f"Practice has no field {', '.join(unknown)}.")
    plain: dict[str, Any] = {
        k: tuple(v) if isinstance(v, list) else v for k, v in fields.items()
    }
    return Practice(**plain)


def raschke() -> Practice:
    """The weight-based nomogram of Raschke 1993, followed to the letter.

    Its therapeutic range is 46-70 s, not the 60-100 s of the default practice.
    Borders lie half-way between the whole seconds of the printed table.
    """
    return Practice(
        edges=(34.5, 45.5, 70.5, 90.5),
        boluses=(80.0, 40.0, 0.0, 0.0, 0.0),
        changes=(4.0, 2.0, 0.0, -2.0, -3.0),
        holds=(0, 0, 0, 0, 1),
        initial_rate=18.0,
        initial_rate_cv=0.0,
        initial_bolus=80.0,
        initial_bolus_share=1.0,
        bolus_share=1.0,
        gain=1.0,
        gain_cv=0.0,
        weight_cv=0.0,
        promptness=1.0,
        adherence=1.0,
        rounding=1.0,
    )


class Order(NamedTuple):
    """Heparin given in one hour. Scalars.

    Attributes:
      infusion: rate held during the hour, U/h.
      bolus: given at once at its start, U.
    """

    infusion: Array
    bolus: Array

    @property
    def total(self) -> Array:
        """Units given in the hour: what a data set records as the dose."""
        return self.infusion + self.bolus


class ClinicianState(NamedTuple):
    """One clinician at one bedside. Scalars.

    Attributes:
      weight: the weight dosed by, kg.
      gain: personal multiplier of the nomogram's changes.
      gives_boluses: follows the nomogram's bolus column, bool.
      rate: ordered infusion rate, U/h.
      bolus: to be given with the next hour, U (the opening bolus).
      hold: hours of pause left, int32.
      started: false only before the first order, bool.
      waiting: a report has not been acted upon yet, bool.
    """

    weight: Array
    gain: Array
    gives_boluses: Array
    rate: Array
    bolus: Array
    hold: Array
    started: Array
    waiting: Array


def _rounded(practice: Practice, amount: Array) -> Array:
    return practice.rounding * jnp.round(amount / practice.rounding)


def clinician_reset(
    practice: Practice, key: Key, observation: heparin.Observation
) -> ClinicianState:
    """A new clinician for the patient seen in `observation`; consumes the key."""
    uniform, noise = noise_lib.draw(key, 2, 3)
    weight = observation.features[heparin.FEATURE_NAMES.index("weight")]
    weight = weight * jnp.exp(patients.log_sd(practice.weight_cv) * noise[0])
    rate = practice.initial_rate * jnp.exp(
        patients.log_sd(practice.initial_rate_cv) * noise[1]
    )
    opens_with_bolus = uniform[0] < practice.initial_bolus_share
    bolus = jnp.where(opens_with_bolus, practice.initial_bolus * weight, 0.0)
    return ClinicianState(
        weight=weight,
        gain=practice.gain * jnp.exp(patients.log_sd(practice.gain_cv) * noise[2]),
        gives_boluses=uniform[1] < practice.bolus_share,
        rate=_rounded(practice, rate * weight),
        bolus=_rounded(practice, bolus),
        hold=jnp.zeros((), jnp.int32),
        started=jnp.asarray(False),
        waiting=jnp.asarray(False),
    )


def clinician_dose(
    practice: Practice,
    state: ClinicianState,
    key: Key,
    observation: heparin.Observation,
) -> tuple[ClinicianState, Order]:
    """The order for the coming hour, from what is known at its start.

    Args:
      practice: the group's way of dosing.
      state: the clinician.
      key: consumed.
      observation: of the same hour; only the reported aPTT is used.

    Returns:
      The clinician afterwards and the order. The baseline aPTT of hour 0 changes
      nothing: the opening dose is the clinician's habit.
    """
    uniform, _ = noise_lib.draw(key, 2, 0)
    waiting = state.waiting | (observation.channel_measured[0] & state.started)
    acts = waiting & (uniform[0] < practice.promptness)
    follows = acts & (uniform[1] < practice.adherence)

    zone = jnp.sum(observation.channel_value[0] >= np.asarray(practice.edges, "f4"))
    change = jnp.asarray(practice.changes)[zone] * state.gain * state.weight
    bolus = jnp.asarray(practice.boluses)[zone] * state.weight * state.gives_boluses
    hold = jnp.asarray(practice.holds, jnp.int32)[zone]

    changed = jnp.clip(state.rate + change, 0.0, practice.largest_rate * state.weight)
    rate = jnp.where(follows, _rounded(practice, changed), state.rate)
    hold = jnp.where(follows, hold, state.hold)
    order = Order(
        infusion=jnp.where(hold > 0, 0.0, rate),
        bolus=state.bolus + jnp.where(follows, _rounded(practice, bolus), 0.0),
    )
    after = state._replace(
        rate=rate,
        bolus=jnp.zeros(()),
        hold=jnp.maximum(hold - 1, 0),
        started=jnp.asarray(True),
        waiting=waiting & ~acts,
    )
    return after, order

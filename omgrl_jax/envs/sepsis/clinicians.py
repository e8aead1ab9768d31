"""How simulated clinicians give fluids and vasopressors.

They titrate: vasopressors follow the pressure that they see, fluids follow lactate,
pressure and the hour. Each clinician wants a pressure of their own and is more or less
liberal with fluids; each order scatters, and now and then habit decides. What they do
not see is the deficit itself, so they go on giving fluid to patients who are full.
"""

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp

from omgrl_jax.envs.sepsis import chart
from omgrl_jax.envs.sepsis.body import Dose
from omgrl_jax.types import Array, Key


@dataclasses.dataclass(frozen=True)
class Practice:
    """How clinicians dose.

    Attributes:
      wanted: mean arterial pressure that they aim at, mmHg.
      wanted_sd: spread between clinicians.
      gain: ug/kg/min of vasopressor added for each mmHg below it.
      gain_cv: spread between orders.
      smallest: vasopressors below this are stopped, ug/kg/min.
      largest: no more than this is given, ug/kg/min.
      fluid: mL given in a step at a lactate of 2 at the start.
      fluid_sd: spread between clinicians, mL.
      fluid_lactate: mL for each mmol/L above it, up to four.
      fluid_pressure: mL for each mmHg below 65, up to 20.
      fluid_step: mL less in each later step.
      fluid_noise: spread between orders, mL.
      fluid_smallest: less than this is not given, mL.
      habit: share of orders that habit decides, whatever the patient.
    """

    wanted: float = 64.0
    wanted_sd: float = 3.0
    gain: float = 0.012
    gain_cv: float = 0.4
    smallest: float = 0.03
    largest: float = 0.8
    fluid: float = 200.0
    fluid_sd: float = 150.0
    fluid_lactate: float = 250.0
    fluid_pressure: float = 30.0
    fluid_step: float = 25.0
    fluid_noise: float = 250.0
    fluid_smallest: float = 100.0
    habit: float = dataclasses.field(default=0.12, metadata={"min": 0, "max": 1})


class Clinician(NamedTuple):
    """What one clinician is like: standard normal scalars.

    Attributes:
      pressure: above zero for those who want a higher pressure.
      liberal: above zero for those who give more fluid.
    """

    pressure: Array
    liberal: Array


def meet(key: Key) -> Clinician:
    """The clinician of a stay."""
    return Clinician(*jax.random.normal(key, (2,)))


def order(practice: Practice, clinician: Clinician, key: Key, row: chart.Row) -> Dose:
    """What a clinician orders for the next step.

    Args:
      practice: how clinicians dose.
      clinician: who orders.
      key: consumed.
      row: the patient's chart.
    """
    normal_key, habit_key, usual_key = jax.random.split(key, 3)
    noise = jax.random.normal(normal_key, (2,))
    pressure, before = chart.feature(row, "mbp"), chart.feature(row, "pressor_last")
    wanted = practice.wanted + practice.wanted_sd * clinician.pressure
    change = practice.gain * (wanted - pressure) * jnp.exp(practice.gain_cv * noise[0])
    pressor = jnp.clip(before + change, 0.0, practice.largest)
    pressor = jnp.where(pressor < practice.smallest, 0.0, pressor)
    steps = chart.feature(row, "hours") / chart.STEP_HOURS
    lactate = jnp.clip(chart.feature(row, "lactate") - 2.0, 0.0, 4.0)
    low = jnp.clip(65.0 - pressure, 0.0, 20.0)
    fluid = practice.fluid + practice.fluid_sd * clinician.liberal
    fluid += practice.fluid_lactate * lactate + practice.fluid_pressure * low
    fluid += practice.fluid_noise * noise[1] - practice.fluid_step * steps
    fluid = jnp.where(fluid < practice.fluid_smallest, 0.0, jnp.minimum(fluid, 2000.0))
    by_habit = jax.random.uniform(habit_key) < practice.habit
    usual = _usual(usual_key)
    return Dose(
        jnp.where(by_habit, usual.fluid, fluid),
        jnp.where(by_habit, usual.pressor, pressor),
    )


def _usual(key: Key) -> Dose:
    """Any dose: each drug not at all, little or much, with equal chances."""
    level_key, noise_key = jax.random.split(key)
    level = jax.random.randint(level_key, (2,), 0, 3)
    scatter = jnp.exp(0.3 * jax.random.normal(noise_key, (2,)))
    fluid = jnp.array([0.0, 300.0, 900.0])[level[0]] * scatter[0]
    return Dose(fluid, jnp.array([0.0, 0.08, 0.3])[level[1]] * scatter[1])

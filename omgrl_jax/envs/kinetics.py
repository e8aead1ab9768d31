"""Heparin kinetics and aPTT response of one patient, noise free.

One compartment with saturable (endothelial) plus linear (renal) elimination,

    dC/dt = R/V - capacity/V * C / (Km + C) - k * C,

and a log-linear response, aPTT = baseline * exp(slope * C). Concentrations are
in U/L inside the ordinary differential equation and in IU/mL (= U/L / 1000) in
the response, the unit in which laboratories report heparin activity.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from omgrl_jax.types import Array

UNITS_PER_LITRE = 1000.0  # U/L in one IU/mL
SUBSTEPS = 4  # Runge-Kutta steps an hour; see tests for the error this leaves


class Kinetics(NamedTuple):
    """What decides one patient's response to a dose. All scalars.

    Attributes:
      volume: distribution volume, L.
      capacity: largest saturable elimination, U/h.
      half_saturation: concentration at half of `capacity` (Km), U/L.
      linear_rate: linear elimination rate, 1/h.
      baseline: aPTT without heparin, s.
      slope: growth of log-aPTT with concentration, mL/IU.
    """

    volume: Array
    capacity: Array
    half_saturation: Array
    linear_rate: Array
    baseline: Array
    slope: Array


class HourOfKinetics(NamedTuple):
    """The outcome of one hour.

    Attributes:
      concentration: at the end of the hour, U/L.
      eliminated: amount eliminated during the hour, U.
    """

    concentration: Array
    eliminated: Array


def aptt(kinetics: Kinetics, concentration: Array) -> Array:
    """True aPTT in seconds at `concentration` in U/L."""
    return kinetics.baseline * jnp.exp(kinetics.slope * concentration / UNITS_PER_LITRE)


def elimination(kinetics: Kinetics, concentration: Array) -> Array:
    """Fall of concentration by elimination, U/L/h, at `concentration` in U/L."""
    saturable = (
        kinetics.capacity / kinetics.volume / (kinetics.half_saturation + concentration)
    )
    return (saturable + kinetics.linear_rate) * concentration


def one_hour(
    kinetics: Kinetics,
    concentration: Array,
    infusion: Array | float,
    bolus: Array | float = 0.0,
) -> HourOfKinetics:
    """Integrates one hour with the classical fourth-order Runge-Kutta method.

    Args:
      kinetics: the patient.
      concentration: at the start of the hour, U/L, scalar.
      infusion: constant rate during the hour, U/h, scalar.
      bolus: amount given at once at the start of the hour, U, scalar.

    Returns:
      Concentration at the end of the hour and the amount eliminated in it. The
      latter is summed from the elimination itself, not from the balance, so that
      infused = eliminated + remaining is a check and not an identity.
    """
    width = 1.0 / SUBSTEPS
    inflow = infusion / kinetics.volume
    c = concentration + bolus / kinetics.volume
    cleared = jnp.zeros_like(c)

    def substep(_, carry: tuple[Array, Array]) -> tuple[Array, Array]:
        c, cleared = carry
        e1 = elimination(kinetics, c)
        e2 = elimination(kinetics, c + 0.5 * width * (inflow - e1))
        e3 = elimination(kinetics, c + 0.5 * width * (inflow - e2))
        e4 = elimination(kinetics, c + width * (inflow - e3))
        mean = (e1 + 2.0 * e2 + 2.0 * e3 + e4) / 6.0
        # After a very large clearance the step may cross zero by rounding.
        return jnp.maximum(c + width * (inflow - mean), 0.0), cleared + width * mean

    c, cleared = jax.lax.fori_loop(0, SUBSTEPS, substep, (c, cleared))
    return HourOfKinetics(concentration=c, eliminated=cleared * kinetics.volume)

"""Virtual patients in septic shock: a pure-JAX environment, four hours a step.

What becomes of a patient depends on four numbers and on what is given:

* severity of the inflammation: widens the vessels; subsides as antibiotics work;
* volume deficit: what is missing in the vessels, in litres; below zero, what is too
  much in them. Fluid fills them, leaky vessels lose it;
* lactate: made where perfusion falls short, cleared by the liver;
* organ damage: grows with shortfall, with lactate, with overload and with vasopressors
  beyond what the pressure needs; heals slowly. SOFA counts it in whole points.

Vasopressors raise the mean arterial pressure at once; fluids raise it through the
deficit, and help lactate the more, the drier the patient. So each drug has patients
whom it helps and patients whom it harms, and the best dose depends on the state, as it
does at the bedside. The forms are textbook physiology; their sizes are chosen, not
fitted: one in five dies under usual care, and no figure of this simulator says anything
about real patients.

One patient per function; `jax.vmap` makes a cohort. Row t is the START of step t.
"""

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp

from omgrl_jax.types import Array

FRAILTIES = 3
NOISES = 3  # standard normal numbers that a step of a body takes


@dataclasses.dataclass(frozen=True)
class Physiology:
    """Sizes of the effects; a step has four hours.

    Attributes:
      pressure: mean arterial pressure of a healthy body, mmHg.
      dilation: mmHg lost for a severity of one.
      dryness: mmHg lost for a litre of deficit.
      pressor_effect: mmHg that vasopressors can add at most.
      pressor_half: ug/kg/min of norepinephrine that add half of it.
      pressor_acid: share of that effect lost for each mmol/L of lactate above two.
      needed: mean arterial pressure below which perfusion falls short, mmHg.
      shortfall_width: mmHg over which shortfall sets in.
      subsiding: share of the severity that is left after a step.
      frail_subsiding: what each level of frailty adds to that share.
      severity_noise: deviation of log severity in a step.
      fluid_kept: share of given fluid that stays in the vessels.
      leak: litres lost in a step for a severity of one.
      settling: share of deficit or overload that the body itself mends in a step.
      volume_noise: litres.
      lactate_made: mmol/L for a shortfall of 10 mmHg.
      lactate_dry: mmol/L for a litre of deficit.
      lactate_cleared: share of the lactate above one cleared in a step.
      lactate_noise: deviation of log lactate in a step.
      harm_shortfall: SOFA points for a shortfall of 10 mmHg.
      harm_lactate: points for each mmol/L above two.
      overload: litres too much that do no harm.
      harm_overload: points for each litre beyond them.
      excess: mean arterial pressure above which vasopressors do harm, mmHg.
      harm_excess: points for each 10 mmHg beyond it under a full effect.
      healing: points that heal in a step.
      lungs: oxygen saturation lost for a litre too much, %. It is charted; nothing else
        depends on it, so that no reward sees it.
      death_base: log odds of death in a step of an unharmed body.
      death_damage: what each point of damage adds to the log odds.
      death_frailty: what each level of frailty adds.
      late_base: log odds of death after the last step, likewise.
      late_damage: likewise.
      late_frailty: likewise.
    """

    pressure: float = 90.0
    dilation: float = 28.0
    dryness: float = 7.0
    pressor_effect: float = 34.0
    pressor_half: float = 0.15
    pressor_acid: float = 0.03
    needed: float = 66.0
    shortfall_width: float = 3.0
    subsiding: float = 0.93
    frail_subsiding: float = 0.02
    severity_noise: float = 0.12
    fluid_kept: float = 0.7
    leak: float = 0.35
    settling: float = 0.12
    volume_noise: float = 0.15
    lactate_made: float = 1.2
    lactate_dry: float = 0.6
    lactate_cleared: float = 0.3
    lactate_noise: float = 0.08
    harm_shortfall: float = 0.9
    harm_lactate: float = 0.2
    overload: float = 0.5
    harm_overload: float = 0.9
    excess: float = 76.0
    harm_excess: float = 1.5
    healing: float = 0.45
    lungs: float = 1.5
    death_base: float = -7.5
    death_damage: float = 0.36
    death_frailty: float = 0.3
    late_base: float = -4.6
    late_damage: float = 0.45
    late_frailty: float = 0.5


class Body(NamedTuple):
    """What a patient's future depends on, beside frailty. Scalars.

    Attributes:
      severity: of the inflammation, above 0; about 1 in shock.
      deficit: litres missing in the vessels; negative for overload.
      lactate: mmol/L.
      damage: organ damage in SOFA points, not rounded.
    """

    severity: Array
    deficit: Array
    lactate: Array
    damage: Array


class Dose(NamedTuple):
    """What is given in a step. Scalars.

    Attributes:
      fluid: mL of crystalloid equivalents.
      pressor: ug/kg/min of norepinephrine equivalents.
    """

    fluid: Array
    pressor: Array


def mean_pressure(physiology: Physiology, body: Body, pressor: Array) -> Array:
    """Mean arterial pressure under a running vasopressor, mmHg."""
    p = physiology
    acid = p.pressor_acid * jax.nn.relu(body.lactate - 2.0)
    effect = p.pressor_effect * pressor / (pressor + p.pressor_half)
    lost = p.dilation * body.severity + p.dryness * jax.nn.relu(body.deficit)
    return p.pressure - lost + effect * jax.nn.relu(1.0 - acid)


def shortfall(physiology: Physiology, pressure: Array) -> Array:
    """How far perfusion falls short, in steps of 10 mmHg; smooth around `needed`."""
    width = physiology.shortfall_width
    return width * jax.nn.softplus((physiology.needed - pressure) / width) / 10.0


def advance(
    physiology: Physiology, frailty: Array, body: Body, dose: Dose, noise: Array
) -> Body:
    """The body four hours later.

    Args:
      physiology: sizes of the effects.
      frailty: [] 0, 1 or 2.
      body: now.
      dose: given meanwhile.
      noise: [NOISES] standard normal.
    """
    p = physiology
    pressure = mean_pressure(p, body, dose.pressor)
    short = shortfall(p, pressure)
    left = p.subsiding + p.frail_subsiding * frailty
    severity = body.severity * left * jnp.exp(p.severity_noise * noise[0])
    gone = p.leak * body.severity - p.fluid_kept * dose.fluid / 1000.0
    deficit = (1.0 - p.settling) * body.deficit + gone + p.volume_noise * noise[1]
    made = p.lactate_made * short + p.lactate_dry * jax.nn.relu(body.deficit)
    lactate = body.lactate + made - p.lactate_cleared * (body.lactate - 1.0)
    running = dose.pressor / (dose.pressor + p.pressor_half)
    harm = (
        p.harm_shortfall * short
        + p.harm_lactate * jax.nn.relu(body.lactate - 2.0)
        + p.harm_overload * jax.nn.relu(-p.overload - body.deficit)
        + p.harm_excess * running * jax.nn.relu(pressure - p.excess) / 10.0
    )
    return Body(
        severity=jnp.clip(severity, 0.02, 2.5),
        deficit=jnp.clip(deficit, -4.0, 4.0),
        lactate=jnp.clip(lactate * jnp.exp(p.lactate_noise * noise[2]), 0.5, 15.0),
        damage=jnp.clip(body.damage + harm - p.healing, 0.0, 20.0),
    )


def dies(physiology: Physiology, frailty: Array, body: Body) -> Array:
    """Probability of death in the step that ends with this body."""
    p = physiology
    odds = p.death_base + p.death_damage * body.damage + p.death_frailty * frailty
    return jax.nn.sigmoid(odds)


def dies_late(physiology: Physiology, frailty: Array, body: Body) -> Array:
    """Probability of death in hospital of who lives at the end of the last step."""
    p = physiology
    odds = p.late_base + p.late_damage * body.damage + p.late_frailty * frailty
    return jax.nn.sigmoid(odds)


def sofa(body: Body) -> Array:
    """Whole SOFA points, as charted."""
    return jnp.floor(body.damage)

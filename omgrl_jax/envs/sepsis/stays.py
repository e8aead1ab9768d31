"""Whole stays of virtual patients with sepsis under any policy, in one compiled scan.

A stay lasts `STEPS` steps, or until death.
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from omgrl_jax.data.schema import Actions
from omgrl_jax.envs import noise as noise_lib
from omgrl_jax.envs.sepsis import body as body_lib
from omgrl_jax.envs.sepsis import chart, clinicians
from omgrl_jax.envs.sepsis.body import Body, Dose, Physiology
from omgrl_jax.ops import sofa_rewards
from omgrl_jax.ops.sofa_rewards import Reward
from omgrl_jax.types import Array, Key

STEPS = 18


@dataclasses.dataclass(frozen=True)
class Population:
    """Who the patients are when they come.

    Attributes:
      age_mean: years.
      age_sd: years; ages are clipped to 18-90.
      female_share: probability.
      weight_median: kg.
      weight_cv: spread of log weight.
      frailties: probabilities of frailty 0, 1 and 2.
      severity_median: severity at the start.
      severity_cv: spread of its logarithm.
      deficit_mean: litres missing at the start.
      deficit_sd: litres.
      lactate_median: mmol/L at the start.
      lactate_cv: spread of its logarithm.
      damage_mean: SOFA points at the start.
      damage_sd: points.
    """

    age_mean: float = 65.0
    age_sd: float = 15.0
    female_share: float = 0.44
    weight_median: float = 79.0
    weight_cv: float = 0.22
    frailties: tuple[float, float, float] = (0.5, 0.3, 0.2)
    severity_median: float = 0.95
    severity_cv: float = 0.35
    deficit_mean: float = 0.7
    deficit_sd: float = 0.7
    lactate_median: float = 2.5
    lactate_cv: float = 0.4
    damage_mean: float = 4.0
    damage_sd: float = 2.2


@dataclasses.dataclass(frozen=True)
class World:
    """Everything static that stays depend on.

    Attributes:
      physiology: what happens to patients.
      population: who they are.
      reward: what their stays are worth.
    """

    physiology: Physiology = dataclasses.field(default_factory=Physiology)
    population: Population = dataclasses.field(default_factory=Population)
    reward: Reward = dataclasses.field(default_factory=Reward)


def world_of(fields: dict[str, Any]) -> World:
    """A world from its plain fields, as `dataclasses.asdict` and JSON leave them."""
    population = dict(fields["population"])
    population["frailties"] = tuple(population["frailties"])
    return World(
        Physiology(**fields["physiology"]),
        Population(**population),
        Reward(**fields["reward"]),
    )


class Bedside(NamedTuple):
    """One patient at the start of a step.

    Attributes:
      patient: constants of the stay.
      body: present condition.
      given: treatment up to now.
      row: the chart.
      alive: [] bool.
    """

    patient: chart.Patient
    body: Body
    given: chart.Given
    row: chart.Row
    alive: Array


class Level(NamedTuple):
    """Dose levels of one drug.

    Attributes:
      edges: upper edges of all but the highest.
      amounts: what is given in each.
    """

    edges: tuple[float, ...]
    amounts: tuple[float, ...]


def levels_of(actions: Actions) -> tuple[Level, Level]:
    """The levels of fluid and of vasopressor in a dataset's actions."""
    fluid, pressor = (Level(drug.edges, drug.amounts) for drug in actions.drugs)
    return fluid, pressor


class Death(NamedTuple):
    """Whether a patient died, [] bool.

    Attributes:
      now: in this step.
      later: after the last step, in hospital.
    """

    now: Array
    later: Array


class Policy(NamedTuple):
    """A way of treating one patient.

    Attributes:
      reset: `(key) -> memory`.
      act: `(memory, key, bedside) -> (memory, Dose)`. The body is there for judges
        only; an honest policy looks at the chart.
    """

    reset: Callable[[Key], Any]
    act: Callable[[Any, Key, Bedside], tuple[Any, Dose]]


class Stays(NamedTuple):
    """N stays; what follows a death is to be ignored.

    Attributes:
      rows: `chart.Row` of arrays [N, STEPS + 1, ...].
      doses: `Dose` of arrays [N, STEPS].
      rewards: [N, STEPS], zero after the end.
      alive: [N, STEPS] bool, at the start of the step.
      died: [N] bool, in the stay or later in hospital.
      ended: [N] bool, whether they died in the stay itself.
      bodies: `Body` of arrays [N, STEPS + 1].
      patients: `chart.Patient` of arrays [N, ...].
    """

    rows: chart.Row
    doses: Dose
    rewards: Array
    alive: Array
    died: Array
    ended: Array
    bodies: Body
    patients: chart.Patient


def admit(world: World, key: Key) -> Bedside:
    """A new patient before anything is given."""
    who, frail_key, chart_key = jax.random.split(key, 3)
    p = world.population
    uniform, noise = noise_lib.draw(who, 1, 6 + len(chart.SIGNS))
    patient = chart.Patient(
        age=jnp.clip(p.age_mean + p.age_sd * noise[0], 18.0, 90.0),
        female=(uniform[0] < p.female_share).astype(jnp.float32),
        weight=p.weight_median * jnp.exp(p.weight_cv * noise[1]),
        frailty=jax.random.choice(
            frail_key, body_lib.FRAILTIES, p=jnp.array(p.frailties)
        ).astype(jnp.float32),
        set_points=noise[6:],
    )
    body = Body(
        severity=jnp.clip(
            p.severity_median * jnp.exp(p.severity_cv * noise[2]), 0.1, 2.2
        ),
        deficit=p.deficit_mean + p.deficit_sd * noise[3],
        lactate=jnp.clip(
            p.lactate_median * jnp.exp(p.lactate_cv * noise[4]), 0.7, 12.0
        ),
        damage=jnp.clip(p.damage_mean + p.damage_sd * noise[5], 0.0, 15.0),
    )
    nothing = jnp.zeros(())
    given = chart.Given(Dose(nothing, nothing), nothing, nothing)
    uniform, noise = noise_lib.draw(chart_key, chart.UNIFORMS, chart.NORMALS)
    row = chart.write(world.physiology, patient, body, given, None, uniform, noise)
    return Bedside(patient, body, given, row, jnp.ones((), bool))


def step(
    world: World, bedside: Bedside, key: Key, dose: Dose
) -> tuple[Bedside, Array, Death]:
    """Four hours of treatment.

    Args:
      world: what patients live in.
      bedside: the patient, who may be dead: then nothing counts any more.
      key: consumed.
      dose: what is given.

    Returns:
      The patient at the end, the reward [], and whether they died.
    """
    physiology, patient = world.physiology, bedside.patient
    uniform, noise = noise_lib.draw(
        key, 2 + chart.UNIFORMS, body_lib.NOISES + chart.NORMALS
    )
    own, charted = noise[: body_lib.NOISES], noise[body_lib.NOISES :]
    body = body_lib.advance(physiology, patient.frailty, bedside.body, dose, own)
    given = chart.Given(
        dose, bedside.given.fluid + dose.fluid, bedside.given.steps + 1.0
    )
    row = chart.write(
        physiology, patient, body, given, bedside.row, uniform[2:], charted
    )
    last = given.steps >= STEPS
    now = uniform[0] < body_lib.dies(physiology, patient.frailty, body)
    late = uniform[1] < body_lib.dies_late(physiology, patient.frailty, body)
    death = Death(bedside.alive & now, bedside.alive & ~now & last & late)
    end = sofa_rewards.of_outcome(world.reward, now | late)
    points = (body_lib.sofa(bedside.body), body_lib.sofa(body))
    reward = sofa_rewards.of_points(world.reward, *points) + jnp.where(
        now | last, end, 0.0
    )
    reward = jnp.where(bedside.alive, reward, 0.0)
    after = Bedside(patient, body, given, row, bedside.alive & ~now)
    return after, reward, death


@functools.cache
def clinician(practice: clinicians.Practice) -> Policy:
    """Simulated clinicians, one for each stay; compiled once for each practice."""

    def act(who: Any, key: Key, bedside: Bedside) -> tuple[Any, Dose]:
        return who, clinicians.order(practice, who, key, bedside.row)

    return Policy(clinicians.meet, act)


@functools.cache
def rounded(policy: Policy, levels: tuple[Level, Level]) -> Policy:
    """The policy whose doses are rounded to those of their levels.

    Args:
      policy: who orders.
      levels: of fluid and of vasopressor.

    Returns:
      The policy; the same object for the same arguments.
    """

    def act(memory: Any, key: Key, bedside: Bedside) -> tuple[Any, Dose]:
        memory, dose = policy.act(memory, key, bedside)
        given = [
            jnp.array(level.amounts)[jnp.searchsorted(jnp.array(level.edges), x)]
            for level, x in zip(levels, dose, strict=True)
        ]
        return memory, Dose(*given)

    return Policy(policy.reset, act)


@functools.partial(jax.jit, static_argnums=(0, 1, 3))
def treat(world: World, policy: Policy, key: Key, count: int) -> Stays:
    """Treats new patients; the same key brings the same ones to any policy.

    Args:
      world: what patients live in.
      policy: who treats them; the same object is compiled once.
      key: consumed.
      count: number of patients `N`.

    Returns:
      Their stays.
    """
    return treat_with(world, policy, key, count)


def treat_with(world: World, policy: Policy, key: Key, count: int) -> Stays:
    """`treat`, for callers that compile it themselves."""
    admit_key, policy_key, run_key = jax.random.split(key, 3)
    first = jax.vmap(functools.partial(admit, world))(
        jax.random.split(admit_key, count)
    )
    memory = jax.vmap(policy.reset)(jax.random.split(policy_key, count))

    def one(bedside: Bedside, memory: Any, key: Key) -> tuple:
        act_key, step_key = jax.random.split(key)
        memory, dose = policy.act(memory, act_key, bedside)
        after, reward, death = step(world, bedside, step_key, dose)
        return (after, memory), (after.row, after.body, dose, reward, death)

    def scanned(carry: tuple, t: Array) -> tuple[tuple, tuple]:
        bedside, memory = carry
        keys = jax.random.split(jax.random.fold_in(run_key, t), count)
        carry, told = jax.vmap(one)(bedside, memory, keys)
        return carry, (*told, bedside.alive)

    _, told = jax.lax.scan(scanned, (first, memory), jnp.arange(STEPS))
    rows, bodies, doses, rewards, death, alive = jax.tree.map(
        lambda x: jnp.swapaxes(x, 0, 1), told
    )

    def with_first(head: Array, tail: Array) -> Array:
        return jnp.concatenate([head[:, None], tail], axis=1)

    return Stays(
        rows=jax.tree.map(with_first, first.row, rows),
        doses=doses,
        rewards=rewards,
        alive=alive,
        died=jnp.any(death.now | death.later, axis=1),
        ended=jnp.any(death.now, axis=1),
        bodies=jax.tree.map(with_first, first.body, bodies),
        patients=first.patient,
    )


def returns(stays: Stays, discount: float) -> Array:
    """Discounted sums of rewards, [N]."""
    weights = discount ** jnp.arange(STEPS, dtype=jnp.float32)
    return jnp.sum(stays.rewards * weights[None], axis=1)

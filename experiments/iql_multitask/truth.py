"""What policies do to new virtual patients with sepsis: the truth beside estimates."""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from experiments.task import Task
from omgrl_jax.data.scales import Scales
from omgrl_jax.envs.sepsis import clinicians, optimum, stays
from omgrl_jax.envs.sepsis.body import Dose
from omgrl_jax.types import Array, Params, Policy

PURPOSE = 84  # folded into a seed: which patients come, the same for all policies


class Acting(NamedTuple):
    """How a learned policy acts, all of it arrays.

    Attributes:
      params: its parameters.
      usual: parameters of the policy that decides in its place now and then.
      share: [] share of decisions in which that one does.
      scales: the training scales.
      doses: leaves [A], the dose of each action.
      greedy: [] bool, take the likeliest action.
    """

    params: Params
    usual: Params
    share: Array
    scales: Scales
    doses: Dose
    greedy: Array


class Outcome(NamedTuple):
    """What came of N patients.

    Attributes:
      value: [N] discounted sums of rewards.
      survived: [N].
      sofa: [N] mean SOFA while alive.
      low: [N] share of the time with a mean pressure below 65 mmHg.
      fluid: [N] litres in all.
      pressor: [N] mean dose, ug/kg/min.
    """

    value: Array
    survived: Array
    sofa: Array
    low: Array
    fluid: Array
    pressor: Array


def known(task: Task) -> bool:
    """Whether a simulator of sepsis made the dataset."""
    return "sepsis" in (task.schema.simulator or {})


def world(task: Task) -> stays.World:
    """The simulator that made the dataset."""
    return stays.world_of((task.schema.simulator or {})["sepsis"])


def doses(task: Task) -> Dose:
    """The dose that represents each action."""
    fluid, pressor = task.schema.actions.drugs
    levels = task.schema.actions.levels(np.arange(task.space.num_actions))
    return Dose(
        jnp.asarray(np.asarray(fluid.amounts)[levels[:, 0]], jnp.float32),
        jnp.asarray(np.asarray(pressor.amounts)[levels[:, 1]], jnp.float32),
    )


def acting(
    task: Task, params: Params, usual: Params, greedy: bool = False, share: float = 0.0
) -> Acting:
    """How a learned policy acts.

    Args:
      task: the task.
      params: the policy's parameters.
      usual: those of the other policy.
      greedy: whether it takes its likeliest action.
      share: share of decisions that are the other policy's.
    """
    table = doses(task)
    return Acting(
        params, usual, jnp.float32(share), task.scales, table, jnp.bool_(greedy)
    )


def learned(
    task: Task,
    policies: tuple[Policy, Policy],
    given: Acting,
    seed: int,
    patients: int,
    discount: float,
) -> Outcome:
    """What a learned policy does to a seed's new patients.

    Args:
      task: the task.
      policies: the policy, and the one that decides now and then in its place; the
        same objects are compiled once, however they act.
      given: how they act.
      seed: the seed.
      patients: how many.
      discount: discount factor.
    """
    stored = task.space.stored
    run = (world(task), policies, stored, patients, discount)
    return _learned(*run, _key(seed), given)


@functools.partial(jax.jit, static_argnums=(0, 1, 2, 3, 4))
def _learned(
    world: stays.World,
    policies: tuple[Policy, Policy],
    stored: tuple[int, ...],
    patients: int,
    discount: float,
    key: Array,
    given: Acting,
) -> Outcome:
    def act(memory: None, key: Array, bedside: stays.Bedside) -> tuple[None, Dose]:
        state = given.scales.state.apply(bedside.row.features[np.asarray(stored)])
        log_probs = jnp.logaddexp(
            jnp.log1p(-given.share) + policies[0].log_probs(given.params, state),
            jnp.log(given.share) + policies[1].log_probs(given.usual, state),
        )
        drawn = jax.random.categorical(key, log_probs)
        action = jnp.where(given.greedy, jnp.argmax(log_probs), drawn)
        return memory, jax.tree.map(lambda x: x[action], given.doses)

    honest = stays.Policy(lambda key: None, act)
    return _outcome(stays.treat_with(world, honest, key, patients), discount)


def references(
    task: Task, seed: int, patients: int, discount: float
) -> dict[str, Outcome]:
    """What the simulated clinicians, random doses and the optimum do to them.

    Args:
      task: the task.
      seed: the seed.
      patients: how many.
      discount: discount factor.

    Returns:
      Outcomes of "clinicians", "random" and "optimum" (knows the body), and where
      clinicians order any dose "clinicians_rounded", to the levels that policies give.
    """
    simulator = task.schema.simulator or {}
    practice = clinicians.Practice(**simulator["clinicians"])
    usual = stays.clinician(practice)
    whole = stays.rounded(usual, stays.levels_of(task.schema.actions))
    exact = simulator["run"]["orders"] == "exact"
    treating = {"clinicians": usual, "clinicians_rounded": whole}
    if not exact:
        treating = {"clinicians": whole}
    here, table = world(task), doses(task)
    best = _optimum(here, table, discount)
    policies = {
        **{name: (_as_ordered, policy, None) for name, policy in treating.items()},
        "random": (_random, None, table),
        "optimum": (_best, here, best),
    }
    return {
        name: _reference(here, make, part, patients, discount, _key(seed), given)
        for name, (make, part, given) in policies.items()
    }


@functools.partial(jax.jit, static_argnums=(0, 1, 2, 3, 4))
def _reference(
    world: stays.World,
    make: Any,
    part: Any,
    patients: int,
    discount: float,
    key: Array,
    given: Any,
) -> Outcome:
    policy = make(part, given)
    return _outcome(stays.treat_with(world, policy, key, patients), discount)


def _as_ordered(usual: stays.Policy, given: None) -> stays.Policy:
    del given
    return usual


def _random(part: None, table: Dose) -> stays.Policy:
    del part

    def act(memory: None, key: Array, bedside: stays.Bedside) -> tuple[None, Dose]:
        del bedside
        action = jax.random.randint(key, (), 0, table.fluid.shape[0])
        return memory, jax.tree.map(lambda x: x[action], table)

    return stays.Policy(lambda key: None, act)


def _best(world: stays.World, found: optimum.Optimum) -> stays.Policy:
    return optimum.policy(world, found)


@functools.lru_cache(1)
def _solved(world: stays.World, table: tuple, discount: float) -> optimum.Optimum:
    given = Dose(*(jnp.asarray(x, jnp.float32) for x in table))
    return optimum.solve(world, given, jnp.float32(discount))


def _optimum(world: stays.World, table: Dose, discount: float) -> optimum.Optimum:
    """Solved once for all seeds."""
    return _solved(world, tuple(tuple(x.tolist()) for x in table), discount)


def _outcome(treated: stays.Stays, discount: float) -> Outcome:
    alive = treated.alive.astype(jnp.float32)
    steps = jnp.sum(alive, axis=1)

    def while_alive(x: Array) -> Array:
        return jnp.sum(alive * x, axis=1) / steps

    rows = treated.rows.features[:, 1:]
    names = stays.chart.NAMES
    pressure = rows[..., names.index("mbp")]
    return Outcome(
        value=stays.returns(treated, discount),
        survived=1.0 - treated.died.astype(jnp.float32),
        sofa=while_alive(rows[..., names.index("sofa")]),
        low=while_alive((pressure < 65.0).astype(jnp.float32)),
        fluid=jnp.sum(alive * treated.doses.fluid, axis=1) / 1000.0,
        pressor=while_alive(treated.doses.pressor),
    )


def row(found: Outcome) -> dict[str, float]:
    """Means over patients."""
    return {k: float(np.mean(x)) for k, x in jax.device_get(found)._asdict().items()}


def _key(seed: int) -> Array:
    return jax.random.fold_in(jax.random.key(seed), PURPOSE)

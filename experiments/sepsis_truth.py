"""What policies do to new virtual patients with sepsis: the truth beside estimates."""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from data_prep import levels
from experiments.task import Task
from omgrl_jax.data.scales import Scales
from omgrl_jax.data.schema import Actions
from omgrl_jax.envs.sepsis import clinicians, optimum, stays
from omgrl_jax.envs.sepsis.body import Dose
from omgrl_jax.types import Array, Params, Policy, Transition

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
    return outcome(stays.treat_with(world, honest, key, patients), discount)


def treated(
    task: Task, policy: Policy, params: Params, seed: int, patients: int
) -> stays.Stays:
    """The whole stays of a seed's new patients under a policy.

    Args:
      task: the task; its actions may be continuous.
      policy: the policy; the same object is compiled once.
      params: its parameters.
      seed: the seed; the patients are those of `learned`.
      patients: how many.
    """
    given = params, task.scales.state, _doses_of(task)
    return _treated(world(task), policy, task.space.stored, patients, _key(seed), given)


@functools.partial(jax.jit, static_argnums=(0, 1, 2, 3))
def _treated(
    world: stays.World,
    policy: Policy,
    stored: tuple[int, ...],
    patients: int,
    key: Array,
    given: tuple,
) -> stays.Stays:
    params, scale, doses = given

    def act(memory: None, key: Array, bedside: stays.Bedside) -> tuple[None, Dose]:
        state = scale.apply(bedside.row.features[np.asarray(stored)])
        action = policy.sample(params, key, state)
        if policy.draw is None:
            return memory, jax.tree.map(lambda x: x[action], doses)
        share = 0.5 * (jnp.clip(action, -1.0, 1.0) + 1.0)
        given = [
            low * (1.0 - s) + high * s
            for (low, high), s in zip(doses, share, strict=True)
        ]
        return memory, Dose(*given)

    honest = stays.Policy(lambda key: None, act)
    return stays.treat_with(world, honest, key, patients)


def _doses_of(task: Task) -> Any:
    """The dose of each action, or the (lowest, highest) of each drug."""
    if task.space.bounds:
        return Dose(*(tuple(map(jnp.float32, ends)) for ends in task.space.bounds))
    return doses(task)


def reference_stays(task: Task, seed: int, patients: int) -> stays.Stays:
    """The whole stays of the same patients under the simulated clinicians."""
    usual = _references(task)["clinicians"]
    return stays.treat(world(task), usual, _key(seed), patients)


def as_rollouts(task: Task, treated: stays.Stays) -> Transition:
    """Stays as rollouts, so that all that is measured on these is measured on them.

    Args:
      task: the task.
      treated: stays of N patients.

    Returns:
      Leaves [H, N, ...], states standardised, actions as policies choose them.

    Raises:
      ValueError: if the state holds more than the chart does.
    """
    if task.space.tracked:
        names = ", ".join(one.name for one in task.space.tracked)
        raise ValueError(f"{names}: charts of virtual patients do not tell them")
    features = np.asarray(treated.rows.features)[..., list(task.space.stored)]
    states = task.scales.state.apply(jnp.asarray(features))
    given = np.stack([np.asarray(x) for x in treated.doses], axis=-1)
    actions = levels.assign if task.schema.actions.count else _encoded
    flat = actions(task.schema.actions, given.reshape(-1, given.shape[-1]))
    chosen = jnp.asarray(flat).reshape(*given.shape[:2], *flat.shape[1:])
    alive = np.asarray(treated.alive)
    goes_on = np.concatenate([alive[:, 1:], np.zeros_like(alive[:, :1])], axis=1)
    channels = [np.asarray(treated.rows.channel_value)[:, 1:]]
    if task.space.recorded_reward is not None:
        channels.append(np.asarray(treated.rewards)[..., None])
    outcome = task.scales.channel.apply(jnp.asarray(np.concatenate(channels, axis=-1)))
    found = Transition(
        states[:, :-1],
        chosen,
        states[:, 1:],
        outcome,
        jnp.asarray(goes_on, jnp.float32),
        jnp.zeros(goes_on.shape),
    )
    return jax.tree.map(lambda x: jnp.swapaxes(x, 0, 1), found)


def _encoded(actions: Actions, doses: np.ndarray) -> np.ndarray:
    return np.asarray(actions.space().encode(jnp.asarray(doses)))


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
    here, table = world(task), doses(task)
    best = _optimum(here, table, discount)
    policies = {
        **{name: (_as_ordered, one, None) for name, one in _references(task).items()},
        "random": (_random, None, table),
        "optimum": (_best, here, best),
    }
    return {
        name: _reference(here, make, part, patients, discount, _key(seed), given)
        for name, (make, part, given) in policies.items()
    }


def _references(task: Task) -> dict[str, stays.Policy]:
    """The clinicians who made the dataset, and what they order rounded to levels."""
    simulator = task.schema.simulator or {}
    usual = stays.clinician(clinicians.Practice(**simulator["clinicians"]))
    if not task.schema.actions.count:
        return {"clinicians": usual}
    whole = stays.rounded(usual, stays.levels_of(task.schema.actions))
    if simulator["run"]["orders"] == "exact":
        return {"clinicians": usual, "clinicians_rounded": whole}
    return {"clinicians": whole}


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
    return outcome(stays.treat_with(world, policy, key, patients), discount)


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


def outcome(treated: stays.Stays, discount: float) -> Outcome:
    """What came of patients.

    Args:
      treated: their stays.
      discount: discount factor.
    """
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

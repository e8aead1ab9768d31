"""What is measured of policies, on rollouts of whatever world and on records.

The metrics of the paper's Table 1 (arXiv 2505.16242) under one definition each. Doses
are compared as shares of the range of each drug, between 0 and 1; of levels, each is as
far from the next.

* MCR, model concordance rate: share of held-out decisions in which every drug's dose,
  drawn from the policy, lies within a tolerance of the clinicians'.
* AIR, appropriate intensification rate: share of held-out unsafe states in which some
  drug is moved as medicine would (`ops.safety.Cost.answers`): by more than a tenth of
  its range beyond the dose before, or to the end of its range. A state that is unsafe
  in two ways counts twice.
* ACP, action change penalty: mean change of a dose from one step to the next.
* ME, mortality estimate: share of patients who die, by a classifier of the last state
  fitted to the training records' outcomes.
"""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier

from experiments.task import Task
from omgrl_jax.data import records as records_lib
from omgrl_jax.data import space as space_lib
from omgrl_jax.data.records import Records
from omgrl_jax.learners import known_reward, safety
from omgrl_jax.learners.guardian import guardian as guardian_lib
from omgrl_jax.models.rollout import alive_in, rollout
from omgrl_jax.ops import safety as safety_ops
from omgrl_jax.types import Array, Dynamics, Key, Params, Policy, Transition

# Tolerances of the sensitivity figure.
TOLERANCES = (0.02, 0.05, 0.1, 0.2, 0.3, 0.5)
_MOVED = 0.1  # share of a range by which a dose must change to count as moved
_DEATH = 0.0  # a stay whose last reward lies below ended in death


class Guard(NamedTuple):
    """A guardian that judges, the same for all policies.

    Attributes:
      functions: of `guardian.make`.
      fitted: to training records, its threshold to validation records.
      world: parameters of a world model, for a guardian that asks it.
    """

    functions: guardian_lib.Guardian
    fitted: guardian_lib.Fitted
    world: Params


def costs_of(task: Task) -> tuple[str, ...]:
    """All costs that a task can tell of."""
    known = (*task.space.channels, *task.space.names)
    return tuple(
        name
        for name, cost in safety_ops.COSTS.items()
        if cost.measured in known
        and (cost.measured in task.space.names or not cost.both_ends)
    )


def of_rollouts(
    task: Task, guard: Guard, steps: Transition, costs: tuple[str, ...], discount: float
) -> dict[str, float]:
    """What rollouts show: shares of steps, a mean return, mean changes of doses.

    Args:
      task: the task.
      guard: who says what is supported.
      steps: leaves [H, B, ...]; what follows an end counts for nothing.
      costs: names of the safety costs.
      discount: discount factor.

    Returns:
      "value", "outside", "acp", "steps" and "unsafe_NAME".
    """
    alive = np.asarray(alive_in(steps))
    total = float(alive.sum())
    unsafe = np.asarray(safety.make(task.space, costs)(task.scales, steps))
    scores = _scored(guard.functions, guard.fitted, guard.world, steps)
    outside = np.asarray(guardian_lib.outside(guard.fitted, scores))
    reward = np.asarray(known_reward.make(task.space, task.scales)(steps))
    faded = discount ** np.arange(alive.shape[0])[:, None]
    doses = shares(task, steps.action)
    change = np.abs(np.diff(doses, axis=0)).mean(axis=-1)
    return {
        "value": float((alive * faded * reward).sum(axis=0).mean()),
        "outside": float((alive * outside).sum() / total),
        "acp": float((alive[1:] * change).sum() / max(alive[1:].sum(), 1.0)),
        "steps": float(alive.sum(axis=0).mean()),
        **{
            f"unsafe_{name}": float((alive * one).sum() / total)
            for name, one in zip(costs, unsafe, strict=True)
        },
    }


@functools.partial(jax.jit, static_argnums=0)
def _scored(
    functions: guardian_lib.Guardian,
    fitted: guardian_lib.Fitted,
    world: Params,
    steps: Transition,
) -> Array:
    return functions.of_rollouts(fitted, world, steps)


def shares(task: Task, actions: Array) -> np.ndarray:
    """Doses as shares of each drug's range, [..., D]; other actions one-hot."""
    numbers = np.asarray(space_lib.action_numbers(task.space)(actions))
    doses = task.space.levels or task.space.bounds
    return 0.5 * (np.clip(numbers, -1.0, 1.0) + 1.0) if doses else numbers


class Decisions(NamedTuple):
    """Held-out decisions.

    Attributes:
      states: [M, S] standardised.
      given: [M, D] what clinicians gave, shares of the ranges.
      before: [M, D] what they gave in the step before; zero at the start of a stay.
      unsafe: [J, M] bool, whether the state is unsafe; never at the start of a stay.
    """

    states: Array
    given: np.ndarray
    before: np.ndarray
    unsafe: np.ndarray


def decisions(task: Task, costs: tuple[str, ...]) -> Decisions:
    """All decisions of the test records."""
    test = task.test
    rows = np.asarray(test.transitions)
    previous = np.maximum(rows - 1, 0)
    stay = np.asarray(test.stay)
    first = (rows == 0) | (stay[rows] != stay[previous])
    earlier = safety.make(task.space, costs)(
        task.scales, records_lib.transition_at(test, previous)
    )
    given = shares(task, test.actions)
    return Decisions(
        states=test.states[jnp.asarray(rows)],
        given=given[rows],
        before=np.where(first[:, None], 0.0, given[previous]),
        unsafe=np.asarray(earlier).astype(bool) & ~first[None],
    )


def of_doses(
    task: Task, held: Decisions, chosen: np.ndarray, costs: tuple[str, ...], near: float
) -> dict[str, float]:
    """MCR and AIR of doses chosen in held-out states.

    Args:
      task: the task.
      held: of `decisions`.
      chosen: [M, D] shares of the ranges.
      costs: names of the safety costs, in the order of `held.unsafe`.
      near: the tolerance of MCR.

    Returns:
      "mcr", "mcr_TOLERANCE" for each of `TOLERANCES`, "air" over all unsafe states and
      "air_NAME"; nan where no state is unsafe, or no drug of the data answers.
    """
    apart = np.abs(chosen - held.given).max(axis=1)
    found = {"mcr": float(np.mean(apart <= near + 1e-6))}
    found |= {f"mcr_{t:g}": float(np.mean(apart <= t + 1e-6)) for t in TOLERANCES}
    hits, states = 0.0, 0
    for name, unsafe in zip(costs, held.unsafe, strict=True):
        one = _answered(task, name, chosen, held.before)
        known = unsafe.any() and one is not None
        found[f"air_{name}"] = float(one[unsafe].mean()) if known else np.nan
        if known:
            hits, states = hits + float(one[unsafe].sum()), states + int(unsafe.sum())
    found["air"] = hits / states if states else np.nan
    return found


def _answered(
    task: Task, cost: str, chosen: np.ndarray, before: np.ndarray
) -> np.ndarray | None:
    """[M] bool, whether a dose moves as medicine would; None without such a drug."""
    names = [drug.name for drug in task.schema.actions.drugs]
    answers = safety_ops.COSTS[cost].answers
    answers = [pair for pair in answers if not names or pair[0] in names]
    if not answers:
        return None
    found = np.zeros(chosen.shape[0], bool)
    for drug, direction in answers:
        at = names.index(drug) if names else 0
        dose, last = chosen[:, at], before[:, at]
        moved = direction * (dose - last) > _MOVED
        end = dose >= 1.0 - 1e-6 if direction > 0 else dose <= 1e-6
        found |= moved | end
    return found


@functools.partial(jax.jit, static_argnums=0)
def drawn(policy: Policy, params: Params, key: Key, states: Array) -> Array:
    """One action in each of the states [M, S]."""
    return policy.sample(params, key, states)


@functools.partial(jax.jit, static_argnums=(0, 1, 6))
def rolled_out(
    dynamics: Dynamics,
    policy: Policy,
    world: Params,
    params: Params,
    key: Key,
    starts: Array,
    horizon: int,
) -> Transition:
    """Rollouts [H, B, ...] from given states."""
    return rollout(dynamics, world, policy, params, key, starts, horizon)


class Mortality(NamedTuple):
    """A classifier of death by the last state.

    Attributes:
      model: scikit-learn's boosted trees.
      brier: its mean squared error on test stays.
      base: that of saying the training stays' mortality of everyone.
    """

    model: Any
    brier: float
    base: float

    def of(self, steps: Transition) -> float:
        """Mean probability of death of patients [B] after their last step."""
        alive = np.asarray(alive_in(steps))
        last = alive.sum(axis=0).astype(int) - 1
        states = np.asarray(steps.next_state)[last, np.arange(last.size)]
        return float(self.model.predict_proba(states)[:, 1].mean())


def mortality(task: Task) -> Mortality | None:
    """The classifier; None where rewards do not tell who died."""
    if task.space.recorded_reward is None or not task.arrays.terminals.all():
        return None
    train, test = (_ends(task, records) for records in (task.train, task.test))
    if len(set(train[1].tolist())) < 2:
        return None
    model = HistGradientBoostingClassifier(max_iter=60, random_state=0).fit(*train)
    said = model.predict_proba(test[0])[:, 1]
    base = float(train[1].mean())
    return Mortality(
        model,
        float(np.mean(np.square(said - test[1]))),
        float(np.mean(np.square(base - test[1]))),
    )


def _ends(task: Task, records: Records) -> tuple[np.ndarray, np.ndarray]:
    """Last states [N, S] of stays, and whether they ended in death [N]."""
    rows = np.asarray(records.transitions)
    stay = np.asarray(records.stay)[rows]
    last = rows[np.append(stay[1:] != stay[:-1], True)]
    steps = records_lib.transition_at(records, last)
    reward = np.asarray(known_reward.make(task.space, task.scales)(steps))
    return np.asarray(steps.next_state), reward < _DEATH

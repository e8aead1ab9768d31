"""Policies treat new virtual patients, the same ones for all."""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from experiments import judging, ward
from experiments.config import RunConfig
from experiments.personal_dosing.fitting import Ready
from experiments.personal_dosing.rewards import Goal
from experiments.truth import TREATMENT
from experiments.ward import Ward
from omgrl_jax.data.scales import Scales
from omgrl_jax.envs import stays
from omgrl_jax.evaluation import planning, simulation
from omgrl_jax.evaluation.planning import Planning
from omgrl_jax.models.forecaster import Forecaster
from omgrl_jax.types import Array, Params, Policy

MEASURES = ("r_p", "in_range", "above", "below", "success")
_RANDOM = Policy(judging.fixed)


def admit(ready: Ready, seed: int) -> stays.Admitted:
    """New patients: the same ones for every policy of a seed."""
    config = RunConfig(patients=ready.config.patients)
    return ward.admit(config, ready.task, seed, TREATMENT, shifted=False)


def planned(
    ready: Ready, goal: Goal, forecaster: Forecaster, params: Params, seed: int
) -> dict[str, float]:
    """What planning with a forecaster comes to, by measure.

    Args:
      ready: of `fitting.prepare`.
      goal: what plans are made for.
      forecaster: who foresees the channel.
      params: its parameters.
      seed: whose patients.
    """
    place = ward.of(ready.task, ready.config.hours)
    scales = ready.task.scales
    treated = _treat(
        place, _planning(ready), forecaster, goal.value, goal.params, scales, params,
        ready.age, admit(ready, seed),
    )  # fmt: skip
    return judged(ready, treated)


def reference(ready: Ready, goal: Goal, name: str, seed: int) -> dict[str, float]:
    """What one of `config.REFERENCES` comes to, by measure."""
    place, task = ward.of(ready.task, ready.config.hours), ready.task
    admitted, scales = admit(ready, seed), task.scales
    if name == "truth":
        given = (_planning(ready), goal.value, goal.params, scales, admitted)
        return judged(ready, _treat_knowing(place, *given))
    if name == "random":
        logits = jnp.zeros(task.space.num_actions)
        treated = ward.treat(
            place, task.space, _RANDOM, scales, logits, False, admitted
        )
        return judged(ready, treated)
    edges = jnp.asarray(task.schema.actions.edges)
    treated = ward.treat_by_reference(place, name, scales, edges, admitted)
    return judged(ready, treated)


def judged(ready: Ready, treated: stays.Stays) -> dict[str, float]:
    """Means of the outcomes over patients, by the dataset's target range."""
    place = ward.of(ready.task, ready.config.hours)
    outcomes = jax.device_get(_outcomes(treated, *place.target))
    return {name: float(np.mean(outcomes[name])) for name in MEASURES}


_outcomes = jax.jit(simulation.outcomes, static_argnums=(1, 2))


def _planning(ready: Ready) -> Planning:
    return Planning(ready.task.space, ready.config.plan, ready.config.replan)


@functools.partial(jax.jit, static_argnums=(0, 1, 2, 3))
def _treat(
    place: Ward,
    how: Planning,
    forecaster: Forecaster,
    value: Callable[..., Array],
    goal: Params,
    scales: Scales,
    params: Params,
    age: Array,
    admitted: stays.Admitted,
) -> stays.Stays:
    reward = functools.partial(value, goal, scales)
    dosing = planning.policy(how, forecaster, reward, scales, params, age)
    return stays.treat(place.physiology, dosing, stays.again(admitted), place.hours)


@functools.partial(jax.jit, static_argnums=(0, 1, 2))
def _treat_knowing(
    place: Ward,
    how: Planning,
    value: Callable[..., Array],
    goal: Params,
    scales: Scales,
    admitted: stays.Admitted,
) -> stays.Stays:
    reward = functools.partial(value, goal, scales)
    dosing = planning.omniscient(how, place.physiology, reward, scales)
    return stays.treat(place.physiology, dosing, stays.again(admitted), place.hours)

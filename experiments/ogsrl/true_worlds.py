"""The simulator that made the data, as one more world in which policies are judged."""

import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from experiments import sepsis_truth, truth, ward
from experiments.config import RunConfig
from experiments.task import Task
from omgrl_jax.data.scales import Scales
from omgrl_jax.data.space import Space
from omgrl_jax.envs import stays
from omgrl_jax.evaluation import simulation
from omgrl_jax.types import Array, Params, Policy, Transition


class Came(NamedTuple):
    """What came of N new patients.

    Attributes:
      steps: leaves [H, N, ...], as rollouts are.
      died: [N] bool; None where the simulator knows no death.
    """

    steps: Transition
    died: np.ndarray | None


class TrueWorld(NamedTuple):
    """A simulator.

    Attributes:
      treated: `(policy, params, seed) -> Came`, the same patients for every policy of a
        seed.
      by_clinicians: `(seed) -> Came`, the same patients under those who made the data.
    """

    treated: Callable[[Policy, Params, int], Came]
    by_clinicians: Callable[[int], Came]


def of(config: RunConfig, task: Task) -> TrueWorld | None:
    """The simulator that made a dataset; None where none of ours did.

    Args:
      config: how many patients, and for how long where stays have no end of their own.
      task: the task.
    """
    if sepsis_truth.known(task):
        return _sepsis(config, task)
    if truth.known(task):
        return _heparin(config, task)
    return None


def _sepsis(config: RunConfig, task: Task) -> TrueWorld:
    def came(treated: sepsis_truth.stays.Stays) -> Came:
        steps = sepsis_truth.as_rollouts(task, treated)
        return Came(steps, np.asarray(treated.died))

    def treated(policy: Policy, params: Params, seed: int) -> Came:
        patients = config.patients
        return came(sepsis_truth.treated(task, policy, params, seed, patients))

    def by_clinicians(seed: int) -> Came:
        return came(sepsis_truth.reference_stays(task, seed, config.patients))

    return TrueWorld(treated, by_clinicians)


def _heparin(config: RunConfig, task: Task) -> TrueWorld:
    place = ward.of(task, config.hours)
    edges = jnp.asarray(task.schema.actions.edges)

    def admitted(seed: int) -> stays.Admitted:
        shifted = config.shifted_patients
        return ward.admit(config, task, seed, truth.TREATMENT, shifted)

    def came(treated: stays.Stays) -> Came:
        return Came(_as_rollouts(task.space, task.scales, edges, treated), None)

    def by_policy(policy: Policy, params: Params, seed: int) -> Came:
        given = task.scales, params, False, admitted(seed)
        return came(ward.treat(place, task.space, policy, *given))

    def by_clinicians(seed: int) -> Came:
        given = task.scales, edges, admitted(seed)
        return came(ward.treat_by_reference(place, "clinicians", *given))

    return TrueWorld(by_policy, by_clinicians)


@functools.partial(jax.jit, static_argnums=0)
def _as_rollouts(
    space: Space, scales: Scales, edges: Array, treated: stays.Stays
) -> Transition:
    """Stays as rollouts: states as they are recorded, outcomes as they truly were."""
    amounts = treated.orders.total
    observe = functools.partial(simulation.recorded_states, space, scales)
    states = jax.vmap(observe)(treated.observations, amounts)
    # The first channel is the aPTT, of which the simulator knows the truth.
    values = (
        treated.observations.channel_value[:, 1:].at[..., 0].set(treated.truth.aptt)
    )
    steps = Transition(
        states[:, :-1],
        simulation.dose_bins(edges, amounts),
        states[:, 1:],
        scales.channel.apply(values),
        jnp.ones(amounts.shape),
        jnp.zeros(amounts.shape),
    )
    return jax.tree.map(lambda x: jnp.swapaxes(x, 0, 1), steps)

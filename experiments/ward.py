"""New virtual patients and the compiled treatments that wait for them.

A simulated hour takes seconds to compile. Here each kind of policy is compiled once:
whatever its parameters, whether drawn from or greedy, whoever the patients are.
"""

import functools
from typing import NamedTuple

import jax

from experiments.config import RunConfig
from experiments.task import Task
from experiments.truth import evaluation_key, population, target
from omgrl_jax.data.scales import Scales
from omgrl_jax.data.space import Space
from omgrl_jax.envs import clinicians, heparin, stays
from omgrl_jax.evaluation import simulation
from omgrl_jax.types import Array, Params, Policy

REFERENCES = ("clinicians", "clinicians_binned", "oracle")


class Ward(NamedTuple):
    """What a compiled treatment depends on beside arrays. Hashable.

    Attributes:
      physiology: what happens to patients; `population.shifted` leaves it alone.
      practice: how clinicians dose.
      target: therapeutic range, s.
      hours: length of each stay.
    """

    physiology: heparin.PatientDistribution
    practice: clinicians.Practice
    target: tuple[float, float]
    hours: int


def of(task: Task, hours: int) -> Ward:
    """The ward of a dataset's simulator, for stays of so many hours."""
    usual, practice = population(task, shifted=False)
    return Ward(usual, practice, target(task), hours)


def admit(
    config: RunConfig, task: Task, seed: int, purpose: int, shifted: bool
) -> stays.Admitted:
    """New patients: the same ones for every policy of a seed and purpose.

    Args:
      config: how many, among others.
      task: the task.
      seed: the seed.
      purpose: what they are for, such as `truth.TREATMENT`.
      shifted: whether they are older and heavier with renal impairment.

    Returns:
      The patients.
    """
    distribution, _ = population(task, shifted)
    return _admit(distribution, evaluation_key(seed, purpose), config.patients)


_admit = jax.jit(stays.admit, static_argnums=(0, 2))


@functools.partial(jax.jit, static_argnames=("ward", "space", "policy"))
def treat(
    ward: Ward,
    space: Space,
    policy: Policy,
    scales: Scales,
    params: Params,
    greedy: bool | Array,
    admitted: stays.Admitted,
) -> stays.Stays:
    """Patients under a policy over states.

    Args:
      ward: the ward.
      space: of the policy's states.
      policy: the policy.
      scales: the training scales.
      params: its parameters.
      greedy: [] bool, the likeliest dose instead of a drawn one.
      admitted: the patients, who may be treated again by others.

    Returns:
      Their stays.
    """
    dosing = simulation.learned_policy(space, scales, policy.log_probs, params, greedy)
    return stays.treat(ward.physiology, dosing, stays.again(admitted), ward.hours)


@functools.partial(jax.jit, static_argnames=("ward", "name"))
def treat_by_reference(
    ward: Ward, name: str, scales: Scales, edges: Array, admitted: stays.Admitted
) -> stays.Stays:
    """Patients under one of `REFERENCES`.

    Args:
      ward: the ward.
      name: which reference.
      scales: the training scales, with the dose of each bin.
      edges: [A - 1] upper edges of the bins.
      admitted: the patients, who may be treated again by others.

    Returns:
      Their stays.

    Raises:
      ValueError: on another name.
    """
    if name not in REFERENCES:
        raise ValueError(f"{name} is none of {', '.join(REFERENCES)}")
    doctors = stays.clinician_policy(ward.practice)
    amounts = scales.amounts
    if name == "clinicians_binned":
        doctors = simulation.binned(doctors, edges, amounts)
    elif name == "oracle":
        doctors = simulation.oracle(ward.physiology, amounts, *ward.target)
    return stays.treat(ward.physiology, doctors, stays.again(admitted), ward.hours)

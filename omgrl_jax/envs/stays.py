"""Whole stays of many virtual patients under any policy, in one compiled scan."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from omgrl_jax.envs import clinicians, heparin
from omgrl_jax.envs.clinicians import Order, Practice
from omgrl_jax.envs.heparin import PatientDistribution
from omgrl_jax.types import Array, Key


class Policy(NamedTuple):
    """A way of dosing one patient.

    Attributes:
      reset: (key, observation) -> policy state.
      act: (policy state, key, observation, patient) -> (policy state, Order).
        `patient` is the simulator's state, there for oracles only; an honest
        policy leaves it alone.
    """

    reset: Callable[[Key, heparin.Observation], Any]
    act: Callable[
        [Any, Key, heparin.Observation, heparin.PatientState],
        tuple[Any, Order],
    ]


class Stays(NamedTuple):
    """N stays of H hours.

    Attributes:
      observations: `Observation` of arrays [N, H + 1, ...], the last state kept.
      panel_measured: [N, H + 1] bool, new laboratory panel (not the aPTT).
      orders: `Order` of arrays [N, H].
      truth: `Truth` of arrays [N, H], at the END of each hour.
    """

    observations: heparin.Observation
    panel_measured: Array
    orders: Order
    truth: heparin.Truth


class Admitted(NamedTuple):
    """N patients before their first dose.

    Attributes:
      patient: `PatientState` of arrays [N, ...].
      observation: what is known of them, [N, ...].
      policy_key: [N] keys for the start of a policy.
      run_key: [N] keys for the hours of the stay.
    """

    patient: heparin.PatientState
    observation: heparin.Observation
    policy_key: Key
    run_key: Key


def clinician_policy(practice: Practice) -> Policy:
    """Clinicians who dose by `practice`."""

    def act(state, key, observation, patient):
        state, order = clinicians.clinician_dose(practice, state, key, observation)
        if practice.insight == 0.0:
            return state, order
        known = jnp.exp(practice.insight * patient.patient.log_clearance)
        return state, Order(order.infusion * known, order.bolus * known)

    return Policy(
        reset=functools.partial(clinicians.clinician_reset, practice), act=act
    )


def admit(config: PatientDistribution, key: Key, n_patients: int) -> Admitted:
    """New patients before their first dose. Jit with all but `key` static.

    Args:
      config: the population.
      key: consumed. Patient i depends on the key and on i, not on `n_patients`.
      n_patients: N.

    Returns:
      The patients.
    """

    def one(patient_key: Key) -> Admitted:
        reset_key, policy_key, run_key = jax.random.split(patient_key, 3)
        return Admitted(*heparin.reset(config, reset_key), policy_key, run_key)

    return jax.vmap(one)(jax.random.split(key, n_patients))


def again(admitted: Admitted) -> Admitted:
    """The same patients for another policy: their keys count as never consumed."""
    return admitted._replace(
        policy_key=jax.random.clone(admitted.policy_key),
        run_key=jax.random.clone(admitted.run_key),
    )


def treat(
    config: PatientDistribution, policy: Policy, admitted: Admitted, hours: int
) -> Stays:
    """Runs `policy` on patients. Jit with all but `admitted` static.

    Args:
      config: the physiology. Populations that differ only in who is admitted, such as
        `population.shifted`, may be treated by one compiled function.
      policy: how each patient is dosed.
      admitted: N patients; their keys are consumed.
      hours: H.

    Returns:
      The stays. For the same patients, their noise is the same under every policy, so
      that policies can be compared in pairs.
    """

    def hour(patient, observation, policy_state, run_key):
        run_key, step_key, policy_key = jax.random.split(run_key, 3)
        policy_state, order = policy.act(policy_state, policy_key, observation, patient)
        patient, observation, truth = heparin.step(
            config, patient, step_key, order.infusion, order.bolus
        )
        return (patient, observation, policy_state, run_key), order, truth

    def scanned(carry, _):
        carry, order, truth = jax.vmap(hour)(*carry)
        return carry, (carry[1], carry[0].panel_measured, order, truth)

    seen = admitted.observation
    states = jax.vmap(policy.reset)(admitted.policy_key, seen)
    first = (admitted.patient, seen, states, admitted.run_key)
    _, (observations, panels, orders, truth) = jax.lax.scan(
        scanned, first, None, length=hours
    )

    def with_first(head, tail):
        return jnp.swapaxes(jnp.concatenate([head[None], tail]), 0, 1)

    swap = functools.partial(jax.tree.map, lambda x: jnp.swapaxes(x, 0, 1))
    return Stays(
        observations=jax.tree.map(with_first, first[1], observations),
        panel_measured=with_first(first[0].panel_measured, panels),
        orders=swap(orders),
        truth=swap(truth),
    )


def simulate_policy(
    config: PatientDistribution,
    policy: Policy,
    key: Key,
    n_patients: int,
    hours: int,
) -> Stays:
    """`treat` for patients that `admit` draws. Jit with all but `key` static."""
    return treat(config, policy, admit(config, key, n_patients), hours)


@functools.partial(jax.jit, static_argnums=(0, 1, 3, 4))
def simulate(
    config: PatientDistribution,
    practice: Practice,
    key: Key,
    n_patients: int,
    hours: int,
) -> Stays:
    """`simulate_policy` for clinicians; compiled once for each configuration."""
    return simulate_policy(config, clinician_policy(practice), key, n_patients, hours)

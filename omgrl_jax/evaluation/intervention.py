"""The intervention test: does the model know what a dose does?

Observational error hides confounding by indication. So hold each dose for some hours
from states that were reached under clinicians, in the model and in the truth, and
compare the aPTT at the end.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from scipy import stats

from omgrl_jax.data.scales import Scales
from omgrl_jax.data.space import Space
from omgrl_jax.envs import clinicians, heparin
from omgrl_jax.evaluation import simulation
from omgrl_jax.types import Array, Dynamics, Key, Params


class Cases(NamedTuple):
    """Patients in the middle of their treatment.

    Attributes:
      states: [N, S] standardised states.
      patients: the simulator's states, leaves [N, ...].
      doses: [N] what the clinician gives next, U in the hour.
    """

    states: Array
    patients: heparin.PatientState
    doses: Array


class Test(NamedTuple):
    """aPTT after holding each dose, and what follows from it.

    Attributes:
      doses: [A] doses held.
      model: [N, A] predicted aPTT, s.
      truth: [N, A] true aPTT, s.
      slope_model: mean slope of log aPTT per 1000 U/h in the model.
      slope_truth: the same in truth.
      ratio: their quotient.
      rank: Spearman correlation of model and truth over doses, mean over states.
      rank_all: over all pairs of state and dose.
      monotone: share of neighbouring doses whose predictions rise with the dose.
    """

    doses: np.ndarray
    model: np.ndarray
    truth: np.ndarray
    slope_model: float
    slope_truth: float
    ratio: float
    rank: float
    rank_all: float
    monotone: float


def cases(
    config: heparin.PatientDistribution,
    practice: clinicians.Practice,
    space: Space,
    scales: Scales,
    key: Key,
    patients: int,
    hours: int = 18,
) -> Cases:
    """New patients after some hours under clinicians.

    Args:
      config: the population.
      practice: how clinicians dose.
      space: the task.
      scales: the training scales.
      key: consumed.
      patients: number of patients `N`.
      hours: hours under clinicians before the test.

    Returns:
      The cases.
    """

    def one(key: Key) -> Cases:
        reset_key, clinician_key, run_key, last_key = jax.random.split(key, 4)
        patient, seen = heparin.reset(config, reset_key)
        clinician = clinicians.clinician_reset(practice, clinician_key, seen)
        observer = simulation.start_observer(space, seen)

        def hour(carry: tuple, _: None) -> tuple[tuple, None]:
            patient, seen, clinician, observer, key = carry
            key, order_key, step_key = jax.random.split(key, 3)
            tracked = simulation.observe(space, scales, observer, seen)[1]
            clinician, order = clinicians.clinician_dose(
                practice, clinician, order_key, seen
            )
            patient, seen = heparin.step(
                config, patient, step_key, order.infusion, order.bolus
            )[:2]
            observer = simulation.Observer(
                tracked, jnp.float32(order.total), jnp.bool_(False)
            )
            return (patient, seen, clinician, observer, key), None

        start = (patient, seen, clinician, observer, run_key)
        (patient, seen, clinician, observer, _), _ = jax.lax.scan(
            hour, start, None, length=hours
        )
        state, _ = simulation.observe(space, scales, observer, seen)
        _, order = clinicians.clinician_dose(practice, clinician, last_key, seen)
        return Cases(state, patient, order.total)

    return jax.jit(jax.vmap(one))(jax.random.split(key, patients))


def run(
    config: heparin.PatientDistribution,
    dynamics: Dynamics,
    params: Params,
    scales: Scales,
    cases: Cases,
    channel: int = 0,
    hours: int = 6,
) -> Test:
    """Holds every dose from every case.

    Args:
      config: the population.
      dynamics: the learned world.
      params: its parameters.
      scales: the training scales.
      cases: where to start.
      channel: index of the aPTT among the channels.
      hours: hours for which a dose is held.

    Returns:
      The test.
    """
    doses = scales.amounts

    @jax.jit
    def predicted(params: Params, states: Array, action: Array) -> Array:
        actions = jnp.full(states.shape[0], action, jnp.int32)

        def step(states: Array, _: None) -> tuple[Array, Array]:
            out = dynamics.mean(params, states, actions)
            return out.state, out.outcome

        _, outcome = jax.lax.scan(step, states, None, length=hours)
        return scales.channel.invert(outcome[-1])[:, channel]

    @jax.jit
    def true(patients: heparin.PatientState, dose: Array) -> Array:
        def one(patient: heparin.PatientState) -> Array:
            return heparin.true_aptt_after(config, patient, dose, hours)[-1]

        return jax.vmap(one)(patients)

    actions = range(doses.shape[0])
    model = np.stack([predicted(params, cases.states, jnp.int32(a)) for a in actions])
    truth = np.stack([true(cases.patients, doses[a]) for a in actions])
    return summarise(np.asarray(doses), model.T, truth.T)


def as_reported(test: Test, limit: float) -> Test:
    """The test on values as a laboratory reports them, up to its limit.

    Args:
      test: the test on unlimited values.
      limit: the largest value reported, s.

    Returns:
      The test; beyond the limit no record says anything about the size of an overdose.
    """
    return summarise(
        test.doses, np.minimum(test.model, limit), np.minimum(test.truth, limit)
    )


def summarise(doses: np.ndarray, model: np.ndarray, truth: np.ndarray) -> Test:
    """Slope, rank and monotonicity.

    Args:
      doses: [A] doses held, U/h.
      model: [N, A] predicted aPTT, s.
      truth: [N, A] true aPTT, s.

    Returns:
      The test.
    """
    centred = (doses - doses.mean()) / 1000.0

    def slope(aptt: np.ndarray) -> float:
        return float(np.mean(np.log(aptt) @ centred / np.sum(centred**2)))

    ranks = [rank_correlation(m, t) for m, t in zip(model, truth, strict=True)]
    slope_model, slope_truth = slope(model), slope(truth)
    return Test(
        doses=doses,
        model=model,
        truth=truth,
        slope_model=slope_model,
        slope_truth=slope_truth,
        ratio=slope_model / slope_truth,
        rank=float(np.mean(ranks)),
        rank_all=rank_correlation(model.ravel(), truth.ravel()),
        monotone=float(np.mean(np.diff(model, axis=1) > 0)),
    )


def rank_correlation(a: np.ndarray, b: np.ndarray) -> float:
    """Spearman's correlation of [K] and [K]; zero where one of them is constant."""
    return float(rank_correlations(a, b[None])[0])


def rank_correlations(a: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Spearman's correlation of [K] with each row of [N, K], [N]; ties share ranks."""
    centred = [
        ranks - ranks.mean(axis=-1, keepdims=True)
        for ranks in (stats.rankdata(a), stats.rankdata(rows, axis=1))
    ]
    sizes = np.sqrt(np.sum(centred[0] ** 2) * np.sum(centred[1] ** 2, axis=1))
    products = centred[1] @ centred[0]
    return np.divide(products, sizes, out=np.zeros_like(products), where=sizes > 0)

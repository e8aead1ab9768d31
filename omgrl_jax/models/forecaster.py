"""Who foresees the channel: models that get to know their patient, and others.

A forecaster is an outcome model with a memory of one patient. The memory starts without
any draw and changes with each; what it says depends on nothing but earlier draws.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax

from omgrl_jax.data.scales import Scales
from omgrl_jax.models.outcome import Outcomes
from omgrl_jax.models.personal_outcome import Member, PersonalOutcome
from omgrl_jax.ops.belief import Belief
from omgrl_jax.types import Array, Params


class Draw(NamedTuple):
    """A measurement and the step at whose end it became known.

    Attributes:
      state: [S] standardised state at the start of the step.
      amount: [] dose of the step, raw.
      value: [] standardised measurement.
      censored: [] bool, it is a lower bound.
    """

    state: Array
    amount: Array
    value: Array
    censored: Array


class Forecaster(NamedTuple):
    """An outcome model with a memory of one patient.

    Attributes:
      outcomes: outcome networks of one member.
      start: `(params) -> memory` before the first draw.
      learn: `(scales, params, memory, Draw) -> memory` after a draw.
      members: `(params, memory) -> parameters of `outcomes`, leaves [M, ...]`.
    """

    outcomes: Outcomes
    start: Callable[[Params], Any]
    learn: Callable[[Scales, Params, Any, Draw], Any]
    members: Callable[[Params, Any], Params]


class PersonalParams(NamedTuple):
    """M members of a personal forecaster.

    Attributes:
      shared: parameters of the networks, leaves [M, ...].
      prior: what is believed of a patient's factors before any draw, leaves [M, ...].
      population: outcome networks of all patients, leaves [M, ...].
    """

    shared: Params
    prior: Belief
    population: Params


def unaware(outcomes: Outcomes) -> Forecaster:
    """The population's model, which knows a patient by the state alone.

    Its parameters are those of `outcomes`, leaves [M, ...].
    """
    return Forecaster(
        outcomes=outcomes,
        start=lambda params: (),
        learn=lambda scales, params, memory, draw: memory,
        members=lambda params, memory: params,
    )


def personal(model: PersonalOutcome) -> Forecaster:
    """Each member's belief of the patient's factors, corrected by every draw.

    Its parameters are `PersonalParams`.
    """

    def learn(
        scales: Scales, params: PersonalParams, memory: Belief, draw: Draw
    ) -> Belief:
        def member(shared: Params, belief: Belief) -> Belief:
            return model.learn(scales, shared, belief, *draw)

        return jax.vmap(member)(params.shared, memory)

    return Forecaster(
        outcomes=model.outcomes,
        start=lambda params: params.prior,
        learn=learn,
        members=lambda params, memory: Member(params.shared, memory, params.population),
    )


def average(model: PersonalOutcome) -> Forecaster:
    """The same model, with the average factors for everyone, as sure as of its own.

    The covariance follows the draws as `personal` does: the two differ in the mean
    alone, not in how careful plans are.
    """
    own = personal(model)

    def members(params: PersonalParams, memory: Belief) -> Member:
        return own.members(params, Belief(params.prior.mean, memory.covariance))

    return own._replace(members=members)

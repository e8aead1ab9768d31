"""Is the learned reward more than imitation? How it ranks doses, and its regret."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from omgrl_jax.envs import heparin
from omgrl_jax.evaluation.intervention import Cases, rank_correlation
from omgrl_jax.ops import clinical
from omgrl_jax.types import Array, Dynamics, Params, Transition


class Alignment(NamedTuple):
    """Spearman correlations of a score with the true reward of the coming hours.

    Attributes:
      within_state: over the doses of one state, mean over states.
      all_pairs: over all pairs of state and dose.
      recorded_pairs: over the pairs that clinicians chose.
    """

    within_state: float
    all_pairs: float
    recorded_pairs: float


def true_reward(
    config: heparin.PatientDistribution,
    cases: Cases,
    doses: Array,
    low: float,
    high: float,
    hours: int = 6,
) -> np.ndarray:
    """True mean r_p of the next hours under each held dose, [N, A]."""

    @jax.jit
    def run(patients: heparin.PatientState, doses: Array) -> Array:
        def one(patient: heparin.PatientState) -> Array:
            def held(dose: Array) -> Array:
                aptt = heparin.true_aptt_after(config, patient, dose, hours)
                return jnp.mean(clinical.range_reward(aptt, low, high))

            return jax.vmap(held)(doses)

        return jax.vmap(one)(patients)

    return np.asarray(run(cases.patients, doses))


def reward_table(
    reward: Callable[[Params, Transition], Array],
    reward_params: Params,
    dynamics: Dynamics,
    world_params: Params,
    states: Array,
    num_actions: int,
) -> tuple[np.ndarray, np.ndarray]:
    """r_psi of every action in every state.

    Args:
      reward: `(params, transitions [...]) -> [...]`.
      reward_params: its parameters.
      dynamics: the world, which completes state and action to a transition.
      world_params: its parameters.
      states: [N, S].
      num_actions: `A`.

    Returns:
      Rewards [N, A] and standardised predicted channels [N, A, C].
    """

    @jax.jit
    def column(
        reward_params: Params, world_params: Params, states: Array, action: Array
    ) -> tuple[Array, Array]:
        actions = jnp.full(states.shape[0], action, jnp.int32)
        step = dynamics.mean(world_params, states, actions)
        ones = jnp.ones(states.shape[0])
        transitions = Transition(
            states, actions, step.state, step.outcome, ones, jnp.zeros_like(ones)
        )
        return reward(reward_params, transitions), step.outcome

    columns = [
        column(reward_params, world_params, states, jnp.int32(a))
        for a in range(num_actions)
    ]
    rewards = np.stack([np.asarray(c[0]) for c in columns], axis=1)
    return rewards, np.stack([np.asarray(c[1]) for c in columns], axis=1)


def correlate(scores: np.ndarray, truth: np.ndarray, chosen: np.ndarray) -> Alignment:
    """Rank correlations.

    Args:
      scores: [N, A] what is judged (r_psi, or log mu).
      truth: [N, A] true reward.
      chosen: [N] the clinicians' actions.

    Returns:
      The correlations; a constant row counts as zero.
    """
    rows = np.arange(chosen.size)
    return Alignment(
        within_state=float(
            np.mean(
                [rank_correlation(a, b) for a, b in zip(scores, truth, strict=True)]
            )
        ),
        all_pairs=rank_correlation(scores.ravel(), truth.ravel()),
        recorded_pairs=rank_correlation(scores[rows, chosen], truth[rows, chosen]),
    )


def regret(scores: np.ndarray, truth: np.ndarray) -> float:
    """True reward that is lost where the action with the highest score is taken.

    Mean over states of the best true reward less that of the score's best action.
    Actions that share the highest score are taken alike often: a score without an
    opinion costs what random doses cost.

    Args:
      scores: [N, A] what is judged (r_psi, or log mu).
      truth: [N, A] true reward.

    Returns:
      The loss, zero where every state's best action is found.
    """
    highest = scores == scores.max(axis=1, keepdims=True)
    taken = np.sum(highest * truth, axis=1) / np.sum(highest, axis=1)
    return float(np.mean(truth.max(axis=1) - taken))

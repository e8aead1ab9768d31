"""Exact values of policies where the process is a table.

The value of a policy solves a linear system, the optimum is found by policy iteration:
no sampling, no discounting unless wanted. numpy in float64, like the tables.
"""

import numpy as np

from omgrl_jax.envs.tabular import Process
from omgrl_jax.types import Array

# A change of policy must promise more than rounding, or ties could swap for ever.
_LEAST_GAIN = 1e-10


def state_values(
    process: Process, policy: np.ndarray | Array, discount: float = 1.0
) -> np.ndarray:
    """Solves `V = r_pi + discount P_pi V`, the Bellman equation of a policy.

    Args:
      process: the process.
      policy: [S, A] probabilities of the actions.
      discount: discount factor; with 1 every episode has to end sooner or later.

    Returns:
      [S] expected (discounted) return from each state; zero where an episode is over.

    Raises:
      ValueError: if the policy has another shape than the process.
      numpy.linalg.LinAlgError: without a discount, if some episode never ends.
    """
    rewards = np.broadcast_to(process.rewards, process.transitions.shape)
    expected = np.einsum("sat,sat->sa", process.transitions, rewards)
    return _solve(process, policy, expected, discount)


def value(process: Process, policy: np.ndarray | Array, discount: float = 1.0) -> float:
    """Expected return of a policy over the first states.

    Args:
      process: the process.
      policy: [S, A] probabilities of the actions.
      discount: discount factor, as in `state_values`.

    Returns:
      The value.
    """
    return float(process.start @ state_values(process, policy, discount))


def episode_length(process: Process, policy: np.ndarray | Array) -> float:
    """Expected number of steps of an episode under a policy [S, A]."""
    steps = process.transitions.sum(axis=-1)
    return float(process.start @ _solve(process, policy, steps, 1.0))


def optimum(process: Process, discount: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Finds an optimal policy by policy iteration, from the uniform one.

    Without a discount the uniform policy has to end every episode and rewards have to
    be such that not ending one never pays; a state changes its action only for a real
    gain, so that the policies in between end their episodes too.

    Args:
      process: the process.
      discount: discount factor.

    Returns:
      The policy [S, A], one-hot where an action is better than drawing uniformly, and
      its values [S].
    """
    actions = process.transitions.shape[1]
    rewards = np.broadcast_to(process.rewards, process.transitions.shape)
    expected = np.einsum("sat,sat->sa", process.transitions, rewards)
    policy = np.full(expected.shape, 1.0 / actions)
    while True:
        values = _solve(process, policy, expected, discount)
        q = expected + discount * process.transitions @ values
        better = q.max(axis=1) > values + _LEAST_GAIN
        if not better.any():
            return policy, values
        policy[better] = np.eye(actions)[q[better].argmax(axis=1)]


def _solve(
    process: Process,
    policy: np.ndarray | Array,
    expected: np.ndarray,
    discount: float,
) -> np.ndarray:
    """Values [S] of a policy under expected rewards [S, A]."""
    policy = np.asarray(policy, np.float64)
    if policy.shape != expected.shape:
        raise ValueError(f"policy {policy.shape}, the process has {expected.shape}")
    moves = np.matmul(policy[:, None, :], process.transitions)[:, 0]
    gains = np.sum(policy * expected, axis=1)
    return np.linalg.solve(np.eye(gains.size) - discount * moves, gains)

"""Inverse soft Q-learning of one transition (IQ-Learn, arXiv 2106.12142).

With discrete actions a table of action values `q` is a policy, `softmax(q / alpha)`,
and a reward at once: the inverse soft Bellman operator (Section 4) gives the one
reward under which `q` is soft-optimal. What is maximised over `q` is

    E_expert[phi(r_t)] - E[v_tm1 - discount_t v_t],
    r_t = q_tm1[a_tm1] - discount_t v_t,

where over the discounted steps of any one policy the second term telescopes to
`(1 - discount) E[v_0]`, `v_0` the values of first states (Section 5). Names carry time:
`q_tm1` belongs to the state left, `v_t` to the state entered.
"""

import chex
import jax
import jax.numpy as jnp

from omgrl_jax.types import Array


def soft_maximum(q: Array, temperature: Array | float) -> Array:
    """Value of a state under the policy `softmax(q / temperature)`, entropy included.

    Args:
      q: [A] action values.
      temperature: [] entropy coefficient alpha, above zero.

    Returns:
      [] `temperature * logsumexp(q / temperature)`, for small temperatures `max q`.
    """
    chex.assert_rank(q, 1)
    return temperature * jax.nn.logsumexp(q / temperature)


def implied_reward(q_tm1: Array, a_tm1: Array, discount_t: Array, v_t: Array) -> Array:
    """The reward of which `q` is the solution, `q_tm1[a_tm1] - discount_t v_t`.

    Args:
      q_tm1: [A] values of the state left.
      a_tm1: [] action taken.
      discount_t: [] discount times continuation: a final state has value zero.
      v_t: [] value of the state entered.

    Returns:
      [] reward of the step.
    """
    chex.assert_rank([q_tm1, a_tm1, discount_t, v_t], [1, 0, 0, 0])
    return q_tm1[a_tm1] - discount_t * v_t


def regularised(reward: Array, strength: float) -> Array:
    """`phi(r) = r - r^2 / (4 strength)`: the chi^2 divergence (Section 5).

    Args:
      reward: [] implied reward of an expert's step.
      strength: weight of the divergence: large for experts who are to be matched
        however large the rewards this takes.

    Returns:
      [] phi, largest at `2 strength`.
    """
    chex.assert_rank(reward, 0)
    return reward - jnp.square(reward) / (4.0 * strength)

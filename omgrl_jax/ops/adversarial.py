"""A discriminator made of a reward and a potential (AIRL, arXiv 1710.11248).

It tells the experts' steps from the policy's with

    D = exp f / (exp f + pi(a | s)),    f = g + discount h(s') - h(s)   (Eq. 4),

so that `f = log pi` is no evidence at all and, where the policy has become the expert,
`g` is the reward up to a constant if it depends on states alone and moves are
deterministic (Section 6). One step of experience; names carry time: `h_tm1` belongs to
the state left, `h_t` to the state entered.
"""

import chex
import jax

from omgrl_jax.types import Array


def shaped_reward(g_t: Array, h_tm1: Array, h_t: Array, discount_t: Array) -> Array:
    """`f = g_t + discount_t h_t - h_tm1` (Eq. 4): a reward and its shaping.

    Args:
      g_t: [] reward of the step.
      h_tm1: [] potential of the state left.
      h_t: [] potential of the state entered.
      discount_t: [] discount times continuation.

    Returns:
      [] f.
    """
    chex.assert_rank([g_t, h_tm1, h_t, discount_t], 0)
    return g_t + discount_t * h_t - h_tm1


def evidence(f_t: Array, log_prob: Array) -> Array:
    """`log D - log(1 - D) = f - log pi(a | s)`, in nats for the expert.

    Args:
      f_t: [] shaped reward of the step.
      log_prob: [] log-probability of its action under the current policy.

    Returns:
      [] the logit of the discriminator, and the reward of Algorithm 1.
    """
    chex.assert_rank([f_t, log_prob], 0)
    return f_t - log_prob


def expert_loss(logit: Array) -> Array:
    """`-log D` of an expert's step, from its logit []; never `log` of a rounded D."""
    chex.assert_rank(logit, 0)
    return jax.nn.softplus(-logit)


def policy_loss(logit: Array) -> Array:
    """`-log(1 - D)` of a step of the policy, from its logit []."""
    chex.assert_rank(logit, 0)
    return jax.nn.softplus(logit)

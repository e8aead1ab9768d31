"""Value losses of one transition with discrete actions.

Names carry time: `q_tm1` are the values of the state left, `q_t` those of the state
entered, `r_t` and `discount_t` belong to the step between them.
"""

import chex
import jax
import jax.numpy as jnp

from omgrl_jax.types import Array


def soft_value(q: Array, log_probs: Array, temperature: Array) -> Array:
    """Soft state value in closed form, `sum_a pi(a) (q(a) - temperature log pi(a))`.

    Args:
      q: [A] action values.
      log_probs: [A] normalised log-probabilities of the policy.
      temperature: [] entropy coefficient.

    Returns:
      [] value (Haarnoja et al. 2018 Eq. 3; Christodoulou 2019 for discrete actions).
    """
    chex.assert_rank([q, log_probs], 1)
    chex.assert_equal_shape([q, log_probs])
    return jnp.sum(jnp.exp(log_probs) * (q - temperature * log_probs))


def td_error(
    q_tm1: Array, a_tm1: Array, r_t: Array, discount_t: Array, v_t: Array
) -> Array:
    """`r_t + discount_t v_t - q_tm1[a_tm1]`, the target held constant.

    Args:
      q_tm1: [A] values of the state left.
      a_tm1: [] action taken.
      r_t: [] reward.
      discount_t: [] discount times continuation.
      v_t: [] value of the state entered.

    Returns:
      [] temporal difference error.
    """
    chex.assert_rank([q_tm1, a_tm1, r_t, discount_t, v_t], [1, 0, 0, 0, 0])
    target = jax.lax.stop_gradient(r_t + discount_t * v_t)
    return target - q_tm1[a_tm1]


def push_down_logsumexp(q: Array, log_probs: Array) -> Array:
    """`logsumexp_a q(a)`: the CQL(H) push-down; ignores the policy.

    Together with the push-up `-q(a_data)` its gradient with respect to `q` is
    `softmax(q) - onehot(a_data)` (Kumar et al. 2020, Eq. 4).
    """
    chex.assert_rank([q, log_probs], 1)
    return jax.nn.logsumexp(q)


def push_down_policy(q: Array, log_probs: Array) -> Array:
    """`E_pi[q]` as a closed sum: the push-down of arXiv 2409.13299, Eq. 5."""
    chex.assert_rank([q, log_probs], 1)
    return jnp.sum(jax.lax.stop_gradient(jnp.exp(log_probs)) * q)


PUSH_DOWN = {"logsumexp": push_down_logsumexp, "policy": push_down_policy}

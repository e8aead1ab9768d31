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


def best_action(q: Array, allowed: Array) -> Array:
    """The action of largest value among those allowed, `argmax_a q(a)`.

    Args:
      q: [A] action values.
      allowed: [A] bool, true at least once.

    Returns:
      [] int32 action.
    """
    chex.assert_rank([q, allowed], 1)
    chex.assert_equal_shape([q, allowed])
    return jnp.argmax(jnp.where(allowed, q, -jnp.inf)).astype(jnp.int32)


def double_q_value(q_t: Array, selector_t: Array, allowed_t: Array) -> Array:
    """`q_t[argmax_a selector_t[a]]`: one network chooses, another one judges.

    Args:
      q_t: [A] values of the state entered by the slowly moving network.
      selector_t: [A] values of the same state by the network that learns.
      allowed_t: [A] bool, the actions to choose among, true at least once.

    Returns:
      [] value (van Hasselt et al. 2016; with actions ruled out, Fujimoto et al. 2019,
      arXiv 1910.01708).
    """
    chex.assert_equal_shape([q_t, selector_t, allowed_t])
    return q_t[best_action(selector_t, allowed_t)]


def dueling(v: Array, advantages: Array) -> Array:
    """`v + advantages - mean(advantages)`: action values of two streams.

    The mean makes the split unique (Wang et al. 2016, arXiv 1511.06581, Eq. 9).

    Args:
      v: [] state value.
      advantages: [A], known up to a constant.

    Returns:
      [A] action values, whose mean is `v`.
    """
    chex.assert_rank([v, advantages], [0, 1])
    return v + advantages - jnp.mean(advantages)


def expectile_loss(error: Array, expectile: float) -> Array:
    """`|expectile - 1(error < 0)| error^2` (Kostrikov et al. 2022, Sec. 4.1).

    Args:
      error: [] target minus estimate, differentiated.
      expectile: between 0 and 1; at .5 the estimate tends to the targets' mean, towards
        1 to the largest of them.

    Returns:
      [] loss.
    """
    chex.assert_rank(error, 0)
    weight = jnp.where(error < 0, 1.0 - expectile, expectile)
    return weight * jnp.square(error)


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

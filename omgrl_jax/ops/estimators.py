"""Off-policy estimators: the value of one policy from trajectories of another.

`N` trajectories are padded to `T` steps. With `rho_t` the product of the ratios
`pi(a_k|s_k) / mu(a_k|s_k)` up to and including step t, an estimator weights trajectory
i at step t by `w_t` and sums over trajectories and steps:

  reward terms   gamma^t w_t r_t
  robust terms   gamma^t (w_t (r_t - Q(s_t, a_t)) + w_{t-1} V(s_t))

  is, wis        reward terms, the weight of the last step at every step
  pdis, pdwis    reward terms, the weight of each step (Precup et al. 2000)
  dr, wdr        robust terms (Jiang and Li 2016 Eq. 10; Thomas and Brunskill 2016)
  fqe            V of the first state alone, no weights: the direct method

`is`, `pdis` and `dr` weight by `rho_t / N`, which is unbiased; `wis`, `pdwis` and `wdr`
by `rho_t / sum_i rho_t`, which is not but varies far less. Before the first step every
trajectory has the weight `1 / N`. After a trajectory has ended its ratio is held and
its reward, Q and V are zero: it keeps its place in the sums, as what it was worth.

Every function takes how often each trajectory counts (`counts`, [N]), so that a
bootstrap is a map over vectors of counts. Products of ratios stay in log space until
they are normalised. Where no trajectory follows the policy at all (every ratio zero)
the normalised weights do not exist and are NaN.
"""

from collections.abc import Callable
from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp

from omgrl_jax.types import Array, Key


class Log(NamedTuple):
    """Logged trajectories with what the estimators need to know of the policies.

    Attributes:
      rewards: [N, T].
      log_ratios: [N, T] `log pi(a|s) - log mu(a|s)` of the actions taken; -inf where
        the policy never takes the action.
      alive: [N, T] bool, False after the end; the other fields may hold anything there.
      q: [N, T] value of the action taken, under the evaluated policy.
      v: [N, T] value of the state, the mean of its action values under the policy.
    """

    rewards: Array
    log_ratios: Array
    alive: Array
    q: Array
    v: Array


class Estimator(NamedTuple):
    """How one estimator weights and what it sums.

    Attributes:
      weigh: `(log products [N, T], counts [N]) -> [N, T + 1]` weights, the first
        column those before the first step.
      reach: `[N, T + 1] -> [N, T + 1]`, which of these weights each step gets.
      terms: `(log, weights [N, T + 1], discount) -> [T]`, a summand for each step.
    """

    weigh: Callable[[Array, Array], Array]
    reach: Callable[[Array], Array]
    terms: Callable[[Log, Array, float], Array]


def cut(log: Log) -> Log:
    """The log with zeros after the end of each trajectory, whatever stood there."""
    chex.assert_rank(list(log), 2)
    chex.assert_equal_shape(list(log))

    def kept(values: Array) -> Array:
        return jnp.where(log.alive, values, 0.0)

    return Log(
        rewards=kept(log.rewards),
        log_ratios=kept(log.log_ratios),
        alive=log.alive,
        q=kept(log.q),
        v=kept(log.v),
    )


def log_products(log: Log) -> Array:
    """`log rho_t`, [N, T], of a log that is `cut`: held after the end."""
    return jnp.cumsum(log.log_ratios, axis=1)


def ordinary_weights(products: Array, counts: Array) -> Array:
    """`c_i rho_t / sum c`, [N, T + 1]: unbiased.

    Args:
      products: [N, T] log of the products of ratios.
      counts: [N] how often each trajectory counts.

    Returns:
      [N, T + 1] weights; infinite where a product leaves the range of floats.
    """
    chex.assert_rank([products, counts], [2, 1])
    share = counts / jnp.sum(counts)
    return share[:, None] * jnp.exp(_with_start(products))


def normalised_weights(products: Array, counts: Array) -> Array:
    """`c_i rho_t / sum_j c_j rho_t`, [N, T + 1]: each column sums to one.

    Args:
      products: [N, T] log of the products of ratios.
      counts: [N] how often each trajectory counts.

    Returns:
      [N, T + 1] weights; NaN in columns in which all products are zero.
    """
    chex.assert_rank([products, counts], [2, 1])
    return jax.nn.softmax(_with_start(products) + jnp.log(counts)[:, None], axis=0)


def each_step(weights: Array) -> Array:
    """Each step gets the weight of its own product."""
    return weights


def last_step(weights: Array) -> Array:
    """Each step gets the weight of the whole trajectory."""
    last = jnp.broadcast_to(weights[:, -1:], weights[:, 1:].shape)
    return jnp.concatenate([weights[:, :1], last], axis=1)


def no_step(weights: Array) -> Array:
    """Each step gets the weight from before the first: no ratio at all."""
    return jnp.broadcast_to(weights[:, :1], weights.shape)


def reward_terms(log: Log, weights: Array, discount: float) -> Array:
    """`gamma^t sum_i w_t r_t`, [T], of a log that is `cut`."""
    powers = _powers(discount, log.rewards.shape[1])
    return powers * jnp.sum(weights[:, 1:] * log.rewards, axis=0)


def robust_terms(log: Log, weights: Array, discount: float) -> Array:
    """`gamma^t sum_i (w_t (r_t - Q) + w_{t-1} V)`, [T], of a log that is `cut`."""
    powers = _powers(discount, log.rewards.shape[1])
    corrected = weights[:, 1:] * (log.rewards - log.q) + weights[:, :-1] * log.v
    return powers * jnp.sum(corrected, axis=0)


def start_terms(log: Log, weights: Array, discount: float) -> Array:
    """`sum_i w_{-1} V(s_0)` as the first of [T] terms, of a log that is `cut`."""
    del discount
    return jnp.zeros(log.v.shape[1]).at[0].set(jnp.sum(weights[:, 0] * log.v[:, 0]))


ESTIMATORS = {
    "is": Estimator(ordinary_weights, last_step, reward_terms),
    "pdis": Estimator(ordinary_weights, each_step, reward_terms),
    "dr": Estimator(ordinary_weights, each_step, robust_terms),
    "wis": Estimator(normalised_weights, last_step, reward_terms),
    "pdwis": Estimator(normalised_weights, each_step, reward_terms),
    "wdr": Estimator(normalised_weights, each_step, robust_terms),
    "fqe": Estimator(ordinary_weights, no_step, start_terms),
}


def estimate(log: Log, counts: Array, discount: float) -> dict[str, Array]:
    """Every estimator's summands.

    Args:
      log: the trajectories.
      counts: [N] how often each of them counts; ones for the log as it is.
      discount: discount factor of a step.

    Returns:
      Name -> [T] summands by step; their sum is the estimate of the expected
      discounted sum of rewards.
    """
    log = cut(log)
    products = log_products(log)
    return {
        name: e.terms(log, e.reach(e.weigh(products, counts)), discount)
        for name, e in ESTIMATORS.items()
    }


def effective_size(weights: Array) -> Array:
    """`(sum w)^2 / sum w^2` of each column of [N, K], between 1 and N."""
    chex.assert_rank(weights, 2)
    return jnp.square(jnp.sum(weights, axis=0)) / jnp.sum(jnp.square(weights), axis=0)


def group_weights(weights: Array, groups: Array, num_groups: int) -> Array:
    """Sums the weights [N, K] of the trajectories of each group (patient): [G, K]."""
    chex.assert_rank([weights, groups], [2, 1])
    return jax.ops.segment_sum(weights, groups, num_groups)


def group_counts(key: Key, groups: Array, num_groups: int, resamples: int) -> Array:
    """Bootstrap resamples of groups: how often each trajectory counts in each.

    Whole groups are drawn, as many as there are, with replacement; a group drawn twice
    brings all its trajectories twice. Trajectories of one patient resemble each other,
    so that drawing them singly would make intervals too narrow.

    Args:
      key: consumed.
      groups: [N] group (patient) of each trajectory, 0..G-1.
      num_groups: `G`.
      resamples: number of resamples `B`.

    Returns:
      [B, N] whole numbers as floats.
    """
    chex.assert_rank(groups, 1)
    drawn = jax.random.randint(key, (resamples, num_groups), 0, num_groups)
    times = jax.vmap(lambda row: jnp.bincount(row, length=num_groups))(drawn)
    return times[:, groups].astype(jnp.float32)


def bootstrap(
    log: Log, counts: Array, discount: float, batch_size: int = 50
) -> dict[str, Array]:
    """Every estimator on every resample.

    Args:
      log: the trajectories.
      counts: [B, N] from `group_counts`.
      discount: discount factor of a step.
      batch_size: resamples computed at once; bounds the memory to that many times N T.

    Returns:
      Name -> [B] estimates.
    """
    chex.assert_rank(counts, 2)

    def one(times: Array) -> dict[str, Array]:
        return jax.tree.map(jnp.sum, estimate(log, times, discount))

    return jax.lax.map(one, counts, batch_size=min(batch_size, counts.shape[0]))


def percentile_interval(samples: Array, level: float) -> tuple[Array, Array]:
    """Lower and upper percentile that hold the middle `level` of [B] samples."""
    chex.assert_rank(samples, 1)
    tail = 0.5 * (1.0 - level)
    low, high = jnp.quantile(samples, jnp.array([tail, 1.0 - tail]))
    return low, high


def _with_start(products: Array) -> Array:
    return jnp.pad(products, ((0, 0), (1, 0)))


def _powers(discount: float, steps: int) -> Array:
    return jnp.power(jnp.float32(discount), jnp.arange(steps, dtype=jnp.float32))

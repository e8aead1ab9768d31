"""Fitted Q iteration with boosted trees (Ernst, Geurts and Wehenkel 2005, JMLR 6).

    Q_k = regression of r + discount * continuation * max_a Q_{k-1}(s', a) on (s, a)

`Q_0` is zero, so that `Q_k` is the best return of `k` steps, as far as recorded steps
tell. The trees are scikit-learn's (the `boosting` extra); what comes out is a `Policy`
like any other, which asks them from inside compiled functions.
"""

import dataclasses
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from sklearn.ensemble import HistGradientBoostingRegressor

from omgrl_jax.ops import policy as policy_ops
from omgrl_jax.types import Array, Params, Policy, Transition

_CHUNK = 20_000  # states asked at once, which bounds memory


@dataclasses.dataclass(frozen=True)
class Config:
    """How action values are fitted with boosted trees.

    Attributes:
      iterations: regressions, one after the other: steps that values look ahead.
      trees: trees of a regression.
      learning_rate: share of each tree's correction that is taken.
      leaves: leaves of a tree at most.
      rows_per_leaf: rows of a leaf at least.
    """

    iterations: int = dataclasses.field(default=50, metadata={"min": 1})
    trees: int = dataclasses.field(default=100, metadata={"min": 1})
    learning_rate: float = dataclasses.field(default=0.1, metadata={"above": 0})
    leaves: int = dataclasses.field(default=31, metadata={"min": 2})
    rows_per_leaf: int = dataclasses.field(default=20, metadata={"min": 1})


class Boosted(NamedTuple):
    """Fitted values and what they recommend.

    Attributes:
      policy: takes the action of largest value, always; it needs no parameters.
      values: `(states [..., S]) -> [..., A]`, numpy, in the unit of the rewards.
    """

    policy: Policy
    values: Callable[[np.ndarray], np.ndarray]


def fit(
    config: Config,
    steps: Transition,
    rewards: Array,
    num_actions: int,
    discount: float,
    seed: int = 0,
) -> Boosted:
    """Fits the action values of recorded transitions.

    Args:
      config: settings.
      steps: all transitions, fields [M, ...].
      rewards: [M] raw.
      num_actions: `A`; scikit-learn's trees tell 255 of them apart at most, and split
        off none of which a node has fewer than ten rows.
      discount: discount factor.
      seed: of the trees.

    Returns:
      The values and their policy.

    Raises:
      ValueError: if there are too many actions.
    """
    if num_actions > 255:
        raise ValueError(f"boosted trees know 255 actions at most, not {num_actions}")
    state, next_state = np.asarray(steps.state), np.asarray(steps.next_state)
    pairs = _pairs(state, np.asarray(steps.action))
    reward = np.asarray(rewards, np.float64)
    carried = discount * np.asarray(steps.discount, np.float64)
    trees = _trees(config, column=state.shape[1], seed=seed).fit(pairs, reward)
    values = _values_of(trees, num_actions)
    for _ in range(config.iterations - 1):
        target = reward + carried * values(next_state).max(axis=-1)
        trees = _trees(config, column=state.shape[1], seed=seed).fit(pairs, target)
        values = _values_of(trees, num_actions)
    return Boosted(_greedy(values, num_actions), values)


def _trees(config: Config, column: int, seed: int) -> HistGradientBoostingRegressor:
    return HistGradientBoostingRegressor(
        learning_rate=config.learning_rate,
        max_iter=config.trees,
        max_leaf_nodes=config.leaves,
        min_samples_leaf=config.rows_per_leaf,
        categorical_features=[column],  # pyright: ignore[reportArgumentType]
        # Left to itself it would hold rows back, of stays that the others are from.
        early_stopping=False,  # pyright: ignore[reportArgumentType]
        random_state=seed,
    )


def _pairs(states: np.ndarray, actions: np.ndarray) -> np.ndarray:
    """[M, S + 1]: the action is the last column."""
    return np.concatenate([states, actions[:, None]], axis=1, dtype=np.float64)


def _values_of(
    trees: HistGradientBoostingRegressor, num_actions: int
) -> Callable[[np.ndarray], np.ndarray]:
    def values(states: np.ndarray) -> np.ndarray:
        flat = states.reshape(-1, states.shape[-1])
        found = [
            _every_action(trees, flat[first : first + _CHUNK], num_actions)
            for first in range(0, len(flat), _CHUNK)
        ]
        return np.concatenate(found).reshape((*states.shape[:-1], num_actions))

    return values


def _every_action(
    trees: HistGradientBoostingRegressor, states: np.ndarray, num_actions: int
) -> np.ndarray:
    """[N, A], asked in one call: a call costs more than its rows."""
    actions = np.tile(np.arange(num_actions), len(states))
    pairs = _pairs(np.repeat(states, num_actions, axis=0), actions)
    return trees.predict(pairs).reshape(len(states), num_actions)


def _greedy(values: Callable[[np.ndarray], np.ndarray], num_actions: int) -> Policy:
    always = jnp.vectorize(policy_ops.deterministic, excluded=[1], signature="()->(a)")

    def best(states: Array) -> np.ndarray:
        return values(np.asarray(states)).argmax(axis=-1).astype(np.int32)

    def log_probs(params: Params, states: Array) -> Array:
        del params
        shape = jax.ShapeDtypeStruct(states.shape[:-1], jnp.int32)
        # The trees live on the host: a compiled function calls back.
        actions = jax.pure_callback(best, shape, states, vmap_method="broadcast_all")
        return always(actions, num_actions)

    return Policy(log_probs)

"""The recorded reward of each step: `REWARDS` of `omgrl_jax.ops.sofa_rewards`.

With sofa and terminal the outcome stands for everything after the last step, so every
stay is terminal at its end: to go on from its last state would count what follows
twice. With negative_sofa only a stay that ends in death is.
"""

import numpy as np

from data_prep.clock import Clock
from omgrl_jax.ops import sofa_rewards


def recorded(
    kind: str, score: np.ndarray, died: np.ndarray, clock: Clock
) -> np.ndarray:
    """Rewards of all steps.

    Args:
      kind: one of `sofa_rewards.REWARDS`.
      score: [R] SOFA score of each row.
      died: [N] bool.
      clock: the rows.

    Returns:
      [M] rewards, stays end to end.
    """
    stay, step = clock.rows()
    before = step < clock.steps[stay]
    here, following = score[before], score[1:][before[:-1]]
    reward = sofa_rewards.REWARDS[kind]
    rewards = sofa_rewards.of_points(reward, here, following)
    rewards[np.cumsum(clock.steps) - 1] += sofa_rewards.of_outcome(reward, died)
    return rewards


def terminals(kind: str, window_died: np.ndarray) -> np.ndarray:
    """Which stays are terminal at their end, [N] bool.

    Args:
      kind: the reward.
      window_died: [N] bool, stays that end in death.
    """
    return window_died.astype(bool) | sofa_rewards.REWARDS[kind].settles
